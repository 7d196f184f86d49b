"""Waiting, by the running event loop's own clock."""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["now_s", "pause"]


def now_s() -> float:
    """Seconds on the running loop's clock; only differences mean anything."""
    return asyncio.get_running_loop().time()


async def pause(seconds: float, over: asyncio.Event | None = None) -> None:
    """Wait so long, or until `over` is set."""
    event = asyncio.Event() if over is None else over
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
