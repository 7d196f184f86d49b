"""Listings of a world that changes between any two answers, in any order of answers.

The promise: an item that exists throughout is yielded exactly once, or `ListingChangedError` is
raised. The transport below answers a page only when the test says so, from the world as it is at
that moment; between two answers the test creates and deletes what it likes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import (
    BlockStore,
    ClientClosedError,
    DecodeError,
    ListingChangedError,
    events,
)
from do_blockstore_async._http.request import Attempt, RawResponse, Request
from do_blockstore_async.events import ListingRestarted
from do_blockstore_async.resources import _pagination as pagination
from tests.support.scripted_server import PATIENCE_S, TOKEN, VOLUME, quick

BEGIN_S = 1_790_000_000
Order = Literal["oldest first", "newest first", "by id"]
ORDERS: tuple[Order, ...] = ("oldest first", "newest first", "by id")
Told = Literal["total", "last page", "nothing"]


@attrs.define
class Item:
    id: str
    created_s: int
    serial: int


def scatter(number: int) -> int:
    """A number that looks random and occurs once: multiplication by an odd number."""
    return number * 0x9E3779B1 % 2**32


class Shifting:
    """A world and its transport: pages wait in `pending` until `answer` cuts them."""

    def __init__(
        self,
        count: int,
        *,
        order: Order = "oldest first",
        told: Told = "total",
        clamp: int = 200,
        age_s: int = 1000,
    ) -> None:
        self.now_s = BEGIN_S
        self.skew_s = 0  # by which `Date` runs ahead of created_at
        self.order, self.told, self.clamp = order, told, clamp
        self._serial = 0
        self.items: list[Item] = []
        self.ever: set[str] = set()
        for _ in range(count):
            self.create(self.now_s - age_s)
        self.throughout = {item.id for item in self.items}
        self.pending: list[tuple[Request[Any], asyncio.Future[RawResponse]]] = []
        self.answered = 0
        self.cancelled = 0

    def create(self, at_s: int | None = None) -> None:
        self._serial += 1
        created_s = self.now_s if at_s is None else at_s
        item = Item(f"{scatter(self._serial):08x}", created_s, self._serial)
        self.items.append(item)
        self.ever.add(item.id)

    def delete(self, index: int) -> None:
        if self.items:
            gone = self.listed()[index % len(self.items)]
            self.items.remove(gone)
            self.throughout.discard(gone.id)

    def listed(self) -> list[Item]:
        if self.order == "by id":
            return sorted(self.items, key=lambda item: item.id)
        return sorted(
            self.items, key=lambda item: item.serial, reverse=self.order == "newest first"
        )

    # The transport.

    async def send(self, request: Request[Any], attempt: Attempt) -> RawResponse:
        attempt.begin(asyncio.get_running_loop().time())
        future: asyncio.Future[RawResponse] = asyncio.get_running_loop().create_future()
        self.pending.append((request, future))
        try:
            return await future
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def aclose(self) -> None:
        for _, future in self.pending:
            if not future.done():
                future.set_exception(ClientClosedError("the transport is closed"))

    def answer(self, which: int) -> None:
        request, future = self.pending.pop(which % len(self.pending))
        if not future.done():
            self.answered += 1
            future.set_result(self._cut(dict(request.params)))

    def _cut(self, params: dict[str, str]) -> RawResponse:
        page, size = int(params["page"]), min(int(params["per_page"]), self.clamp)
        listed = self.listed()
        body: dict[str, Any] = {
            "volumes": [
                {
                    **VOLUME,
                    "id": item.id,
                    "created_at": datetime.fromtimestamp(item.created_s, UTC).isoformat(),
                }
                for item in listed[(page - 1) * size : page * size]
            ]
        }
        last = max(1, -(-len(listed) // size))
        if self.told == "total":
            body["meta"] = {"total": len(listed)}
        if self.told == "last page" and page < last:
            body["links"] = {"pages": {"last": f"https://x.invalid/?page={last}"}}
        headers = {"date": formatdate(self.now_s + self.skew_s, usegmt=True)}
        return RawResponse(200, headers, json.dumps(body).encode())


async def turns() -> None:
    """Let every task run until it waits."""
    for _ in range(12):
        await asyncio.sleep(0)


Step = Callable[[Shifting], None]


async def listing(
    world: Shifting, steps: list[Step], *, per_page: int, concurrency: int, hooks: Any = ()
) -> list[str] | None:
    """The ids a listing yields while `steps` happen; None when it says that it may lack some."""
    found: list[str] = []
    config = quick(page_concurrency=concurrency, hooks=hooks, attempt_timeout_s=1000.0)

    async def read(store: BlockStore) -> bool:
        try:
            async for volume in store.volumes.list(per_page=per_page):
                found.append(volume.id)  # noqa: PERF401 -- kept when the listing raises
        except ListingChangedError:
            return False
        return True

    async with asyncio.timeout(PATIENCE_S):
        async with BlockStore(TOKEN, session=world, config=config) as store:
            reader = asyncio.create_task(read(store))
            await turns()
            for step in steps:
                if reader.done():
                    break
                step(world)
                await turns()
            while not reader.done():
                if world.pending:
                    world.answer(0)
                await turns()
            whole = await reader
    assert len(found) == len(set(found)), "an item was yielded twice"
    assert set(found) <= world.ever
    return found if whole else None


def answer(which: int) -> Step:
    return lambda world: world.answer(which) if world.pending else None


def delete(index: int) -> Step:
    return lambda world: world.delete(index)


def create(world: Shifting) -> None:
    world.create()


def tick(seconds: int) -> Step:
    def step(world: Shifting) -> None:
        world.now_s += seconds

    return step


def swap(index: int) -> Step:
    """One goes, one comes: the total tells nothing."""

    def step(world: Shifting) -> None:
        world.delete(index)
        world.create()

    return step


def swap_newest(index: int) -> Step:
    """The newcomer goes again, and another comes."""

    def step(world: Shifting) -> None:
        if world.items:
            newest = max(world.items, key=lambda item: item.serial)
            world.items.remove(newest)
            world.throughout.discard(newest.id)
            world.create()

    return step


small = st.integers(0, 30)
CHANGES = st.one_of(
    st.builds(delete, small),
    st.builds(swap, small),
    st.builds(swap_newest, small),
    st.just(create),
    st.builds(tick, st.integers(0, 2)),
)


def joined(blocks: list[tuple[list[Step], int]]) -> list[Step]:
    return [answer(0), *(step for changes, which in blocks for step in (*changes, answer(which)))]


# The first page, and then some changes before each further answer.
STEPS = st.lists(
    st.tuples(st.lists(CHANGES, min_size=0, max_size=3), small), min_size=1, max_size=9
).map(joined)


@settings(max_examples=400)
@given(
    count=st.integers(2, 9),
    per_page=st.integers(1, 3),
    concurrency=st.integers(1, 4),
    order=st.sampled_from(ORDERS),
    steps=STEPS,
)
def test_what_exists_throughout_is_yielded_once_or_it_says_so(
    count: int, per_page: int, concurrency: int, order: Order, steps: list[Step]
) -> None:
    world = Shifting(count, order=order)
    found = asyncio.run(listing(world, steps, per_page=per_page, concurrency=concurrency))
    if found is not None:
        assert world.throughout <= set(found)


@settings(max_examples=150)
@given(
    count=st.integers(2, 9),
    per_page=st.integers(1, 3),
    order=st.sampled_from(ORDERS),
    told=st.sampled_from(("last page", "nothing")),
    steps=STEPS,
)
def test_the_same_where_the_server_tells_no_total(
    count: int, per_page: int, order: Order, told: Told, steps: list[Step]
) -> None:
    world = Shifting(count, order=order, told=told)
    found = asyncio.run(listing(world, steps, per_page=per_page, concurrency=2))
    if found is not None:
        assert world.throughout <= set(found)


@settings(max_examples=150)
@given(
    count=st.integers(2, 10),
    per_page=st.integers(1, 3),
    order=st.sampled_from(ORDERS),
    swaps=st.lists(st.tuples(small, small, st.booleans()), min_size=1, max_size=8),
)
def test_one_goes_and_one_comes_between_any_two_pages(
    count: int, per_page: int, order: Order, swaps: list[tuple[int, int, bool]]
) -> None:
    """The hard case: every answer gives the same total."""
    world = Shifting(count, order=order)
    steps: list[Step] = [answer(0)]
    for which, index, again in swaps:
        steps += [swap(index), *([swap_newest(0)] if again else []), answer(which)]
    found = asyncio.run(listing(world, steps, per_page=per_page, concurrency=4))
    if found is not None:
        assert world.throughout <= set(found)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 7, 12, 13])
def test_a_listing_that_stands_still_costs_no_request_too_many(count: int, order: Order) -> None:
    for per_page in (1, 2, 3, 5):
        world = Shifting(count, order=order)
        found = asyncio.run(listing(world, [], per_page=per_page, concurrency=3))
        assert found == [item.id for item in world.listed()]
        assert world.answered == max(1, -(-count // per_page))


def test_pages_are_in_flight_together_and_bounded() -> None:
    async def body() -> None:
        world = Shifting(40)
        config = quick(page_concurrency=5)
        async with BlockStore(TOKEN, session=world, config=config) as store:
            reader = asyncio.create_task(collect(store))
            await turns()
            assert [int(dict(r.params)["page"]) for r, _ in world.pending] == [1]
            world.answer(0)
            await turns()
            pages = [int(dict(r.params)["page"]) for r, _ in world.pending]
            assert pages == [2, 3, 4, 5, 6]
            # Answers out of order are yielded in order; no new page before the first is out.
            world.answer(4)
            await turns()
            assert len(world.pending) == 4
            world.answer(0)
            await turns()
            assert len(world.pending) == 4
            while not reader.done():
                if world.pending:
                    world.answer(-1)
                await turns()
            assert await reader == [item.id for item in world.listed()]

    async def collect(store: BlockStore) -> list[str]:
        return [volume.id async for volume in store.volumes.list(per_page=4)]

    asyncio.run(body())


@pytest.mark.parametrize("how", ["break", "raise", "cancel", "aclose"])
def test_leaving_early_cancels_what_is_in_flight(how: str) -> None:
    async def body() -> None:
        world = Shifting(40)
        async with BlockStore(TOKEN, session=world, config=quick(page_concurrency=5)) as store:

            async def read() -> None:
                if how == "aclose":
                    source = store.volumes.list(per_page=4)
                    await anext(source)
                    await turns()
                    await source.aclose()
                    return
                async for _ in store.volumes.list(per_page=4):
                    if how == "break":
                        break
                    if how == "raise":
                        raise LookupError

            reader = asyncio.create_task(read())
            await turns()
            world.answer(0)
            await turns()
            if how == "cancel":
                assert len(world.pending) == 5
                reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await turns()
            assert world.cancelled == 5
            assert len(asyncio.all_tasks()) == 1
            assert store.quota.in_flight == 0

    asyncio.run(body())


def test_a_page_that_fails_ends_the_others() -> None:
    async def body() -> None:
        world = Shifting(40)
        config = quick(page_concurrency=5, max_attempts=1)
        async with BlockStore(TOKEN, session=world, config=config) as store:

            async def read() -> None:
                with pytest.raises(DecodeError) as caught:
                    async for _ in store.volumes.list(per_page=4):
                        pass
                assert caught.value.path == "/v2/volumes"

            reader = asyncio.create_task(read())
            await turns()
            world.answer(0)
            await turns()
            _, future = world.pending.pop(0)
            future.set_result(RawResponse(200, {}, b"[]"))
            await reader
            assert world.cancelled == 4
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(body())


@pytest.mark.parametrize("count", [0, 1, 3, 19, 20, 21, 45, 60])
def test_a_server_that_gives_less_in_a_page_than_asked(count: int) -> None:
    """Larger values of per_page are clamped without a word."""
    world = Shifting(count, clamp=20)
    found = asyncio.run(listing(world, [], per_page=200, concurrency=3))
    assert found == [item.id for item in world.listed()]
    assert world.answered == max(1, -(-count // 20))


@pytest.mark.parametrize("told", ["last page", "nothing"])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9])
def test_without_a_total_two_passes_must_agree(told: Told, count: int) -> None:
    world = Shifting(count, told=told)
    found = asyncio.run(listing(world, [], per_page=4, concurrency=3))
    assert found == [item.id for item in world.listed()]
    # One page is a true picture of its moment; several are read twice. A full page without a link
    # may be followed by another.
    pages = -(-count // 4) if told == "last page" and count > 4 else count // 4 + 1
    assert world.answered == (pages if pages == 1 else 2 * pages)


def test_a_reread_is_announced() -> None:
    seen: list[events.Event] = []
    world = Shifting(6)
    steps = [answer(0), swap(0)]
    found = asyncio.run(listing(world, steps, per_page=2, concurrency=2, hooks=(seen.append,)))
    assert found is not None
    assert world.throughout <= set(found)
    rereads = [event for event in seen if isinstance(event, ListingRestarted)]
    assert [(event.listing_pass, event.route) for event in rereads] == [(2, "/v2/volumes")]


def test_without_a_total_a_slip_is_noticed_too() -> None:
    for told in ("last page", "nothing"):
        world = Shifting(4, told=told)
        found = asyncio.run(listing(world, [answer(0), delete(0)], per_page=2, concurrency=1))
        assert found is not None
        assert world.throughout <= set(found)


SIGNS: dict[str, tuple[list[Step], str]] = {
    # What happens after the first of three pages was answered; each sign alone would do.
    "total": ([delete(0)], "the total went from 6 to 5"),
    "twice": ([tick(5), swap(5), tick(5)], "an item"),
    "newcomer": ([swap(0)], "an item was made meanwhile"),
}


@pytest.mark.parametrize("name", SIGNS)
def test_each_sign_is_named(name: str) -> None:
    seen: list[Any] = []
    changes, reason = SIGNS[name]
    order: Order = "newest first" if name == "twice" else "oldest first"
    world = Shifting(6, order=order)
    found = asyncio.run(
        listing(world, [answer(0), *changes], per_page=2, concurrency=2, hooks=(seen.append,))
    )
    assert found is not None
    assert world.throughout <= set(found)
    (reread,) = [event for event in seen if isinstance(event, ListingRestarted)]
    assert reason in reread.reason


@pytest.mark.parametrize("guard", ["_note", "_is_new"])
def test_the_property_notices_a_missing_guard(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenarios above are strong enough: without the guard an item is lost silently."""
    silent: Any = (lambda self, sign: None) if guard == "_note" else (lambda self, item: False)
    monkeypatch.setattr(pagination._Pass, guard, silent)
    world = Shifting(6)
    found = asyncio.run(listing(world, [answer(0), swap(0)], per_page=2, concurrency=1))
    assert found is not None
    assert not world.throughout <= set(found)


@pytest.mark.parametrize("skew_s", [0, 8, 15, 29])
def test_a_date_that_runs_ahead_of_created_at_hides_no_item(skew_s: int) -> None:
    world = Shifting(6)
    world.skew_s = skew_s
    found = asyncio.run(listing(world, [answer(0), swap(0)], per_page=2, concurrency=1))
    assert found is not None
    assert world.throughout <= set(found)


def test_a_world_that_never_rests_is_reported() -> None:
    world = Shifting(6)
    steps = [step for _ in range(30) for step in (answer(0), swap(0), tick(1))]
    assert asyncio.run(listing(world, steps, per_page=2, concurrency=2)) is None


def test_the_newcomers_of_one_pass_do_not_spoil_the_next() -> None:
    """What was made during the first pass is no sign of a change in the second."""
    world = Shifting(6)
    # An item may show a little after its created_at, so 30 s still count as new.
    found = asyncio.run(listing(world, [answer(0), create, tick(31)], per_page=2, concurrency=1))
    assert found is not None
    assert set(found) == {item.id for item in world.items}
    assert world.answered == 3 + 4


def test_a_deadline_bounds_the_whole_listing() -> None:
    async def body() -> None:
        world = Shifting(10)
        async with BlockStore(TOKEN, session=world, config=quick()) as store:
            source = store.volumes.list(per_page=2, timeout=0.05)
            reader = asyncio.create_task(anext(source))
            await turns()
            world.answer(0)
            await reader
            # The transport is the one that keeps the time; what it is told is what counts.
            await turns()
            assert world.pending
            await source.aclose()

    asyncio.run(body())
