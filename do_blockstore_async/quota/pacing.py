"""How fast free slots are spent: aiolimiter shapes, the ledger decides how many there are.

The API asks to space bursts out. Up to `burst` requests on an idle budget leave at once; beyond
them a window's requests are spread over a tenth of the window, which costs a large job half a
second in a hundred and a small one nothing. After a burst 429 they are spread evenly over a whole
window, for one window: then a neighbour is at work, and the fewer surprises the better.

A limiter's rate cannot be changed, so each change is a new `AsyncLimiter`.
"""

from __future__ import annotations

from aiolimiter import AsyncLimiter

__all__ = ["Pacer"]

_SPREAD = 0.1


class Pacer:
    """Spaces the grants of one throttle. Bound to the event loop that first uses it.

    Args:
        limit, length_s: of the shortest window.
        burst: requests that may leave at once on an idle budget.
    """

    __slots__ = ("_limiter", "_normal", "smooth_until")

    def __init__(self, limit: int, length_s: float, burst: int) -> None:
        self.smooth_until = -float("inf")
        self.resize(limit, length_s, burst)

    def resize(self, limit: int, length_s: float, burst: int) -> None:
        """Start afresh for a window of another size."""
        burst = min(burst, limit)
        self._normal = (float(burst), burst * length_s * _SPREAD / limit)
        self._limiter = AsyncLimiter(*self._normal)

    def smooth(self, now: float, hold_s: float, slots: float) -> None:
        """Space `slots` requests evenly over the next `hold_s` seconds."""
        if now < self.smooth_until:
            return
        self._limiter = AsyncLimiter(1, hold_s / max(slots, 1.0))
        self.smooth_until = now + hold_s

    def settle(self, now: float) -> None:
        """Go back to the normal pace once smoothing is over."""
        if self.smooth_until <= now and self.smooth_until > 0:
            self.smooth_until = -float("inf")
            self._limiter = AsyncLimiter(*self._normal)

    def take(self) -> bool:
        """Take one turn if there is one now."""
        if not self._limiter.has_capacity():
            return False
        taking = self._limiter.acquire()
        try:
            # With capacity at hand acquire() never suspends: it runs to its end in one step.
            taking.send(None)
        except StopIteration:
            return True
        taking.close()
        return False

    async def wait(self) -> None:
        """Take one turn, waiting for it. Called by the one dispatcher only."""
        await self._limiter.acquire()

    def turns_now(self) -> int:
        """How many turns could be taken at once."""
        low, high = 0, int(self._limiter.max_rate)
        while low < high:
            middle = (low + high + 1) // 2
            if self._limiter.has_capacity(middle):
                low = middle
            else:
                high = middle - 1
        return low

    @property
    def interval_s(self) -> float:
        """Seconds between two grants once the burst is spent."""
        return self._limiter.time_period / self._limiter.max_rate
