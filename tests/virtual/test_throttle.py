"""What a caller of the throttle sees: grants on the spot, waits, refusals, events, the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import BlockStore
from do_blockstore_async._ratelimit.throttle import Throttle, deadline_at
from do_blockstore_async.config import Config
from do_blockstore_async.errors import ClientClosedError, QuotaWaitTooLongError
from do_blockstore_async.events import (
    Event,
    HeaderIgnored,
    LimitChanged,
    QuotaPaused,
    QuotaResumed,
    QuotaWaited,
)
from tests.support.throttle_traffic import SHORT, Traffic, judge, now, scaled
from tests.support.virtual_time import run_virtual

BURST_429 = {"ratelimit-limit": "100", "ratelimit-remaining": "0", "retry-after": "10"}
HOURLY_429 = {"ratelimit-limit": "100", "ratelimit-remaining": "0"}


def virtual(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run an async test in virtual time."""

    def run() -> None:
        run_virtual(test())  # type: ignore[arg-type]

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


async def spend(throttle: Throttle, requests: int, headers: dict[str, str] | None = None) -> None:
    for _ in range(requests):
        async with throttle.acquire() as lease:
            lease.complete(headers or {})


@virtual
async def test_on_an_idle_budget_a_lease_costs_no_turn_of_the_loop() -> None:
    throttle = Throttle(scaled())
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1

    asyncio.get_running_loop().call_soon(turn)
    await spend(throttle, 20)
    assert turns == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual
async def test_the_throttle_leaves_no_task_behind_when_nobody_waits() -> None:
    throttle = Throttle(scaled())
    await asyncio.gather(*(spend(throttle, 1) for _ in range(40)))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual
async def test_closing_twice_is_harmless_and_the_first_counts() -> None:
    throttle = Throttle(scaled())
    async with throttle.acquire() as lease:
        lease.complete({})
        lease.abandon()
        lease.cancel()
    async with throttle.acquire() as lease:
        lease.cancel()
        lease.complete({})
    status = throttle.status()
    assert (status.done, status.lost, status.unused, status.in_flight) == (1, 0, 1, 0)


@virtual
async def test_leaving_without_closing_is_lost_however_one_leaves() -> None:
    throttle = Throttle(scaled())
    async with throttle.acquire():
        pass
    with pytest.raises(ZeroDivisionError):
        async with throttle.acquire():
            raise ZeroDivisionError

    async def hang() -> None:
        async with throttle.acquire():
            await asyncio.sleep(1000)

    task = asyncio.create_task(hang())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert throttle.status().lost == 3


@virtual
async def test_a_lease_cancelled_in_the_turn_of_its_grant_is_given_back() -> None:
    throttle = Throttle(scaled())
    await spend(throttle, SHORT[0])
    loop = asyncio.get_running_loop()
    waiting = asyncio.create_task(spend(throttle, 1))
    await asyncio.sleep(0)

    def cancel_at_the_grant(event: Event) -> None:
        if isinstance(event, QuotaWaited):
            waiting.cancel()

    throttle._hooks = (cancel_at_the_grant,)
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    throttle._hooks = ()
    status = throttle.status()
    assert (status.unused, status.in_flight) == (1, 0)
    start = loop.time()
    await spend(throttle, 1)
    assert loop.time() - start < 1.0


@virtual
async def test_a_timeout_that_cannot_be_kept_fails_at_once_and_says_when() -> None:
    throttle = Throttle(scaled())
    await spend(throttle, SHORT[0])
    start = now()
    with pytest.raises(QuotaWaitTooLongError) as caught:
        async with throttle.acquire(timeout=2.0):
            pass
    assert now() == pytest.approx(start, abs=1e-3)
    assert caught.value.retry_after == pytest.approx(6.25, abs=0.1)
    await asyncio.sleep(caught.value.retry_after)
    async with throttle.acquire(timeout=0.1) as lease:
        lease.complete({})


@virtual
async def test_of_two_deadlines_the_earlier_counts() -> None:
    throttle = Throttle(scaled())
    await spend(throttle, SHORT[0])
    with deadline_at(now() + 2.0), deadline_at(now() + 100.0), pytest.raises(QuotaWaitTooLongError):
        async with throttle.acquire(timeout=50.0):
            pass
    async with throttle.acquire(timeout=50.0) as lease:
        lease.complete({})


@virtual
async def test_a_pause_fails_at_once_those_who_cannot_wait_so_long() -> None:
    throttle = Throttle(scaled())
    await spend(throttle, 1)
    async with throttle.acquire() as slow:
        await spend(throttle, SHORT[0] - 2)
        start = now()

        async def impatient() -> float:
            with pytest.raises(QuotaWaitTooLongError) as caught:
                async with throttle.acquire(timeout=8.0):
                    pass
            return caught.value.retry_after

        waiting = [asyncio.create_task(impatient()) for _ in range(3)]
        await asyncio.sleep(0.5)
        assert throttle.status().waiting == 3
        slow.complete(BURST_429, 429)
    waits = await asyncio.gather(*waiting)
    assert now() - start == pytest.approx(0.5, abs=1e-2)
    assert min(waits) == pytest.approx(10.0, abs=0.1)


@virtual
async def test_interactive_goes_before_bulk_and_into_the_reserve() -> None:
    throttle = Throttle(scaled(reserve=(0.2, 0.1)))
    await spend(throttle, 1)
    order: list[str] = []

    async def call(name: str) -> None:
        async with throttle.acquire() as lease:
            order.append(name)
            lease.complete({})

    with throttle.background():
        bulk = [asyncio.create_task(call("bulk")) for _ in range(30)]
    await asyncio.sleep(1.0)
    assert order == ["bulk"] * 19
    start = now()
    await asyncio.gather(*(call("interactive") for _ in range(5)))
    assert now() - start < 0.2
    assert order[19:] == ["interactive"] * 5
    await asyncio.gather(*bulk)


@virtual
async def test_background_can_be_said_for_one_lease() -> None:
    throttle = Throttle(scaled(reserve=(0.2, 0.1)))
    await spend(throttle, 20)
    with throttle.background():
        async with throttle.acquire(background=False) as lease:
            lease.complete({})
    with pytest.raises(QuotaWaitTooLongError):
        async with throttle.acquire(background=True, timeout=1.0):
            pass


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_must_be_positive_and_finite(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"), Throttle().background("job", weight):
        pass


@virtual
async def test_what_happens_is_told_to_the_hooks() -> None:
    events: list[Event] = []
    throttle = Throttle(scaled(hooks=(events.append,)))
    await spend(throttle, 1)
    async with throttle.acquire() as lease:
        lease.complete(BURST_429, 429)
    await spend(throttle, 1, {"ratelimit-limit": "100", "ratelimit-remaining": "-4"})
    paused, waited, resumed, ignored = (
        [event for event in events if isinstance(event, kind)]
        for kind in (QuotaPaused, QuotaWaited, QuotaResumed, HeaderIgnored)
    )
    approx: Any = pytest.approx
    assert paused == [QuotaPaused(pause_s=approx(10.0), kind="burst")]
    assert waited == [QuotaWaited(wait_s=approx(10.0, abs=0.01), background=False)]
    assert resumed == [QuotaResumed(paused_s=approx(10.0, abs=0.01))]
    assert ignored == [HeaderIgnored("ratelimit-remaining", "negative")]


@virtual
async def test_a_raised_limit_is_told_and_used() -> None:
    events: list[Event] = []
    throttle = Throttle(Config(hooks=(events.append,), reserve=(0.0, 0.0)))
    await spend(throttle, 1, {"ratelimit-limit": "10000", "ratelimit-remaining": "9999"})
    assert events == [LimitChanged(10000, 5000, "announced")]
    assert throttle.status().limit == 10000
    start = now()
    await spend(throttle, 499)
    assert now() - start < 10.0
    assert throttle.status().remaining == 0


@virtual
async def test_kinds_of_429_that_are_not_about_the_budget_change_nothing() -> None:
    throttle = Throttle(scaled())
    await spend(throttle, 1)
    async with throttle.acquire() as lease:
        cooldown = {"ratelimit-limit": "100", "ratelimit-remaining": "90", "retry-after": "600"}
        lease.complete(cooldown, 429)
    for kind in ("snapshot_cooldown", "capacity", "route"):
        throttle._refused(kind, 600.0)
    start = now()
    await spend(throttle, 5)
    assert now() == pytest.approx(start, abs=0.01)


@virtual
async def test_a_429_reported_twice_is_one() -> None:
    throttle = Throttle(scaled())
    await spend(throttle, 1)
    async with throttle.acquire() as lease:
        lease.complete(HOURLY_429, 429)
    backoff_s = throttle._ledger.gate.backoff_s
    throttle._refused("hourly", None)
    assert throttle.status().probing
    assert throttle._ledger.gate.backoff_s == backoff_s


@virtual
async def test_the_status_counts_what_is_there() -> None:
    throttle = Throttle(scaled(reserve=(0.2, 0.1)))
    await spend(throttle, 20)
    with throttle.background():
        bulk = [asyncio.create_task(spend(throttle, 1)) for _ in range(3)]
    await asyncio.sleep(0.1)
    async with throttle.acquire() as lease:
        status = throttle.status()
        lease.cancel()
    assert status.used == (21, 21)
    assert [window.remaining for window in status.windows] == [4, 79]
    assert [window.reserved for window in status.windows] == [5, 10]
    assert (status.remaining, status.limit) == (4, 100)
    assert (status.waiting, status.waiting_background, status.in_flight) == (3, 3, 1)
    assert (status.available_in_s, status.paused_for_s, status.probing) == (0.0, 0.0, False)
    # The bulk requests leave the reserve alone: theirs is another time.
    first_s = status.background_available_in_s
    assert first_s > 1
    await asyncio.sleep(first_s - 0.2)
    assert throttle.status().waiting_background == 3
    await asyncio.sleep(0.3)
    assert throttle.status().waiting_background < 3
    await asyncio.gather(*bulk)


@virtual
async def test_the_forecast_counts_those_who_wait() -> None:
    throttle = Throttle(scaled())
    await spend(throttle, SHORT[0])
    first = throttle.forecast(1)
    assert timedelta(seconds=5) < first < timedelta(seconds=7)
    waiting = [asyncio.create_task(spend(throttle, 1)) for _ in range(SHORT[0])]
    await asyncio.sleep(0)
    assert throttle.forecast(1) > timedelta(seconds=11)
    assert throttle.forecast(0) == timedelta(0)
    with pytest.raises(ValueError, match="requests"):
        throttle.forecast(-1)
    await asyncio.gather(*waiting)


@virtual
async def test_when_closed_those_who_wait_hear_of_it() -> None:
    throttle = Throttle(scaled())
    await spend(throttle, SHORT[0])
    waiting = [asyncio.create_task(spend(throttle, 1)) for _ in range(3)]
    with throttle.background():
        waiting += [asyncio.create_task(spend(throttle, 1)) for _ in range(3)]
    await asyncio.sleep(0.1)
    await throttle.aclose()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, ClientClosedError) for outcome in outcomes)
    with pytest.raises(ClientClosedError):
        await spend(throttle, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await throttle.aclose()


@virtual
async def test_a_shared_throttle_ends_with_its_last_holder() -> None:
    throttle = Throttle(scaled())
    throttle._join()
    throttle._join()
    await spend(throttle, SHORT[0])
    waiting = asyncio.create_task(spend(throttle, 1))
    await asyncio.sleep(0.1)
    await throttle._leave()
    assert not waiting.done()
    await throttle._leave()
    with pytest.raises(ClientClosedError):
        await waiting


def test_a_throttle_belongs_to_one_loop_at_a_time() -> None:
    throttle = Throttle(scaled())
    with asyncio.Runner() as first:
        first.run(spend(throttle, 1))
        with pytest.raises(ClientClosedError, match="another event loop"):
            run_virtual(spend(throttle, 1))


def test_a_throttle_keeps_its_budget_from_one_closed_loop_to_the_next() -> None:
    """As in a function that is called again in the same process, each time with `asyncio.run`."""
    throttle = Throttle(Config(windows=((3, 600.0),), reserve=(0.0,), burst=1))

    async def invocation(number: int) -> None:
        async with BlockStore("t" * 20, base_url="http://127.0.0.1:1", throttle=throttle):
            assert throttle.status().windows[0].remaining == 3 - number
            async with throttle.acquire() as lease:
                lease.complete({}, 200)
            if number == 2:
                with pytest.raises(QuotaWaitTooLongError):
                    await throttle.acquire(timeout=0.5).__aenter__()
                # It is left waiting when its loop is closed.
                waiting = asyncio.create_task(throttle.acquire().__aenter__())
                await asyncio.sleep(0)
                assert not waiting.done()

    for number in range(3):
        asyncio.run(invocation(number))

    async def last() -> None:
        assert throttle.status().windows[0].remaining == 0
        with pytest.raises(QuotaWaitTooLongError):
            await throttle.acquire(timeout=0.5).__aenter__()
        assert throttle.status().waiting == 0

    asyncio.run(last())


@virtual
async def test_many_cancelled_waiters_are_swept() -> None:
    throttle = Throttle(scaled())
    await spend(throttle, SHORT[0])
    for _ in range(5):
        tasks = [asyncio.create_task(spend(throttle, 1)) for _ in range(200)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert throttle.status().waiting == 0
    assert len(throttle._queue._interactive) < 100


NAMES = [
    "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after", "date",
]  # fmt: skip
HOSTILE = st.dictionaries(
    st.sampled_from(NAMES),
    st.one_of(
        st.text(max_size=12),
        st.integers(-5, 10**20).map(str),
        st.sampled_from(["0", "1", "99", "100", "101", "Thu, 01 Jan 1970 00:00:00 GMT", "nan"]),
    ),
)


@given(st.lists(st.tuples(HOSTILE, st.sampled_from([200, 200, 429, 503])), max_size=12))
@settings(max_examples=100)
def test_hostile_headers_never_break_stall_or_stop_it(
    answers: list[tuple[dict[str, str], int]],
) -> None:
    async def main() -> None:
        throttle = Throttle(scaled())
        left = list(answers)

        async def call() -> None:
            async with throttle.acquire() as lease:
                await asyncio.sleep(0.1)
                headers, status = left.pop() if left else ({}, 200)
                lease.complete(headers, status)

        # Each answer can make everybody wait for an hour at most, and none for ever.
        async with asyncio.timeout(3600 * (len(answers) + 1)):
            await asyncio.gather(*(call() for _ in range(40)))
        status = throttle.status()
        assert status.waiting == status.in_flight == 0

    run_virtual(main())


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_with_a_other_clients_on_the_token_few_are_refused(seed: int) -> None:
    async def main() -> None:
        server = judge()
        traffic = Traffic(Throttle(scaled()), server, seed, 0.0)
        draw = traffic.random

        async def stranger() -> None:
            while True:
                await asyncio.sleep(draw.expovariate(0.5))
                server.ask(now(), "stranger")

        neighbour = asyncio.create_task(stranger())
        await asyncio.gather(*(traffic.call() for _ in range(90)))
        neighbour.cancel()
        assert server.refused["us"] <= 9

    run_virtual(main())


def test_time_is_the_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of waiting passes at once in virtual time: nothing reads another clock."""

    def fail(*_: Any) -> float:
        raise AssertionError("another clock was read")

    monkeypatch.setattr("time.time", fail)
    monkeypatch.setattr("time.monotonic", fail)
    run_virtual(spend(Throttle(scaled()), 150))
