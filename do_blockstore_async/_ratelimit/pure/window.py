"""One window of the budget and one hold on it: the ledger's two small pieces. Pure.

Slots come free in the order in which requests end, so a window needs no more than two queues of
release times, one for answered and one for lost requests, each in rising order by itself; requests
in flight are a count the ledger keeps for all windows. Every operation is O(1), amortized.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["LeaseRecord", "Window"]

_NEVER = float("inf")


class LeaseRecord:
    """One transmission's hold on the budget, from the grant until it is closed."""

    __slots__ = ("counted_at_send", "held_at_send", "is_open", "probe", "sent_at", "seq")

    seq: int
    counted_at_send: int
    held_at_send: int
    sent_at: float
    probe: bool
    is_open: bool


class Window:
    """One limit: `limit` requests in `length_s` seconds."""

    __slots__ = (
        "answered",
        "edge",
        "full_at",
        "hold_s",
        "length_s",
        "limit",
        "lost",
        "reserved",
        "share",
        "tick_s",
    )

    def __init__(self, limit: int, length_s: float, window_margin_s: float, share: float) -> None:
        self.length_s = length_s
        self.hold_s = length_s + window_margin_s
        self.share = share
        self.tick_s = length_s / 60
        self.answered: deque[float] = deque()
        self.lost: deque[float] = deque()
        self.full_at = -_NEVER  # when it was last full
        self.resize(limit)

    def resize(self, limit: int) -> None:
        """Set the limit, and with it the reserve; one slot always stays outside the reserve."""
        self.limit = limit
        self.edge = min(16, limit // 20)
        self.reserved = min(math.ceil(limit * self.share - 1e-9), limit - 1)

    def closed(self, now: float) -> int:
        """How many closed requests still hold a slot."""
        answered, lost = self.answered, self.lost
        while answered and answered[0] <= now:
            answered.popleft()
        while lost and lost[0] <= now:
            lost.popleft()
        return len(answered) + len(lost)

    def next_release(self) -> float:
        """When the next slot comes free by itself; infinity when all wait for a response."""
        first = self.answered[0] if self.answered else _NEVER
        return min(first, self.lost[0]) if self.lost else first

    def last_release(self) -> float:
        """When the last of these slots comes free; 0 when all wait for a response."""
        last = self.answered[-1] if self.answered else 0.0
        return max(last, self.lost[-1]) if self.lost else last
