"""A bulk of snapshots with limits off: one POST for each volume, 16 under way.

The project makes its plan before the clock starts and runs it without a journal. It tags each
snapshot, keeps an account of the budget, yields an outcome for each item and makes a report. The
peer is raw aiohttp with `asyncio.gather` and a semaphore: the same POSTs and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from .answers import volume_id

__all__ = ["snapshots"]

_CONCURRENCY = 16


async def snapshots(peer: Any, spec: dict[str, Any]) -> Callable[[], Awaitable[None]]:
    count = spec["volumes"]
    if spec["client"] == "project":
        from do_blockstore_async.bulk import Selection

        bulk = peer.store.bulk
        plan = await bulk.plan_snapshots(Selection(), name_template="{volume}-{date}")

        async def run() -> None:
            # The plan is this process's own, so the account is not read again before each round.
            async with bulk.run(plan, concurrency=_CONCURRENCY, max_plan_age_s=86_400.0) as run:
                async for outcome in run:
                    assert outcome.status == "done", outcome
            assert run.report().counts["done"] == count, run.report().counts

        return run
    gate, names = asyncio.Semaphore(_CONCURRENCY), itertools.count()

    async def one(number: int) -> None:
        async with gate:
            assert await peer.snapshot(volume_id(number), f"snapshot-{next(names)}")

    async def gather() -> None:
        await asyncio.gather(*map(one, range(count)))

    return gather
