"""What the display of a bulk job says while the job waits, stops, or looks things up."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import attrs
import pytest
from rich.console import Console

from do_blockstore_async import Config
from do_blockstore_async._log.memory import MemoryLog, MemoryStore
from do_blockstore_async._ratelimit.status import QuotaStatus, WindowStatus
from do_blockstore_async._ratelimit.throttle import Throttle
from do_blockstore_async.bulk import Retention, RunActivity
from do_blockstore_async.bulk.execution import journal_reader
from do_blockstore_async.bulk.execution.journal_state import Begun, Joined, Timing, encode_fact
from do_blockstore_async.cli.bulk.progress import Progress, tell_events
from do_blockstore_async.simulator import FaultInjector, World, connect_in_process
from tests.support.journals import opened
from tests.support.virtual_time import run_virtual

KEEP = Retention(last=1)
QUIET = Config(windows=((10**6, 60.0),), backoff_base_s=0.5, jitter_seed=1)


def test_the_next_request_is_the_first_in_the_queue_not_the_last() -> None:
    """The time shown was that of one more request behind all those that wait already."""
    world = World(volumes=40, seed=7, limits="15/4,5000/3600")

    async def main() -> None:
        config = Config(windows=((15, 4.0), (5000, 3600.0)))
        async with connect_in_process(world, config=config) as store:
            plan = await store.bulk.plan_snapshots()
            async with store.bulk.run(plan, concurrency=40) as run:
                progress = Progress(run, store, "Snapshots")
                told = []
                consumer = asyncio.create_task(consume(run))
                while not consumer.done():
                    if found := re.search(r"4 s budget: next request in (\d+) s", progress.line()):
                        told.append(int(found[1]))
                    await asyncio.sleep(0.2)
                await consumer
                assert told
                # A window and its margin, whoever waits behind the first.
                assert max(told) <= 6

    run_virtual(main())


def test_the_time_to_go_counts_what_responses_take_one_after_another() -> None:
    """With few requests at a time it said `less than a second to go` to the end."""
    world = World(volumes=40, seed=7, limits="none")

    async def main() -> None:
        async with connect_in_process(world, latency_s=(0.4, 0.6)) as store:
            plan = await store.bulk.plan_snapshots()
            now = asyncio.get_running_loop().time
            async with store.bulk.run(plan, concurrency=2) as run:
                told = [now() + run.activity.ends_in_s async for _ in run]
            assert all(abs(at_s - now()) < 2 for at_s in told[5:]), (told, now())

    run_virtual(main())


@pytest.mark.parametrize("concurrency", [4, 40])
def test_the_time_to_go_counts_what_is_queued_and_in_flight(concurrency: int) -> None:
    """What was queued counted as done: `0:00 to go` with three windows of waiting left."""
    world = World(volumes=40, seed=7, limits="15/4,5000/3600")

    async def main() -> None:
        config = Config(windows=((15, 4.0), (5000, 3600.0)))
        async with connect_in_process(world, config=config, latency_s=(0.1, 0.3)) as store:
            plan = await store.bulk.plan_snapshots()
            async with store.bulk.run(plan, concurrency=concurrency) as run:
                progress, now = Progress(run, store, "Snapshots"), asyncio.get_running_loop().time
                told: list[tuple[float, float, str]] = []
                consumer = asyncio.create_task(consume(run))
                while not consumer.done():
                    if run.remaining:
                        told.append((now(), run.activity.ends_in_s, progress.line()))
                    await asyncio.sleep(0.2)
                ended_s = now()
        assert told[0][1] > 8
        for at_s, ends_in_s, line in told:
            assert ends_in_s > 0
            # A window's margin on either side; never nothing while there is more than a moment.
            assert abs(at_s + ends_in_s - ended_s) < 2.5, (at_s, ends_in_s, ended_s)
            assert "0:00 to go" not in line
        assert "less than a second to go" in told[-1][2]

    run_virtual(main())


def test_waits_for_retrying_and_looking_show_their_reason() -> None:
    """A wait that is not one for the budget showed no reason, and `0:00 to go`."""
    world = World(volumes=2, seed=7, limits="none")
    faults = FaultInjector()
    faults.add("html_503", method="DELETE", times=1)
    faults.add("reset_before", method="POST", times=1)
    config = attrs.evolve(QUIET, backoff_base_s=40.0, backoff_cap_s=40.0)

    async def main() -> None:
        async with connect_in_process(world, config=config, faults=faults) as store:
            await store.volumes.list()
            plan = await store.bulk.plan_snapshots(keep=KEEP)
            assert plan.deletion_count
            events: list[tuple[str, dict[str, Any]]] = []
            async with store.bulk.run(plan) as run:
                progress = Progress(run, store, "Snapshots")
                over = asyncio.Event()
                display = tell_events(lambda event, fields: events.append((event, fields)))
                shown = asyncio.create_task(display(progress, over))
                lines, now = [], asyncio.get_running_loop().time
                consumer = asyncio.create_task(consume(run))
                while not consumer.done():
                    lines.append((now(), run.activity.ends_in_s, progress.line()))
                    await asyncio.sleep(0.5)
                ended_s = now()
                over.set()
                await shown
        text = "\n".join(line for _, _, line in lines)
        assert re.search(r"1 request rejected \(503\): next retry in \d+ s", text)
        assert "checking what became of 1 lost response" in text
        assert "0:00" not in text
        retried = [each for each in lines if "next retry" in each[2]]
        # The retry counts: what remains is at least what it waits.
        assert all(at_s + in_s < ended_s + 1 and in_s > 0 for at_s, in_s, _ in retried)
        kinds = [fields["kind"] for event, fields in events if event == "wait"]
        assert {"retry", "looking_up"} <= set(kinds)
        assert [event for event, _ in events][-1] == "progress"
        assert events[-1][1]["remaining"] == 0

    run_virtual(main())


def test_after_the_first_interrupt_the_display_goes_on_telling_the_truth() -> None:
    world = World(volumes=30, seed=7, limits="15/60,5000/3600")

    async def main() -> None:
        config = Config(windows=((15, 60.0), (5000, 3600.0)))
        async with connect_in_process(world, config=config, latency_s=(1.0, 2.0)) as store:
            plan = await store.bulk.plan_snapshots()
            async with store.bulk.run(plan, concurrency=30) as run:
                progress = Progress(run, store, "Snapshots")
                consumer = asyncio.create_task(consume(run))
                await asyncio.sleep(0.9)  # none has a response yet
                sent = run.activity.in_flight
                assert 5 < sent < 16
                progress.stopping = True
                run.stop()
                await asyncio.sleep(0)
                told = []
                while not consumer.done():
                    told.append((run.counts["done"], progress.line()))
                    await asyncio.sleep(0.1)
        assert (
            f"waiting for {sent} requests in flight; press Ctrl-C again to quit now" in told[0][1]
        )
        # Each that ends is counted, and nothing that was given up is waited for.
        for done, line in told:
            left = sent - done
            assert f"waiting for {left} request{'s' if left > 1 else ''} in flight" in line
            assert f"({run.remaining - left} given up)" in line or left
            assert "to go" not in line
        assert run.activity.given_up == run.remaining == 30 - sent

    run_virtual(main())


def test_steps_of_other_workers_and_of_dead_ones_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(volumes=2, seed=7, limits="none", snapshots=0)
    monkeypatch.setattr(journal_reader.JournalPlace, "_check_file", lambda *_, **__: None)

    async def main() -> None:
        log = MemoryLog(asyncio.get_running_loop().time)
        monkeypatch.setattr(journal_reader, "open_journal_store", lambda *_, **__: MemoryStore(log))
        async with connect_in_process(world, config=QUIET) as store:
            plan = await store.bulk.plan_snapshots()
            keys = tuple(step.key for step in plan.steps)
            # One that is killed directly after this, by -9.
            facts = (opened(plan), Joined("dead", "host/1", Timing.of(30.0)), Begun("dead", keys))
            await MemoryStore(log).exchange(0, [encode_fact(fact) for fact in facts])
            async with store.bulk.resume("j.db") as run:
                progress = Progress(run, store, "Snapshots")
                consumer = asyncio.create_task(consume(run))
                assert run.activity.elsewhere == 2
                told = []
                while not consumer.done():
                    told.append(re.sub(r"\d+ s$", "N s", progress.reason()))
                    assert "0:00" not in progress.line()
                    await asyncio.sleep(1)
            assert run.counts["done"] == 2
        assert told[0] == "another worker has 2 steps"
        assert "2 steps of a worker that died: looked up in N s" in told

    run_virtual(main())


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("reason", ["", "waits", "stopping"])
def test_no_width_cuts_a_time_or_a_reason(width: int, reason: str) -> None:
    run = _Busy(
        RunActivity(
            waiting=16,
            in_flight=3,
            retrying=2 if reason == "waits" else 0,
            retry_in_s=4321.0,
            retry_status=429,
            given_up=14,
            ends_in_s=37 * 3600 + 125,
        )
    )
    progress = Progress(run, _Quiet(), "Snapshots")  # type: ignore[arg-type]
    progress.stopping = reason == "stopping"
    console = Console(width=width, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as captured:
        console.print(progress.view(width - 1))
    lines = captured.get().splitlines()
    text = " ".join(" ".join(line.split()) for line in lines)
    assert max(map(len, lines)) < width
    assert "23,456/100,000" in text
    assert ("37:02:05 to go" in text) == (reason != "stopping")
    if reason == "waits":
        assert "2 requests rejected (429): next retry in 1:12:01" in text
    if reason == "stopping":
        assert "waiting for 3 requests in flight; press Ctrl-C again to quit now" in text
    assert "4,815/5,000 an hour" in text


def test_stopping_tells_what_it_still_waits_for() -> None:
    def told(**now: int) -> str:
        progress = Progress(_Busy(RunActivity(**now)), _Quiet(), "")  # type: ignore[arg-type]
        progress.stopping = True
        return progress.reason()

    again = "; press Ctrl-C again to quit now"
    assert told() == "stopping: nothing is in flight any more"
    assert told(in_flight=2, looking_up=1) == (f"stopping: waiting for 3 requests in flight{again}")
    assert told(retrying=1) == f"stopping: waiting for 1 request to be resent{again}"
    assert told(given_up=4) == "stopping: nothing is in flight any more (4 given up)"


@attrs.frozen
class _Busy:
    """A long run, as far as it is shown."""

    activity: RunActivity
    total = 100_000
    remaining = 100_000 - 23_456
    counts = {"done": 23_000, "skipped": 400, "failed": 56, "unknown": 0}  # noqa: RUF012


class _Quiet:
    """A client whose budget lets everything through."""

    quota = QuotaStatus(
        windows=(WindowStatus(250, 60.0, 9, 0, 25), WindowStatus(5000, 3600.0, 185, 0, 250)),
        remaining=241,
        waiting=16,
        waiting_background=16,
        in_flight=3,
        paused_for_s=0.0,
        probing=False,
        available_in_s=0.0,
        background_available_in_s=0.0,
        granted=185,
        done=182,
        lost=0,
        unused=0,
    )


async def consume(run: object) -> None:
    async for _ in run:  # type: ignore[attr-defined]
        pass


def test_looking_at_a_large_run_again_and_again_computes_its_end_once_in_a_while() -> None:
    async def test() -> None:
        throttle = Throttle(Config())
        answer_at, made = throttle._budget.answer_at, []

        def counted(now: float, count: int, background: bool, /) -> float:
            made.append(count)
            return answer_at(now, count, background)

        throttle._budget.answer_at = counted  # type: ignore[method-assign]
        first_s = throttle._served_in_s(20_000)
        await asyncio.sleep(60)
        assert throttle._served_in_s(19_900) == pytest.approx(first_s - 60)
        assert made == [20_000]
        # Others were faster, time has gone by, or there is more to do.
        assert throttle._served_in_s(15_000) < first_s - 3_600
        await asyncio.sleep(600)
        throttle._served_in_s(14_900)
        assert throttle._served_in_s(25_000) > first_s
        assert made == [20_000, 15_000, 14_900, 25_000]
        throttle._served_in_s(100)
        throttle._served_in_s(100)
        assert made[4:] == [100, 100]

    run_virtual(test())
