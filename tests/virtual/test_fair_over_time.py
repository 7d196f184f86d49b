"""Bulk jobs without number: fair, and as cheap as a few."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async import Config, QuotaWaitTooLongError, Throttle
from do_blockstore_async._ratelimit.fair_queue import FairQueue
from tests.support.virtual_time import run_virtual


def test_jobs_that_are_never_seen_again_are_forgotten() -> None:
    async def main() -> None:
        throttle = Throttle(Config(windows=((10**9, 60.0),), reserve=(0.0,), burst=10**9))
        for _ in range(3000):
            with throttle.background():
                async with throttle.acquire() as lease:
                    lease.cancel()
        assert len(throttle._queue._bulk._jobs) < 200

    run_virtual(main())


def test_a_crowd_of_jobs_is_forgotten_while_others_wait() -> None:
    queue: FairQueue[int] = FairQueue(lambda _: True)
    queue.push("long", 1.0, -1)
    for number in range(20_000):
        queue.push(object(), 1.0, number)
        queue.push(object(), 1.0, number)
        queue.pop()
        queue.pop()
        assert len(queue._jobs) < 300


def test_newcomers_without_end_starve_no_job() -> None:
    queue: FairQueue[str] = FairQueue(lambda _: True)
    for _ in range(3):
        queue.push("mine", 1.0, "mine")
    served = []
    for _ in range(20):
        queue.push(object(), 1.0, "newcomer")
        served.append(queue.pop())
    assert served.count("mine") == 3


def test_weights_hold_while_jobs_come_and_go() -> None:
    queue: FairQueue[str] = FairQueue(lambda _: True)
    for name, weight in (("light", 1.0), ("heavy", 3.0)):
        for _ in range(400):
            queue.push(name, weight, name)
    served = []
    for number in range(400):
        if number % 10 == 0:
            queue.push(object(), 1.0, "visitor")
        served.append(queue.pop())
    light, heavy = served.count("light"), served.count("heavy")
    assert served.count("visitor") == 40
    assert abs(heavy - 3 * light) <= 4


def test_asking_in_vain_lets_other_tasks_run() -> None:
    async def main() -> None:
        throttle = Throttle(Config(windows=((1, 60.0),), reserve=(0.0,)))
        async with throttle.acquire() as lease:
            lease.complete({}, 200)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(tick())
        for _ in range(100):
            try:
                async with throttle.acquire(timeout=0.1):
                    raise AssertionError("there is no budget left")
            except QuotaWaitTooLongError:
                continue
        assert ticks >= 100
        other.cancel()

    run_virtual(main())


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from([1e-308, 5e-324, 1e-3, 1.0, 1e308]),
            st.sampled_from(["push", "pop", "pass", "ahead"]),
        ),
        max_size=60,
    )
)
def test_no_weight_breaks_the_order_or_loses_an_item(
    steps: list[tuple[str, float, str]],
) -> None:
    queue: FairQueue[int] = FairQueue(lambda _: True)
    held: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    for number, (key, weight, what) in enumerate(steps):
        if what == "push":
            queue.push(key, weight, number)
            held[key].append(number)
        elif what == "pass":
            if not any(held.values()):
                queue.pass_through(weight)
        elif what == "ahead":
            assert 0 <= queue.ahead_of(key, weight) <= sum(map(len, held.values()))
        else:
            item = queue.pop()
            firsts = [items[0] for items in held.values() if items]
            assert item in firsts if firsts else item is None
            for items in held.values():
                if item in items:
                    items.remove(item)
