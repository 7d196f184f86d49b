"""A wrong clock of this machine must not delete history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from do_blockstore_async import BlockStore, Config
from do_blockstore_async.bulk import PlanError, Retention
from do_blockstore_async.simulator import World, connect_in_process
from tests.support.virtual_time import run_virtual

FAST = Config(windows=((10**6, 60.0),), reserve=(0.0,))
JOB = ("bulk-job:nightly",)


def a_week_of_snapshots() -> World:
    world = World(volumes=0, limits="none")
    volume = world.add_volume("db")
    for day in range(1, 8):
        world.add_snapshot(volume, f"n{day}", age_s=day * 86400.0 - 3600, tags=JOB)
    return world


def connected(world: World) -> BlockStore:
    return connect_in_process(world, config=FAST)


@pytest.mark.parametrize("off", [timedelta(days=31), timedelta(hours=-2)])
def test_a_time_far_from_the_apis_is_rejected(off: timedelta) -> None:
    async def main() -> None:
        world = a_week_of_snapshots()
        at = datetime.fromtimestamp(world.now, UTC) + off
        async with connected(world) as store:
            for planning in (
                store.bulk.plan_snapshots(keep=Retention(within="7d"), at=at),
                store.bulk.plan_prune(Retention(last=2), at=at),
                store.bulk.plan_orphan_tags(at=at),
                store.bulk.plan_orphan_deletions(at=at),
            ):
                with pytest.raises(PlanError, match="more than an hour from the API's time"):
                    await planning

    run_virtual(main())


def test_without_a_time_the_apis_own_counts_whatever_this_machine_shows() -> None:
    async def main() -> None:
        world = a_week_of_snapshots()  # its time is months away from this machine's
        async with connected(world) as store:
            plan = await store.bulk.plan_snapshots(keep=Retention(within="7d"))
        assert abs(plan.made_at.timestamp() - world.now) < 5
        assert plan.counts["delete_snapshot"] == 0
        assert plan.counts["create_snapshot"] == 1

    run_virtual(main())


def test_a_plan_that_would_empty_one_history_leaves_it_and_says_so() -> None:
    async def main() -> None:
        world = a_week_of_snapshots()
        async with connected(world) as store:
            plan = await store.bulk.plan_snapshots(keep=Retention(last=1))
            assert plan.counts["create_snapshot"] == 1
            assert plan.deletion_count == 0
            (skip,) = plan.skips
            assert skip.code == "prune_guard"
            assert "delete 7 of its 8 snapshots" in skip.reason
            wide = await store.bulk.plan_snapshots(keep=Retention(last=1), max_pruned_share=1)
            assert wide.deletion_count == 7

    run_virtual(main())
