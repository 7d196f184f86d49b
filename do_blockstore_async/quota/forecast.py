"""When the next requests would leave: a replay of the ledger. Pure.

The grants to come are computed as the dispatcher would make them: each takes a slot that is free,
or the next one to come free, in every window, and keeps to the pace. Slots of answered requests
have known release times; a request in flight, or yet to be sent, is taken to need the mean latency
so far. What others use is taken to stay as it is.

A replay of n grants costs O(n). Asking for many positions in line, as a crowd of callers with
deadlines does, shares one replay: it is kept until it is a hundredth of the shortest window old or
the ledger has been told something that a replay cannot foresee.
"""

from __future__ import annotations

from heapq import merge
from itertools import islice, repeat
from typing import Protocol

from .ledger import Ledger, Window

__all__ = ["Forecast", "replay"]

_FRESH_SHARE = 0.01


class Pace(Protocol):
    """What a replay needs to know of the pacing."""

    @property
    def interval_s(self) -> float:
        """Seconds between two grants once the burst is spent."""

    def turns_now(self) -> int:
        """Grants that may leave at once."""


def _releases(ledger: Ledger, window: Window, now: float, count: int) -> list[float]:
    """The first `count` times at which held slots of `window` come free, in order."""
    in_flight_s = now + ledger.latency_s / 2 + window.hold_s
    known = merge(
        islice(window.answered, count),
        islice(window.lost, count),
        repeat(in_flight_s, min(ledger.in_flight, count)),
    )
    return list(islice(known, count))


def replay(
    ledger: Ledger, now: float, count: int, background: bool, burst: int, interval_s: float
) -> list[float]:
    """Times of the next `count` grants.

    Args:
        burst: grants that may leave at once.
        interval_s: seconds between two grants after that.
    """
    start = max(now, ledger.gate_until(now))
    grants = [start + max(0, k - burst + 1) * interval_s for k in range(count)]
    for index, window in enumerate(ledger.windows):
        closed = window.closed(now)
        slots = window.limit - (window.reserved if background else 0)
        slots = max(1, slots - int(ledger.others_in(index, now)))
        held = ledger.in_flight + closed
        free = slots - held
        if free >= count:
            continue
        again_s = window.hold_s + ledger.latency_s
        surplus = max(0, -free)
        known = _releases(ledger, window, now, count - free)[surplus:]
        free = max(0, free)
        # Grant k takes the slot of release k - free; beyond the known releases, that of grant
        # k - slots once it has been answered and has run out.
        for k in range(free, count):
            taken = k - free
            at = known[taken] if taken < len(known) else grants[max(0, k - slots)] + again_s
            if at > grants[k]:
                grants[k] = at
        for k in range(1, count):
            if grants[k] < grants[k - 1]:
                grants[k] = grants[k - 1]
    return grants


class Forecast:
    """Replays of one ledger, shared between those who ask at about the same time."""

    __slots__ = ("_fresh_s", "_kept", "_ledger", "_pacer")

    def __init__(self, ledger: Ledger, pacer: Pace) -> None:
        self._ledger = ledger
        self._pacer = pacer
        self._fresh_s = ledger.windows[0].length_s * _FRESH_SHARE
        # for each class: (when, opened then, state then, grants)
        self._kept: list[tuple[float, int, int, list[float]] | None] = [None, None]

    def _grants(self, now: float, count: int, background: bool) -> list[float]:
        return replay(
            self._ledger,
            now,
            count,
            background,
            self._pacer.turns_now(),
            self._pacer.interval_s,
        )

    def grant_at(self, now: float, position: int, background: bool) -> float:
        """When the `position`-th (from 1) of those waiting would be granted."""
        kept = self._kept[background]
        ledger = self._ledger
        if kept is not None:
            when, opened, version, grants = kept
            at = position - 1 + ledger.opened - opened
            if now - when <= self._fresh_s and version == ledger.version:
                if at < len(grants):
                    return max(now, grants[at])
        count = max(64, 1 << position.bit_length())
        grants = self._grants(now, count, background)
        self._kept[background] = (now, ledger.opened, ledger.version, grants)
        return grants[position - 1]

    def answer_at(self, now: float, count: int, background: bool) -> float:
        """When the last of `count` requests would be answered."""
        return self._grants(now, count, background)[-1] + self._ledger.latency_s
