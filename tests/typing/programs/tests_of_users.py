"""Tests against the simulator, as users write them."""

from __future__ import annotations

import pytest

from do_blockstore_async import BlockStore, RateLimitedError, Simulator
from do_blockstore_async.simulator import World, connect_in_process


async def test_with_the_fixture(blockstore_simulator: Simulator) -> None:
    async with BlockStore(blockstore_simulator.token, base_url=blockstore_simulator.url) as store:
        assert await store.volumes.find("nobody", region="nyc3") is None


async def test_with_faults() -> None:
    async with Simulator(volumes=5, seed=7, limits="none") as simulator:
        simulator.faults.add("response_lost", method="POST", times=1)
        volume = simulator.world.add_volume("db", region="nyc3", tags=("keep",))
        async with BlockStore(simulator.token, base_url=simulator.url) as store:
            assert (await store.volumes.get(volume.id)).name == "db"
            with pytest.raises(RateLimitedError):
                await store.snapshots.create(volume.id, "s")
        assert simulator.requests[-1].status == 404


async def in_process() -> None:
    async with connect_in_process(World(volumes=3)) as store:
        print([volume.name async for volume in store.volumes.list()])
