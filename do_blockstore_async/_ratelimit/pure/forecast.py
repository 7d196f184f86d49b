"""When the next requests would leave: a replay of the ledger. Pure.

The grants to come are computed as the dispatcher would make them: each takes a slot that is free,
or the next one to come free, in every window, and keeps to the pace. Slots of answered requests
have known release times; a request in flight, or yet to be sent, is assumed to take the mean
latency so far. What others use is assumed to stay as it is while they are active; what a
predecessor used comes free evenly over the window.

A replay of n grants costs O(n). Queries for many positions in the queue, as from many callers with
deadlines, share one replay: it is kept until its age is a hundredth of the wait in question
(or of the shortest window), or something happened that a replay cannot foresee.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import merge
from itertools import islice, repeat
from typing import Protocol

from .ledger import Ledger

__all__ = ["Forecast", "replay"]

_FRESH_SHARE = 0.01
_FRESH_S = 0.05


class PacerState(Protocol):
    """What a replay needs to know of the pacing."""

    interval_s: float
    """Seconds between two grants once the burst is spent."""

    @property
    def burst(self) -> int:
        """Grants that may leave at once on an idle budget."""

    def turns_now(self) -> int:
        """Grants that may leave at once."""


class _Replayed:
    """One window during a replay: free slots, then releases in order."""

    __slots__ = ("again_s", "edge", "free", "releases", "taken")

    def __init__(
        self, ledger: Ledger, index: int, now: float, count: int, background: bool
    ) -> None:
        window = ledger.windows[index]
        slots = window.limit - (ledger.reserved_slots(window, now) if background else 0)
        held = ledger.in_flight + window.closed(now)
        others = round(ledger.others_in(index, now))
        predecessors = 0
        if window is ledger.longest:
            if ledger.others.remaining(now, held) < count:
                # The server's own figure binds, whatever limit is configured.
                slots = min(slots, ledger.others.announced or slots)
            if not ledger.others.active(now):
                predecessors, others = min(others, slots), 0
        slots = max(1, slots - others)
        held += predecessors
        surplus = max(0, held - slots)
        self.free = max(0, slots - held)
        # Free slots up to here are used carefully: see `Ledger._short_admission`.
        self.edge = window.edge if ledger.probes_carefully(index, now) else 0
        self.again_s = window.hold_s + ledger.latency_s
        wanted = max(0, count - self.free) + surplus
        in_flight_s = now + ledger.latency_s / 2 + window.hold_s
        first = max(now, ledger.gate.probe_at)
        last = max(first, ledger.others.sampled_at + window.hold_s)
        every_s = (last - first) / max(1, predecessors)
        known = merge(
            islice(window.answered, wanted),
            islice(window.lost, wanted),
            (first + i * every_s for i in range(min(predecessors, wanted))),
            repeat(in_flight_s, min(ledger.in_flight, wanted)),
        )
        self.releases = list(islice(known, wanted))
        self.taken = surplus

    def take(self) -> float:
        """Take the next slot; returns when it comes free."""
        if self.free > 0:
            self.free -= 1
            return 0.0
        self.edge = 0
        self.taken += 1
        return self.releases[self.taken - 1]


def replay(
    ledger: Ledger, pace: PacerState, now: float, count: int, background: bool
) -> list[float]:
    """Loop times of the next `count` grants (1 or more), were all of them waiting now.

    Args:
        ledger: whose slots they take; it is not changed.
        pace: how grants are spaced.
        now: loop time.
        count: how many grants.
        background: whether they leave the reserve alone.
    """
    return prepare(ledger, pace, now, count, background)()


def prepare(
    ledger: Ledger, pace: PacerState, now: float, count: int, background: bool
) -> Callable[[], list[float]]:
    """Return what computes the same, and looks at the ledger no more: for another thread, say."""
    windows = [
        _Replayed(ledger, index, now, count, background) for index in range(len(ledger.windows))
    ]
    latency_s, concurrency = ledger.latency_s, ledger.gate.cold_start_concurrency
    # The leaky bucket as a theoretical arrival time (ITU-T I.371).
    due = now + (pace.burst - pace.turns_now()) * pace.interval_s
    ahead_s = (pace.burst - 1) * pace.interval_s
    slow_at = concurrency if ledger.gate.cold_start else count
    return partial(
        _grants,
        windows,
        count,
        ledger.gate_until(now),
        due,
        pace.interval_s,
        ahead_s,
        latency_s,
        slow_at,
        latency_s / concurrency,
    )


def _grants(
    windows: list[_Replayed],
    count: int,
    at: float,
    due: float,
    interval_s: float,
    ahead_s: float,
    latency_s: float,
    slow_at: int,
    careful_s: float,
) -> list[float]:
    grants: list[float] = []
    for k in range(count):
        if k == slow_at:
            at += latency_s
        at = max(at, due - ahead_s)
        careful = False
        for replayed in windows:
            careful = careful or 0 < replayed.free <= replayed.edge
            at = max(at, replayed.take())
        if careful and grants:
            at = max(at, grants[-1] + careful_s)
        for replayed in windows:
            replayed.releases.append(at + replayed.again_s)
        due = max(due, at) + interval_s
        grants.append(at)
    return grants


class Forecast:
    """Replays of one ledger, shared between callers at about the same time."""

    __slots__ = ("_fresh_s", "_kept", "_ledger", "_pace")

    def __init__(self, ledger: Ledger, pace: PacerState) -> None:
        self._ledger = ledger
        self._pace = pace
        self._fresh_s = max(_FRESH_S, ledger.windows[0].length_s * _FRESH_SHARE)
        # for each class: (when, opened then, version then, grants)
        self._kept: list[tuple[float, int, int, list[float]] | None] = [None, None]

    def grant_at(self, now: float, position: int, background: bool) -> float:
        """When the `position`-th (from 1) of those waiting would be granted."""
        kept = self._kept[background]
        ledger = self._ledger
        if kept is not None:
            when, opened, version, grants = kept
            index = position - 1 + ledger.opened - opened
            if version == ledger.version and index < len(grants):
                at = grants[index]
                if now - when <= max(self._fresh_s, (at - now) * _FRESH_SHARE):
                    return max(now, at)
        count = max(16, 1 << position.bit_length())
        grants = replay(ledger, self._pace, now, count, background)
        self._kept[background] = (now, ledger.opened, ledger.version, grants)
        return grants[position - 1]

    def answer_at(self, now: float, count: int, background: bool) -> float:
        """When the last of `count` requests would be answered."""
        return self.answer_later(now, count, background)()

    def answer_later(self, now: float, count: int, background: bool) -> Callable[[], float]:
        """Return what computes the same, in any thread: of many requests that takes long."""
        compute = prepare(self._ledger, self._pace, now, count, background)
        latency_s, spread_s = self._ledger.latency_s, self._ledger.latency_spread_s

        def answer() -> float:
            grants = compute()
            last = grants[-1] + latency_s
            # Of several responses outstanding at the end, the slowest counts.
            crowd = sum(1 for at in grants[-16:] if at > grants[-1] - latency_s)
            return last + (spread_s * 2 * (1 - 2 / (crowd + 1)) if crowd > 1 else 0)

        return answer
