"""When to come back: a Retry-After for each refused request that turns out right.

Theory. A call that cannot be served before its deadline learns from the throttle when it could have
been, had it waited. A single caller told so is told the truth. A hundred callers refused at once
are all told the same moment, since none of them waits: they come back together, and ninety are
refused again. So each refused request is given a slot of its own: the k-th one that is still away
is told when k more requests than those waiting now will have been answered.

Background work would find the line empty meanwhile and take those slots, and newcomers with more
patience would wait for them; `Throttle.reserve_at` keeps them. Nobody is held to a promise: who
never comes leaves the slot to others a second later, who comes early waits like everybody. What
cannot be told apart is who comes back and who comes for the first time: a newcomer who finds a slot
free takes it, and while more requests arrive than the budget can serve, a promise can be overtaken.

Invariants:
1. A promise is never earlier than what the throttle itself said of the call.
2. Promises whose time has come are forgotten: what they were for is in the line, or gone.
3. At most `_MOST` are remembered, so a flood of refusals costs bounded time and memory.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush

from ... import BlockStore
from .problem_details import whole_seconds

__all__ = ["RetryTimes"]

_MOST = 1000


class RetryTimes:
    """Hands out times to come back, for one client.

    Args:
        store: whose budget it is.
    """

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._promised: list[float] = []

    @property
    def away(self) -> int:
        """How many were told a time that has not come yet."""
        self._forget(asyncio.get_running_loop().time())
        return len(self._promised)

    def promise(self, at_least_s: float = 0.0) -> int:
        """Whole seconds from now after which one more refused request may come back.

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
