"""When to return: a Retry-After for each rejected request that turns out right.

Theory. A call that cannot be served before its deadline learns from the throttle when it could have
been, had it waited. That is right for a single caller. A hundred callers rejected at once would
all get the same time, since none of them waits: they return together, and ninety are rejected
again. So each rejected request gets a slot of its own: the k-th one that has not returned yet is
given the time at which k more requests than those waiting now will have been answered.

Background work would find the queue empty meanwhile and take those slots, and newcomers with longer
deadlines would wait for them; `Throttle.reserve_at` keeps them. A reservation binds no caller: one
that never returns leaves the slot to others a second later, one that returns early waits as usual.
Returning callers and newcomers cannot be told apart: a newcomer that finds a slot free takes it,
and while more requests arrive than the budget can serve, a reservation can be overtaken.

Invariants:
1. A promise is never earlier than what the throttle itself said of the call.
2. Promises whose time has come are forgotten: their requests are queued, or will not return.
3. At most `_MOST` are remembered, so a flood of rejections costs bounded time and memory.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush

from ... import BlockStore
from .problem_details import whole_seconds

__all__ = ["RetryTimes"]

_MOST = 1000


class RetryTimes:
    """Give each rejected request a time to return, for one client.

    Args:
        store: whose budget it is.
    """

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._promised: list[float] = []

    @property
    def away(self) -> int:
        """How many were given a time that has not come yet."""
        self._forget(asyncio.get_running_loop().time())
        return len(self._promised)

    def promise(self, at_least_s: float = 0.0) -> int:
        """Return the whole seconds after which one more rejected request may return.

        Args:
            at_least_s: what the error said.
        """
        now = asyncio.get_running_loop().time()
        self._forget(now)
        ahead = len(self._promised)
        free_in = self._store.throttle.forecast(ahead + 1, background=False).total_seconds()
        wait_s = whole_seconds(max(at_least_s, free_in))
        if ahead < _MOST:
            heappush(self._promised, now + wait_s)
            self._store.throttle.reserve_at(wait_s)
        return wait_s

    def _forget(self, now: float) -> None:
        while self._promised and self._promised[0] <= now:
            heappop(self._promised)
