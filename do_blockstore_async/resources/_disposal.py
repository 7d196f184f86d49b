"""Large values are freed in a thread, part by part, however their last reference goes.

Python frees what nothing refers to any more at once, and holds its lock until everything that it
referred to is freed too: a plan of 800,000 steps stops all threads, and so the event loop, for
0.4 s. A thread that takes one part after the other out of a list lets others have their turn.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread
from collections import deque
from typing import Any, Final

from .._clock import boot_s

__all__ = ["MANY", "Disposal", "free_later"]

MANY: Final = 20_000
"""So few items are freed at once, in a few milliseconds."""

# Half the time it rests: asked for its turn, a thread that works on gives it after 5 ms.
_TURN_S: Final = 0.001


class Disposal:
    """Frees values in a thread, which lives while there are any.

    One thread for everything: each more would take its turn from the event loop.
    """

    def __init__(self) -> None:
        self._waiting: deque[list[Any]] = deque()
        self._is_working = allocate_lock()

    def free_later(self, parts: list[Any]) -> None:
        """Free what a list holds and nothing else refers to, one after the other.

        For `__del__`, and so in any thread at any moment: it waits for nothing, not for the start
        of the thread either.
        """
        self._waiting.append(parts)
        del parts
        if self._is_working.acquire(blocking=False):
            try:
                start_new_thread(self._work, ())
            except RuntimeError:  # The interpreter ends, or there are too many threads: at once.
                self._is_working.release()
                self._waiting.clear()

    def _work(self) -> None:
        nobody_releases = allocate_lock()
        nobody_releases.acquire()
        until_s = boot_s() + _TURN_S
        while True:
            while self._waiting:
                parts = self._waiting.popleft()
                while parts:
                    parts.pop()
                    if boot_s() > until_s:
                        nobody_releases.acquire(timeout=_TURN_S)
                        until_s = boot_s() + _TURN_S
            self._is_working.release()
            # What came after the last look has found the lock taken.
            if not self._waiting or not self._is_working.acquire(blocking=False):
                return

    def begin_anew(self) -> None:
        """Say, in a child process, that there is no thread at work, whatever the lock says."""
        self._is_working = allocate_lock()


_DISPOSAL: Final = Disposal()
free_later: Final = _DISPOSAL.free_later

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_DISPOSAL.begin_anew)
