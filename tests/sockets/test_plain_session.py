"""A program with an aiohttp session of its own shares one budget with the SDK."""

from __future__ import annotations

import asyncio

from do_blockstore_async import BlockStore, Config
from do_blockstore_async.simulator import Simulator
from examples.plain_session_budget import every, plain_session, survey

WINDOWS = ((20, 1.0), (400, 30.0))


async def test_the_sdk_and_a_plain_session_keep_one_budget() -> None:
    config = Config(windows=WINDOWS, window_margin_s=0.1, late_arrival_s=0.1)
    async with (
        Simulator(volumes=30, seed=3, limits=WINDOWS) as sim,
        BlockStore(sim.token, base_url=sim.url, config=config) as store,
        plain_session(store, sim.token, sim.url) as session,
    ):
        surveys = await asyncio.gather(*(survey(store, session, "snapshots") for _ in range(15)))
        regions = [region async for region in every(session, "regions")]
        status = store.quota
    assert all(counts["volumes"] == 30 for counts in surveys)
    assert regions
    statuses = [request.status for request in sim.requests]
    assert statuses.count(429) == 0, "together they stayed inside the limits"
    assert len(sim.requests) > WINDOWS[0][0], "the limit must have been in the way"
    assert status.granted - status.unused == len(sim.requests), "I12"


async def test_who_waits_at_the_terminal_goes_before_the_survey() -> None:
    config = Config(windows=WINDOWS, window_margin_s=0.1, late_arrival_s=0.1, reserve=(0.2, 0.1))
    loop = asyncio.get_running_loop()
    async with (
        Simulator(volumes=3, seed=3, limits=WINDOWS) as sim,
        BlockStore(sim.token, base_url=sim.url, config=config) as store,
        plain_session(store, sim.token, sim.url) as session,
    ):
        surveys = asyncio.gather(*(survey(store, session, "regions") for _ in range(15)))
        # Nothing tells of a lease that begins to wait.
        while store.quota.waiting_background < 5:  # noqa: ASYNC110
            await asyncio.sleep(0)
        start = loop.time()
        assert [region async for region in every(session, "regions")]
        assert loop.time() - start < WINDOWS[0][1] / 2
        await surveys
