"""How many requests may be sent: the ledger of one token. Pure: time comes in as an argument.

A request holds a slot in every window from when it is sent until one window after its response:
then the server never counts more than the limit, whenever it counts (docs/design/budget.md). A lost
request holds its slot `late_arrival_s` longer, each window is `window_margin_s` longer, and
`estimator.py` estimates what other clients use.

Slots are freed in the order in which requests end, so a window is two queues of release times
(answered, lost; each in rising order by itself) and a count in flight: every operation is O(1).

Invariants:
 1. opened = in flight + done + lost + unused (I2), and in the end every slot comes free.
 2. In each window: held = in flight + answered within W + margin + lost within late + W + margin.
 3. A request is granted only while held + others < limit, for a background request
    held + others < limit - reserve - reservations, in every window (I1, I5), where the
    reservations are those due before a slot taken now is free again.
 4. A burst 429 touches nothing of the longest window (I11).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from ...config import Config
from ...errors import RateLimitKind
from .estimator import OtherClients, ServerSample, doubt
from .gate import Gate
from .headers import read_sample, refusal_kind, reset_in_s, retry_after_s
from .limits import Limits
from .window import LeaseRecord, Window

__all__ = ["UNCONTENDED", "Admission", "LeaseRecord", "Ledger", "Window", "refusal_kind"]

_NEVER = float("inf")
_LATENCY_WEIGHT = 0.05
_LATENCY_GUESS_S = 0.2
_CAREFUL_LATENCIES = 4
_LATE_S = 1.0  # how long a reservation outlasts its time


class Admission(NamedTuple):
    """When one more request may be sent.

    Attributes:
        at: at most now when it may be sent at once; infinity when only an event (a response, a
            cancellation) can change anything.
        wakes_on_response: whether a response may allow it before `at`.
    """

    at: float
    wakes_on_response: bool = False


AT_ONCE = Admission(-_NEVER)
UNCONTENDED = Admission(-_NEVER)
"""At once, far from every limit: the value of the common case, which `open` recognizes."""


class Ledger:
    """The budget of one token as this process knows it.

    Args:
        config: windows, margin, late arrival, reserve and cold start are taken from it.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.windows = [
            Window(limit, length_s, config.window_margin_s, share)
            for (limit, length_s), share in zip(config.windows, config.reserve, strict=True)
        ]
        self.longest = self.windows[-1]
        self.others = OtherClients([(w.hold_s, w.length_s, w.limit) for w in self.windows])
        longest_s = self.longest.length_s
        # 2 s and 60 s for an hour; in proportion for anything else.
        self.gate = Gate(config.cold_start_concurrency, longest_s / 1800, longest_s / 60)
        self.in_flight = 0
        self._granted_at = -_NEVER
        self.opened = self.done = self.lost = self.unused = 0
        self.latency_s = _LATENCY_GUESS_S
        self.latency_spread_s = 0.0  # mean distance from it
        self.limits = Limits(config, self.windows)
        # Refused requests hold slots here, though the server has probably not counted them:
        # the times at which these slots come free.
        self._refused: deque[float] = deque()
        # When interactive requests are due that were given a time to return; in rising order.
        self.reservations: list[float] = []
        self.version = 0  # rises with whatever a replay of the ledger could not foresee

    # -- admission --------------------------------------------------------------------------

    def admission(self, now: float, background: bool) -> Admission:
        """Tell when one more request may be sent, and what could change that before.

        Args:
            now: seconds.
            background: whether it is bulk and leaves the reserve alone.
        """
        gate = self.gate
        if gate.closed:
            at = gate.until(now, self.in_flight)
            if at > now:
                return Admission(at, wakes_on_response=True)
            if gate.probing:
                # A probe asks the server; only our own slots can hold it back.
                return Admission(max(at, self._own_until(now, background)))
        elif self._uncontended(now, background):
            return UNCONTENDED
        at, wakes = now, False
        for index, window in enumerate(self.windows):
            free = window.limit - self.in_flight - window.closed(now)
            kept = self.reserved_slots(window, now) if background else 0
            free -= kept
            if window is self.longest:
                window_at, window_wakes = self._long_admission(now, background, free, kept)
            elif free <= window.edge or not self.others.idle:  # else far from its limit
                window_at, window_wakes = self._short_admission(now, index, free)
            else:
                continue
            wakes = wakes or window_wakes
            if window_at > at:
                at = window_at
        if background and at > now and self.reservations:
            # A reservation that nobody takes frees its slot, and so may an interactive request.
            at = min(at, max(self.reservations[0] + _LATE_S, now + self.windows[0].tick_s))
        return Admission(at, wakes) if at > now else AT_ONCE

    def _uncontended(self, now: float, background: bool) -> bool:
        """Whether no limit is near, whatever others may use: the common case, kept short."""
        in_flight, others, longest = self.in_flight, self.others, self.longest
        for index, window in enumerate(self.windows):
            closed = window.closed(now)
            kept = self.reserved_slots(window, now) if background else 0
            free: float = window.limit - in_flight - closed - kept
            if not others.idle and window is not longest:
                free -= others.at_most(index)
            if free <= window.edge:
                return False
        # Those of the longest window now, for which the server's own figure decides.
        return others.remaining_for_us(now, in_flight + closed) - kept >= 1 + longest.edge

    def reserve_at(self, at: float) -> None:
        """Reserve a slot for an interactive request that returns at `at`."""
        insort(self.reservations, at)

    def reserved_by(self, at: float) -> int:
        """Count the reservations that are due by `at`."""
        return bisect_right(self.reservations, at)

    def take_reservation(self, now: float) -> bool:
        """Consume a reservation that is due, if any, for an interactive request."""
        reservations = self.reservations
        del reservations[: bisect_right(reservations, now - _LATE_S)]
        if not reservations or reservations[0] > now:
            return False
        del reservations[0]
        return True

    def reserved_slots(self, window: Window, now: float) -> int:
        """The slots of `window` that a background request leaves to interactive ones."""
        reservations = self.reservations
        if not reservations:
            return window.reserved
        if reservations[0] + _LATE_S <= now:
            del reservations[: bisect_right(reservations, now - _LATE_S)]
        # A slot taken now is free again only `hold_s` after its response, whose time is not
        # known yet: a reservation due before that would miss it.
        return window.reserved + bisect_left(reservations, now + window.hold_s + _LATE_S)

    def _own_until(self, now: float, background: bool) -> float:
        """When our own slots allow one more, whatever the server reports."""
        until = now
        for window in self.windows:
            taken = self.in_flight + window.closed(now)
            taken += self.reserved_slots(window, now) if background else 0
            if taken >= window.limit:
                until = max(until, window.next_release())
        return until

    def _short_admission(self, now: float, index: int, free: int) -> tuple[float, bool]:
        """When a short window has a slot, and whether a response may show one before."""
        others, window = self.others, self.windows[index]
        if free <= 0:
            window.full_at = now
            return window.next_release(), False
        estimate = others.in_window(index, now)
        if free - estimate < 1:
            inherited_until = others.inherited_until(index)
            return min(window.next_release(), max(inherited_until, now + window.tick_s)), False
        if self.in_flight < self.gate.cold_start_concurrency:
            return now, False
        # Near an uncertain limit, keep few requests in flight: the headers stay accurate, and few
        # requests can be rejected.
        margin = free - estimate - 1
        if estimate > 0:
            careful = margin < doubt(estimate) or free - others.worst_case(index, now) < 1
        else:
            careful = margin < window.edge and self.probes_carefully(index, now)
        if not careful:
            return now, False
        # A response lets the next one go, or a while without one: a stuck request blocks nobody.
        return self._granted_at + _CAREFUL_LATENCIES * self.latency_s, True

    def probes_carefully(self, index: int, now: float) -> bool:
        """Whether the window was not full for so long that others may use it unseen."""
        window = self.windows[index]
        return window is not self.longest and now - window.full_at > 2 * window.hold_s

    def _long_admission(
        self, now: float, background: bool, free: int, kept: int
    ) -> tuple[float, bool]:
        """When the longest window has a slot, by our count and by the server's own figure."""
        window = self.longest
        if free <= 0:
            return window.next_release(), False
        held = self.in_flight + len(window.answered) + len(window.lost)
        remaining = self.others.remaining_for_us(now, held)
        if remaining < 1:
            if self.in_flight:
                return _NEVER, True
            # The server has nothing left: wait for our own next release, or send one probe.
            return min(window.next_release(), self.gate.probe_at), False
        near_end = remaining < 1 + min(window.edge, self.in_flight)
        if self.in_flight and self.others.used > 0 and near_end:
            # What is in flight may not have been counted yet.
            return _NEVER, True
        announced = self.others.announced
        if background and announced is not None and announced < window.limit:
            # A share of what there is: of a far larger setting it would be more than everything.
            kept = min(kept, math.ceil(announced * window.share))
        if background and self.others.remaining_with_fading(now, held) - kept < 1:
            return min(window.next_release(), now + self.gate.shortest_probe_s), False
        return now, False

    def others_in(self, index: int, now: float) -> float:
        """What others use of the window `index`, by the estimate in force."""
        if self.windows[index] is self.longest:
            return self.others.long_use(now)
        return self.others.in_window(index, now)

    def gate_until(self, now: float) -> float:
        """When the gate opens by itself; at most `now` when it is open."""
        gate = self.gate
        at = max(gate.paused_until, gate.probe_at if gate.probing else -_NEVER)
        return max(at, now)

    def is_probe(self, now: float) -> bool:
        """Whether a request granted now asks the server for budget it may not have."""
        if self.gate.probing:
            return True
        held = self.in_flight + len(self.longest.answered) + len(self.longest.lost)
        return self.others.remaining_for_us(now, held) < 1

    # -- the life of a request --------------------------------------------------------------

    def open(self, lease: LeaseRecord, now: float, admission: Admission) -> None:
        """Take a slot in every window for `lease`, as `admission` of this very moment allowed."""
        lease.probe = admission is not UNCONTENDED and self.is_probe(now)
        self.in_flight += 1
        lease.seq = self.opened
        self.opened += 1
        longest = self.longest
        # What the server can have counted at most when it answers this request (`ServerSample`).
        lease.held_at_send = self.in_flight + len(longest.answered) + len(longest.lost)
        lease.counted_at_send = len(longest.answered)
        lease.sent_at = self._granted_at = now
        lease.is_open = True

    def close_unused(self, lease: LeaseRecord, now: float) -> None:
        """Free the slot at once: nothing was written to the wire."""
        lease.is_open = False
        self.in_flight -= 1
        self.unused += 1
        self.version += 1
        if lease.probe:
            self.gate.probe_later(now, None)

    def close_lost(self, lease: LeaseRecord, now: float) -> None:
        """Hold the slot longer: there was no response, but the request may still arrive."""
        lease.is_open = False
        self.in_flight -= 1
        self.lost += 1
        # The server may count the request as late as this, and holds it for a window from then on.
        late_arrival_s = self.config.late_arrival_s
        for window in self.windows:
            at, lost = now + late_arrival_s + window.hold_s, window.lost
            if lost and lost[-1] > at:
                insort(lost, at)  # behind what a shared budget keeps for those who are away
            else:
                lost.append(at)
        if lease.probe:
            self.gate.probe_later(now, None)

    def close_done(
        self,
        lease: LeaseRecord,
        now: float,
        headers: Mapping[str, str],
        status: int,
        ignored: list[tuple[str, str]],
    ) -> RateLimitKind | None:
        """Hold the slot for a window from now, and learn from the response's headers.

        Returns:
            The kind of 429 it was, as far as the headers tell; None for none.
        """
        lease.is_open = False
        self.in_flight -= 1
        self.done += 1
        # From the response, not from the sending: the server counted at some moment in between.
        for window in self.windows:
            window.answered.append(now + window.hold_s)
        latency_s = now - lease.sent_at
        # The first few responses count fully, so that the guess is soon forgotten.
        weight = max(_LATENCY_WEIGHT, 1.0 / self.done)
        self.latency_s += weight * (latency_s - self.latency_s)
        self.latency_spread_s += weight * (abs(latency_s - self.latency_s) - self.latency_spread_s)
        self.gate.cold_start = False
        kind = refusal_kind(headers) if status == 429 else None
        if kind is not None:
            self._refused.append(self.longest.answered[-1])
        if kind == "burst":
            # Its `remaining: 0` is about the minute; the hour's state stays as it is (I11).
            self.refused(kind, now, retry_after_s(headers, ignored))
        else:
            self._learn(lease, now, headers, ignored)
        if lease.probe:
            self._probe_ended(now, headers, status, kind)
        elif kind == "hourly":
            self.refused(kind, now, None, self._reset_in_s(headers, ignored))
        return kind

    def _reset_in_s(self, headers: Mapping[str, str], ignored: list[tuple[str, str]]) -> float:
        wait_s = reset_in_s(headers, self.longest.length_s, ignored)
        return 0.0 if wait_s is None else wait_s + self.config.window_margin_s

    def _learn(
        self,
        lease: LeaseRecord,
        now: float,
        headers: Mapping[str, str],
        ignored: list[tuple[str, str]],
    ) -> None:
        sample = read_sample(headers, ignored)
        if sample is None:
            return
        limit = sample.limit
        if limit is not None and not self.limits.announce(limit):
            ignored.append(("ratelimit-limit", "too far from the configured limit"))
            limit = None
        if limit is None:
            limit = self.others.announced or self.longest.limit
        # A server that counts no rejected request shows less use than we hold for these.
        refused = self._refused
        while refused and refused[0] <= now:
            refused.popleft()
        # Of the first sample only: how long a predecessor has been using the token tells how much
        # of its use may lie in the short windows.
        age_s = None
        if self.others.announced is None and sample.remaining < limit - 1:
            wait_s = reset_in_s(headers, self.longest.length_s, ignored)
            age_s = None if wait_s is None else self.longest.length_s - wait_s
        newest = self.others.observe(
            now,
            ServerSample(
                seq=lease.seq,
                sent_at=lease.sent_at,
                remaining=min(sample.remaining, limit),
                limit=limit,
                held_at_send=lease.held_at_send,
                sent_since=self.opened - lease.seq - 1 - len(refused),
                held_now=self.in_flight + self.longest.closed(now),
                counted_at_send=max(0, lease.counted_at_send - len(refused)),
                oldest_age_s=age_s,
            ),
            self._room,
        )
        # A stale zero may be over already; the newest one says when to ask again.
        if newest and sample.remaining == 0:
            self.gate.probe_later(now, self._reset_in_s(headers, ignored))

    def _room(self, now: float) -> list[bool]:
        """For each short window, whether it had space for two requests more."""
        others = self.others
        # The bound comes first: it is there, the growth is computed for each request.
        return [
            (free := window.limit - self.in_flight - window.closed(now)) - others.at_most(i) >= 2
            or free - others.growth(i, now) >= 2
            for i, window in enumerate(self.windows[:-1])
        ]

    def _probe_ended(
        self, now: float, headers: Mapping[str, str], status: int, kind: RateLimitKind | None
    ) -> None:
        remaining = read_sample(headers, [])
        if status == 429 and (kind is not None or remaining is None):
            self.gate.probe_failed(now, self._reset_in_s(headers, []))
        else:
            self.gate.probe_succeeded(now, contested=self.others.active(now))

    def refused(
        self,
        kind: RateLimitKind,
        now: float,
        retry_after_s: float | None,
        reset_s: float | None = None,
    ) -> None:
        """Take in a 429 of the budget; other kinds say nothing about it."""
        if kind not in ("burst", "hourly"):
            return
        self.version += 1
        if kind == "hourly":
            held = self.in_flight + self.longest.closed(now)
            # More than the configured limit was held only because a raise was announced.
            reason = "given back after an hourly 429"
            self.limits.give_back(len(self.windows) - 1, held, reason)
        else:
            # Which of the short windows was full is not said: each of them may have been.
            for index, window in enumerate(self.windows[:-1]):
                held = self.in_flight + window.closed(now)
                self.limits.give_back(index, held, "short window given back after a burst 429")
                self.others.refused(index, now, float(max(0, window.limit - held)))
        if retry_after_s is not None:
            self.gate.pause(now, retry_after_s)
        else:
            self.gate.begin_probing(now, reset_s)
