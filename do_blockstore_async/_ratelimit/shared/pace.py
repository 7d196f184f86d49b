"""The pace of all processes together: a leaky bucket in the log's time. Pure.

The generic cell rate algorithm (ITU-T I.371): one number, the time at which the bucket is empty
again. `pacer.py` has the figures: a burst at once, then a window's requests over a tenth of it;
after a burst 429 evenly over a whole window.
"""

from __future__ import annotations

from ..pure.window import Window

__all__ = ["SharedPace"]

_SPREAD = 0.1
_FINEST_S = 1e-4
_NEVER = float("inf")


class SharedPace:
    """Spaces the grants of one token.

    Attributes:
        due_at: when the bucket is empty again.
        seen_at: the newest time it was asked about.
    """

    __slots__ = ("burst", "due_at", "even_until", "interval_s", "normal", "seen_at")

    def __init__(self, burst: int, window: Window) -> None:
        self.due_at = self.even_until = self.seen_at = -_NEVER
        self.resize(burst, window)

    def resize(self, burst: int, window: Window) -> None:
        """Set the pace of a window of another size."""
        self.normal = (min(burst, window.limit), window.length_s * _SPREAD / window.limit)
        self.burst, self.interval_s = self.normal

    def spread_evenly(self, now: float, hold_s: float, slots: float) -> None:
        """Space `slots` requests evenly over the next `hold_s` seconds."""
        if now >= self.even_until:
            self.burst, self.interval_s = 1, hold_s / max(slots, 1.0)
            self.due_at = min(self.due_at, now + self.interval_s)
            self.even_until = now + hold_s

    def next_at(self, now: float) -> float:
        """When the next grant may leave; at most `now` if at once."""
        self.seen_at = max(self.seen_at, now)
        if self.even_until <= now and self.even_until > -_NEVER:
            self.even_until = -_NEVER
            self.burst, self.interval_s = self.normal
        if self.interval_s < _FINEST_S:
            return -_NEVER
        return self.due_at - (self.burst - 1) * self.interval_s

    def take(self, at: float) -> None:
        """Count one grant."""
        self.next_at(at)
        self.due_at = max(self.due_at, at) + self.interval_s

    def turns_now(self) -> int:
        """How many grants could leave at once, when it was last asked."""
        if self.interval_s < _FINEST_S:
            return self.burst
        full = max(0.0, self.due_at - self.seen_at) / self.interval_s
        return max(0, min(self.burst, int(self.burst - full + 1e-9)))
