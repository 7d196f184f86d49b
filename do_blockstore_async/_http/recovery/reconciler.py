"""Reconcile lost responses: query what became of a request, by the rules of `rules.py`.

A query's response goes to the request's own `classify`; where it finds nothing, the query is
repeated for as long as the lost request may still arrive. What is remembered is what this client
has created, and what it is asking for right now.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..._clock import Clock
from ..._dates import date_header_s
from ..._lazy import ModuleLater
from ..._observers import emit
from ...config import Config
from ...errors import (
    APIStatusError,
    BlockStoreError,
    ConflictError,
    DecodeError,
    OutcomeUnknownError,
)
from ..lifecycle import Lifecycle
from ..request import (
    Call,
    Evidence,
    Finding,
    Listing,
    Reconciliation,
    Request,
    Resolution,
)

if TYPE_CHECKING:
    from ... import events
else:
    # Where nobody listens no event is made: their classes take as long to import as the ledger.
    events = ModuleLater("do_blockstore_async.events")

__all__ = ["Reconciler", "loss_of"]

T = TypeVar("T")

# How many of its own creates a client remembers; only those of the last seconds matter (rule S2).
_REMEMBERED: Final = 4096
# Two clocks that agree differ by the whole second of `Date` and a round trip.
_CLOCK_STEP_S: Final = 3.0
# How long a listing may lag behind what the server itself knows.
_LAG_S: Final = 5.0
_FIRST_POLL_S: Final = 1.0
_SLOWEST_POLL_S: Final = 10.0


def loss_of(cause: BlockStoreError) -> str:
    """Say in a few words, and truthfully, why the response does not tell what the request did."""
    if isinstance(cause, DecodeError):
        return "the response could not be read"
    if isinstance(cause, APIStatusError):
        return f"the response was an error of the server ({cause.status})"
    return "the response was lost"


class Reconciler:
    """Reconcile the lost responses of one client."""

    def __init__(self, config: Config, clock: Clock, lifecycle: Lifecycle) -> None:
        self._config = config
        self._clock = clock
        self._lifecycle = lifecycle
        self._created: deque[Hashable] = deque(maxlen=_REMEMBERED)
        self._pending: Counter[Hashable] = Counter()
        # Keys of calls that ended without knowing, and until when their request may arrive.
        self._doubtful: dict[Hashable, float] = {}

    def remember(self, identity: Hashable) -> None:
        """Note that this client created the resource with this id: it is never adopted again."""
        self._created.append(identity)

    @contextmanager
    def pending(self, reconciliation: Reconciliation[Any, Any], call: Call) -> Iterator[None]:
        """Mark what the call asks for as pending for the duration of the block."""
        key = reconciliation.key
        self._pending[key] += 1
        try:
            yield
        except BaseException as error:
            # Cancelled after it was sent, or ended unknown: what it asked for may still appear.
            cut_off = not isinstance(error, BlockStoreError) and call.sent_at is not None
            if cut_off or isinstance(error, OutcomeUnknownError):
                self._doubt(key)
            raise
        finally:
            self._pending[key] -= 1
            if not self._pending[key]:
                del self._pending[key]

    def _doubt(self, key: Hashable) -> None:
        now = self._clock.monotonic()
        # Every entry lasts equally long, so those at the front of the dict run out first.
        self._doubtful.pop(key, None)
        while self._doubtful:
            oldest = next(iter(self._doubtful))
            if self._doubtful[oldest] >= now and len(self._doubtful) < _REMEMBERED:
                break
            del self._doubtful[oldest]
        self._doubtful[key] = now + self._config.late_arrival_s

    def _is_concurrent_duplicate(self, key: Hashable, call: Call) -> bool:
        """Tell whether another call of this client may have created what this one has found."""
        until = self._doubtful.get(key)
        doubtful = until is not None and call.sent_at is not None and call.sent_at <= until
        return doubtful or self._pending[key] > 1

    async def reconcile(
        self, request: Request[T], call: Call, error: BlockStoreError
    ) -> Finding[T]:
        """Find out what became of a request whose response was lost.

        Args:
            request: the request.
            call: what its call has gone through so far.
            error: what the last attempt ended with.

        Returns:
            `adopted`, with the result; `not_found`: send it again; `conflict`: `error` says already
            that the name was taken before the call.

        Raises:
            ConflictError: the name was taken before the call, and `error` does not say so.
            OutcomeUnknownError: it cannot be told.
            ClientClosedError: the client was closed meanwhile.
        """
        cause = call.unknown if call.unknown is not None else error
        reconciliation = request.reconciliation
        if reconciliation is None:
            raise OutcomeUnknownError(
                f"{loss_of(cause)} and this request cannot be looked up: {cause}"
            ) from cause
        name_taken = isinstance(error, ConflictError)
        finding = await self._poll_until_resolved(
            request, reconciliation, call, cause, name_taken=name_taken
        )
        self.report(request, call, finding.resolution)
        match finding.resolution:
            case "unknown":
                raise OutcomeUnknownError(
                    f"{loss_of(cause)} and querying could not tell what became of the request: "
                    f"{reconciliation.hint}",
                    candidate=finding.candidate,
                ) from cause
            case "conflict" if not name_taken:
                raise ConflictError(
                    "the name was taken before this call", status=409, id="conflict"
                ) from cause
        return finding

    @staticmethod
    def report(request: Request[Any], call: Call, resolution: Resolution) -> None:
        """Inform the hooks of what became of a lost request."""
        if call.hooks:
            emit(
                call.hooks,
                events.OutcomeReconciled(call.number, request.method, request.route, resolution),
            )

    async def _poll_until_resolved(
        self,
        request: Request[T],
        reconciliation: Reconciliation[T, Any],
        call: Call,
        cause: BlockStoreError,
        *,
        name_taken: bool,
    ) -> Finding[T]:
        """Query once, or, while nothing is found, until the lost request cannot arrive any more."""
        began = self._clock.monotonic()
        # Where the server rejects a duplicate, sending again is safe although the lost request may
        # still arrive: one query is enough.
        arrives_until = began
        if not reconciliation.server_rejects_duplicates:
            arrives_until += self._config.late_arrival_s
        if name_taken:
            arrives_until = max(arrives_until, began + _LAG_S)
        delay_s = _FIRST_POLL_S
        while True:
            finding = await self._query(request, reconciliation, call, cause)
            now = self._clock.monotonic()
            if finding.resolution != "not_found":
                return finding
            if now >= arrives_until or finding.candidate is not None:
                # The server says that the name is taken, but nothing with it shows: the listing
                # lags behind, and proves nothing.
                lags = name_taken and finding.candidate is None
                return Finding("unknown") if lags else finding
            if delay_s >= call.deadline.remaining(now):
                return Finding("unknown")
            if await self._lifecycle.pause(delay_s):
                raise self._lifecycle.error(request, unknown=True) from cause
            delay_s = min(2 * delay_s, _SLOWEST_POLL_S)

    async def _query(
        self,
        request: Request[T],
        reconciliation: Reconciliation[T, Any],
        call: Call,
        cause: BlockStoreError,
    ) -> Finding[T]:
        """Query once and classify the response; a query that fails leaves the outcome unknown."""
        try:
            listing = await reconciliation.query(call.deadline)
        except BlockStoreError as error:
            if self._lifecycle.closing:
                raise self._lifecycle.error(request, unknown=True) from cause
            raise OutcomeUnknownError(
                f"{loss_of(cause)} and querying failed too ({type(error).__name__}): "
                f"{reconciliation.hint}"
            ) from cause
        evidence = Evidence(
            self._earliest_sent_s(call, listing),
            self._created,
            self._is_concurrent_duplicate(reconciliation.key, call),
            clocks_agree=call.answered_before is not None,
        )
        return reconciliation.classify(listing, evidence)

    def _earliest_sent_s(self, call: Call, listing: Listing[Any]) -> float | None:
        """Return when the call was first sent at the earliest, by the server's clock.

        Returns:
            Seconds since the epoch; None if it cannot be told.
        """
        if call.sent_at is None or listing.date_s is None:
            return None
        now = self._clock.monotonic()
        if call.answered_before is not None:
            headers, then = call.answered_before
            then_s = date_header_s(headers)
            if then_s is not None and abs((listing.date_s - then_s) - (now - then)) > _CLOCK_STEP_S:
                # The server's clock did not move as ours did: its dates prove nothing.
                return None
        # Reckoned back from now, so too early by the way back of the query: the careful side.
        return listing.date_s - (now - call.sent_at)
