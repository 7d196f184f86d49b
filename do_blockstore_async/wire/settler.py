"""Finding out what became of lost requests: carries out what `settle.py` judges.

It looks, gives what it saw to the request's own judge, and looks again while a lost request may
still be under way. What it remembers is what this client made, and what it is making just now.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from .._dates import date_header_s
from ..clock import Clock
from ..config import Config
from ..errors import BlockStoreError, ConflictError, OutcomeUnknownError
from ..events import OutcomeSettled, emit
from .lifetime import Lifecycle
from .messages import Call, Evidence, Finding, Listing, Reconciliation, Request

__all__ = ["Reconciler"]

T = TypeVar("T")

# How many of its own creates a client remembers; only those of the last seconds matter (settle S2).
_REMEMBERED: Final = 4096
# Two clocks that run alike disagree by the whole second of `Date` and a round trip.
_CLOCK_STEP_S: Final = 3.0
# How long a listing may lag behind what the server itself knows.
_LAG_S: Final = 5.0
_FIRST_LOOK_S: Final = 1.0
_SLOWEST_LOOK_S: Final = 10.0


class Reconciler:
    """Settles the lost requests of one client."""

    def __init__(self, config: Config, clock: Clock, lifecycle: Lifecycle) -> None:
        self._config = config
        self._clock = clock
        self._lifecycle = lifecycle
        self._made: deque[Hashable] = deque(maxlen=_REMEMBERED)
        self._asked_for: Counter[Hashable] = Counter()
        # What was asked for by calls that ended without knowing, and until when it may arrive.
        self._doubtful: dict[Hashable, float] = {}

    def remember(self, identity: Hashable) -> None:
        """Note that this client made the thing with this id; it is not to be adopted again."""
        self._made.append(identity)

    @contextmanager
    def pending(self, reconciliation: Reconciliation[Any], call: Call) -> Iterator[None]:
        """The thing is being asked for inside."""
        key = reconciliation.key
        self._asked_for[key] += 1
        try:
            yield
        except BaseException as error:
            cut_off = not isinstance(error, BlockStoreError) and call.sent_at is not None
            if cut_off or isinstance(error, OutcomeUnknownError):
                self._doubt(key)
            raise
        finally:
            self._asked_for[key] -= 1
            if not self._asked_for[key]:
                del self._asked_for[key]

    def _doubt(self, key: Hashable) -> None:
        now = self._clock.monotonic()
        self._doubtful.pop(key, None)
        while self._doubtful:
            oldest = next(iter(self._doubtful))
            if self._doubtful[oldest] >= now and len(self._doubtful) < _REMEMBERED:
                break
            del self._doubtful[oldest]
        self._doubtful[key] = now + self._config.linger_s

    def _contested(self, key: Hashable, call: Call) -> bool:
        """Whether another call of this client may have made what this one has found."""
        until = self._doubtful.get(key)
        doubtful = until is not None and call.sent_at is not None and call.sent_at <= until
        return doubtful or self._asked_for[key] > 1

    async def reconcile(
        self, request: Request[T], call: Call, error: BlockStoreError
    ) -> Finding[T] | None:
        """What became of a lost request.

        Returns:
            `adopted`, with the result; `conflict`, where `error` says already that the name was
            taken before the call; None to send the request again.

        Raises:
            ConflictError: the name was taken before the call, and `error` does not say so.
            OutcomeUnknownError: it cannot be told.
        """
        cause = call.unknown if call.unknown is not None else error
        reconciliation = request.reconciliation
        if reconciliation is None:
            raise OutcomeUnknownError(
                f"the answer was lost and this request cannot be looked up: {cause}"
            ) from cause
        finding = await self._poll_until_resolved(
            request, reconciliation, call, cause, taken=isinstance(error, ConflictError)
        )
        self.report(request, call, finding.resolution)
        if finding.resolution == "adopted":
            return finding
        if finding.resolution == "not_found":
            if reconciliation.replacement is not None and finding.candidate is not None:
                call.instead = reconciliation.replacement(finding.candidate)
            return None
        if finding.resolution == "conflict":
            if isinstance(error, ConflictError):
                return finding
            raise ConflictError(
                "the name was taken before this call", status=409, id="conflict"
            ) from cause
        raise OutcomeUnknownError(
            f"the answer was lost and looking could not tell what became of the request: "
            f"{reconciliation.hint}",
            candidate=finding.candidate,
        ) from cause

    @staticmethod
    def report(request: Request[Any], call: Call, verdict: str) -> None:
        """Tell the hooks."""
        if call.hooks:
            emit(
                call.hooks,
                OutcomeSettled(call.number, request.method, request.route, verdict),
            )

    async def _poll_until_resolved(
        self,
        request: Request[T],
        reconciliation: Reconciliation[T],
        call: Call,
        cause: BlockStoreError,
        *,
        taken: bool,
    ) -> Finding[T]:
        """Look; where nothing is there and a second one would not be refused, look until the lost
        request cannot arrive any more.
        """
        began = self._clock.monotonic()
        arrives_until = (
            began if reconciliation.server_rejects_duplicates else began + self._config.linger_s
        )
        if taken:
            arrives_until = max(arrives_until, began + _LAG_S)
        delay_s = _FIRST_LOOK_S
        while True:
            finding = await self._look(request, reconciliation, call, cause)
            now = self._clock.monotonic()
            if finding.resolution != "not_found":
                return finding
            if now >= arrives_until or finding.candidate is not None:
                # A name that is taken by nothing that can be seen: the listing lags behind.
                lags = taken and finding.candidate is None
                return Finding("unknown") if lags else finding
            left_s = call.left_s(now)
            if left_s is not None and delay_s >= left_s:
                return Finding("unknown")
            if await self._lifecycle.pause(delay_s):
                raise self._lifecycle.error(request, unknown=True) from cause
            delay_s = min(2 * delay_s, _SLOWEST_LOOK_S)

    async def _look(
        self,
        request: Request[T],
        reconciliation: Reconciliation[T],
        call: Call,
        cause: BlockStoreError,
    ) -> Finding[T]:
        """One look-up and its judgement; a look-up that fails leaves the outcome unknown."""
        try:
            left_s = call.left_s(self._clock.monotonic())
            if left_s is not None and left_s <= 0:
                raise OutcomeUnknownError("no time is left to look")
            listing = await reconciliation.query(left_s)
        except BlockStoreError as error:
            if self._lifecycle.closing:
                raise self._lifecycle.error(request, unknown=True) from cause
            raise OutcomeUnknownError(
                f"the answer was lost and looking failed too ({type(error).__name__}): "
                f"{reconciliation.hint}"
            ) from cause
        evidence = Evidence(
            self._sent_s(call, listing),
            self._made,
            self._contested(reconciliation.key, call),
            clocks_agree=call.answered_before is not None,
        )
        return reconciliation.classify(listing, evidence)

    def _sent_s(self, call: Call, listing: Listing[Any]) -> float | None:
        """The server's time when the call was first sent, at the earliest; None if untellable."""
        if call.sent_at is None or listing.date_s is None:
            return None
        now = self._clock.monotonic()
        if call.answered_before is not None:
            headers, then = call.answered_before
            then_s = date_header_s(headers)
            if then_s is not None and abs((listing.date_s - then_s) - (now - then)) > _CLOCK_STEP_S:
                # The server's clock did not move as ours did: its dates prove nothing.
                return None
        return listing.date_s - (now - call.sent_at)
