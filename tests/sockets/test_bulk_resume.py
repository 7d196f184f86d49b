"""A journalled run that ends in the middle, and the run that goes on. In real time: it has a disk.

The account is simulated without sockets, and nothing waits but the disk.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from do_blockstore_async import BlockStore, Config
from do_blockstore_async._log.sqlite import SqliteStore
from do_blockstore_async.bulk import (
    GuardError,
    JournalError,
    Outcome,
    Plan,
    PlanError,
    Retention,
    Selection,
    Step,
)
from do_blockstore_async.bulk.execution.journal import Journal
from do_blockstore_async.bulk.model.guards import Guards
from do_blockstore_async.bulk.model.outcome import Ended
from do_blockstore_async.simulator import FaultInjector, World, connect_in_process
from tests.support.journals import failing_exchange, read_journal, write_journal
from tests.support.web_services import until

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
CONFIG = Config(windows=((10**6, 60.0),), late_arrival_s=0.05, max_attempts=2, backoff_base_s=0.001)


def is_step(fact: bytes) -> bool:
    return fact.startswith((b'["begun"', b'["finished"'))


@asynccontextmanager
async def account(
    faults: FaultInjector | None = None, **options: Any
) -> AsyncIterator[tuple[BlockStore, World]]:
    world = World(**{"limits": "none", "volumes": 24, "snapshots": 72, "seed": 5, **options})
    client = connect_in_process(world, config=CONFIG, faults=faults, latency_s=(0.0, 0.002))
    async with client as store:
        yield store, world


async def rest(run: Any) -> list[Outcome[Step]]:
    async with run:
        return [outcome async for outcome in run]


def posts(world: World) -> Counter[int]:
    return Counter(record.status for record in world.requests if record.method == "POST")


@pytest.mark.parametrize("leave", ["break", "stop", "cancel"])
async def test_a_run_goes_on_where_it_ended(tmp_path: Path, leave: str) -> None:
    async with account() as (store, world):
        plan = await store.bulk.plan_snapshots(keep=Retention(last=2))
        first: list[Outcome[Step]] = []
        run = store.bulk.run(plan, journal=tmp_path / "j", concurrency=4)

        async def some() -> None:
            async with run:
                async for outcome in run:
                    first.append(outcome)
                    if len(first) == 10:
                        if leave == "break":
                            break
                        if leave == "stop":
                            run.stop()
                        else:
                            raise asyncio.CancelledError

        task = asyncio.create_task(some())
        await asyncio.wait([task])
        assert task.cancelled() == (leave == "cancel")
        before = run.report()
        assert before.stopped == ("cancelled" if leave == "cancel" else "stopped")
        assert 10 <= len(before.rows) < len(plan.steps)
        again = store.bulk.resume(tmp_path / "j")
        outcomes = await rest(again)
        report = again.report()
        assert report.counts["done"] == len(plan.steps) == len(report.rows)
        assert (report.remaining, report.conclusion) == (0, "done")
        unknown = before.counts["unknown"]
        assert len(outcomes) == len(plan.steps) - len(before.rows) + unknown
        assert posts(world) == {201: 24}, "nothing was asked for twice"
        assert len(world.snapshots) == 48
        assert not await rest(store.bulk.resume(tmp_path / "j"))


async def test_what_another_leaves_in_doubt_while_the_guards_are_checked_is_still_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_left = threading.Event()
    check = Guards.check

    def checked_late(guards: Guards, plan: Plan) -> None:
        assert is_left.wait(60)
        check(guards, plan)

    async with account(volumes=3, snapshots=0) as (store, world):
        plan = await store.bulk.plan_snapshots()
        key = plan.steps[0].key
        another = await Journal.open(tmp_path / "j", plan, late_arrival_s=0.05)
        await another.claim([key], lambda key: True)
        monkeypatch.setattr(Guards, "check", checked_late)
        run = store.bulk.resume(tmp_path / "j")
        entering = asyncio.create_task(run.__aenter__())
        await until(lambda: run._shared is not None)
        assert run._shared is not None
        mine = run._shared.journal.state
        lost = Ended(status="unknown", reason="its response was lost")
        assert await another.finish({key: lost}, lambda key: True)
        await another.close()
        await until(lambda: key in mine.finished)
        is_left.set()
        await entering
        assert {outcome.status async for outcome in run} == {"done"}
        await run.__aexit__(None, None, None)
        assert len(world.snapshots) == len(plan.steps) > 0


async def test_what_was_under_way_is_looked_up_and_not_repeated(tmp_path: Path) -> None:
    async with account(snapshots=24) as (store, world):
        plan = await store.bulk.plan_snapshots(keep=Retention(last=1))
        creates = [step for step in plan.steps if step.action == "create_snapshot"]
        await write_journal(tmp_path / "j", plan, [step.key for step in creates[:6]])
        for step in creates[:3]:
            await store.snapshots.create(step.volume_id, step.name, tags=step.tags)
        await store.snapshots.create(creates[3].volume_id, creates[3].name)
        world.requests.clear()
        outcomes = {o.key: o for o in await rest(store.bulk.run(plan, journal=tmp_path / "j"))}
        assert [outcomes[step.key].resumed for step in creates[:3]] == [True] * 3
        assert outcomes[creates[3].key].status == "unknown", "not with the tags of this job"
        assert all(outcomes[step.key].status == "done" for step in creates[4:])
        assert posts(world) == {201: 20}
        kept = [o for o in outcomes.values() if o.code == "dependency_failed"]
        assert {o.item.volume_id for o in kept} == {creates[3].volume_id}
        assert [r.path for r in world.requests[:2]] == ["/v2/volumes", "/v2/snapshots"]


@pytest.mark.parametrize("same_client", [True, False])
async def test_nothing_goes_when_the_new_snapshot_is_gone_at_resume(
    tmp_path: Path, same_client: bool
) -> None:
    async with account() as (store, world):
        plan = await store.bulk.plan_snapshots(keep=Retention(last=1))
        async with store.bulk.run(plan, journal=tmp_path / "j", concurrency=1) as run:
            async for outcome in run:
                if outcome.item == plan.steps[1]:
                    run.stop()
        lost, kept = plan.steps[0].volume_id, plan.steps[1].volume_id
        new = next(
            s
            for s in world.snapshots.values()
            if s.volume_id == lost and s.name == plan.steps[0].name
        )
        world.remove_snapshot(new)
        if same_client:
            outcomes = await rest(store.bulk.run(plan, journal=tmp_path / "j"))
        else:
            outcomes = await rest(store.bulk.resume(tmp_path / "j"))
        ends = {(o.item.volume_id, o.status, o.code) for o in outcomes if o.item.is_destructive}
        assert {end for end in ends if end[0] in {lost, kept}} == {
            (lost, "skipped", "drifted"),
            (kept, "done", ""),
        }
        assert sum(s.volume_id == lost for s in world.snapshots.values()) == 3


async def test_a_volume_stays_when_its_last_snapshot_is_gone_at_resume(tmp_path: Path) -> None:
    async with account(snapshots=0) as (store, world):
        plan = await store.bulk.plan_deletions(Selection(attached=False), snapshot_first=True)
        first = plan.steps[0].key
        await write_journal(tmp_path / "j", plan, [first], {first: Ended(status="done")})
        outcomes = await rest(store.bulk.resume(tmp_path / "j", max_share=1))
        lost = plan.steps[0].volume_id
        assert lost in world.volumes
        assert [(o.status, o.code) for o in outcomes if o.item.volume_id == lost] == [
            ("skipped", "drifted")
        ]
        assert sum(o.status == "done" for o in outcomes) == len(plan.steps) - 2


async def test_where_only_snapshots_are_left_to_delete_the_account_is_known_by_its_volumes(
    tmp_path: Path,
) -> None:
    async with account(snapshots=24) as (store, world):
        plan = await store.bulk.plan_snapshots(keep=Retention(last=1))
        creates = [step for step in plan.steps if step.action == "create_snapshot"]
        for step in creates:
            await store.snapshots.create(step.volume_id, step.name, tags=step.tags)
        done = {step.key: Ended(status="done") for step in creates}
        await write_journal(tmp_path / "j", plan, list(done), done)
        outcomes = await rest(store.bulk.resume(tmp_path / "j"))
        assert {o.status for o in outcomes} == {"done"}
        assert len(outcomes) == 24 == len(world.snapshots)


async def test_what_waited_for_an_unknown_step_is_taken_up_with_it(tmp_path: Path) -> None:
    async with account() as (store, world):
        plan = await store.bulk.plan_snapshots(keep=Retention(last=1))
        first = plan.steps[0]
        waiting = [step.key for step in plan.steps if step.depends_on == first.key]
        await store.snapshots.create(first.volume_id, first.name, tags=first.tags)
        before = Ended(status="skipped", code="dependency_failed")
        ended = {first.key: Ended(status="unknown"), **dict.fromkeys(waiting, before)}
        await write_journal(tmp_path / "j", plan, [first.key], ended)
        outcomes = {o.key: o for o in await rest(store.bulk.resume(tmp_path / "j"))}
        assert outcomes[first.key].resumed
        assert {outcomes[key].status for key in waiting} == {"done"}
        assert len(world.snapshots) == 24


@pytest.mark.parametrize("left", [True, False])
async def test_it_waits_until_a_late_request_must_have_arrived(tmp_path: Path, left: bool) -> None:
    async with account(snapshots=0) as (store, world):
        plan = await store.bulk.plan_snapshots()
        step = plan.steps[0]
        loop = asyncio.get_running_loop()
        await write_journal(tmp_path / "j", plan, [step.key], ago_s=0.2, left=left)
        began = loop.time()
        late = loop.call_later(0.6, world.add_snapshot, step.volume_id, step.name)
        world.limit_route("POST", f"/v2/volumes/{step.volume_id}/*")
        outcomes = await rest(store.bulk.run(plan, journal=tmp_path / "j"))
        assert late.when() <= loop.time()
        mine = next(o for o in outcomes if o.key == step.key)
        assert mine.status == "unknown"
        assert mine.value.name == step.name, "it was seen, though it arrived late"
        assert outcomes[-1].key == step.key, "the others did not wait for it"
        # 1 s to be written, 0.05 s on its way, begun 0.2 s ago; and 1 s of silence.
        assert 0.8 <= loop.time() - began < 20


async def test_what_was_in_flight_long_ago_is_not_waited_for(tmp_path: Path) -> None:
    world = World(limits="none", volumes=24, snapshots=0, seed=5)
    config = attrs.evolve(CONFIG, late_arrival_s=3000.0)
    async with connect_in_process(world, config=config, latency_s=(0.0, 0.002)) as store:
        plan = await store.bulk.plan_snapshots()
        await write_journal(tmp_path / "j", plan, [plan.steps[0].key], left=False)
        async with asyncio.timeout(20):
            assert len(await rest(store.bulk.run(plan, journal=tmp_path / "j"))) == len(plan.steps)


async def test_retry_failed_repeats_the_failures_and_what_waited_for_them(tmp_path: Path) -> None:
    faults = FaultInjector()
    async with account(faults, snapshots=72) as (store, world):
        plan = await store.bulk.plan_snapshots(keep=Retention(last=1))
        unlucky = plan.steps[5].volume_id
        faults.add("error_500_before", path=f"/v2/volumes/{unlucky}/*", method="POST", times=2)
        journal = tmp_path / "j"
        outcomes = await rest(store.bulk.run(plan, journal=journal))
        bad = {o.key for o in outcomes if o.status != "done"}
        assert {o.code for o in outcomes if o.status == "skipped"} == {"dependency_failed"}
        assert len(bad) == 4
        assert not await rest(store.bulk.resume(journal))
        world.requests.clear()
        again = store.bulk.run(plan, journal=journal, retry_failed=True)
        repeated = await rest(again)
        assert {o.key for o in repeated} == bad
        assert {o.status for o in repeated} == {"done"}
        assert again.report().conclusion == "done"
        assert len(world.snapshots) == 24
        assert not await rest(store.bulk.resume(journal, retry_failed=True))


async def test_retry_failed_needs_a_run_that_failed(tmp_path: Path) -> None:
    async with account() as (store, world):
        plan = await store.bulk.plan_snapshots()
        with pytest.raises(PlanError, match="no step in this journal has an outcome yet"):
            await rest(store.bulk.run(plan, journal=tmp_path / "j", retry_failed=True))
        assert not posts(world)


async def test_a_journal_of_another_plan_is_refused(tmp_path: Path) -> None:
    async with account() as (store, world):
        plan = await store.bulk.plan_snapshots()
        other = await store.bulk.plan_snapshots(job="weekly")
        async with store.bulk.run(plan, journal=tmp_path / "j") as run:
            run.stop()
        with pytest.raises(JournalError, match="another plan"):
            await rest(store.bulk.run(other, journal=tmp_path / "j"))
        with pytest.raises(JournalError, match="there is no journal"):
            await rest(store.bulk.resume(tmp_path / "none"))
        with pytest.raises(PlanError, match="enter the run first"):
            _ = store.bulk.resume(tmp_path / "j").plan
        assert not posts(world)


async def test_a_resumed_run_is_guarded_like_the_first(tmp_path: Path) -> None:
    async with account() as (store, _world):
        plan = await store.bulk.plan_deletions(Selection(attached=False))
        run = store.bulk.run(plan, journal=tmp_path / "j", max_share=1)
        async with run:
            run.stop()
        with pytest.raises(GuardError):
            await rest(store.bulk.resume(tmp_path / "j"))
        outcomes = await rest(store.bulk.resume(tmp_path / "j", max_share=1))
        assert {o.status for o in outcomes} == {"done"}
        assert len(outcomes) == plan.deletion_count


async def test_a_journal_of_another_account_is_refused(tmp_path: Path) -> None:
    async with account() as (store, world):
        plan = await store.bulk.plan_snapshots()
        async with store.bulk.run(plan, journal=tmp_path / "j") as run:
            run.stop()
    async with account(seed=6) as (store, world):
        with pytest.raises(PlanError, match="another account"):
            await rest(store.bulk.resume(tmp_path / "j"))
        assert not posts(world)


async def test_a_journal_that_cannot_be_written_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account() as (store, world):
        plan = await store.bulk.plan_snapshots()
        run = store.bulk.run(plan, journal=tmp_path / "j", concurrency=2)
        monkeypatch.setattr(SqliteStore, "_exchange", failing_exchange(NO_SPACE, 6, is_step))
        with pytest.raises(JournalError, match="free what is missing"):
            await rest(run)
        monkeypatch.undo()
        assert run.stopped == "journal"
        assert 0 < len(world.snapshots) - 72 < 10
        outcomes = await rest(store.bulk.resume(tmp_path / "j"))
        assert {o.status for o in outcomes} == {"done"}
        assert posts(world) == {201: 24}


async def test_an_outcome_that_did_not_reach_the_disk_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account(snapshots=0) as (store, world):
        plan = await store.bulk.plan_snapshots()
        given: list[Outcome[Step]] = []
        run = store.bulk.run(plan, journal=tmp_path / "j", concurrency=1)
        monkeypatch.setattr(
            SqliteStore,
            "_exchange",
            failing_exchange(NO_SPACE, only=lambda fact: fact.startswith(b'["finished"')),
        )

        async def read() -> None:
            async with run:
                async for outcome in run:
                    given.append(outcome)  # noqa: PERF401 -- it raises on the way

        with pytest.raises(JournalError, match="free what is missing"):
            await read()
        assert not given  # X2
        monkeypatch.undo()
        assert {o.status for o in await rest(store.bulk.resume(tmp_path / "j"))} == {"done"}
        assert posts(world) == {201: 24}


async def test_cancelled_again_while_it_ends_it_leaves_neither_tasks_nor_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account(snapshots=0) as (store, _world):
        plan = await store.bulk.plan_snapshots()
        real, slow = SqliteStore._exchange, threading.Event()

        def exchange(*arguments: Any, **options: Any) -> Any:
            slow.wait(0.2)
            return real(*arguments, **options)

        begun = asyncio.Event()

        async def main() -> None:
            async with store.bulk.run(plan, journal=tmp_path / "j", concurrency=4) as run:
                monkeypatch.setattr(SqliteStore, "_exchange", exchange)
                begun.set()
                async for _ in run:
                    pass

        before = asyncio.all_tasks()
        task = asyncio.create_task(main())
        await begun.wait()
        for _ in range(3):
            await asyncio.sleep(0.02)
            task.cancel()
        slow.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.all_tasks() == before
        state = await read_journal(tmp_path / "j")
        assert not state.present


async def test_a_plan_is_saved_and_loaded(tmp_path: Path) -> None:
    async with account() as (store, _world):
        plan = await store.bulk.plan_snapshots(keep=Retention(last=2))
        path = tmp_path / "plan.json"
        store.bulk.save_plan(plan, path)
        loaded = store.bulk.load_plan(path)
        assert loaded == plan
        assert isinstance(loaded, Plan)
        assert os.listdir(tmp_path) == ["plan.json"]  # noqa: PTH208 -- a test may wait
        with pytest.raises(PlanError, match="cannot be saved"):
            store.bulk.save_plan(plan, tmp_path / "none" / "plan.json")
        with pytest.raises(PlanError, match="cannot be read"):
            store.bulk.load_plan(tmp_path / "none")
        path.write_bytes(b"\xff\xfe\xff")
        with pytest.raises(PlanError, match="UTF-8"):
            store.bulk.load_plan(path)


async def test_a_saved_plan_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account() as (store, _world):
        plan = await store.bulk.plan_snapshots()
        real, synced = os.fsync, list[bool]()

        def fsync(file: int) -> None:
            synced.append((tmp_path / "plan").exists())
            real(file)

        monkeypatch.setattr(os, "fsync", fsync)
        store.bulk.save_plan(plan, tmp_path / "plan")
        assert synced == [False]


async def test_no_token_stands_in_plan_or_journal(tmp_path: Path) -> None:
    async with account() as (store, world):
        plan = await store.bulk.plan_snapshots(keep=Retention(last=2))
        store.bulk.save_plan(plan, tmp_path / "plan")
        run = store.bulk.run(plan, journal=tmp_path / "j")
        await rest(run)
        text = (tmp_path / "plan").read_text() + (tmp_path / "j").read_text(errors="replace")
        text += run.report().to_json() + run.report().to_csv() + repr(plan) + repr(run)
        assert world.token not in text
        assert world.token.removeprefix("dop_v1_")[:16] not in text


async def test_creations_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.csv"
    path.write_text(
        "name,region,size_gigabytes,tags\n"
        + "".join(f"new-{n},nyc3,{n + 1},a;b\n" for n in range(20))
    )
    async with account() as (store, world):
        plan = await store.bulk.plan_creations(path)
        assert plan.monthly_change == pytest.approx(21.0)
        assert {o.status for o in await rest(store.bulk.run(plan))} == {"done"}
        made = [v for v in world.volumes.values() if v.name.startswith("new-")]
        assert len(made) == 20
        assert made[0].tags == ("a", "b")
        again = await store.bulk.plan_creations(path)
        assert not again.steps
        assert {skip.code for skip in again.skips} == {"exists"}
