"""The API ignores case in tags and keeps the spelling of the first use (doctl#333)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async import Config
from do_blockstore_async.bulk import Retention, Selection
from do_blockstore_async.simulator import World, connect_in_process, parse_faults
from tests.support.virtual_time import run_virtual

FAST = Config(windows=((10**6, 60.0),), reserve=(0.0,), late_arrival_s=0.0)


def empty_world() -> World:
    return World(volumes=0, limits="none")


def test_the_first_spelling_stands_for_all() -> None:
    async def main() -> None:
        world = empty_world()
        world.add_volume("first", tags=("KEEP",))
        async with connect_in_process(world, config=FAST) as store:
            volume = await store.volumes.create(
                "second", region="nyc3", size_gigabytes=1, tags=["keep", "New", "new"]
            )
            assert volume.tags == ("KEEP", "New")
            body = {"resources": [{"resource_id": volume.id, "resource_type": "volume"}]}
            await store.request("DELETE", "/v2/tags/kEEp/resources", json=body)
            assert (await store.volumes.get(volume.id)).tags == ("New",)

    run_virtual(main())


def test_a_volume_is_spared_by_its_tag_in_any_spelling() -> None:
    async def main() -> None:
        world = empty_world()
        world.add_volume("first", tags=("KEEP",))
        world.add_volume("old-1", tags=("keep",))
        world.add_volume("old-2")
        async with connect_in_process(world, config=FAST) as store:
            plan = await store.bulk.plan_deletions(Selection(name="old-*", exclude_tags=("keep",)))
            assert [step.name for step in plan.steps] == ["old-2"]
            plan = await store.bulk.plan_deletions(Selection(name="old-*", tags=("Keep",)))
            assert [step.name for step in plan.steps] == ["old-1"]

    run_virtual(main())


def test_a_job_recognizes_its_snapshots_by_its_tag_in_any_spelling() -> None:
    async def main() -> None:
        world = empty_world()
        volume = world.add_volume("db")
        world.add_snapshot(volume, "seed", age_s=10 * 86400, tags=("Bulk-Job:Nightly",))
        for age in range(1, 4):
            world.add_snapshot(volume, f"n{age}", age_s=age * 86400, tags=("bulk-job:nightly",))
        async with connect_in_process(world, config=FAST) as store:
            at = datetime.fromtimestamp(world.now, UTC) + timedelta(hours=1)
            plan = await store.bulk.plan_prune(Retention(last=2), at=at)
            assert {step.name for step in plan.steps} == {"seed", "n3"}
            async with store.bulk.run(plan) as run:
                assert {o.status async for o in run} == {"done"}

    run_virtual(main())


@pytest.mark.parametrize("kind", ["volume", "snapshot"])
def test_a_lost_create_is_adopted_although_its_tags_are_spelled_otherwise(kind: str) -> None:
    async def main() -> None:
        world = empty_world()
        volume = world.add_volume("first", tags=("PROD",))
        faults = parse_faults("response_lost:POST:times=1")
        async with connect_in_process(world, config=FAST, faults=faults) as store:
            if kind == "volume":
                made = await store.volumes.create(
                    "second", region="nyc3", size_gigabytes=1, tags=["prod"]
                )
                assert made.tags == ("PROD",)
                assert len(world.volumes) == 2
            else:
                taken = await store.snapshots.create(volume.id, "s", tags=["prod"])
                assert taken.tags == ("PROD",)
                assert len(world.snapshots) == 1
        assert len(faults.log) == 1

    run_virtual(main())


def test_orphans_are_tagged_and_untagged_in_any_spelling() -> None:
    async def main() -> None:
        world = empty_world()
        day = f"{datetime.fromtimestamp(world.now, UTC) - timedelta(days=40):%Y-%m-%d}"
        world.add_volume("lonely", tags=(f"Orphan-Since:{day}",))
        async with connect_in_process(world, config=FAST) as store:
            at = datetime.fromtimestamp(world.now, UTC)
            assert not (await store.bulk.plan_orphan_tags(at=at)).steps
            plan = await store.bulk.plan_orphan_deletions(at=at)
            assert [step.name for step in plan.steps] == ["lonely"]
            async with store.bulk.run(plan, max_share=1) as run:
                assert {o.status async for o in run} == {"done"}
        assert not world.volumes

    run_virtual(main())


@given(st.lists(st.text("aAbB", min_size=1, max_size=2), max_size=6))
def test_no_resource_has_a_tag_in_two_spellings(tags: list[str]) -> None:
    world = empty_world()
    first = world.add_volume("first", tags=tuple(tags[:3]))
    second = world.add_volume("second", tags=tuple(tags))
    for volume in (first, second):
        assert len({tag.lower() for tag in volume.tags}) == len(volume.tags)
    assert {tag.lower() for tag in second.tags} == {tag.lower() for tag in tags}
    assert set(first.tags) <= set(second.tags)
