"""Time out attempts, with one timer for all of them.

Every attempt has the same timeout, so they time out in the order in which they began: one timer,
armed for the oldest, does what a timer for each would do. Those hardly ever fire, and creating,
sorting and dropping them would cost a tenth of a whole request.

N1. A scope that has begun and not ended when its time is up is made to expire then.
N2. While a scope is in flight the timer is armed, for the time of the oldest or an earlier one.
"""

from __future__ import annotations

import asyncio

__all__ = ["AttemptTimer"]


class AttemptTimer:
    """Give each scope the same timeout.

    Args:
        limit_s: the timeout in seconds.
    """

    __slots__ = ("_limit_s", "_loop", "_timer", "_until")

    def __init__(self, limit_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit_s = limit_s
        # A dict keeps its order, and lets go of any entry at once.
        self._until: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, scope: asyncio.Timeout, now: float) -> None:
        """Start the timeout of the entered `scope` at the loop time `now`."""
        until = self._until[scope] = now + self._limit_s
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._on_timer)

    def end(self, scope: asyncio.Timeout) -> None:
        """Drop `scope`; harmless if it never began."""
        self._until.pop(scope, None)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        for scope, until in self._until.items():
            if until > now:
                self._timer = self._loop.call_at(until, self._on_timer)
                return
            expire(scope, now)

    def close(self) -> None:
        """Drop every scope and the timer."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def expire(scope: asyncio.Timeout, now: float) -> None:
    """Make `scope`, which is entered, expire at once; harmless if it is doing so already."""
    if not scope.expired():
        scope.reschedule(now)
