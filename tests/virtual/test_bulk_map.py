"""`map`: bounds, order, nothing lost, whatever the items, the reader and the source do."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import BlockStore, InvalidArgumentError, OutcomeUnknownError
from do_blockstore_async.bulk import BulkError, MapRun, Skip
from do_blockstore_async.simulator import World, connect_in_process
from tests.support.bulk_models import volume
from tests.support.virtual_time import run_virtual


def client() -> BlockStore:
    return connect_in_process(World(limits="none", volumes=3))


class Work:
    """An operation that takes its time, and notes how much of it happened at once."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.begun: list[int] = []
        self.ended: list[int] = []

    async def __call__(self, item: tuple[int, str, float, str]) -> int:
        number, region, seconds, how = item
        self.begun.append(number)
        for key in (region, "all"):
            self.now[key] += 1
            self.most[key] = max(self.most[key], self.now[key])
        try:
            await asyncio.sleep(seconds)
        finally:
            for key in (region, "all"):
                self.now[key] -= 1
            self.ended.append(number)
        if how == "skip":
            raise Skip("not today", "today")
        if how == "fail":
            raise RuntimeError("no")
        if how == "unknown":
            raise OutcomeUnknownError("lost")
        return number * 2


STATUS = {"ok": "done", "skip": "skipped", "fail": "failed", "unknown": "unknown"}
rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([0.0, 0.1, 1.0, 5.0]),
        st.sampled_from(list(STATUS)),
    ),
    max_size=60,
).map(lambda rows: [(n, *row) for n, row in enumerate(rows)])


async def as_async(items: list[Any], pause_s: float = 0.0) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(pause_s)
        yield item


@settings(max_examples=40)
@given(rows, st.integers(1, 9), st.none() | st.integers(1, 3), st.booleans(), st.booleans())
def test_every_item_has_one_outcome_and_no_bound_is_passed(
    items: list[Any], concurrency: int, per_region: int | None, lazily: bool, slowly: bool
) -> None:
    async def main() -> None:
        work = Work()
        async with client() as store:
            fan = store.bulk.map(
                work,
                as_async(items, 0.05) if lazily else items,
                concurrency=concurrency,
                per_region=per_region,
                region_of=lambda item: str(item[1]),
            )
            outcomes = []
            async for outcome in fan:
                outcomes.append(outcome)
                if slowly:
                    await asyncio.sleep(0.5)
        assert sorted(int(o.key) for o in outcomes) == [item[0] for item in items]  # F4
        assert all(o.item is items[int(o.key)] for o in outcomes)
        assert all(o.status == STATUS[o.item[3]] for o in outcomes)
        assert all(o.value == 2 * o.item[0] for o in outcomes if o.status == "done")
        assert all(o.region == o.item[1] for o in outcomes)
        assert work.most["all"] <= concurrency  # F1
        for region in "abc":
            assert work.most[region] <= (per_region or concurrency)  # F1
        assert not fan.unread

    run_virtual(main())


@settings(max_examples=30)
@given(rows, st.integers(1, 9), st.integers(0, 20), st.booleans())
def test_closed_at_any_moment_nothing_is_lost_and_no_task_is_left(
    items: list[Any], concurrency: int, read: int, lazily: bool
) -> None:
    async def main() -> None:
        work = Work()
        source = iter(items)
        taken = as_async(items, 0.05) if lazily else source
        async with client() as store:
            before = asyncio.all_tasks()
            outcomes = []
            async with store.bulk.map(work, taken, concurrency=concurrency) as fan:
                async for outcome in fan:
                    outcomes.append(outcome)
                    if len(outcomes) > read:
                        break
            assert asyncio.all_tasks() == before  # F6
            both = outcomes + fan.unread
            assert len({o.key for o in both}) == len(both)
            assert set(work.begun) <= {int(o.key) for o in both}
            if not lazily:
                rest = list(source)
                assert len(both) + len(rest) == len(items)
            cancelled = [o for o in fan.unread if o.status == "unknown" and o.item[3] != "unknown"]
            assert all("cancelled" in o.reason for o in cancelled)

    run_virtual(main())


def test_a_slow_reader_holds_the_work_back() -> None:
    async def main() -> None:
        work = Work()
        async with client() as store:
            items = [(n, "a", 0.0, "ok") for n in range(200)]
            read = 0
            async for _ in store.bulk.map(work, items, concurrency=4):
                read += 1
                await asyncio.sleep(1.0)
                assert len(work.begun) - read <= 8  # F2

    run_virtual(main())


def test_stop_lets_what_is_under_way_end() -> None:
    async def main() -> None:
        work = Work()
        async with client() as store:
            items = [(n, "a", 1.0, "ok") for n in range(50)]
            fan = store.bulk.map(work, items, concurrency=5)
            outcomes = []
            async for outcome in fan:
                outcomes.append(outcome)
                fan.stop()
        assert all(o.status == "done" for o in outcomes)
        assert len(outcomes) == len(work.begun) == len(work.ended)
        assert 5 <= len(outcomes) <= 10

    run_virtual(main())


def test_stopped_items_that_were_held_back_are_not_lost() -> None:
    async def main() -> None:
        async with client() as store:
            items = [(n, "a", 1.0, "ok") for n in range(20)]
            fan = store.bulk.map(Work(), items, per_region=1, region_of=lambda item: str(item[1]))
            outcomes = []
            async for outcome in fan:
                outcomes.append(outcome)
                fan.stop()
        assert Counter(o.status for o in outcomes) == {"done": 2, "skipped": 18}
        assert {o.code for o in outcomes if o.status == "skipped"} == {"not_started"}

    run_virtual(main())


def test_a_cancelled_reader_loses_nothing_and_the_block_cancels_the_rest() -> None:
    async def main() -> None:
        work = Work()
        async with client() as store:
            items = [(n, "a", 1.0 if n < 7 else 100.0, "ok") for n in range(50)]
            async with store.bulk.map(work, items, concurrency=7) as fan:
                read: list[Any] = []
                while len(read) < 7:
                    with suppress(TimeoutError):
                        read.append(await asyncio.wait_for(anext(fan), 0.1))  # F7
                assert {o.status for o in read} == {"done"}
                assert fan.in_flight == 7
            assert len(fan.unread) == 7
            assert {o.status for o in fan.unread} == {"unknown"}

    run_virtual(main())


def test_two_readers_at_once_are_refused() -> None:
    async def main() -> None:
        async with client() as store:
            items = [(n, "a", 1.0, "ok") for n in range(4)]
            async with store.bulk.map(Work(), items, concurrency=2) as fan:
                first = asyncio.create_task(anext(fan))
                await asyncio.sleep(0)
                with pytest.raises(BulkError, match="another reader"):
                    await anext(fan)
                assert (await first).status == "done"
                assert [o.status async for o in fan] == ["done"] * 3

    run_virtual(main())


def test_closing_goes_to_the_end_though_it_is_cancelled() -> None:
    async def stubborn(item: int) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)

    async def main() -> None:
        async with client() as store:
            fan = store.bulk.map(stubborn, range(4), concurrency=4)
            reader = asyncio.create_task(anext(fan))
            await asyncio.sleep(1)
            reader.cancel()
            closing = asyncio.create_task(fan.aclose())
            for _ in range(3):
                await asyncio.sleep(0.1)
                closing.cancel()
            await asyncio.wait([closing, reader])
            assert closing.cancelled()
            assert fan.in_flight == 0  # F6
            assert {o.status for o in fan.unread} == {"unknown"}
            assert len(fan.unread) == 4

    run_virtual(main())


def test_a_source_that_cancels_itself_is_said() -> None:
    async def source() -> AsyncIterator[Any]:
        yield (0, "a", 1.0, "ok")
        raise asyncio.CancelledError

    async def main() -> None:
        async with client() as store:
            fan = store.bulk.map(Work(), source())
            assert (await anext(fan)).status == "done"
            with pytest.raises(BulkError, match="source of the items was cancelled"):
                await anext(fan)  # F5

    run_virtual(main())


def test_a_source_that_raises_ends_the_map_after_what_was_begun() -> None:
    def broken() -> Iterator[Any]:
        yield (0, "a", 1.0, "ok")
        yield (1, "a", 2.0, "ok")
        raise KeyError("source")

    async def broken_too() -> AsyncIterator[Any]:
        for item in ((0, "a", 1.0, "ok"), (1, "a", 2.0, "ok")):
            yield item
        raise KeyError("source")

    async def main() -> None:
        async with client() as store:
            for source in (broken(), broken_too()):
                fan = store.bulk.map(Work(), source)
                outcomes = [await anext(fan), await anext(fan)]
                with pytest.raises(KeyError, match="source"):
                    await anext(fan)
                assert [o.status for o in outcomes] == ["done", "done"]  # F5

    run_virtual(main())


def test_a_region_that_cannot_be_told_is_that_items_failure() -> None:
    async def main() -> None:
        async with client() as store:
            items: list[Any] = [(0, "a", 0.0, "ok"), (1,), (2, "a", 0.0, "ok")]
            fan = store.bulk.map(Work(), items, per_region=1, region_of=lambda item: str(item[1]))
            statuses = {o.key: o.status async for o in fan}
        assert statuses == {"0": "done", "1": "failed", "2": "done"}

    run_virtual(main())


def test_an_operation_that_is_cancelled_from_within_is_unknown() -> None:
    async def give_up(item: int) -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        async with client() as store:
            assert [o.status async for o in store.bulk.map(give_up, [1, 2])] == ["unknown"] * 2

    run_virtual(main())


def test_volumes_bring_their_region_and_listings_can_be_the_source() -> None:
    async def main() -> None:
        async with client() as store:
            source = store.volumes.list()
            outcomes = [o async for o in store.bulk.map(lambda v: store.volumes.get(v.id), source)]
            assert {o.region for o in outcomes} == {o.item.region.slug for o in outcomes}
            assert len(outcomes) == 3
            assert all(o.value == o.item for o in outcomes)

    run_virtual(main())
    assert MapRun is not None
    assert volume().region.slug == "nyc3"


def test_what_is_called_inside_is_background() -> None:
    async def main() -> None:
        async with client() as store:
            seen = []

            async def look(item: int) -> None:
                from do_blockstore_async._context import current_job

                job = current_job()
                seen.append(None if job is None else job.key)

            async for _ in store.bulk.map(look, [1, 2], job="mine"):
                pass
            from do_blockstore_async._context import current_job

            assert seen == ["mine", "mine"]
            assert current_job() is None

    run_virtual(main())


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"concurrency": True}, {"per_region": 0}, {"per_region": 1.5}]
)
def test_bounds_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with client() as store:
            with pytest.raises(InvalidArgumentError, match="1 or more"):
                store.bulk.map(Work(), [], **options)
            with pytest.raises(InvalidArgumentError, match="iterable"):
                store.bulk.map(Work(), 5)  # type: ignore[arg-type]

    run_virtual(main())


def test_many_items_never_become_many_tasks() -> None:
    async def nothing(item: int) -> int:
        return item

    async def main() -> None:
        async with client() as store:
            count = most = 0
            tracemalloc.start()
            start = tracemalloc.get_traced_memory()[0]
            async for outcome in store.bulk.map(nothing, range(20_000)):
                count += outcome.status == "done"
                most = max(most, len(asyncio.all_tasks())) if count % 1000 == 0 else most
            peak = tracemalloc.get_traced_memory()[1] - start
            tracemalloc.stop()
            assert count == 20_000
            assert most < 60
            assert peak < 2 * 1024 * 1024

    run_virtual(main())


@pytest.mark.parametrize("how", ["break", "raise", "return", "cancel"])
def test_a_plain_loop_that_is_left_starts_nothing_more(how: str) -> None:
    async def main() -> None:
        begun: list[int] = []
        ended: list[int] = []

        async def work(number: int) -> None:
            begun.append(number)
            await asyncio.sleep(1 + number / 10)
            ended.append(number)

        async def reader(store: BlockStore) -> None:
            async for outcome in store.bulk.map(work, range(100), concurrency=4):
                if outcome.item < 3:
                    continue
                if how == "break":
                    break
                if how == "raise":
                    raise ValueError
                if how == "cancel":
                    await asyncio.sleep(100)
                return

        async with client() as store:
            reading = asyncio.create_task(reader(store))
            if how == "cancel":
                await asyncio.sleep(1.5)
                reading.cancel()
            with suppress(ValueError, asyncio.CancelledError):
                await reading
            known = len(begun)
            await asyncio.sleep(10)
            assert len(begun) == known < 20
            assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_in_a_block_the_outcomes_are_read_in_several_loops() -> None:
    async def main() -> None:
        async def work(number: int) -> None:
            await asyncio.sleep(1)

        async with client() as store, store.bulk.map(work, range(9), concurrency=2) as run:
            items = []
            async for outcome in run:
                items.append(outcome.item)
                break
            items += [outcome.item async for outcome in run]
        assert sorted(items) == list(range(9))

    run_virtual(main())


def test_a_source_whose_cleanup_raises_leaves_no_task() -> None:
    async def main() -> None:
        async def source() -> AsyncIterator[int]:
            try:
                for number in range(100):
                    yield number
            finally:
                raise ValueError("cleanup")

        async def work(number: int) -> None:
            await asyncio.sleep(1)

        async with client() as store:
            run = store.bulk.map(work, source(), concurrency=4)
            await anext(run)
            with pytest.raises(ValueError, match="cleanup"):
                await run.aclose()
            assert run.in_flight == 0
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1

    run_virtual(main())
