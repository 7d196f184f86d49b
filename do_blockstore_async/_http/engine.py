"""Send requests and retry them: the one loop that every page, poll and bulk item passes through.

An engine takes a described call to its outcome: send, parse, decide, wait, send again. What to
do after a failure is decided in `retry.py`, what became of a lost request in `recovery/rules.py`;
both are pure. This module carries out the first, `recovery/reconciler.py` the second.

The loop is our own although stamina and tenacity are good: between two attempts it may have to
query what the first one did, to yield to a close, and to report to the budget what it learned. In
their callbacks these three would be harder to follow than the dozen lines that a library saves.

E1. Between two attempts nothing is held: no lease, no connection.
E2. A request that is not idempotent is sent again only if the earlier one was provably refused,
    never written, or queried and not found.
E3. A DELETE that meets a 404 after an attempt whose outcome was unknown has succeeded.
E4. Every call ends by its deadline plus one iteration of the loop.
E5. After `aclose` no call is left: each has ended, with a result or an error.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Hashable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from .._clock import Clock
from .._context import current_gate
from .._dates import date_header_s
from .._deadline import NEVER, Deadline, Timeout, current_deadline
from .._lazy import ModuleLater
from .._observers import current_observers, emit
from .._ratelimit.throttle import Throttle
from ..config import Config
from ..errors import (
    AuthenticationError,
    BlockStoreError,
    ClientClosedError,
    ConfigError,
    ConflictError,
    DecodeError,
    NotFoundError,
    OutcomeUnknownError,
    QuotaWaitTooLongError,
    RateLimitedError,
    RequestTimeoutError,
    TransportError,
    UnprocessableEntityError,
)
from .checks import check_timeout
from .credentials import Credentials
from .lifecycle import Lifecycle
from .protocol import parse_response
from .recovery.reconciler import Reconciler, loss_of
from .request import Attempt, Call, Dated, Finding, RawResponse, Request, is_answer
from .retry import RetryBudget, decide, is_outcome_unknown
from .transport import Transport

if TYPE_CHECKING:
    from .. import events
else:
    # Where nobody listens no event is made: their classes take as long to import as the ledger.
    events = ModuleLater("do_blockstore_async.events")

__all__ = ["Engine"]

T = TypeVar("T")

# A create keeps a quarter of its time, at most this, to query what a lost response left behind.
_RECONCILING_S: Final = 10.0


class Retry(msgspec.Struct, Generic[T], frozen=True):
    """Send `request` after `delay_s`: the same one again, or what replaces it."""

    delay_s: float
    request: Request[T]


class Adopt(msgspec.Struct, Generic[T], frozen=True):
    """The lost request took effect: `value` is its result."""

    value: T


class GiveUp(msgspec.Struct, frozen=True):
    """Raise the error of the last attempt."""


Decision: TypeAlias = Retry[T] | Adopt[T] | GiveUp


class Engine:
    """Carry calls to their outcome over one transport and one throttle.

    Used inside the event loop in which it was made, by the process that made it.
    """

    def __init__(
        self,
        transport: Transport,
        throttle: Throttle,
        config: Config,
        clock: Clock,
        credentials: Credentials,
    ) -> None:
        self._transport = transport
        self._throttle = throttle
        self._config = config
        self._clock = clock
        self._credentials = credentials
        self._hooks = config.hooks
        self._budget = RetryBudget(config.retry_budget)
        self._lifecycle = Lifecycle()
        self._reconciler = Reconciler(config, clock, self._lifecycle)
        self._numbers = itertools.count(1)
        self._last_answer: Dated | None = None

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self._config

    @property
    def clock(self) -> Clock:
        """The client's clock."""
        return self._clock

    def remember(self, identity: Hashable) -> None:
        """Note that this client created the resource with this id: it is never adopted again."""
        self._reconciler.remember(identity)

    async def call(
        self, request: Request[T], *, timeout: Timeout = None, deadline: Deadline = NEVER
    ) -> T:
        """Carry `request` to its outcome.

        Args:
            request: what to send.
            timeout: for everything, the wait for quota included. Without it and without
                a `deadline`, `Config.timeout_s` applies; where that is None too, the call takes as
                long as the budget needs.
            deadline: the deadline of the operation that the call is a part of. Of this one, of
                `timeout` and of the surrounding `deadline()` block the earliest counts.

        Raises:
            BlockStoreError: any of `errors`, with method, path and attempts filled in.
        """
        timeout_s = check_timeout(timeout)
        if self._lifecycle.closing:
            await self._clock.sleep(0)
        self._lifecycle.enter()
        started = self._clock.monotonic()
        if timeout_s is None and deadline is NEVER:
            timeout_s = self._config.timeout_s
        deadline = current_deadline().earlier_of(deadline).child(timeout_s, started)
        observers = current_observers()
        hooks = (*self._hooks, *observers) if observers else self._hooks
        call = Call(next(self._numbers), deadline, self._last_answer, hooks)
        if hooks:
            emit(hooks, events.CallStarted(call.number, request.method, request.route))
        # Keep only the class name: storing the exception would create a reference cycle (exception,
        # traceback, frame), which only the garbage collector could free.
        failure: str | None = None
        try:
            if request.reconciliation is None:
                return await self._attempts(request, call, started)
            with self._reconciler.pending(request.reconciliation, call):
                return await self._attempts(request, call, started)
        except BlockStoreError as error:
            # An error of a nested query keeps the request that it is about.
            if error.method is None:
                error.method, error.path = request.method, request.path
            error.attempts = call.attempts
            failure = type(error).__name__
            raise
        except BaseException as error:
            failure = type(error).__name__
            # Cancelled: nothing can be awaited any more, so the outcome stays unknown.
            if not request.idempotent and call.sent_at is not None:
                self._note_unknown(request, call, error)
            raise
        finally:
            self._lifecycle.leave()
            # The error refers to frames that refer to the call: a cycle for each failed call.
            call.unknown = None
            if hooks:
                duration_s = self._clock.monotonic() - started
                emit(
                    hooks,
                    events.CallFinished(
                        call.number,
                        request.method,
                        request.route,
                        call.attempts,
                        duration_s,
                        failure,
                    ),
                )

    async def _attempts(self, request: Request[T], call: Call, now: float) -> T:
        if call.deadline.expired(now):
            # What the surrounding code did before this call has used up its deadline. The turn of
            # the loop is for callers that try again at once.
            await self._clock.sleep(0)
            raise RequestTimeoutError("the deadline has passed already", sent=False)
        while True:
            try:
                result = await self._attempt(request, call)
            except BlockStoreError as error:
                decision = await self._after_failure(request, call, error)
                match decision:
                    case Adopt(value):
                        return value
                    case GiveUp():
                        raise
            else:
                self._budget.succeeded()
                return result
            # Outside of `except`: what the next attempt raises must not carry this error as its
            # context, and nothing of this attempt is held during the pause (E1).
            await self._wait(call, decision.delay_s, request)
            request = decision.request

    async def _attempt(self, request: Request[T], call: Call) -> T:
        """Transmit once and parse the response."""
        attempt = Attempt(
            deadline=self._attempt_deadline(request, call),
            generation=self._credentials.generation,
        )
        if request.method != "GET":
            attempt.gate = current_gate()
        hooks = call.hooks
        began = self._clock.monotonic() if hooks else 0.0
        status: int | None = None
        failure: str | None = None
        call.attempts += 1
        if hooks:
            attempt.on_sent = partial(self._announce, request, call, began)
        try:
            raw = await self._transport.send(request, attempt)
            status = raw.status
            # Two dated responses show whether the server's clock runs as ours (rule S2).
            self._last_answer = (raw.headers, self._clock.monotonic())
            if not is_answer(request, attempt, raw):
                raise TransportError("the response belongs to another request")  # noqa: TRY301
            if attempt.result is not msgspec.UNSET:
                return attempt.result  # type: ignore[no-any-return]
            return parse_response(request, raw)
        except RateLimitedError as error:
            # The kind may stand in the body only, which the lease has not seen.
            self._throttle._refused(error.kind, error.retry_after)
            failure = type(error).__name__
            raise
        except BaseException as error:
            if isinstance(error, QuotaWaitTooLongError):
                call.attempts -= 1  # it never got its lease
            failure = type(error).__name__
            raise
        finally:
            call.generation = attempt.generation
            # The earliest attempt that may have taken effect is what dates the request.
            if call.sent_at is None:
                call.sent_at = attempt.sent_at
            if hooks:
                emit(
                    hooks,
                    events.AttemptFinished(
                        call.number,
                        request.method,
                        request.route,
                        call.attempts,
                        self._clock.monotonic() - began,
                        status,
                        failure,
                    ),
                )

    @staticmethod
    def _announce(request: Request[Any], call: Call, began: float, sent_at: float) -> None:
        emit(
            call.hooks,
            events.AttemptSent(
                call.number, request.method, request.route, call.attempts, sent_at - began
            ),
        )

    def _attempt_deadline(self, request: Request[Any], call: Call) -> Deadline:
        """Return the call's deadline, less the time a create needs to reconcile a lost response."""
        if call.deadline is NEVER or request.reconciliation is None:
            return call.deadline
        remaining_s = call.deadline.remaining(self._clock.monotonic())
        return Deadline(call.deadline.at - min(_RECONCILING_S, remaining_s / 4))

    async def _after_failure(
        self, request: Request[T], call: Call, error: BlockStoreError
    ) -> Decision[T]:
        """Decide what follows a failed attempt; reconcile first if its response was lost.

        Returns:
            What to do. The error to give up with is raised where it was caught: raised here, it
            would hold this frame, whose local it is.

        Raises:
            OutcomeUnknownError: it cannot be told what became of the request.
            ConflictError: the name was taken before the call.
            ClientClosedError: the client was closed meanwhile.
        """
        if call.unknown and request.method == "DELETE" and isinstance(error, NotFoundError):
            # E3: the attempt whose response was lost is what deleted it.
            return Adopt(request.decode(RawResponse(204, {}, b"")))
        if isinstance(error, ConflictError | UnprocessableEntityError):
            await self._explain(request, call, error)
        if isinstance(error, AuthenticationError) and await self._renewed(call, error):
            return Retry(0.0, request)
        lost = _is_lost(request, call, error)
        if self._lifecycle.closing:
            raise self._lifecycle.error(request, unknown=call.unknown is not None) from error
        next_request = request
        if lost and not request.idempotent:
            finding = await self._reconciler.reconcile(request, call, error)
            if finding.resolution == "adopted":
                return Adopt(finding.value)  # type: ignore[arg-type] # adopted: there is one
            if finding.resolution == "conflict":
                return GiveUp()
            next_request = _replacement(request, finding)
        delay_s = self._delay(request, call, error, found_missing=lost)
        if delay_s is not None:
            return Retry(delay_s, next_request)
        if _may_still_arrive(request, call, error):
            raise OutcomeUnknownError(
                f"{loss_of(error)}; the request has had no effect yet, but it may still arrive"
            ) from error
        return GiveUp()

    async def _renewed(self, call: Call, error: AuthenticationError) -> bool:
        """Whether there is another token now, to send the call again with, once."""
        if call.is_renewed or not self._credentials.rotates:
            return False
        call.is_renewed = True
        # After a lost attempt `sent_at` is that one's, not the rejected one's.
        sent_at = call.sent_at if call.unknown is None else None
        try:
            async with asyncio.timeout_at(call.deadline.when()):
                return await self._credentials.renew(
                    call.generation, sent_at, self._config.attempt_timeout_s
                )
        except TimeoutError:
            error.add_note("its source gave no other token in time")
        except ConfigError as problem:
            error.add_note(problem.message)
        return False

    async def _explain(
        self, request: Request[Any], call: Call, error: ConflictError | UnprocessableEntityError
    ) -> None:
        """Find out what the message of a refusal leaves open, with a request of its own."""
        if error.refusal is not None or request.explain is None or call.unknown is not None:
            return
        with suppress(BlockStoreError):
            error.refusal = await request.explain(call.deadline)

    def _delay(
        self, request: Request[Any], call: Call, error: BlockStoreError, *, found_missing: bool
    ) -> float | None:
        """Return the delay of `retry.decide` if the retry budget allows it; None to give up."""
        delay_s = decide(
            error,
            repeatable=request.idempotent or found_missing,
            attempt=call.attempts,
            jitter=self._clock.jitter(),
            remaining_s=call.deadline.remaining(self._clock.monotonic()),
            retry_after_s=getattr(error, "retry_after", None),
            config=self._config,
        )
        # Waiting out a 429, or what is busy, costs the retry budget nothing: the server is well.
        is_free = isinstance(error, RateLimitedError) or getattr(error, "refusal", None) == "busy"
        if delay_s is None or is_free or self._budget.take():
            return delay_s
        return None

    async def _wait(self, call: Call, delay_s: float, request: Request[Any]) -> None:
        if call.hooks:
            reason = type(call.unknown).__name__ if call.unknown else "refused"
            emit(
                call.hooks,
                events.RetryScheduled(
                    call.number, request.method, request.route, call.attempts, delay_s, reason
                ),
            )
        if await self._lifecycle.pause(delay_s):
            raise self._lifecycle.error(request, unknown=call.unknown is not None)

    def _note_unknown(self, request: Request[Any], call: Call, error: BaseException) -> None:
        """Note on a cancellation that the request may have taken effect.

        A cancellation cannot be replaced by an `OutcomeUnknownError`: asyncio would lose it.
        """
        hint = "" if request.reconciliation is None else f": {request.reconciliation.hint}"
        error.add_note(f"{request.method} {request.path} may have taken effect{hint}")
        self._reconciler.report(request, call, "unknown")

    def server_time_s(self) -> float | None:
        """Return the server's time now, seconds since the epoch, by the last response's `Date`."""
        if self._last_answer is None:
            return None
        headers, received_at = self._last_answer
        dated_s = date_header_s(headers)
        return None if dated_s is None else dated_s + self._clock.monotonic() - received_at

    async def pause(self, delay_s: float) -> None:
        """Wait between two calls.

        Raises:
            ClientClosedError: the client was closed meanwhile.
        """
        if await self._lifecycle.pause(delay_s):
            raise ClientClosedError("the client was closed while the call was in flight")

    async def aclose(self, grace_s: float = 0.0) -> None:
        """Give the calls in flight up to `grace_s` seconds, then end them and reject new ones.

        Cancelled during that time it closes at once; a second close waits for the first.
        """
        try:
            await self._lifecycle.grace(grace_s)
        finally:
            self._lifecycle.start_closing()
            await self._credentials.aclose()
            await self._transport.aclose()
            await self._lifecycle.wait_idle()


def _is_lost(request: Request[Any], call: Call, error: BlockStoreError) -> bool:
    """Record what the failed attempt proves; tell whether its effect has to be found out."""
    # A 2xx that is unreadable took effect for certain, but its result is lost.
    unreadable = isinstance(error, DecodeError) and not request.idempotent
    if unreadable or is_outcome_unknown(error):
        call.unknown = error
        return True
    if call.unknown is None:
        # Every attempt so far was provably rejected: they cannot have created what a query finds
        # later, so only what is created from the next attempt on may be ours.
        call.sent_at = None
        return False
    # A repeated create that is rejected because of what exists may be rejected because of its own
    # first attempt, which arrived late: that has to be reconciled too.
    return _refused_by_state(error)


def _may_still_arrive(request: Request[Any], call: Call, error: BlockStoreError) -> bool:
    """Tell whether giving up now would leave an earlier attempt that may yet take effect."""
    if call.unknown is None or request.idempotent or _refused_by_state(error):
        return False
    reconciliation = request.reconciliation
    # Where the server does not reject duplicates, the reconciler has queried until the lost attempt
    # could not arrive any more: it has no effect.
    return reconciliation is None or reconciliation.server_rejects_duplicates


def _replacement(request: Request[T], finding: Finding[T]) -> Request[T]:
    """Return the request to send after a query found that the lost one has had no effect."""
    reconciliation = request.reconciliation
    if reconciliation is None or reconciliation.replacement is None or finding.candidate is None:
        return request
    return reconciliation.replacement(finding.candidate)


def _refused_by_state(error: BlockStoreError) -> bool:
    """Tell whether the refusal may come of what an earlier, lost attempt has created."""
    if isinstance(error, RateLimitedError):
        return error.kind == "snapshot_cooldown"
    return isinstance(error, ConflictError | UnprocessableEntityError)
