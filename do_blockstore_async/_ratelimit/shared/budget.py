"""The budget of a token that many processes share, as the throttle of one of them sees it.

The replica keeps it in the log's time, the session keeps the replica up to date, and this module
translates: into the loop's time for the throttle, and into facts for the log.

Invariants:
 1. Nothing is granted but by a fact that the log accepted, or out of the share of an outage.
 2. A lease is stale `FENCE_S` after it was asked for, or once its writer is dead (R6).
 3. Whoever's turn it is goes first, for at most `TURN_S` (R4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from ..._log.store import LogStore
from ..._observers import emit
from ...config import Config
from ...errors import RateLimitKind
from ...events import Event
from ..local_budget import SharedGrants, WaitingHere
from ..pure.causes import Cause, cause_of
from ..pure.forecast import Forecast
from ..pure.headers import read_sample, refusal_kind
from ..pure.ledger import AT_ONCE, Admission, LeaseRecord, Ledger
from ..status import ProcessStatus, SharedState
from .facts import Backlog, Done, Lost, Refused, Reserve, SharedSettings, Unused, known_headers
from .outage import Outage
from .replica import FENCE_S
from .session import LOOK_S, Session

__all__ = ["TURN_S", "SharedBudget"]

TURN_S: Final = 0.25
"""How long whoever's turn it is may take before it is passed over."""

_NOBODY = Backlog()
_NEVER = math.inf


class _Claim(NamedTuple):
    """Where a lease of this process stands: in the log, or in the share of an outage."""

    asked_at: float
    writer: str = ""
    number: int = 0
    share: tuple[Outage, LeaseRecord] | None = None


class SharedBudget:
    """Grants what the log in `store` allows.

    Args:
        config: windows, margin, late arrival, reserve, cold start, burst and hooks.
        store: of the log.
        grace_s: see `SharedSettings`.
        name: of this process, for people.
        clock: returns seconds, on a clock that nobody sets.
        new_writer: makes a name for a writer that nobody else has.
    """

    def __init__(
        self,
        config: Config,
        store: LogStore,
        *,
        grace_s: float,
        name: str,
        clock: Callable[[], float],
        new_writer: Callable[[], str],
    ) -> None:
        settings = SharedSettings.of(config, grace_s)
        self._clock = clock
        self._hooks = config.hooks
        self._session = Session(
            store,
            settings,
            name,
            clock=clock,
            new_writer=new_writer,
            waiting=self._waiting,
            changed=self._on_change,
            emit=self._emit,
        )
        self._session.absence = self._absence
        self._here: WaitingHere | None = None
        self._moved: Callable[[], None] = lambda: None
        self._offset_s = 0.0
        self._claimed: _Claim | None = None
        self._leases: dict[LeaseRecord, _Claim] = {}
        self._outage: Outage | None = None
        # Whose turn it was before ours, and since when.
        self._before: tuple[object, float] | None = None
        self._passed: tuple[str, ...] = ()
        self._forecasts: tuple[Ledger, Forecast] | None = None

    @property
    def shared(self) -> SharedGrants:
        """See `Budget.shared`."""
        return self

    @property
    def ledger(self) -> Ledger:
        """See `Budget.ledger`; in the log's time."""
        return self._session.replica.ledger

    def attach(self, here: WaitingHere, changed: Callable[[], None]) -> None:
        """See `SharedGrants.attach`."""
        self._here, self._moved = here, changed

    async def aopen(self) -> None:
        """See `SharedGrants.aopen`."""
        await self._session.open()

    async def aclose(self) -> None:
        """See `SharedGrants.aclose`."""
        await self._session.aclose()

    def _emit(self, event: Event) -> None:
        emit(self._hooks, event)

    def _on_change(self) -> None:
        session = self._session
        if session.writer is not None and session.away_since is None:
            self._outage = None
        self._moved()

    def _waiting(self, granted: bool | None = None) -> Backlog:
        """What waits here: without the next bulk (True) or interactive (False) request, if any."""
        here = self._here
        interactive, bulk = here.waiting if here is not None else (0, 0)
        interactive -= granted is False
        bulk -= granted is True
        if here is None or (interactive <= 0 and bulk <= 0):
            return _NOBODY
        oldest_at_s = 0.0
        if interactive > 0:
            oldest_at = here.oldest_asked_at(after_next=granted is False)
            oldest_at_s = self._session.now_s() if oldest_at == _NEVER else self.time_of(oldest_at)
        return Backlog(max(0, interactive), oldest_at_s, max(0, bulk), here.bulk_weight or 1.0)

    def time_of(self, now: float) -> float:
        """See `Budget.time_of`."""
        return now + self._offset_s

    def _log_time(self, now: float) -> float:
        """The log's time now; notes how far the loop's is from it."""
        log_s = self._session.now_s()
        self._offset_s = log_s - now
        return log_s

    # -- granting -----------------------------------------------------------------------------

    def admission(self, now: float, background: bool) -> Admission:
        """See `Budget.admission`.

        Raises:
            ConfigError: the store cannot be used, or other processes run with other settings.
        """
        session = self._session
        if session.error is not None:
            # The one object, without the frames of those who were told before.
            raise session.error.with_traceback(None)
        if session.away_since is not None or (session.writer is None and self._outage):
            own_s = self._clock()
            admission = self._in_outage().admission(own_s, background)
            return Admission(now + (admission.at - own_s), wakes_on_response=True)
        if session.writer is None:
            return Admission(_NEVER, wakes_on_response=True)
        log_s = self._log_time(now)
        admission = session.replica.admission(log_s, background)
        if admission.at > log_s:
            self._before, self._passed = None, ()
            return Admission(now + (admission.at - log_s), admission.wakes_on_response)
        return self._turn(now, background)

    def _turn(self, now: float, background: bool) -> Admission:
        session = self._session
        peers = session.replica.peers
        before = session.replica.before(session.writer or "", background, self._waiting())
        if not before:
            self._before, self._passed = None, ()
            return AT_ONCE
        # Whoever takes its turn has a lease more, and another turn.
        turn = tuple((name, peers[name].number) for name in before)
        if self._before is None or self._before[0] != turn:
            self._before = (turn, now)
        at = self._before[1] + TURN_S
        if at > now:
            return Admission(at, wakes_on_response=True)
        self._passed = before
        return AT_ONCE

    def _in_outage(self) -> Outage:
        if self._outage is None:
            session = self._session
            peer = session.replica.peers.get(session.writer or "")
            self._outage = Outage(
                session.settings,
                session.replica.ledger,
                session.now_s(),
                peer.share if peer is not None else 0.0,
                tried_at=session.tried_at,
                wrote_at=session.wrote_at,
            )
        return self._outage

    def _absence(self) -> tuple[int, int]:
        outage = self._outage
        if outage is None:
            return 0, 0
        # Others give the share up once they read this, whether or not we hear that they did.
        outage.ends_at = min(outage.ends_at, self._clock())
        return outage.sent, outage.in_flight

    async def claim(self, background: bool) -> bool:
        """See `SharedGrants.claim`."""
        session, asked_at = self._session, self._clock()
        outage = self._outage
        if outage is not None:
            if outage.admission(asked_at, background).at > asked_at:
                return False
            self._claimed = _Claim(asked_at, share=(outage, outage.open(asked_at)))
            return True
        writer, passed, self._passed = session.writer, self._passed, ()
        number = await session.claim(background, passed)
        if number is None or writer is None:
            return False
        self._claimed = _Claim(asked_at, writer, number)
        return True

    def unclaim(self) -> None:
        """See `SharedGrants.unclaim`."""
        claim, self._claimed = self._claimed, None
        if claim is not None:
            self._give_back(claim)

    def note_waiting(self) -> None:
        """See `SharedGrants.note_waiting`."""
        self._session.start()
        self._session.note_waiting()

    def open(self, lease: LeaseRecord, now: float, admission: Admission) -> None:
        """See `Budget.open`: gives the lease what was claimed."""
        del admission
        claim, self._claimed = self._claimed, None
        if claim is None:
            raise RuntimeError("a lease of a shared budget without a claim")
        lease.seq, lease.sent_at, lease.probe = claim.number, now, False
        lease.is_open = True
        self._leases[lease] = claim

    def is_stale(self, lease: LeaseRecord) -> bool:
        """See `Budget.is_stale`."""
        claim = self._leases.get(lease)
        if claim is None:
            return True
        is_ours = claim.share is not None or claim.writer == self._session.writer
        return not is_ours or self._clock() - claim.asked_at > FENCE_S

    # -- closing ------------------------------------------------------------------------------

    def close_done(
        self,
        lease: LeaseRecord,
        now: float,
        headers: Mapping[str, str],
        status: int,
        ignored: list[tuple[str, str]],
    ) -> RateLimitKind | None:
        """See `Budget.close_done`."""
        del now
        lease.is_open = False
        claim = self._leases.pop(lease)
        read_sample(headers, ignored)
        if claim.share is not None:
            outage, record = claim.share
            outage.close_done(record, self._clock(), status)
        else:
            fact = Done(claim.writer, claim.number, status, known_headers(headers))
            self._session.close(claim.writer, fact)
        return refusal_kind(headers) if status == 429 else None

    def close_lost(self, lease: LeaseRecord, now: float) -> None:
        """See `Budget.close_lost`."""
        del now
        lease.is_open = False
        claim = self._leases.pop(lease)
        if claim.share is not None:
            outage, record = claim.share
            outage.close_lost(record, self._clock())
        else:
            fact = Lost(claim.writer, claim.number)
            self._session.close(claim.writer, fact)

    def close_unused(self, lease: LeaseRecord, now: float) -> None:
        """See `Budget.close_unused`."""
        del now
        lease.is_open = False
        self._give_back(self._leases.pop(lease))

    def _give_back(self, claim: _Claim) -> None:
        if claim.share is not None:
            outage, record = claim.share
            outage.close_unused(record, self._clock())
        else:
            fact = Unused(claim.writer, claim.number)
            self._session.close(claim.writer, fact)

    def refused(self, kind: RateLimitKind, now: float, retry_after_s: float | None) -> None:
        """See `Budget.refused`."""
        del now
        if self._session.writer is not None:
            self._session.post(Refused(self._session.writer, kind, retry_after_s), at_once=True)

    # -- reservations, forecasts, status ------------------------------------------------------

    def reserve_at(self, at: float) -> None:
        """See `Budget.reserve_at`."""
        if self._session.writer is not None:
            self._session.post(Reserve(self._session.writer, self.time_of(at)))

    def take_reservation(self, now: float) -> bool:
        """See `Budget.take_reservation`: whether one is due; the grant is what consumes it."""
        log_s = self.time_of(now)
        return self.ledger.reserved_by(log_s) > self.ledger.reserved_by(log_s - 1.0)

    def reserved_by(self, at: float) -> int:
        """See `Budget.reserved_by`."""
        return self.ledger.reserved_by(self.time_of(at))

    def gate_until(self, now: float) -> float:
        """See `Budget.gate_until`."""
        log_s = self._log_time(now)
        return now + (self.ledger.gate_until(log_s) - log_s)

    def grant_at(self, now: float, position: int, background: bool) -> float:
        """See `Budget.grant_at`: those who wait in other processes are served as well."""
        session = self._session
        if session.writer is None or session.away_since is not None:
            return now + (LOOK_S if session.away_since is not None else 0.0)
        position += session.replica.ahead(
            session.writer, background, position, self._waiting().weight
        )
        log_s = self._log_time(now)
        return now + (self._forecast().grant_at(log_s, position, background) - log_s)

    def cause(self, now: float, background: bool) -> Cause | None:
        """See `Budget.cause`."""
        session = self._session
        if session.away_since is not None or session.writer is None or session.error is not None:
            return Cause("store")
        log_s = self._log_time(now)
        cause = cause_of(self.ledger, log_s, background)
        if cause is not None:
            return cause
        replica = session.replica
        if replica.pace.next_at(log_s) > log_s:
            return Cause("pace")
        before = replica.before(session.writer, background, self._waiting())
        names = tuple(replica.peers[name].name for name in before)
        return Cause("turn", None, names) if names else None

    def answer_at(self, now: float, count: int, background: bool) -> float:
        """See `Budget.answer_at`."""
        return self.answer_later(now, count, background)()

    def answer_later(self, now: float, count: int, background: bool) -> Callable[[], float]:
        """See `Budget.answer_later`."""
        session = self._session
        log_s = self._log_time(now)
        count += session.replica.ahead(
            session.writer or "", background, count, self._waiting().weight
        )
        answer = self._forecast().answer_later(log_s, count, background)
        return lambda: now + (answer() - log_s)

    def _forecast(self) -> Forecast:
        ledger = self.ledger
        if self._forecasts is None or self._forecasts[0] is not ledger:
            self._forecasts = (ledger, Forecast(ledger, self._session.replica.pace))
        return self._forecasts[1]

    def state(self, now: float) -> SharedState:
        """See `Budget.state`."""
        session = self._session
        log_s = self._log_time(now)
        processes = tuple(
            ProcessStatus(
                name=peer.name,
                is_this=writer == session.writer,
                in_flight=len(peer.open),
                waiting=peer.waiting.interactive + peer.waiting.bulk,
                waiting_background=peer.waiting.bulk,
                silent_s=max(0.0, log_s - peer.heard_at),
            )
            for writer, peer in sorted(session.replica.peers.items())
        )
        since = session.away_since
        return SharedState(processes, 0.0 if since is None else self._clock() - since)
