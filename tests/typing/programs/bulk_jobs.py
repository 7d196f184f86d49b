"""Plans, runs, reports and maps, as a nightly job uses them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import assert_type

from do_blockstore_async import Action, BlockStore, Volume
from do_blockstore_async.bulk import (
    Outcome,
    Plan,
    Report,
    Retention,
    Selection,
    Step,
    VolumeSpec,
)


async def nightly(store: BlockStore, journal: Path) -> Report:
    plan = await store.bulk.plan_snapshots(
        Selection(regions=("nyc3", "fra1")), job="nightly", keep=Retention(last=2, weekly=4)
    )
    assert_type(plan, Plan)
    assert_type(plan.steps, Sequence[Step])
    async with store.bulk.run(plan, journal=journal, max_failures=10) as run:
        async for outcome in run:
            print(outcome.status, outcome.key, outcome.reason or "")
    return run.report()


async def delete(store: BlockStore) -> None:
    plan = await store.bulk.plan_deletions(Selection(name="old-*"), snapshot_first=True)
    store.bulk.save_plan(plan, "plan.json")
    loaded = store.bulk.load_plan("plan.json")
    async with store.bulk.run(loaded, max_items=10) as run:
        async for _ in run:
            pass


async def create(store: BlockStore) -> None:
    specs = [VolumeSpec(name="db-1", region="nyc3", size_gigabytes=10)]
    plan = await store.bulk.plan_creations(specs)
    print(plan.counts, plan.requests, plan.duration_s)


async def grow(store: BlockStore) -> list[Action]:
    async def resize(volume: Volume) -> Action:
        return await store.volumes.resize(volume.id, volume.size_gigabytes + 10)

    actions: list[Action] = []
    async with store.bulk.map(resize, store.volumes.list(region="nyc3"), concurrency=16) as run:
        async for outcome in run:
            assert_type(outcome, Outcome[Volume])
            if isinstance(outcome.value, Action):
                actions.append(outcome.value)
    return actions
