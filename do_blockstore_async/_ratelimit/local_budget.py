"""What the throttle asks of the token's budget: the seam between one process and many.

`LocalBudget` is the ledger of this process alone, and costs nothing but the ledger. `shared/` keeps
one ledger for all processes and machines that use the token. Times here are those of the running
loop, whatever clock the ledger itself is kept in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from ..config import Config
from ..errors import RateLimitKind
from .pure.causes import Cause, cause_of
from .pure.forecast import Forecast, PacerState
from .pure.ledger import Admission, LeaseRecord, Ledger

if TYPE_CHECKING:
    from .status import SharedState

__all__ = ["Budget", "LocalBudget", "SharedGrants", "WaitingHere"]


class WaitingHere(Protocol):
    """What waits in this process, as the other ones have to know it."""

    waiting: list[int]
    """Interactive and bulk requests."""

    def oldest_asked_at(self, *, after_next: bool = False) -> float:
        """When the oldest interactive request was made; infinity if none waits.

        Args:
            after_next: leave out the one that is served next.
        """

    @property
    def bulk_weight(self) -> float:
        """The weights of the bulk jobs that wait, together."""


class SharedGrants(Protocol):
    """What only a shared budget needs: a grant is an exchange with a store, and can be refused."""

    async def claim(self, background: bool) -> bool:
        """Take one slot for all to see; False when what others did has to be looked at first."""

    def unclaim(self) -> None:
        """Give back what was claimed, because whoever waited for it is gone."""

    def note_waiting(self) -> None:
        """Let the others know that what waits here has changed."""

    def attach(self, here: WaitingHere, changed: Callable[[], None]) -> None:
        """Say what waits here, and what to do when the ledger moved by itself."""

    async def aopen(self) -> None:
        """Join the other processes, unless the store is away for now.

        Raises:
            ConfigError: the store cannot be used, or others run with other settings.
        """

    async def aclose(self) -> None:
        """Leave the other processes."""


class Budget(Protocol):
    """The budget as the throttle sees it; see `Ledger` and `Forecast` for what the calls mean."""

    @property
    def shared(self) -> SharedGrants | None:
        """The part that only a shared budget has."""

    @property
    def ledger(self) -> Ledger:
        """The ledger, to read from; it may be another object after each wait."""

    @property
    def admission(self) -> Callable[[float, bool], Admission]:
        """`Ledger.admission`."""

    @property
    def open(self) -> Callable[[LeaseRecord, float, Admission], None]:
        """`Ledger.open`."""

    def close_done(
        self,
        lease: LeaseRecord,
        now: float,
        headers: Mapping[str, str],
        status: int,
        ignored: list[tuple[str, str]],
        /,
    ) -> RateLimitKind | None:
        """`Ledger.close_done`."""

    def close_lost(self, lease: LeaseRecord, now: float, /) -> None:
        """`Ledger.close_lost`."""

    def close_unused(self, lease: LeaseRecord, now: float, /) -> None:
        """`Ledger.close_unused`."""

    def refused(self, kind: RateLimitKind, now: float, retry_after_s: float | None, /) -> None:
        """`Ledger.refused`."""

    def reserve_at(self, at: float, /) -> None:
        """`Ledger.reserve_at`."""

    def take_reservation(self, now: float, /) -> bool:
        """`Ledger.take_reservation`."""

    def reserved_by(self, at: float, /) -> int:
        """Count the reservations due by then."""

    def gate_until(self, now: float, /) -> float:
        """`Ledger.gate_until`."""

    def cause(self, now: float, background: bool, /) -> Cause | None:
        """Tell what keeps one more request from being sent; None if nothing does."""

    def grant_at(self, now: float, position: int, background: bool, /) -> float:
        """`Forecast.grant_at`: of the `position`-th of those who wait here."""

    def answer_at(self, now: float, count: int, background: bool, /) -> float:
        """`Forecast.answer_at`: of `count` requests of this process."""

    def answer_later(self, now: float, count: int, background: bool, /) -> Callable[[], float]:
        """`Forecast.answer_later`: computes `answer_at` in any thread."""

    def is_stale(self, lease: LeaseRecord) -> bool:
        """Whether the lease is too old to be sent with (docs/design/shared-budget.md, R6)."""

    def time_of(self, now: float) -> float:
        """The ledger's own time at loop time `now`."""

    def state(self, now: float) -> SharedState:
        """What is known of the other processes."""


class LocalBudget:
    """The ledger of this process alone.

    Args:
        config: see `Ledger`.
        pace: how grants are spaced, for forecasts.
    """

    shared: SharedGrants | None = None

    def __init__(self, config: Config, pace: PacerState) -> None:
        self.ledger = ledger = Ledger(config)
        self._forecast = forecast = Forecast(ledger, pace)
        self.admission: Callable[[float, bool], Admission] = ledger.admission
        self.open: Callable[[LeaseRecord, float, Admission], None] = ledger.open
        self.close_done = ledger.close_done
        self.close_lost = ledger.close_lost
        self.close_unused = ledger.close_unused
        self.refused = ledger.refused
        self.reserve_at = ledger.reserve_at
        self.take_reservation = ledger.take_reservation
        self.reserved_by = ledger.reserved_by
        self.gate_until = ledger.gate_until
        self.grant_at = forecast.grant_at
        self.answer_at = forecast.answer_at
        self.answer_later = forecast.answer_later

    def cause(self, now: float, background: bool, /) -> Cause | None:
        """See `cause_of`."""
        return cause_of(self.ledger, now, background)

    def is_stale(self, lease: LeaseRecord) -> bool:
        """Never: nobody else takes a slot back from a process that was stopped."""
        del lease
        return False

    def time_of(self, now: float) -> float:
        """The ledger is kept in the loop's time."""
        return now

    def state(self, now: float) -> SharedState:
        """There are no others."""
        from .status import SharedState

        del now
        return SharedState()
