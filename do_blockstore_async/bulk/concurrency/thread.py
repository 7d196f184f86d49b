"""Run work that takes the processor for long in a thread, so that the event loop keeps turning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns; without a thread where the system has none to give.

    The interpreter switches between threads every 5 ms, so the loop stands still no longer. The
    work runs to its end even if the caller is cancelled; then its result is lost.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="bulk")
    try:
        result = asyncio.get_running_loop().run_in_executor(pool, work)
    except RuntimeError:
        return work()
    try:
        return await result
    finally:
        pool.shutdown(wait=False)
