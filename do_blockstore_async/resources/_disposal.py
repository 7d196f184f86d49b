"""Large values are freed little by little, however their last reference goes.

Python frees what nothing refers to any more immediately, and holds its lock until all that it
referred to is freed too: a plan of 800,000 steps stops all threads, and so the event loop, for
0.4 s. Freed a few hundred items at a time, others have their turn in between: in a thread, other
threads; where a loop is running, whatever else it has to do.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final
from weakref import WeakValueDictionary

from .._clock import boot_s, pause

__all__ = ["MANY", "Disposal", "all_freed", "free_parts"]

MANY: Final = 20_000
"""As many items are freed in a few milliseconds: fewer need not be parted."""

_SLICE_S: Final = 0.002
_AT_ONCE: Final = 500


class _Doomed(list[Any]):
    """What is to be freed in a loop. Its next call holds it: a loop that is closed frees it."""


class Disposal:
    """Frees values, in each loop one after the other: many at a time would take long again."""

    def __init__(self) -> None:
        self._waiting: WeakValueDictionary[int, _Doomed] = WeakValueDictionary()

    def free_parts(self, parts: list[Any]) -> None:
        """Free what only this list still refers to; for `__del__`, and so in any thread.

        Args:
            parts: of a value: collections of items. If they are few, the caller frees them.
        """
        if sum(map(len, parts)) <= MANY:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            while parts:
                _free_some(parts)
            return
        waiting = self._waiting.get(id(loop))
        if waiting is None:
            waiting = self._waiting[id(loop)] = _Doomed()
            loop.call_soon(self._free_a_slice, loop, waiting)
        waiting += parts

    async def all_freed(self) -> None:
        """Wait until all that was dropped so far in this loop is freed."""
        while id(asyncio.get_running_loop()) in self._waiting:
            await pause(0)

    def _free_a_slice(self, loop: asyncio.AbstractEventLoop, waiting: _Doomed) -> None:
        """Free as many as can be in one turn of the loop, and the rest in the next ones."""
        until_s = boot_s() + _SLICE_S
        while waiting and boot_s() < until_s:
            _free_some(waiting)
        if waiting:
            loop.call_soon(self._free_a_slice, loop, waiting)
        else:
            del self._waiting[id(loop)]


def _references(parts: list[Any]) -> int:
    part = parts[-1]
    return sys.getrefcount(part)


# How many there are of a part that nothing else refers to, whatever the version of Python counts.
_OWN_REFERENCES: Final = _references([{}])


def _free_some(parts: list[Any]) -> None:
    # What an iterator, say, refers to is only let go of.
    is_own = _references(parts) <= _OWN_REFERENCES
    part = parts[-1]
    if isinstance(part, dict) and len(part) > _AT_ONCE and is_own:
        for _ in range(_AT_ONCE):
            part.popitem()
    else:
        parts.pop()


_DISPOSAL: Final = Disposal()
free_parts: Final = _DISPOSAL.free_parts
all_freed: Final = _DISPOSAL.all_freed
