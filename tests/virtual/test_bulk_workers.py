"""Several workers on one plan, in virtual time: killed, cut off, standing still, joining late."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from do_blockstore_async import Config
from do_blockstore_async._log.memory import MemoryLog, MemoryStore
from do_blockstore_async._log.store import LogStoreError, Reply
from do_blockstore_async.bulk import JournalError, Outcome, Plan, Retention, Run, Selection, Step
from do_blockstore_async.bulk.execution import journal_reader
from do_blockstore_async.bulk.execution.journal import Journal
from do_blockstore_async.bulk.execution.journal_state import (
    Begun,
    Finished,
    JournalState,
    WorkerGone,
    decode_fact,
    encode_fact,
)
from do_blockstore_async.events import Event, RetryScheduled, observing
from do_blockstore_async.simulator import FaultInjector, World, connect_in_process
from tests.support.virtual_time import run_virtual

CONFIG = Config(windows=((10**6, 60.0),), backoff_base_s=0.01, backoff_cap_s=1.0)
# An SQLite file is not waited for when it is away; a server is.
FILE = "workers.db"
SERVER = "postgresql://jobs@host/jobs#workers"


class Store(MemoryStore):
    """A way to the log that can be cut, or lose a reply."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.lose_replies = 0.0
        self.draw = random.Random(0)

    async def exchange(self, *arguments: Any, **options: Any) -> Reply:
        reply = await super().exchange(*arguments, **options)
        if self.draw.random() < self.lose_replies:
            raise LogStoreError("the reply was lost")
        return reply

    async def remove(self) -> None:
        raise AssertionError


class Fleet:
    """A world, a plan, a journal in memory, and workers on it."""

    def __init__(self, patch: pytest.MonkeyPatch, where: str, **options: Any) -> None:
        self.world = World(**{"limits": "none", "seed": 5, "snapshots": 0, **options})
        self.world.snapshot_cooldown_s = 0.0
        self.where = where
        self.stores: list[Store] = []
        self.runs: list[Run] = []
        self.outcomes: list[Outcome[Step]] = []
        self.faults = FaultInjector()
        self.prepare: Callable[[Store], None] = lambda store: None
        self.log: MemoryLog
        patch.setattr(journal_reader, "open_journal_store", self._open)
        # A file is looked at before it is opened.
        patch.setattr(journal_reader.JournalPlace, "_check_file", lambda *_, **__: None)

    def _open(self, where: str | Path, name: str, *, create: bool) -> Store:
        store = Store(self.log)
        self.stores.append(store)
        self.prepare(store)
        return store

    async def plan(self, make: Callable[[Any], Awaitable[Plan]]) -> Plan:
        self.log = MemoryLog(asyncio.get_running_loop().time)
        async with connect_in_process(self.world, config=CONFIG) as store:
            plan = await make(store.bulk)
        # As if it was loaded by each of them.
        return Plan.from_json(plan.to_json())

    async def work(self, plan: Plan | None, config: Config = CONFIG, **options: Any) -> Run:
        """One worker, to the end of its run."""
        number = len(self.runs)
        client = connect_in_process(
            self.world, config=config, faults=self.faults, latency_s=(0.05, 0.4), seed=number
        )
        async with client as store:
            options = {"max_share": 1, **options}
            if plan is None:
                run = store.bulk.resume(self.where, **options)
            else:
                run = store.bulk.run(plan, journal=self.where, **options)
            self.runs.append(run)
            async with run:
                async for outcome in run:
                    self.outcomes.append(outcome)
            return run

    def judge(self) -> None:
        """Check the facts: a step has one holder at a time, and no dependent overtakes."""
        state, ended = JournalState(), set[str]()
        for entry in self.log.facts:
            before = {key: state.holder(key) for key in state.in_flight}
            fact = state.apply(entry)
            if isinstance(fact, Begun):
                for key in fact.keys:
                    assert before.get(key) in {None, fact.worker}, f"{key} is held by another"
                    assert key not in ended, f"{key} has ended"
                    assert state.workers[fact.worker].is_present
            elif isinstance(fact, Finished):
                for key, outcome in fact.outcomes.items():
                    assert before.get(key) in {None, fact.worker}
                    is_open = outcome.status == "unknown" or outcome.code == "dependency_failed"
                    ended.update(() if is_open else {key})

    def check_snapshots(self) -> None:
        """Exactly one snapshot of each volume, asked for once, and an outcome of each."""
        made = Counter(snapshot.volume_id for snapshot in self.world.snapshots.values())
        assert set(made.values()) == {1}
        assert set(made) == set(self.world.volumes)
        refused = [r for r in self.world.requests if r.method == "POST" and r.status != 201]
        assert not refused


def run_fleet(
    patch: pytest.MonkeyPatch,
    test: Callable[[Fleet], Awaitable[None]],
    where: str = FILE,
    **options: Any,
) -> None:
    fleet = Fleet(patch, where, **options)

    async def main() -> None:
        await test(fleet)
        fleet.judge()

    run_virtual(main())


async def snapshots(bulk: Any) -> Plan:
    plan: Plan = await bulk.plan_snapshots()
    return plan


def test_three_workers_do_each_step_once_and_report_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        runs = await asyncio.gather(*(fleet.work(plan) for _ in range(3)))
        fleet.check_snapshots()
        assert sorted(outcome.key for outcome in fleet.outcomes) == sorted(
            step.key for step in plan.steps
        )
        for run in runs:
            report = run.report()
            assert (report.conclusion, report.counts["done"]) == ("done", 120)
        shares = [run.report().requests for run in runs]
        assert min(shares) > 20, shares

    run_fleet(monkeypatch, test, volumes=120)


@pytest.mark.parametrize("at_s", [0.3, 1.0, 1.7])
def test_what_a_dead_worker_had_in_flight_is_looked_up_and_done(
    monkeypatch: pytest.MonkeyPatch, at_s: float
) -> None:
    async def test(fleet: Fleet) -> None:
        loop = asyncio.get_running_loop()
        plan = await fleet.plan(snapshots)
        began = loop.time()
        dying = asyncio.create_task(fleet.work(plan, concurrency=4))
        others = [asyncio.create_task(fleet.work(plan, concurrency=4)) for _ in range(2)]

        def cut() -> None:
            fleet.stores[0].is_away = True

        loop.call_later(at_s, cut)
        for run in await asyncio.gather(*others):
            assert run.report().counts["done"] == 120
        with pytest.raises(JournalError):
            await dying
        fleet.check_snapshots()
        assert loop.time() - began < 4.0 + 60.0
        assert len([o for o in fleet.outcomes if o.resumed]) <= 4

    run_fleet(monkeypatch, test, volumes=120)


def test_a_worker_that_was_cut_off_comes_back_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Config(windows=((60, 60.0),), burst=5)

    async def test(fleet: Fleet) -> None:
        loop = asyncio.get_running_loop()
        plan = await fleet.plan(snapshots)
        tasks = [asyncio.create_task(fleet.work(plan, slow)) for _ in range(2)]

        def switch(is_away: bool) -> None:
            fleet.stores[0].is_away = is_away

        loop.call_later(10.0, switch, True)
        loop.call_later(80.0, switch, False)
        runs = await asyncio.gather(*tasks)
        fleet.check_snapshots()
        assert all(run.report().conclusion == "done" for run in runs)
        workers = JournalState()
        for entry in fleet.log.facts:
            workers.apply(entry)
        assert len(workers.workers) == 3, "it was lost, and joined anew"

    run_fleet(monkeypatch, test, SERVER, volumes=240)


def test_a_store_that_is_away_for_all_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(fleet: Fleet) -> None:
        loop = asyncio.get_running_loop()
        plan = await fleet.plan(snapshots)
        tasks = [asyncio.create_task(fleet.work(plan)) for _ in range(2)]

        def switch(is_away: bool) -> None:
            for store in fleet.stores:
                store.is_away = is_away

        loop.call_later(1.0, switch, True)
        loop.call_later(200.0, switch, False)
        runs = await asyncio.gather(*tasks)
        fleet.check_snapshots()
        assert loop.time() > 200
        assert all(run.report().conclusion == "done" for run in runs)
        state = JournalState()
        for entry in fleet.log.facts:
            state.apply(entry)
        assert len(state.workers) == 2, "nobody was taken for dead"

    run_fleet(monkeypatch, test, SERVER, volumes=120)


def test_a_worker_that_has_nothing_to_write_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten minutes pass between two permits.
    slow = Config(windows=((1, 600.0),), burst=1)

    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        runs = await asyncio.gather(*(fleet.work(plan, slow, max_plan_age_s=0) for _ in range(2)))
        fleet.check_snapshots()
        state = JournalState()
        for entry in fleet.log.facts:
            state.apply(entry)
        assert len(state.workers) == 2
        assert state.now_s > 3000
        assert all(run.report().conclusion == "done" for run in runs)

    run_fleet(monkeypatch, test, volumes=12)


def test_a_late_comer_joins_and_one_that_comes_afterwards_finds_all_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        first = asyncio.create_task(fleet.work(plan, concurrency=4))
        await asyncio.sleep(3.0)
        late = await fleet.work(None)
        await first
        fleet.check_snapshots()
        assert late.report().counts["done"] == 120
        assert 10 < late.report().requests < 110
        before = len(fleet.world.requests)
        after = await fleet.work(None)
        assert after.report().conclusion == "done"
        assert len(fleet.world.requests) == before

    run_fleet(monkeypatch, test, volumes=120)


def test_dependents_start_once_another_worker_has_done_what_they_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(fleet: Fleet) -> None:
        async def make(bulk: Any) -> Plan:
            plan: Plan = await bulk.plan_deletions(Selection(attached=False), snapshot_first=True)
            return plan

        plan = await fleet.plan(make)
        needs = {step.key: step.depends_on for step in plan.steps if step.depends_on}
        await asyncio.gather(*(fleet.work(plan) for _ in range(3)))
        done, by = set[str](), dict[str, str]()
        for entry in fleet.log.facts:
            fact = JournalState().apply(entry)
            if isinstance(fact, Finished):
                done.update(fact.outcomes)
                by.update(dict.fromkeys(fact.outcomes, fact.worker))
            elif isinstance(fact, Begun):
                assert all(needs[key] in done for key in fact.keys if key in needs)
        assert any(by[key] != by[needs[key]] for key in needs)
        assert done == {step.key for step in plan.steps}

    run_fleet(monkeypatch, test, volumes=90)


def test_steps_of_one_region_are_counted_over_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        regions = {step.key: step.region for step in plan.steps}
        runs = await asyncio.gather(*(fleet.work(plan, per_region=2) for _ in range(3)))
        fleet.check_snapshots()
        state, most = JournalState(), Counter[str]()
        for entry in fleet.log.facts:
            state.apply(entry)
            most |= Counter(regions[key] for key in state.in_flight)
        assert max(most.values()) == 2
        assert all(run.report().conclusion == "done" for run in runs)

    run_fleet(monkeypatch, test, volumes=120)


def test_failures_are_counted_over_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        fleet.faults.add("error_500_before", path="/v2/volumes/*/snapshots", method="POST")
        runs = await asyncio.gather(
            *(fleet.work(plan, concurrency=2, max_failures=5) for _ in range(3))
        )
        assert {run.stopped for run in runs} == {"max_failures"}
        failed = runs[0].counts["failed"] + runs[0].counts["unknown"]
        assert 5 < failed <= 5 + 3 * 2

    run_fleet(monkeypatch, test, volumes=120)


def test_what_a_stopped_worker_gave_up_after_a_429_needs_no_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = Fleet(monkeypatch, FILE, volumes=60, limits="25/6,5000/3600")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        plan = await fleet.plan(lambda bulk: bulk.plan_snapshots())
        stopped_at = 0.0

        def stop_at_the_first_retry(event: Event) -> None:
            nonlocal stopped_at
            if isinstance(event, RetryScheduled) and not stopped_at:
                stopped_at = loop.time()
                loop.call_later(0.5, fleet.runs[0].stop)

        with observing(stop_at_the_first_retry):
            first = await fleet.work(plan)
        assert stopped_at
        assert loop.time() - stopped_at < 3, "nothing waits for the next window"
        assert len(fleet.world.snapshots) == len(fleet.outcomes) < 60
        assert first.report().remaining == 60 - len(fleet.outcomes)
        started_at = loop.time()
        again = await fleet.work(None, Config(windows=((25, 6.0), (5000, 3600.0))))
        # Without what was noted: 40 s until a request that was in flight cannot arrive any more.
        assert loop.time() - started_at < 30
        assert again.report().conclusion == "done"
        assert len(fleet.world.snapshots) == 60
        fleet.judge()

    run_virtual(main())


def test_a_worker_that_stops_leaves_the_rest_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        tasks = [asyncio.create_task(fleet.work(plan)) for _ in range(2)]
        await asyncio.sleep(1.0)
        fleet.runs[0].stop()
        first, second = await asyncio.gather(*tasks)
        fleet.check_snapshots()
        assert first.stopped == "stopped"
        assert second.report().counts["done"] == 120

    run_fleet(monkeypatch, test, volumes=120)


def facts_of(fleet: Fleet, kind: type[Any]) -> list[Any]:
    found = [decode_fact(entry.data) for entry in fleet.log.facts]
    return [fact for fact in found if isinstance(fact, kind)]


def test_a_worker_that_loses_every_race_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        crew = [await Journal.open(FILE, plan, late_arrival_s=60.0) for _ in range(2)]
        for _ in range(40):
            await asyncio.sleep(3.0)
            assert not await crew[1].claim(["x"], lambda key: False)
        assert not facts_of(fleet, WorkerGone)
        for each in crew:
            await each.close()

    run_fleet(monkeypatch, test, volumes=3)


def test_nobody_is_lost_because_the_store_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Config(windows=((20, 60.0),), burst=2)

    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        loop = asyncio.get_running_loop()

        def prepare(store: Store) -> None:
            real, late_s = store.exchange, 0.3 * len(fleet.stores)

            async def exchange(*arguments: Any, **options: Any) -> Reply:
                if 10.0 < loop.time() < 50.0:  # it answers in the end: no error is seen
                    await asyncio.sleep(50.0 - loop.time() + late_s)
                return await real(*arguments, **options)

            monkeypatch.setattr(store, "exchange", exchange)

        fleet.prepare = prepare
        await asyncio.gather(*(fleet.work(plan, slow) for _ in range(3)))
        assert loop.time() > 50
        assert not facts_of(fleet, WorkerGone)
        fleet.check_snapshots()

    run_fleet(monkeypatch, test, SERVER, volumes=60)


async def in_flight_of(fleet: Fleet) -> Journal:
    """The first worker's journal, once it has a step in flight."""
    while True:
        await asyncio.sleep(0.01)
        found = fleet.runs[0]._shared if fleet.runs else None
        if found is not None and found.journal.state.in_flight:
            return found.journal


def test_what_a_worker_ends_after_it_was_lost_is_not_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Config(windows=((20, 60.0),), burst=2)

    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        working = asyncio.create_task(fleet.work(plan, slow, concurrency=4))
        mine = await in_flight_of(fleet)
        fleet.log.exchange(0, [encode_fact(WorkerGone(mine.mine[-1]))], None, 0)
        read = sum(record.method == "GET" for record in fleet.world.requests)
        await working
        assert sum(record.method == "GET" for record in fleet.world.requests) == read
        fleet.check_snapshots()

    run_fleet(monkeypatch, test, volumes=30)


def test_leaving_while_the_server_is_away_takes_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        working = asyncio.create_task(fleet.work(plan))
        await in_flight_of(fleet)
        fleet.stores[0].is_away = True
        await asyncio.sleep(1.0)
        began = asyncio.get_running_loop().time()
        working.cancel()
        await asyncio.wait([working])
        assert asyncio.get_running_loop().time() - began < 20

    run_fleet(monkeypatch, test, SERVER, volumes=60)


def test_what_could_not_be_begun_has_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)

        def prepare(store: Store) -> None:
            real = store.exchange

            async def exchange(after: int, facts: Any = (), **options: Any) -> Reply:
                if any(b'"begun"' in fact for fact in facts):
                    raise LogStoreError("disk full")
                return await real(after, facts, **options)

            monkeypatch.setattr(store, "exchange", exchange)

        fleet.prepare = prepare
        with pytest.raises(JournalError):
            await fleet.work(plan)
        assert fleet.runs[0].report().counts == {"done": 0, "skipped": 0, "failed": 0, "unknown": 0}
        assert fleet.runs[0].remaining == len(plan.steps)
        assert not [record for record in fleet.world.requests if record.method == "POST"]

    run_fleet(monkeypatch, test, volumes=20)


def test_what_was_sent_before_the_journal_broke_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(fleet: Fleet) -> None:
        plan = await fleet.plan(snapshots)
        # The first transmission of each reaches the server, and is to be repeated.
        fleet.faults.add("error_500_before", path="/v2/volumes/*/snapshots", method="POST")
        begun = set[bytes]()

        def prepare(store: Store) -> None:
            real = store.exchange

            async def exchange(after: int, facts: Any = (), **options: Any) -> Reply:
                claims = {fact for fact in facts if fact.startswith(b'["begun"')}
                if claims & begun:
                    raise LogStoreError("disk full")
                begun.update(claims)
                return await real(after, facts, **options)

            monkeypatch.setattr(store, "exchange", exchange)

        fleet.prepare = prepare
        with pytest.raises(JournalError):
            await fleet.work(plan, concurrency=1)
        report = fleet.runs[0].report()
        posted = sum(record.method == "POST" for record in fleet.world.requests)
        posted += len(fleet.faults.log)
        assert (posted >= 1, report.counts["unknown"], report.counts["failed"]) == (True, 1, 0)

    run_fleet(monkeypatch, test, volumes=20)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_to_the_workers_each_volume_has_one_snapshot(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    draw = random.Random(seed)

    async def test(fleet: Fleet) -> None:
        loop = asyncio.get_running_loop()

        async def make(bulk: Any) -> Plan:
            plan: Plan = await bulk.plan_snapshots(keep=Retention(last=1))
            return plan

        plan = await fleet.plan(make)
        if draw.random() < 0.5:
            fleet.faults.add("response_lost", rate=0.05)
        config = Config(
            windows=((draw.choice([60, 600, 10**6]), 60.0),), late_arrival_s=draw.choice([5, 30])
        )
        tasks = list[asyncio.Task[Run]]()

        def cut(store: Store, seconds: float) -> None:
            store.is_away = True
            if seconds < 400:
                loop.call_later(seconds, setattr, store, "is_away", False)

        def prepare(store: Store) -> None:
            store.lose_replies, store.draw = draw.choice([0.0, 0.0, 0.03]), draw
            if draw.random() < 0.5:
                seconds = draw.choice([1.0, 40.0, 100.0, 1000.0])
                loop.call_later(draw.uniform(0.1, 30), cut, store, seconds)

        fleet.prepare = prepare
        for _ in range(draw.randint(2, 4)):
            await asyncio.sleep(draw.choice([0.0, 0.0, draw.uniform(0, 20)]))
            tasks.append(asyncio.create_task(fleet.work(plan, config, concurrency=8)))
            if draw.random() < 0.2:
                loop.call_later(draw.uniform(1, 30), tasks[-1].cancel)
        await asyncio.wait(tasks)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            assert error is None or isinstance(error, JournalError), error
        # Whoever is left, or comes afterwards, finishes it.
        await asyncio.sleep(100.0)
        fleet.faults.clear()
        fleet.prepare = lambda store: None
        last = await fleet.work(None, config, retry_failed=False)
        made = Counter(snapshot.volume_id for snapshot in fleet.world.snapshots.values())
        assert set(made.values()) == {1}, "the new one, and the older ones are pruned"
        assert set(made) == set(fleet.world.volumes)
        report = last.report()
        assert report.remaining == 0
        assert report.counts["unknown"] == report.counts["failed"] == 0, report.counts
        refused = [r for r in fleet.world.requests if r.method == "POST" and r.status == 409]
        assert not refused

    run_fleet(monkeypatch, test, SERVER, volumes=60, snapshots=60)
