"""Large values are freed part by part, however their last reference goes.

Python frees what nothing refers to any more immediately, and holds its lock until all that it
referred to is freed too: a plan of 800,000 steps stops all threads, and so the event loop, for
0.4 s. Freed part by part, others have their turn in between: in a thread, other threads; where a
loop is running, whatever else it has to do.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from .._clock import boot_s

__all__ = ["MANY", "free_parts"]

MANY: Final = 20_000
"""As many items are freed in a few milliseconds: fewer need not be parted."""

_SLICE_S: Final = 0.001


def free_parts(parts: list[Any]) -> None:
    """Free what only this list still refers to; for `__del__`, and so in any thread.

    Args:
        parts: of the value: collections of items. Few of them are left to the caller to free.
    """
    if sum(map(len, parts)) <= MANY:
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        while parts:
            parts.pop()
    else:
        loop.call_soon(_free_some, loop, parts)


def _free_some(loop: asyncio.AbstractEventLoop, parts: list[Any]) -> None:
    """Free as many as can be in one turn of the loop, and the rest in the next ones."""
    until_s = boot_s() + _SLICE_S
    while parts and boot_s() < until_s:
        parts.pop()
    if parts:
        loop.call_soon(_free_some, loop, parts)
