"""Waiting for something to the end, whoever loses patience."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["outlast"]

T = TypeVar("T")


async def outlast(work: Coroutine[Any, Any, T]) -> T:
    """Do the work in a task of its own, and wait until it has ended, also when cancelled meanwhile.

    Raises:
        CancelledError: it was cancelled; raised once the work has ended.
        BaseException: what the work raised; this goes first.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
