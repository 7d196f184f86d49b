"""The nightly job in the running loop's time, beside interactive calls, and what it took."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime

import attrs

from do_blockstore_async import Config
from do_blockstore_async.bulk import Retention
from do_blockstore_async.simulator import World, connect_in_process


@attrs.frozen
class Result:
    """What the job took; times in seconds."""

    requests: int
    took_s: float
    ideal_s: float
    forecast_s: float
    refused: int
    outcomes: dict[str, int]
    interactive: int
    p50_s: float
    p99_s: float
    slowest_s: float
    real_s: float

    @property
    def ratio(self) -> float:
        return self.took_s / self.ideal_s

    def __str__(self) -> str:
        return (
            f"{self.requests} requests in {self.took_s:.0f} s, ideal {self.ideal_s:.0f} s, ratio "
            f"{self.ratio:.4f}; forecast {self.forecast_s:.0f} s; 429s {self.refused}; outcomes "
            f"{self.outcomes}; {self.interactive} interactive calls took p50 {self.p50_s:.3f} s, "
            f"p99 {self.p99_s:.3f} s, at most {self.slowest_s:.3f} s, round trip included; "
            f"{self.real_s:.0f} s of real time"
        )


def ideal_s(
    requests: int, windows: tuple[tuple[int, float], ...], reserve: tuple[float, ...]
) -> float:
    """The shortest time for so many requests within what the reserve leaves of each window."""
    shares = [
        (limit - -(-limit * share // 1), window_s)
        for (limit, window_s), share in zip(windows, reserve, strict=True)
    ]
    at: list[float] = []
    for number in range(requests):
        earliest = at[-1] if at else 0.0
        for limit, window_s in shares:
            if number >= limit:
                earliest = max(earliest, at[number - int(limit)] + window_s)
        at.append(earliest)
    return at[-1] if at else 0.0


async def nightly(
    world: World, config: Config, keep: Retention, every_s: float, concurrency: int
) -> Result:
    """Plan and run the job in the running loop's time."""
    loop = asyncio.get_running_loop()
    real = time.perf_counter()
    asked: list[float] = []
    async with connect_in_process(world, config=config) as store:
        volume_id = next(iter(world.volumes))

        async def ask() -> None:
            while True:
                await asyncio.sleep(every_s)
                began = loop.time()
                await store.volumes.get(volume_id)
                asked.append(loop.time() - began)

        asker = asyncio.create_task(ask())
        began = loop.time()
        plan = await store.bulk.plan_snapshots(keep=keep, at=datetime.fromtimestamp(world.now, UTC))
        forecast_s = plan.duration_s
        outcomes: Counter[str] = Counter()
        async with store.bulk.run(plan, concurrency=concurrency) as run:
            async for outcome in run:
                outcomes[outcome.status] += 1
        took_s = loop.time() - began
        asker.cancel()
        await asyncio.gather(asker, return_exceptions=True)
    requests = world.handled - len(asked)
    ordered = sorted(asked)
    return Result(
        requests=requests,
        took_s=took_s,
        ideal_s=ideal_s(requests, config.windows, config.reserve),
        forecast_s=forecast_s,
        refused=sum(world.refused.values()),
        outcomes=dict(outcomes),
        interactive=len(asked),
        p50_s=ordered[len(ordered) // 2],
        p99_s=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        slowest_s=ordered[-1],
        real_s=time.perf_counter() - real,
    )
