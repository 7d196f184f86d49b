"""What the display of a bulk job says while the job waits."""

from __future__ import annotations

import asyncio
import re

from do_blockstore_async import Config
from do_blockstore_async.cli.bulk.progress import Progress
from do_blockstore_async.simulator import World, connect_in_process
from tests.support.virtual_time import run_virtual


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


async def consume(run: object) -> None:
    async for _ in run:  # type: ignore[attr-defined]
        pass
