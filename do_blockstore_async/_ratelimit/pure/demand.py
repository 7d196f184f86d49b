"""Estimates of what others use of one window: how much they want, and how much they got. Pure.

`Demand` is a rate, measured only while the window has room: a full window shows how much others
got, not how much they want, and a client that took all the rest would never find out.
`ShortWindow` joins it with what is known to have been spent, for a window no header speaks of.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Demand", "ShortWindow"]

_BUCKETS = 12
_SCATTER = 0.7
_NEVER = float("inf")


class Demand:
    """What others would use of a window at the rate they had while there was room.

    Args:
        hold_s: the window's length.
        cap: no estimate is larger, so that nobody is driven out by an estimate.
    """

    __slots__ = ("_arrivals", "_cap", "_hold_s", "_seconds")

    def __init__(self, hold_s: float, cap: float) -> None:
        self._hold_s = hold_s
        self._cap = cap
        # The others' arrivals while there was room, and for how long that was; both fade.
        self._arrivals = 0.0
        self._seconds = 0.0

    def watch(self, seconds: float, arrivals: float) -> None:
        """While the window had room for `seconds`, others made `arrivals` requests."""
        fade = max(0.0, 1.0 - seconds / self._hold_s)
        self._arrivals = self._arrivals * fade + arrivals
        self._seconds = self._seconds * fade + seconds

    def estimate(self) -> float:
        """Requests in one window."""
        if self._arrivals <= 0.0:
            return 0.0
        seconds = max(self._seconds, self._hold_s / _BUCKETS)
        return min(self._arrivals / seconds * self._hold_s, self._cap)


class ShortWindow:
    """The others' use of one window that no header speaks of."""

    __slots__ = (
        "burden",
        "burden_until",
        "cap",
        "demand",
        "doubt",
        "hold_s",
        "marks",
        "share",
        "tick_s",
    )

    def __init__(self, hold_s: float, share: float, cap: float) -> None:
        self.hold_s = hold_s
        self.share = share
        self.cap = cap
        self.tick_s = hold_s / _BUCKETS
        self.demand = Demand(hold_s, cap)
        # (bucket number, largest estimate seen in it); the first one is the base of the growth.
        self.marks: deque[tuple[int, float]] = deque()
        self.burden = 0.0
        self.doubt = 0.0
        self.burden_until = -_NEVER

    def note(self, now: float, used: float) -> None:
        bucket = int(now / self.tick_s)
        marks = self.marks
        if marks and marks[-1][0] == bucket:
            if used > marks[-1][1]:
                marks[-1] = (bucket, used)
        else:
            marks.append((bucket, used))
            self._forget(bucket)

    def _forget(self, bucket: int) -> None:
        marks = self.marks
        while len(marks) > 1 and marks[1][0] <= bucket - _BUCKETS:
            marks.popleft()

    def estimate(self, now: float, spread: float) -> float:
        """What others use of the window; `spread` is their average share of the longest one."""
        seen = max(self.growth(now), self.demand.estimate(), min(spread, self.cap))
        # Arrivals scatter, and the newest ones are not seen yet.
        seen += _SCATTER * math.sqrt(seen)
        return max(seen, self.burden) if now < self.burden_until else seen

    def growth(self, now: float) -> float:
        bucket = int(now / self.tick_s)
        self._forget(bucket)
        marks = self.marks
        if len(marks) < 2:
            return 0.0
        (then, base), (after, next_base) = marks[0], marks[1]
        # Between two samples far apart, others are taken to have spent evenly.
        passed = min(1.0, max(0.0, (bucket - _BUCKETS - then) / (after - then)))
        base += (next_base - base) * passed
        return max(0.0, marks[-1][1] - base)
