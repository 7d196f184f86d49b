"""The one place that knows what time it is, waits, and draws random numbers.

Everything else receives time and jitter as arguments, or holds a `Clock`. `monotonic` is the
running event loop's own time, so a loop with virtual time makes every wait of the SDK virtual.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

__all__ = [
    "Clock",
    "boot_s",
    "finish",
    "new_name",
    "now_s",
    "pause",
    "run_to_completion",
    "seeded",
    "wait_for_event",
    "wait_until",
    "wall_s",
]


T = TypeVar("T")

# That of macOS goes on in its sleep too, which `time.monotonic` does not.
_DARWIN = time.CLOCK_MONOTONIC if sys.platform == "darwin" else None
_BOOT = getattr(time, "CLOCK_BOOTTIME", _DARWIN)


def seeded(seed: int | str) -> random.Random:
    """A reproducible random generator: the same seed draws the same numbers on every machine."""
    return random.Random(seed)  # noqa: S311 -- shapes tests and jitter, guards no secret


def now_s() -> float:
    """Seconds on the running loop's clock; only differences mean anything."""
    return asyncio.get_running_loop().time()


def finish(future: asyncio.Future[None]) -> None:
    """Resolve a future that others may have resolved or cancelled already."""
    if not future.done():
        future.set_result(None)


def new_name() -> str:
    """A name that nobody else has: 64 random bits."""
    return os.urandom(8).hex()


def boot_s() -> float:
    """Seconds on a clock that nobody can set, shared by all processes of this machine.

    Where the system has it, it goes on while the machine is suspended.
    """
    return time.clock_gettime(_BOOT) if _BOOT is not None else time.monotonic()


def wall_s() -> float:
    """The wall clock in seconds since the epoch, which can be set."""
    return time.time()


async def pause(delay_s: float) -> None:
    """Wait `delay_s` seconds on the loop's clock."""
    await asyncio.sleep(delay_s)


async def wait_until(future: asyncio.Future[None], at_s: float) -> None:
    """Wait for a future, and resolve it at `at_s` on the loop's clock; infinity means never."""
    timer = future.get_loop().call_at(at_s, finish, future) if at_s < math.inf else None
    try:
        await future
    finally:
        if timer is not None:
            timer.cancel()


async def wait_for_event(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait until `event` is set, `timeout_s` seconds at most; return whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
    # Both may have come in the same turn of the loop.
    return event.is_set()


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a task of its own, and wait for its end even if cancelled meanwhile.

    Raises:
        CancelledError: the waiting task was cancelled; raised once the work has ended.
        BaseException: what the work raised; it takes precedence.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    try:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error  # kept for later: the work goes on
        result = task.result()
        if cancelled is not None:
            raise cancelled
        return result
    finally:
        # What is raised refers to this frame: in a circle, only the collector would let go of it
        # and of all that the frames around it hold.
        del task, cancelled


class Clock:
    """Time, waiting and jitter for one client.

    Args:
        seed: makes the jitter reproducible; by default it is drawn from the system.
    """

    __slots__ = ("_random",)

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- jitter, not a secret

    def monotonic(self) -> float:
        """Seconds on the running loop's clock; only differences mean anything."""
        return asyncio.get_running_loop().time()

    def utc_now(self) -> datetime:
        """The wall clock as an aware datetime. For names and reports, never for waiting."""
        return datetime.now(UTC)

    def wall_s(self) -> float:
        """The wall clock in seconds since the epoch."""
        return time.time()

    def jitter(self) -> float:
        """A number in [0, 1), evenly spread."""
        return self._random.random()

    async def sleep(self, delay_s: float) -> None:
        """Wait `delay_s` seconds; zero or less still gives other tasks a turn."""
        await asyncio.sleep(max(0.0, delay_s))
