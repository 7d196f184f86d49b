"""Estimate what other clients use of the same token, from the headers of our own responses. Pure.

The server announces, for the longest window only, how much remains of which limit. So

    used by others = limit - remaining - used by us

where "used by us" lies between two bounds. At most it is what the ledger held when the request was
sent, and all that was sent after it: this gives a lower bound for the others that is exactly zero
while we are alone, which keeps a lone client at full speed. At least it is what had been answered
by then. The estimate moves only when a bound pushes it. How the shorter windows, of which no header
speaks, are estimated, and why: docs/design/budget.md.

Invariants:
 1. Alone on the token every estimate is zero.
 2. Only the newest sample (by order of sending) counts; a stale response can lower what remains,
    and never raises it.
 3. Every estimate ages: without new samples it ends after its window, so nothing can stall.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import msgspec

__all__ = ["OtherClients", "ServerSample", "doubt"]

_CLEAR_RISE = 2
_ACTIVE_SHARE = 1 / 4
_BUCKETS = 12
_SCATTER = 0.7
_NEVER = float("inf")


class ServerSample(msgspec.Struct, frozen=True, gc=False):
    """What one response says of the longest window, and what was held here around it.

    Attributes:
        seq: number of the answered request in the order of sending.
        sent_at: when it was sent, seconds.
        remaining, limit: as the server announced them.
        held_at_send: slots we held when it was sent, itself included.
        sent_since: requests we sent after it, before its response.
        held_now: slots we hold now.
        counted_at_send: of those held at sending, the ones the server had certainly counted.
        oldest_age_s: age of the oldest request the server still counts, where known; used of the
            first sample only.
    """

    seq: int
    sent_at: float
    remaining: int
    limit: int
    held_at_send: int
    sent_since: int
    held_now: int
    counted_at_send: int
    oldest_age_s: float | None


class DemandEstimate:
    """The rate of other clients, in requests of one window, measured only while there was room.

    A full window shows how much others got, not how much they want, and a client that took all the
    rest would never find out.

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

    def observe(self, seconds: float, arrivals: float) -> None:
        """Take in that others made `arrivals` requests in `seconds` while there was room."""
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
    """The others' use of one window that no header speaks of.

    Attributes:
        at_most: what neither `estimate`, with as much again as it may be wrong, nor `worst_case`
            reaches before the next observation.
    """

    __slots__ = (
        "at_most",
        "cap",
        "demand",
        "hold_s",
        "inherited_load",
        "inherited_until",
        "marks",
        "share",
        "tick_s",
        "worst_case",
    )

    def __init__(self, hold_s: float, share: float, cap: float) -> None:
        self.hold_s = hold_s
        self.share = share
        self.cap = cap
        self.tick_s = hold_s / _BUCKETS
        self.demand = DemandEstimate(hold_s, cap)
        # (bucket number, largest estimate in it); the first one is the base of the growth.
        self.marks: deque[tuple[int, float]] = deque()
        self.inherited_load = 0.0
        self.worst_case = 0.0
        self.inherited_until = -_NEVER
        self.at_most = 0.0

    def observe(self, now: float, used: float) -> None:
        """Take in the estimate of the longest window: its growth is use of this one."""
        bucket = int(now / self.tick_s)
        marks = self.marks
        if marks and marks[-1][0] == bucket:
            if used <= marks[-1][1]:
                return
            marks[-1] = (bucket, used)
        else:
            marks.append((bucket, used))
            self._forget(bucket)
        self.bound(now)

    def bound(self, now: float) -> None:
        """Compute `at_most`, after anything that may raise it."""
        seen = self.cap
        if self.marks:
            uses = [used for _, used in self.marks]
            seen = max(seen, max(uses) - min(uses))
        seen = _scattered(seen)
        if now < self.inherited_until:
            seen = max(seen, self.inherited_load, self.worst_case)
        self.at_most = seen + doubt(seen) + 1.0

    def _forget(self, bucket: int) -> None:
        marks = self.marks
        while len(marks) > 1 and marks[1][0] <= bucket - _BUCKETS:
            marks.popleft()

    def estimate(self, now: float, spread: float) -> float:
        """What others use of the window; `spread` is their average share of the longest one."""
        seen = _scattered(max(self.growth(now), self.demand.estimate(), min(spread, self.cap)))
        return max(seen, self.inherited_load) if now < self.inherited_until else seen

    def growth(self, now: float) -> float:
        """Requests that others are known to have made within this window."""
        bucket = int(now / self.tick_s)
        self._forget(bucket)
        marks = self.marks
        if len(marks) < 2:
            return 0.0
        (then, base), (after, next_base) = marks[0], marks[1]
        # Between two samples far apart, others are assumed to have spent evenly.
        passed = min(1.0, max(0.0, (bucket - _BUCKETS - then) / (after - then)))
        base += (next_base - base) * passed
        return max(0.0, marks[-1][1] - base)


def _scattered(seen: float) -> float:
    # Arrivals scatter (about the root of their number), and the newest are not reported yet.
    return seen + _SCATTER * math.sqrt(seen)


def doubt(estimate: float) -> float:
    """By how much an estimate may be wrong: within it of a limit, few requests are sent."""
    return 2 * math.sqrt(estimate)


class OtherClients:
    """What other clients use of the token.

    Args:
        windows: (hold_s, length_s, limit) of each window, the longest last.
    """

    __slots__ = (
        "_demand",
        "_last_remaining",
        "_last_response_at",
        "_longest_s",
        "_low",
        "_newest_seq",
        "_short",
        "announced",
        "credit",
        "idle",
        "peak",
        "peak_at",
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
        self._demand = DemandEstimate(hold_s, windows[-1][2] / 2)
        self._newest_seq = -1
        self.announced: int | None = None
        self.credit: float | None = None
        self.sampled_at = -_NEVER
        self.used = 0.0
        self.peak = 0.0
        self._low = 0.0
        self._last_remaining = 0
        self._last_response_at = -_NEVER
        self.peak_at = -_NEVER
        self.risen_at = -_NEVER
        self.idle = True

    def observe(
        self, now: float, sample: ServerSample, room: Callable[[float], list[bool]]
    ) -> bool:
        """Take in one response; return False when a later request was answered before.

        Args:
            now: seconds.
            sample: what the response says.
            room: tells for each short window whether it has had room since the last sample; called
                only while others are active.
        """
        if sample.seq < self._newest_seq:
            # It may have been counted later than the newest all the same: then less remains.
            if self.credit is not None:
                self.credit = min(self.credit, float(sample.remaining + sample.held_now))
                self._last_remaining, self._last_response_at = sample.remaining, now
            return False
        first = self._newest_seq < 0
        self._newest_seq = sample.seq
        elapsed_s, self.sampled_at = now - self.sampled_at, now
        self._update_credit(now, sample)
        used_before = self.used
        self.used = used = self._bounded_use(sample)
        if used == 0 and self.idle:
            # Alone on the token: the common case ends here.
            return True
        rooms = room(now)
        self._update_activity(now, used, first)
        # With nothing remaining their arrivals are bounded by the limit, not by their demand.
        if not first and sample.remaining > 1:
            self._demand.observe(elapsed_s, used - used_before)
        self.idle = used == 0 and all(
            now > window.inherited_until and window.growth(now) == 0 for window in self._short
        )
        for window, had_room in zip(self._short, rooms, strict=True):
            if first:
                self._inherit(window, now, sample.oldest_age_s)
            elif had_room:
                window.demand.observe(elapsed_s, used - used_before)
            window.observe(now, used)
        return True

    def _update_credit(self, now: float, sample: ServerSample) -> None:
        """What the server had left for all that we hold: `credit - held` remains at any time."""
        remaining = sample.remaining
        credit = float(remaining + sample.held_at_send)
        if sample.sent_at < self._last_response_at:
            # Sent before the last response came: which was counted first is not known.
            credit = min(credit, float(self._last_remaining + sample.held_now))
        self.announced, self.credit = sample.limit, credit
        self._last_remaining, self._last_response_at = remaining, now

    def _bounded_use(self, sample: ServerSample) -> float:
        """The estimate so far, moved only as far as a bound on our own use pushes it."""
        spent = sample.limit - sample.remaining
        at_least = spent - sample.held_at_send - sample.sent_since
        at_most = spent - sample.counted_at_send
        return max(0.0, min(max(self.used, float(at_least)), float(at_most)))

    def _update_activity(self, now: float, used: float, first: bool) -> None:
        self._low = used if first else min(self._low, used)
        # One request more may be our own, counted late: only a clear rise shows somebody at work.
        if used >= self._low + _CLEAR_RISE:
            self.risen_at = now
            self._low = used
        if used >= self.peak or now - self.peak_at > self._longest_s or not self.active(now):
            self.peak, self.peak_at = used, now

    def _inherit(self, window: ShortWindow, now: float, oldest_age_s: float | None) -> None:
        """Charge a short window with what was spent before our first response.

        It may all lie in this very window (the worst case), or be spread over the longest one.
        """
        used = self.used
        window.inherited_until = now + window.hold_s
        window.worst_case = used
        age_s = self._longest_s if oldest_age_s is None else oldest_age_s
        # Spread evenly over the time since the oldest counted request.
        window.inherited_load = used * min(1.0, window.hold_s / max(age_s, window.hold_s))

    def refused(self, index: int, now: float, at_least: float) -> None:
        """Charge a short window that was full although we hold less: the rest is the others'."""
        window = self._short[index]
        self.idle = False
        if now > window.inherited_until:
            window.inherited_load = window.worst_case = 0.0
        window.inherited_load = max(window.inherited_load, at_least)
        window.worst_case = max(window.worst_case, window.inherited_load)
        window.inherited_until = now + window.hold_s
        window.bound(now)

    def in_window(self, index: int, now: float) -> float:
        """What others use of the short window `index`."""
        if self.idle:
            return 0.0
        window = self._short[index]
        return window.estimate(now, self.long_use(now) * window.share)

    def growth(self, index: int, now: float) -> float:
        """How many requests others are known to have made in the short window `index`."""
        return 0.0 if self.idle else self._short[index].growth(now)

    def worst_case(self, index: int, now: float) -> float:
        """What others use of the short window `index` at the very most."""
        if self.idle:
            return 0.0
        window = self._short[index]
        return window.worst_case if now < window.inherited_until else 0.0

    def at_most(self, index: int) -> float:
        """What others use of the short window `index` at most, until something is heard.

        Where as much is free, neither their estimate nor the worst case need be computed.
        """
        return 0.0 if self.idle else self._short[index].at_most

    def inherited_until(self, index: int) -> float:
        """When what a predecessor spent of the short window `index` has expired."""
        return self._short[index].inherited_until

    def _faded(self, now: float) -> float:
        return min(1.0, max(0.0, (now - self.sampled_at) / self._longest_s))

    def long_use(self, now: float) -> float:
        """What others use of the longest window; what the newest sample says fades over it."""
        return self.used * (1.0 - self._faded(now))

    def remaining(self, now: float, held: int) -> float:
        """What remains of the longest window by the newest sample, taken literally."""
        if self.credit is None or now - self.sampled_at > self._longest_s:
            return _NEVER
        return self.credit - held

    def active(self, now: float) -> bool:
        """Whether others are sending now, rather than a predecessor that has stopped."""
        return now - self.risen_at < self._longest_s * _ACTIVE_SHARE

    def remaining_for_us(self, now: float, held: int) -> float:
        """What remains once active clients have what they lately had, and what they demand.

        A full window that others refill as it expires must not be taken from them slot by slot,
        whenever one of theirs has just expired; and one that is filling up is theirs too.
        """
        remaining = self.remaining(now, held)
        if not self.active(now):
            return remaining
        demand = self._demand.estimate()
        return remaining - max(0.0, self.peak - self.used, demand + math.sqrt(demand) - self.used)

    def remaining_with_fading(self, now: float, held: int) -> float:
        """The same, assuming that what others used expires evenly while no sample comes."""
        if self.credit is None:
            return _NEVER
        return self.remaining(now, held) + self.used * self._faded(now)
