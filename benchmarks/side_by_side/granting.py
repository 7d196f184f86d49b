"""The throttle alone: what one grant costs while ten thousand wait in line.

| way | what it keeps |
| --- | --- |
| project | both windows, requests in flight, order, reserve, pace; reads each answer's headers |
| project-fair | the same with half the requests in ten background jobs of different weights |
| project-idle | the same one after the other, so that nobody ever waits |
| aiolimiter | one leaky bucket, wide enough not to be what is measured |
| semaphore | at most 32 at once and no rate at all: asyncio's own queue, the floor |

Everybody asks at once; each holds its grant for one turn of the loop, then an answer arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from .server import WINDOWS

__all__ = ["prepare"]

_JOBS = 10


def _headers(used: int) -> dict[str, str]:
    limit = WINDOWS[-1][0]
    return {
        "ratelimit-limit": str(limit),
        "ratelimit-remaining": str(limit - used),
        "ratelimit-reset": "1800003600",
        "date": "Fri, 15 Jan 2027 08:00:00 GMT",
    }


async def prepare(spec: dict[str, Any]) -> tuple[Callable[[], Awaitable[None]], int]:
    name, count = spec["client"], spec["count"]
    if name == "aiolimiter":
        from aiolimiter import AsyncLimiter

        async def limited() -> None:
            async with limiter:
                await asyncio.sleep(0)

        limiter = AsyncLimiter(1_000, 0.001)
        return lambda: _together(limited, count), count
    if name == "semaphore":
        gate = asyncio.Semaphore(32)

        async def gated() -> None:
            async with gate:
                await asyncio.sleep(0)

        return lambda: _together(gated, count), count
    return _project(name, count), count


def _project(name: str, count: int) -> Callable[[], Awaitable[None]]:
    from do_blockstore_async import Config, Throttle

    # A burst as wide as the line: the pace is not what is measured.
    throttle = Throttle(Config(windows=WINDOWS, burst=10 * count))
    used = 0

    async def call() -> None:
        nonlocal used
        async with throttle.acquire() as lease:
            await asyncio.sleep(0)
            used += 1
            lease.complete(_headers(used), 200)

    async def mixed() -> None:
        tasks = []
        for number in range(count):
            job = number % (2 * _JOBS)
            bulk = throttle.background(job, 1.0 + job) if job < _JOBS else nullcontext()
            with bulk:
                tasks.append(asyncio.ensure_future(call()))
        await asyncio.gather(*tasks)

    async def alone() -> None:
        for _ in range(count):
            await call()

    if name == "project-fair":
        return mixed
    return alone if name == "project-idle" else lambda: _together(call, count)


async def _together(call: Callable[[], Awaitable[None]], count: int) -> None:
    await asyncio.gather(*(call() for _ in range(count)))
