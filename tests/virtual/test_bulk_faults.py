"""Under faults, what a run says of each item is what happened in the world."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime

import pytest

from do_blockstore_async import Config, NotFoundError
from do_blockstore_async.bulk import Outcome, Retention, Selection, Step, VolumeSpec
from do_blockstore_async.simulator import World, connect_in_process, parse_faults
from tests.support.virtual_time import run_virtual

# One text for each family of faults of the reliability work; each hits a fair share of requests.
FAULTS = {
    "lost": "response_lost=0.15",
    "reset": "reset_before=0.15",
    "stalled": "stall=0.05",
    "truncated": "truncated=0.1",
    "gateway": "html_502=0.1,html_503=0.1,html_504=0.05",
    "server": "error_500_after_commit=0.1,error_500_before=0.1",
    "broken": "malformed_json=0.05,empty_body=0.05",
    "doubled": "duplicate=0.2",
    "all": "response_lost=0.05,reset_before=0.05,html_502=0.05,error_500_after_commit=0.05,"
    "truncated=0.05,duplicate=0.05",
}
CONFIG = Config(
    windows=((10**6, 60.0), (10**7, 3600.0)), attempt_timeout_s=10.0, retry_budget=10**6
)


def agree(outcomes: list[Outcome[Step]], world: World) -> None:
    """Hold each outcome against the world; `unknown` may be either."""
    shots = Counter((s.volume_id, s.name) for s in world.snapshots.values())
    assert not [key for key, count in shots.items() if count > 1], "nothing was made twice"
    volumes = {(v.name, v.region) for v in world.volumes.values()}
    for outcome in outcomes:
        step = outcome.item
        if step.action == "create_snapshot":
            there = (step.volume_id, step.name) in shots
        elif step.action == "create_volume":
            there = (step.name, step.region) in volumes
        elif step.action == "delete_volume":
            there = step.target_id not in world.volumes
        else:
            there = step.target_id not in world.snapshots
        said = outcome.status == "done" or outcome.code in {"not_found", "exists"}
        if outcome.status != "unknown":
            assert said == there, (outcome.status, outcome.code, outcome.reason, step.action)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("seed", [1, 2])
def test_outcomes_and_world_agree_item_for_item(name: str, seed: int) -> None:
    async def main() -> None:
        world = World(limits="none", volumes=60, snapshots=180, seed=seed)
        faults = parse_faults("")
        async with connect_in_process(world, config=CONFIG, faults=faults) as store:
            bulk, now = store.bulk, datetime.fromtimestamp(world.now, UTC)
            plans = [
                await bulk.plan_snapshots(keep=Retention(last=2), at=now),
                await bulk.plan_deletions(Selection(attached=False), at=now),
                await bulk.plan_creations(
                    [VolumeSpec(name=f"n-{n}", region="ams3", size_gigabytes=1) for n in range(40)]
                ),
            ]
            for rule in FAULTS[name].split(","):
                kind, _, rate = rule.partition("=")
                faults.add(kind, rate=float(rate))
            for plan in plans:
                world.requests.clear()
                run = bulk.run(
                    plan, max_failures=None, max_items=10**4, max_share=1, max_plan_age_s=1e6
                )
                async with run:
                    outcomes = [outcome async for outcome in run]
                assert len(outcomes) == len(plan.steps) == run.total
                await asyncio.sleep(60.0)  # what is late arrives
                agree(outcomes, world)
                if name in {"lost", "truncated", "broken"}:  # with these each one arrives, once
                    assert run.report().requests == len(world.requests)
                bad = sum(o.status in {"failed", "unknown"} for o in outcomes)
                assert bad <= len(outcomes) / 4
        assert faults.log

    run_virtual(main())


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 0.7, 1.5])
def test_a_cancelled_run_leaves_no_item_under_way_without_outcome(after_s: float) -> None:
    async def main() -> None:
        world = World(limits="none", volumes=60, snapshots=0, seed=3)
        async with connect_in_process(world, config=CONFIG) as store:
            plan = await store.bulk.plan_snapshots(at=datetime.fromtimestamp(world.now, UTC))
            run = store.bulk.run(plan, concurrency=8)

            async def main_loop() -> None:
                async with run:
                    async for _ in run:
                        pass

            task = asyncio.create_task(main_loop())
            await asyncio.sleep(after_s)
            tasks = len(asyncio.all_tasks())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(asyncio.all_tasks()) < tasks or after_s == 0.0
            await asyncio.sleep(60.0)
            if after_s == 0.0:
                return
            report = run.report()
            done = {row.key for row in report.rows if row.status == "done"}
            unknown = {row.key for row in report.rows if row.status == "unknown"}
            made = {f"create-snapshot:{s.volume_id}" for s in world.snapshots.values()}
            assert done <= made <= done | unknown
            assert len(done) + len(unknown) + report.remaining == 60
            assert len(unknown) <= 8
            assert report.stopped in {"cancelled", None}

    run_virtual(main())


def test_leaving_a_run_early_lets_what_is_under_way_end() -> None:
    async def main() -> None:
        world = World(limits="none", volumes=60, snapshots=0, seed=3)
        async with connect_in_process(world, config=CONFIG) as store:
            plan = await store.bulk.plan_snapshots(at=datetime.fromtimestamp(world.now, UTC))
            run = store.bulk.run(plan, concurrency=8)
            async with run:
                async for _ in run:
                    break
            report = run.report()
            assert report.counts["done"] == len(world.snapshots) >= 8
            assert report.counts["unknown"] == 0
            assert report.stopped == "stopped"
            with pytest.raises(NotFoundError):
                await store.volumes.get("abc")

    run_virtual(main())
