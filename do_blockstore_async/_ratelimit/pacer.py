"""Space grants out: aiolimiter sets the pace, the ledger decides how many slots there are.

The API asks to space bursts out. Up to `burst` requests on an idle budget leave at once; beyond
them a window's requests are spread over a tenth of the window, which costs a large job half a
second in a hundred and a small one nothing. After a burst 429 they are spread evenly over a whole
window, for one window: another client is active then, and an even load surprises it least.

A limiter's rate cannot be changed, so each change is a new `AsyncLimiter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

__all__ = ["Pacer"]

_SPREAD = 0.1
_FINEST_S = 1e-4
_NEVER = float("inf")


class Pacer:
    """Spaces the grants of one throttle. Bound to the event loop that first uses it.

    Args:
        limit, length_s: of the shortest window.
        burst: requests that may leave at once on an idle budget.
    """

    __slots__ = (
        "_made",
        "_normal",
        "_period_s",
        "_smooth_until",
        "_turns",
        "interval_s",
        "unbound",
    )

    def __init__(self, limit: int, length_s: float, burst: int) -> None:
        self._smooth_until = -_NEVER
        self.resize(limit, length_s, burst)

    def resize(self, limit: int, length_s: float, burst: int) -> None:
        """Start again for a window of another size."""
        burst = min(burst, limit)
        self._normal = (float(burst), burst * length_s * _SPREAD / limit)
        self._use(*self._normal)

    def _use(self, turns: float, period_s: float) -> None:
        self._made: AsyncLimiter | None = None
        self._turns, self._period_s = turns, period_s
        self.interval_s = period_s / turns
        # An event loop cannot tell shorter intervals apart.
        self.unbound = self.interval_s < _FINEST_S

    @property
    def _limiter(self) -> AsyncLimiter:
        if self._made is None:
            # Imported late: it imports importlib.metadata, which takes longer than all of ours.
            from aiolimiter import AsyncLimiter

            self._made = AsyncLimiter(self._turns, self._period_s)
        return self._made

    def smooth(self, now: float, hold_s: float, slots: float) -> None:
        """Space `slots` requests evenly over the next `hold_s` seconds."""
        if now < self._smooth_until:
            return
        self._use(1.0, hold_s / max(slots, 1.0))
        self._smooth_until = now + hold_s

    def take(self, now: float) -> bool:
        """Take one turn if there is one now."""
        if self._smooth_until != -_NEVER and self._smooth_until <= now:
            self._smooth_until = -_NEVER
            self._use(*self._normal)
        if self.unbound:
            return True
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

    @property
    def burst(self) -> int:
        """How many turns an idle budget allows at once."""
        return int(self._turns)

    def turns_now(self) -> int:
        """How many turns could be taken at once."""
        if self.unbound:
            return self.burst
        low, high = 0, self.burst
        while low < high:
            middle = (low + high + 1) // 2
            if self._limiter.has_capacity(middle):
                low = middle
            else:
                high = middle - 1
        return low
