"""A job that takes nothing night after night says so."""

from __future__ import annotations

import asyncio

import pytest

from do_blockstore_async import BlockStore, Config, InvalidArgumentError
from do_blockstore_async.bulk import PlanError, Retention
from do_blockstore_async.simulator import World, connect_in_process
from tests.support.virtual_time import run_virtual

FAST = Config(windows=((10**6, 60.0),), reserve=(0.0,))


def connected(world: World) -> BlockStore:
    return connect_in_process(world, config=FAST)


def test_listings_without_tags_are_warned_of_and_a_full_volume_ends_as_failed() -> None:
    async def main() -> None:
        world = World(volumes=0, limits="none")
        volume = world.add_volume("db")
        for day in range(1, 26):
            name = f"db-nyc3-2026-01-{day:02}"
            world.add_snapshot(volume, name, age_s=day * 86400.0, tags=())  # the tags were lost
        async with connected(world) as store:
            plan = await store.bulk.plan_snapshots(keep=Retention(last=2))
            assert not plan.steps
            (warning,) = plan.warnings
            assert "25 snapshots have names like this job's but lack its tag" in warning
            assert "match_by" in warning
            async with store.bulk.run(plan) as run:
                assert [outcome async for outcome in run] == []
            assert (run.report().conclusion, run.report().blocked) == ("failed", 1)
            named = await store.bulk.plan_snapshots(
                keep=Retention(last=2), match_by="name", max_pruned_share=1
            )
            assert named.counts == {"delete_snapshot": 24, "create_snapshot": 1}
            assert not named.warnings

    run_virtual(main())


def test_a_night_without_one_snapshot_is_a_failure_and_says_why() -> None:
    async def main() -> None:
        world = World(volumes=0, limits="none")
        full, old = world.add_volume("full"), world.add_volume("old")
        for day in range(1, 26):
            world.add_snapshot(full, f"full-{day}", age_s=day * 86400.0)
        async with connected(world) as store:
            for day in range(3):  # enough for retention to have something to prune
                world.add_snapshot(old, f"o-{day}", age_s=3 * 86400.0 + day, tags=("bulk-job:n",))
            # Somebody else's, a minute ago: the API would refuse another one.
            world.add_snapshot(old, "by-hand", age_s=60.0)
            plan = await store.bulk.plan_snapshots(job="n", keep=Retention(last=2))
            assert plan.counts == {"delete_snapshot": 1}
            run = store.bulk.run(plan)
            async with run:
                assert [outcome.status async for outcome in run] == ["done"]
            report = run.report()
            assert report.conclusion == "failed"
            assert report.warning.startswith("0 of 2 snapshots taken (1: it has 25 snapshots")
            assert "less than ten minutes old" in report.warning
            assert report.summary()["warning"] == report.warning
            await asyncio.sleep(3600)
            plan = await store.bulk.plan_snapshots(job="n", keep=Retention(last=2))
            async with (run := store.bulk.run(plan)):
                assert "done" in [outcome.status async for outcome in run]
            assert (run.report().conclusion, run.report().warning) == ("partial", "")
            # Once more at once: the snapshot of this run is there.
            plan = await store.bulk.plan_snapshots(job="n")
            async with (run := store.bulk.run(plan)):
                assert [outcome async for outcome in run] == []
            assert run.report().warning == ""

    run_virtual(main())


@pytest.mark.parametrize(
    ("template", "works"),
    [
        ("{volume}-{date}", "{volume}-{date}-{time}"),
        ("{volume}-{time}", "{volume}-{time}-{date}"),
        ("{volume}", "{volume}-{date}-{time}"),
    ],
)
def test_hourly_retention_needs_a_name_for_each_hour(template: str, works: str) -> None:
    async def main() -> None:
        world = World(volumes=1, limits="none")
        async with connected(world) as store:
            with pytest.raises(PlanError) as caught:
                await store.bulk.plan_snapshots(keep=Retention(hourly=3), name_template=template)
            assert repr(works) in str(caught.value)
            assert not world.requests
            await store.bulk.plan_snapshots(keep=Retention(hourly=3), name_template=works)

    run_virtual(main())


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "", "../etc/passwd", "/etc/localtime"])
def test_an_unknown_time_zone_is_rejected(zone: str) -> None:
    async def main() -> None:
        async with connected(World(volumes=1, limits="none")) as store:
            with pytest.raises(InvalidArgumentError, match="no time zone"):
                await store.bulk.plan_snapshots(time_zone=zone)

    run_virtual(main())
