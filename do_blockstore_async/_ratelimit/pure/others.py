"""What others spend of the same token, read from the headers of our own answers.

The server announces, for the longest window only, how much remains of which limit. So

    used by others = limit - remaining - used by us

where "used by us" is not known exactly, but lies between two bounds. At most it is what the ledger
held when the answered request was sent, and all that was sent after it: this gives a lower bound
for the others that is exactly zero while we are alone, which keeps a lone client at full speed. At
least it is what had been answered by then. The estimate moves only when a bound pushes it.

For the longest window the server's own figure is the gate: `remaining` of the newest sample, less
what was sent since, plus what of ours has expired since (`credit - held`). Others who are at work
are left what they lately had of it, and what they are on the way to at their rate; a predecessor
that has gone is not. For the shorter windows, of which no header speaks, the estimate is the
largest of three: the growth of the others' use over one such window, their average share of the
longest one, and what their rate would make of it (`demand.py`). For one window it is raised by what
a predecessor may have spent just before our first answer, and by a burst 429, which says that the
window was full, and not of ours.

Invariants:
 1. Alone on the token every estimate is zero.
 2. Only the newest sample (by order of sending) counts; a stale answer can lower what is left,
    and never raises it.
 3. Every estimate ages: without new samples it ends after its window, so nothing can stall.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .demand import Demand, ShortWindow

__all__ = ["Others"]

_CLEAR_RISE = 2
_ALIVE_SHARE = 1 / 4
_NEVER = float("inf")


class Others:
    """Estimates of what others use of the token.

    Args:
        windows: (hold_s, length_s, limit) of each window, the longest last.
    """

    __slots__ = (
        "_demand",
        "_heard_at",
        "_last_remaining",
        "_longest_s",
        "_low",
        "_newest_seq",
        "_short",
        "announced",
        "credit",
        "peak",
        "peak_at",
        "quiet",
        "risen_at",
        "sampled_at",
        "used",
    )

    def __init__(self, windows: list[tuple[float, float, int]]) -> None:
        hold_s, longest_s, _ = windows[-1]
        self._longest_s = hold_s
        self._short = [
            ShortWindow(hold, length / longest_s, limit / 2) for hold, length, limit in windows[:-1]
        ]
        self._demand = Demand(hold_s, windows[-1][2] / 2)
        self._newest_seq = -1
        self.announced: int | None = None
        self.credit: float | None = None
        self.sampled_at = -_NEVER
        self.used = 0.0
        self.peak = 0.0
        self._low = 0.0
        self._last_remaining = 0
        self._heard_at = -_NEVER
        self.peak_at = -_NEVER
        self.risen_at = -_NEVER
        self.quiet = True

    def sample(
        self,
        now: float,
        seq: int,
        sent_at: float,
        remaining: int,
        limit: int,
        held_at_send: int,
        sent_since: int,
        held_now: int,
        counted_at_send: int,
        oldest_age_s: float | None,
        room: Callable[[float], list[bool]],
    ) -> bool:
        """Take in what one answer said; False when a later request was answered before.

        Args:
            seq: number of the answered request in the order of sending.
            sent_at: when it was sent.
            remaining, limit: of the longest window.
            held_at_send: slots of the longest window we held when it was sent, itself included.
            sent_since: requests we sent after it, before its answer.
            held_now: slots of it we hold now.
            counted_at_send: of these slots, the ones the server had certainly counted.
            oldest_age_s: age of the oldest request the server still counts, where known. Only
                looked at in the first sample.
            room: tells for each short window whether it has had room since the last sample; asked
                only while others are at work.
        """
        if seq < self._newest_seq:
            # It may have been counted later than the newest all the same: then less is left.
            if self.credit is not None:
                self.credit = min(self.credit, float(remaining + held_now))
                self._last_remaining, self._heard_at = remaining, now
            return False
        first = self._newest_seq < 0
        self._newest_seq = seq
        elapsed_s, self.sampled_at = now - self.sampled_at, now
        self.announced = limit
        self.credit = float(remaining + held_at_send)
        if sent_at < self._heard_at:
            # Sent before the last answer came: who was counted first is not known.
            self.credit = min(self.credit, float(self._last_remaining + held_now))
        self._last_remaining, self._heard_at = remaining, now
        spent = limit - remaining
        used_before = self.used
        used = max(used_before, float(spent - held_at_send - sent_since))
        self.used = used = max(0.0, min(used, float(spent - counted_at_send)))
        if used == 0 and self.quiet:
            return True
        had_rooms = room(now)
        self._low = used if first else min(self._low, used)
        if used >= self._low + _CLEAR_RISE:
            self.risen_at = now
            self._low = used
        if used >= self.peak or now - self.peak_at > self._longest_s or not self.alive(now):
            self.peak, self.peak_at = used, now
        if not first and remaining > 1:
            self._demand.watch(elapsed_s, used - used_before)
        self.quiet = used == 0 and all(
            now > window.burden_until and window.growth(now) == 0 for window in self._short
        )
        for window, had_room in zip(self._short, had_rooms, strict=True):
            if first:
                self._inherit(window, now, used, oldest_age_s)
            elif had_room:
                window.demand.watch(elapsed_s, used - used_before)
            window.note(now, used)
        return True

    def _inherit(
        self, window: ShortWindow, now: float, used: float, oldest_age_s: float | None
    ) -> None:
        """What a predecessor used may all lie in this very window, or be spread over the long."""
        window.burden_until = now + window.hold_s
        window.doubt = used
        age_s = self._longest_s if oldest_age_s is None else oldest_age_s
        window.burden = used * min(1.0, window.hold_s / max(age_s, window.hold_s))

    def refused(self, index: int, now: float, at_least: float) -> None:
        """A short window was full although we hold less: the rest is the others'."""
        window = self._short[index]
        self.quiet = False
        if now > window.burden_until:
            window.burden = window.doubt = 0.0
        window.burden = max(window.burden, at_least)
        window.doubt = max(window.doubt, window.burden)
        window.burden_until = now + window.hold_s

    def in_window(self, index: int, now: float) -> float:
        """What others use of the short window `index`."""
        if self.quiet:
            return 0.0
        window = self._short[index]
        return window.estimate(now, self.long_use(now) * window.share)

    def growth(self, index: int, now: float) -> float:
        """How many requests others are known to have made in the short window `index`."""
        return 0.0 if self.quiet else self._short[index].growth(now)

    def doubt(self, index: int, now: float) -> float:
        """What others may use of the short window `index` if the worst is true."""
        if self.quiet:
            return 0.0
        window = self._short[index]
        return window.doubt if now < window.burden_until else 0.0

    def burden_until(self, index: int) -> float:
        """When the burden on the short window `index` is over."""
        return self._short[index].burden_until

    def _faded(self, now: float) -> float:
        return min(1.0, max(0.0, (now - self.sampled_at) / self._longest_s))

    def long_use(self, now: float) -> float:
        """What others use of the longest window; what the newest sample says fades over it."""
        return self.used * (1.0 - self._faded(now))

    def left(self, now: float, held: int) -> float:
        """What the server has left in the longest window by its newest sample, taken literally."""
        if self.credit is None or now - self.sampled_at > self._longest_s:
            return _NEVER
        return self.credit - held

    def alive(self, now: float) -> bool:
        """Whether others are at work now, rather than a predecessor that has gone."""
        return now - self.risen_at < self._longest_s * _ALIVE_SHARE

    def left_for_us(self, now: float, held: int) -> float:
        """What is left once those at work have what they lately had, and what they are after.

        A full window that others refill as it expires must not be taken from them slot by slot,
        whenever one of theirs has just run out; and one that is filling up is theirs too.
        """
        left = self.left(now, held)
        if not self.alive(now):
            return left
        demand = self._demand.estimate()
        return left - max(0.0, self.peak - self.used, demand + math.sqrt(demand) - self.used)

    def left_with_fading(self, now: float, held: int) -> float:
        """The same, supposing that what others used expires evenly while nobody looks."""
        if self.credit is None:
            return _NEVER
        return self.left(now, held) + self.used * self._faded(now)
