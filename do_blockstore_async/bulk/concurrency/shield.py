"""Wait for a coroutine to finish even if the waiting task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_to_completion"]

T = TypeVar("T")


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a task of its own, and wait for its end even if cancelled meanwhile.

    Raises:
        CancelledError: the waiting task was cancelled; raised once the work has ended.
        BaseException: what the work raised; it takes precedence.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error  # kept for later: the work goes on
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
