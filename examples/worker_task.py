"""A task of Celery, RQ or a cron job: `asyncio.run` in each, and one budget for all of them.

The budget of the machine is shared by all processes, however many workers there are and whatever
else uses the token. Nothing is kept between two tasks.

    @celery_app.task                      # or queue.enqueue(snapshot, volume_id, name) with RQ
    def snapshot_task(volume_id: str, name: str) -> str:
        return snapshot(volume_id, name)
"""

from __future__ import annotations

import asyncio
import os

from do_blockstore_async import BlockStore, Config

# Tests have other limits: "25/3,150/30" is 25 requests in 3 s and 150 in 30 s.
WINDOWS = os.environ.get("BLOCKSTORE_WINDOWS", "250/60,5000/3600")


def snapshot(volume_id: str, name: str) -> str:
    """Take a snapshot and return its id; waits for the budget as long as it takes."""
    windows = [tuple(map(float, window.split("/"))) for window in WINDOWS.split(",")]
    config = Config(budget="machine", windows=[(int(count), length) for count, length in windows])

    async def work() -> str:
        async with BlockStore.from_env(config=config) as store:
            return (await store.snapshots.create(volume_id, name)).id

    return asyncio.run(work())
