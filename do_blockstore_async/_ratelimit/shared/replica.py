"""The budget of a token as it follows from its log: every reader computes the same. Pure.

The facts go into the very ledger that one process alone uses; time is that of the log. Beside it
stand the writers: who lives, what waits there, whose turn it is.

R1. The state is a function of the facts and their dates.
R3. A writer that was silent for `DEAD_S` is dead: what it had in flight is lost at that instant,
    whoever looks, and whenever.
R4. No bulk grant while an interactive request waits at any living writer. Bulk takes turns between
    writers by weight, interactive ones by age; whoever does not take a turn is passed over until it
    is heard again.
R5. Closing is idempotent, and so is a grant that is read twice.
R7. The shares that writers may spend without the log never add up to more than half of the budget:
    what is kept for those who are away leaves the living the other half.
R8. A log that was emptied or set back is carried on from the state of whoever notices first, and
    nothing is granted until all others have had the time to add what that one had not heard. So it
    is in a log that is empty, or that nobody left with a goodbye, where a store may lose facts.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import msgspec

from ..pure.ledger import Admission, Ledger
from ..pure.window import LeaseRecord, Window
from .checkpoint import restore, state_of
from .facts import (
    FORMAT,
    Absence,
    Ask,
    Backlog,
    Bye,
    Checkpoint,
    Done,
    Fact,
    Grant,
    Hello,
    Lost,
    Refused,
    Reserve,
    SharedSettings,
    Unused,
)
from .pace import SharedPace
from .peer import DEAD_S, Away, Peer

__all__ = ["FENCE_S", "SETTLE_S", "Replica", "kept_slots"]

FENCE_S: Final = 10.0
"""A lease older than this is not sent with any more (R6)."""
SETTLE_S: Final = 1.25
"""Nothing is granted for so long in a log that was carried on: by then all have been heard (R8)."""

_LARGEST_SHARE: Final = 0.5
_TURNS_AHEAD: Final = 4
_SAME_AGE_S: Final = 0.05
_NEVER = float("inf")


class Replica:
    """The budget after the facts so far.

    Args:
        settings: of the token; those of the first writer in the log replace them.

    Attributes:
        peers: the living writers.
        away: those who fell silent and may have gone on alone.
        at_s: how far it has come.
    """

    def __init__(self, settings: SharedSettings) -> None:
        self._start(settings)
        self.at_s = -_NEVER

    def _start(self, settings: SharedSettings) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.config())
        self.pace = SharedPace(settings.burst, self.ledger.windows[0])
        self._paced_limit = self.ledger.windows[0].limit
        self.peers: dict[str, Peer] = {}
        self.away: dict[str, Away] = {}
        # Whether the last one to go said goodbye. If not, or if the log is empty, others may run
        # who have not noticed yet that the store has lost what they wrote.
        self._is_left = False
        self._virtual = [0.0, 0.0]  # of both classes: the least turn of those who wait

    # -- what it says -------------------------------------------------------------------------

    def admission(self, now: float, background: bool) -> Admission:
        """Tell when one more request may be sent, whoever sends it; see `Ledger.admission`."""
        short = self.ledger.windows[:-1]
        full_at = [window.full_at for window in short]
        admission = self.ledger.admission(now, background)
        for window, at in zip(short, full_at, strict=True):
            window.full_at = at  # see `apply`
        paced_at = self.pace.next_at(now)
        return Admission(paced_at) if paced_at > now and paced_at > admission.at else admission

    def before(self, writer: str, background: bool, waiting: Backlog) -> tuple[str, ...]:
        """Name the writers whose turn it is before `writer`, where `waiting` waits (R4)."""
        others = [
            (name, peer)
            for name, peer in self.peers.items()
            if name != writer and not peer.is_passed
        ]
        me = self.peers.get(writer)
        turn = self._virtual[background] if me is None else self._turn(me, background)
        due = turn - _TURNS_AHEAD / (waiting.weight if background else 1.0)
        interactive = [(name, peer) for name, peer in others if peer.waiting.interactive]
        if background:
            if interactive:
                return tuple(name for name, _ in interactive)
            return tuple(name for name, p in others if p.waiting.bulk and p.turns[1] < due)
        age_s = waiting.oldest_at_s
        return tuple(
            name
            for name, peer in interactive
            if peer.waiting.oldest_at_s < age_s - _SAME_AGE_S
            or (peer.waiting.oldest_at_s < age_s + _SAME_AGE_S and peer.turns[0] < due)
        )

    def _turn(self, peer: Peer, background: bool) -> float:
        return max(peer.turns[background], self._virtual[background])

    def ahead(self, writer: str, background: bool, count: int, weight: float) -> int:
        """Count the requests of others that are served before the `count`-th of `writer`."""
        total = 0
        for name, peer in self.peers.items():
            if name != writer:
                waiting = peer.waiting
                total += waiting.interactive
                if background:
                    total += min(waiting.bulk, round(count * waiting.weight / weight))
        return total

    # -- the facts ----------------------------------------------------------------------------

    def advance(self, now: float) -> dict[str, Peer]:
        """Let time pass until `now`, which no later fact may precede; return who died (R3)."""
        died: dict[str, Peer] = {}
        while self.peers:
            name, peer = min(self.peers.items(), key=lambda item: (item[1].heard_at, item[0]))
            if peer.heard_at + DEAD_S > now:
                break
            self._bury(name, peer)
            died[name] = peer
        for name in [n for n, away in self.away.items() if max(away.until_s) <= now]:
            del self.away[name]
        self.at_s = max(self.at_s, now)
        return died

    def _bury(self, name: str, peer: Peer) -> None:
        at_s = peer.heard_at + DEAD_S
        self._end(name, peer, at_s)
        self._is_left = False
        if peer.kept_share > 0:
            self._keep_share(name, peer)

    def _end(self, name: str, peer: Peer, at_s: float) -> None:
        for lease in peer.open.values():
            self.ledger.close_lost(lease, at_s)
        del self.peers[name]
        self.ledger.version += 1

    def _keep_share(self, name: str, peer: Peer) -> None:
        """Hold the slots that `peer` may take without the log until its grace is over (R7)."""
        settings = self.settings
        last_s = peer.heard_at + settings.grace_s + FENCE_S + settings.late_arrival_s
        slots = kept_slots(self.ledger, peer.kept_share, settings.grace_s)
        until_s = tuple(last_s + window.hold_s for window in self.ledger.windows)
        for window, count, until in zip(self.ledger.windows, slots, until_s, strict=True):
            for _ in range(count):
                insort(window.lost, until)
        self.away[name] = Away(peer.kept_share, slots, until_s)

    def apply(self, at_s: float, fact: Fact) -> dict[str, Peer]:
        """Take in one fact; return the writers that had died before it."""
        died = self.advance(at_s)
        # The ledger notes when it was looked at. Here facts tell, not looks (R1).
        for window in self.ledger.windows:
            window.closed(at_s)
        self._take_in(at_s, fact)
        ledger = self.ledger
        for window in ledger.windows[:-1]:
            if ledger.in_flight + window.closed(at_s) >= window.limit:
                window.full_at = at_s
        return died

    def _take_in(self, at_s: float, fact: Fact) -> None:
        if isinstance(fact, Checkpoint):
            self._load(fact.state)
            if fact.is_carried:
                # The others may know of requests that its writer had not heard of.
                self.ledger.gate.pause(at_s, SETTLE_S)
            return
        peer = self.peers.get(fact.writer)
        if isinstance(fact, Hello):
            self._join(at_s, fact)
        elif isinstance(fact, Absence):
            self._return(at_s, fact)
        elif isinstance(fact, Reserve):
            self.ledger.reserve_at(fact.at_s)
        elif isinstance(fact, Refused):
            self.ledger.refused(fact.kind, at_s, fact.retry_after_s)
            self._after_refusal(at_s, fact.kind)
        elif isinstance(fact, Grant):
            self._grant(at_s, fact, peer)
        elif peer is None:
            return  # What the dead had open is closed.
        elif isinstance(fact, Bye):
            self._end(fact.writer, peer, at_s)
            self._is_left = True
        elif isinstance(fact, Ask):
            self._hear_waiting(peer, fact.waiting)
        else:
            self._close(at_s, fact, peer)
        if (peer := self.peers.get(fact.writer)) is not None:
            if at_s > peer.heard_at:  # what has the same date was written by one exchange
                peer.former_share = peer.share
            peer.heard_at, peer.is_passed = at_s, False
            self._divide(fact.writer, peer)

    def _divide(self, writer: str, peer: Peer) -> None:
        """Give a writer its share, of which it knows by this fact of its own (R7)."""
        if self.settings.grace_s > 0:
            others = sum(p.kept_share for name, p in self.peers.items() if name != writer)
            others += sum(away.share for away in self.away.values())
            equal = _LARGEST_SHARE / len(self.peers)
            peer.share = max(0.0, min(equal, _LARGEST_SHARE - others))

    def _join(self, at_s: float, fact: Hello) -> None:
        if fact.settings != self.settings:
            if self.peers:
                return  # Its writer sees that it is not among the living, and why.
            self._adopt(at_s, fact.settings)
        if not self.peers and not self._is_left and self.settings.grace_s > 0:
            self.ledger.gate.pause(at_s, SETTLE_S)
        if fact.writer not in self.peers:
            self.peers[fact.writer] = Peer(fact.name, at_s, self._virtual)

    def _adopt(self, at_s: float, settings: SharedSettings) -> None:
        """Go on with other settings, since nobody is left who used the former ones."""
        before, away, is_left = self.ledger, self.away, self._is_left
        self._start(settings)
        self.away, self._is_left = away, is_left
        # The longest window knows every request that may still count.
        for window in self.ledger.windows:
            shift_s = window.hold_s - before.longest.hold_s
            for kind in ("answered", "lost"):
                releases: Iterable[float] = getattr(before.longest, kind)
                getattr(window, kind).extend(r + shift_s for r in releases if r + shift_s > at_s)
        self.ledger.reservations = before.reservations

    def _hear_waiting(self, peer: Peer, waiting: Backlog) -> None:
        # Idling earns no credit.
        if waiting.interactive and not peer.waiting.interactive:
            peer.turns[0] = self._turn(peer, False)
        if waiting.bulk and not peer.waiting.bulk:
            peer.turns[1] = self._turn(peer, True)
        peer.waiting = waiting

    def _grant(self, at_s: float, fact: Grant, peer: Peer | None) -> None:
        if peer is not None and fact.number <= peer.number:
            return  # R5
        ledger = self.ledger
        admission = ledger.admission(at_s, fact.background)
        lease = LeaseRecord()
        ledger.open(lease, at_s, admission)
        self.pace.take(at_s)
        if not fact.background:
            ledger.take_reservation(at_s)
        for name in fact.passed:
            if name in self.peers:
                self.peers[name].is_passed = True
        if peer is None:
            # It was taken for dead in the moment of this very grant.
            ledger.close_lost(lease, at_s)
            return
        peer.number = fact.number
        peer.open[fact.number] = lease
        self._hear_waiting(peer, fact.waiting)
        background = fact.background
        start = self._turn(peer, background)
        peer.turns[background] = start + 1 / (fact.waiting.weight if background else 1.0)
        turns = [
            p.turns[background]
            for p in self.peers.values()
            if not p.is_passed and (p.waiting.bulk if background else p.waiting.interactive)
        ]
        self._virtual[background] = max(self._virtual[background], min(turns, default=start))

    def _close(self, at_s: float, fact: Done | Lost | Unused, peer: Peer) -> None:
        lease = peer.open.pop(fact.number, None)
        if lease is None:
            return  # R5
        if isinstance(fact, Unused):
            self.ledger.close_unused(lease, at_s)
        elif isinstance(fact, Lost):
            self.ledger.close_lost(lease, at_s)
        else:
            kind = self.ledger.close_done(lease, at_s, fact.headers, fact.status, [])
            if kind is not None:
                self._after_refusal(at_s, kind)
            self._follow_limits()

    def _after_refusal(self, at_s: float, kind: str) -> None:
        if kind == "burst":
            window = self.ledger.windows[0]
            slots = window.limit - self.ledger.others_in(0, at_s)
            self.pace.spread_evenly(at_s, window.hold_s, slots)
        self._follow_limits()

    def _follow_limits(self) -> None:
        limit = self.ledger.windows[0].limit
        if limit != self._paced_limit:
            self._paced_limit = limit
            self.pace.resize(self.settings.burst, self.ledger.windows[0])

    def _return(self, at_s: float, fact: Absence) -> None:
        """Replace what was kept for a writer by what it has sent."""
        away = self.away.pop(fact.writer, None)
        if away is not None:
            for window, count, until in zip(
                self.ledger.windows, away.slots, away.until_s, strict=False
            ):  # other settings may have other windows
                _take_out(window, count, until)
        late_s = at_s + self.settings.late_arrival_s
        for window in self.ledger.windows:
            window.answered.extend([at_s + window.hold_s] * (fact.sent - fact.in_flight))
            for _ in range(fact.in_flight):
                insort(window.lost, late_s + window.hold_s)
        self.ledger.opened += fact.sent
        self.ledger.done += fact.sent - fact.in_flight
        self.ledger.lost += fact.in_flight
        self.ledger.version += 1

    # -- checkpoints --------------------------------------------------------------------------

    def checkpoint(self, writer: str, *, is_carried: bool = False) -> Checkpoint:
        """Return the state as a fact."""
        state = {
            "settings": self.settings,
            "ledger": state_of(self.ledger),
            "pace": state_of(self.pace),
            "peers": {name: state_of(peer) for name, peer in self.peers.items()},
            "away": self.away,
            "virtual": self._virtual,
            "is_left": self._is_left,
            "at_s": self.at_s,
        }
        return Checkpoint(writer, FORMAT, is_carried, msgspec.Raw(msgspec.msgpack.encode(state)))

    def _load(self, raw: msgspec.Raw) -> None:
        state: dict[str, Any] = msgspec.msgpack.decode(raw)
        changes = self.ledger.limits.changes
        self._start(msgspec.convert(state["settings"], SharedSettings))
        restore(self.ledger, state["ledger"])
        self.ledger.limits.changes = changes
        restore(self.pace, state["pace"])
        self._paced_limit = self.ledger.windows[0].limit
        for name, found in state["peers"].items():
            peer = self.peers[name] = Peer(found["name"], found["heard_at"], found["turns"])
            peer.waiting = msgspec.convert(found["waiting"], Backlog)
            peer.is_passed, peer.share = found["is_passed"], found["share"]
            peer.former_share = found["former_share"]
            peer.number = found["number"]
            for number, lease_state in found["open"].items():
                lease = peer.open[int(number)] = LeaseRecord()
                for key, value in lease_state.items():
                    setattr(lease, key, value)
        self.away = msgspec.convert(state["away"], dict[str, Away])
        self._virtual = state["virtual"]
        self._is_left = state["is_left"]
        self.at_s = max(self.at_s, state["at_s"])


def kept_slots(ledger: Ledger, share: float, grace_s: float) -> tuple[int, ...]:
    """How many slots of each window are kept for a writer with this share, until its grace is over.

    Of the shortest window its share in each length of it; of longer ones what that makes together.
    """
    short = ledger.windows[0]
    of_short = math.floor(share * short.limit)
    in_all = of_short * (math.ceil(grace_s / short.hold_s) + 1)
    longer = [min(math.floor(share * window.limit), in_all) for window in ledger.windows[1:]]
    return (of_short, *longer)


def _take_out(window: Window, count: int, until: float) -> None:
    for _ in range(count):
        with suppress(ValueError):
            window.lost.remove(until)
