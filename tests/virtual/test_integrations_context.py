"""What a block of code carries with it: a deadline, an observer. And slots kept for who returns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from do_blockstore_async import BlockStore, Config, QuotaWaitTooLongError, RequestTimeoutError
from do_blockstore_async.events import (
    AttemptFinished,
    AttemptSent,
    CallFinished,
    CallStarted,
    Event,
    observing,
)
from do_blockstore_async.integrations._web.retry_after import RetryTimes
from do_blockstore_async.simulator import World, connect_in_process
from tests.support.virtual_time import run_virtual

SMALL = Config(
    windows=((10, 10.0), (100, 1000.0)), window_margin_s=0.0, late_arrival_s=0.0, burst=100
)
ROOMY = Config(windows=((10**6, 60.0), (10**7, 3600.0)))


def client(config: Config = ROOMY, latency_s: float = 1.0, **world: Any) -> BlockStore:
    limits = ",".join(f"{requests}/{seconds:g}" for requests, seconds in config.windows)
    return connect_in_process(
        World(volumes=3, limits=limits, **world), config=config, latency_s=(latency_s, latency_s)
    )


async def regions(store: BlockStore, **options: Any) -> int:
    return len([region async for region in store.regions.list(**options)])


def test_the_calls_of_a_block_share_its_deadline() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with client() as store:
            began = loop.time()
            with store.deadline(2.5):
                await regions(store)
                await regions(store)
                with pytest.raises(RequestTimeoutError) as caught:
                    await regions(store)
            assert caught.value.sent
            assert loop.time() - began == pytest.approx(2.5, abs=0.01)
            await regions(store)

    run_virtual(main())


def test_the_earlier_of_two_deadlines_counts() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with client(latency_s=5.0) as store:
            for outer_s, inner_s, own_s in ((1, 9, 9), (9, 1, 9), (9, 9, 1)):
                began = loop.time()
                with (
                    store.deadline(outer_s),
                    store.deadline(inner_s),
                    pytest.raises(RequestTimeoutError),
                ):
                    await regions(store, timeout=own_s)
                assert loop.time() - began == pytest.approx(1, abs=0.01)

    run_virtual(main())


def test_nothing_is_sent_once_the_deadline_has_passed() -> None:
    async def main() -> None:
        async with client() as store:
            with store.deadline(0), pytest.raises(RequestTimeoutError) as caught:
                await store.volumes.create("late", region="nyc3", size_gigabytes=1)
            assert not caught.value.sent
            assert caught.value.attempts == 0
            assert store.quota.granted == 0

    run_virtual(main())


@pytest.mark.parametrize("wrong", [-1, float("inf"), float("nan")])
def test_a_deadline_is_a_number_of_seconds(wrong: float) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="timeout_s"), BlockStore.deadline(wrong):
            pass

    run_virtual(main())


def test_a_task_inherits_the_deadline_unless_detached() -> None:
    async def main() -> None:
        async with client(latency_s=5.0) as store:
            with store.deadline(1):
                bound = asyncio.create_task(regions(store))
                with store.detached():
                    free = asyncio.create_task(regions(store))
            with pytest.raises(RequestTimeoutError):
                await bound
            assert await free > 0

    run_virtual(main())


def test_detached_work_belongs_to_no_job() -> None:
    async def main() -> None:
        async with client() as store:
            with store.background("job"), store.detached():
                task = asyncio.create_task(regions(store))
            await asyncio.sleep(0)
            assert store.quota.waiting_background == 0
            await task

    run_virtual(main())


def test_an_observer_sees_the_calls_of_its_block_and_no_others() -> None:
    async def main() -> None:
        seen: list[Event] = []
        async with client() as store:
            await regions(store)
            with observing(seen.append):
                task = asyncio.create_task(regions(store))
                with store.detached():
                    unseen = asyncio.create_task(regions(store))
                await asyncio.gather(task, unseen)
            await regions(store)
        kinds = [type(event) for event in seen]
        assert kinds == [CallStarted, AttemptSent, AttemptFinished, CallFinished]
        assert isinstance(seen[1], AttemptSent)
        assert (seen[1].method, seen[1].attempt, seen[1].waited_s) == ("GET", 1, 0.0)

    run_virtual(main())


def test_an_attempt_that_waits_for_quota_is_not_announced_as_sent() -> None:
    async def main() -> None:
        seen: list[Event] = []
        async with client(SMALL, 0.0) as store:
            for _ in range(10):
                await regions(store)
            with observing(seen.append):
                with pytest.raises(QuotaWaitTooLongError):
                    await regions(store, timeout=1)
                assert not any(isinstance(event, AttemptSent) for event in seen)
                await regions(store)
        sent = [event for event in seen if isinstance(event, AttemptSent)]
        assert len(sent) == 1
        assert sent[0].waited_s == pytest.approx(10, abs=0.5)

    run_virtual(main())


def test_each_of_a_crowd_is_told_a_time_of_its_own_and_it_is_right() -> None:
    """40 refused at once, a bulk job that takes what it gets, ten slots in ten seconds."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        took: list[float] = []
        async with client(SMALL, 0.05) as store:
            times = RetryTimes(store)

            async def greedy() -> None:
                with store.background():
                    while True:
                        await regions(store)

            bulk = [asyncio.create_task(greedy()) for _ in range(5)]
            await asyncio.sleep(30)

            async def caller() -> None:
                try:
                    await regions(store, timeout=1)
                except QuotaWaitTooLongError as error:
                    said_s = error.retry_after
                else:
                    return
                wait_s = times.promise(said_s)
                assert wait_s >= said_s
                await asyncio.sleep(wait_s)
                began = loop.time()
                await regions(store, timeout=1)
                took.append(loop.time() - began)

            await asyncio.gather(*(caller() for _ in range(40)))
            assert times.away == 0
            before = store.quota.done
            await asyncio.sleep(20)
            assert store.quota.done > before, "bulk goes on when everybody has come back"
            for task in bulk:
                task.cancel()
            await asyncio.gather(*bulk, return_exceptions=True)
        assert len(took) > 25
        assert max(took) < 1

    run_virtual(main())


def test_slots_are_kept_only_until_a_second_after_the_time() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with client(SMALL, 0.0) as store:
            await regions(store)
            for _ in range(9):
                store.throttle.reserve_at(4)
            began = loop.time()
            with store.background():
                await regions(store)
            assert loop.time() - began == pytest.approx(5, abs=0.3)
            for wrong in (-1, float("nan"), float("inf")):
                with pytest.raises(ValueError, match="wait_s"):
                    store.throttle.reserve_at(wrong)

    run_virtual(main())


def test_interactive_calls_may_take_the_kept_slots() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with client(SMALL, 0.0) as store:
            for _ in range(9):
                store.throttle.reserve_at(4)
            began = loop.time()
            for _ in range(9):
                await regions(store)
            assert loop.time() - began < 1

    run_virtual(main())


def test_who_comes_back_goes_before_newcomers() -> None:
    async def main() -> None:
        order: list[str] = []
        async with client(SMALL, 0.0) as store:
            for _ in range(10):
                await regions(store)

            async def ask(name: str) -> None:
                await regions(store)
                order.append(name)

            store.throttle.reserve_at(5)
            early = [asyncio.create_task(ask(f"newcomer {number}")) for number in range(3)]
            await asyncio.sleep(5.5)
            late = asyncio.create_task(ask("came back"))
            await asyncio.sleep(0)
            another = asyncio.create_task(ask("newcomer 3"))
            await asyncio.gather(*early, late, another)
        assert order[0] == "came back", "it would have been in line before them"
        assert order[1:] == [f"newcomer {number}" for number in range(4)]

    run_virtual(main())


def test_a_newcomer_does_not_wait_for_slots_that_are_kept() -> None:
    async def main() -> None:
        async with client(SMALL, 0.0) as store:
            for _ in range(10):
                await regions(store)
            for _ in range(10):
                store.throttle.reserve_at(10)
            with pytest.raises(QuotaWaitTooLongError) as caught:
                await regions(store, timeout=15)
            assert caught.value.retry_after == pytest.approx(20, abs=1)
            await regions(store, timeout=25)

    run_virtual(main())
