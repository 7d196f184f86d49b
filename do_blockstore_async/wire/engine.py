"""The one send/retry loop: every page, poll and bulk item passes here.

An engine takes a described call to its outcome: send, parse, decide, wait, send again. What to
do after a failure is decided in `retry.py`, what became of a lost request in `settle.py`; both are
pure. This module carries out the first, `settler.py` the second.

The loop is our own although stamina and tenacity are good: between two attempts it may have to look
up what the first one did, to yield to a close, and to tell the budget what it learned. Wrapped in
their callbacks these three would be harder to follow than the dozen lines that a library saves.

E1. Between two attempts nothing is held: no lease, no connection.
E2. A request that is not idempotent is sent again only when the earlier one was provably refused,
    never written, or looked up and found absent.
E3. A DELETE that meets a 404 after an attempt whose outcome was unknown has succeeded.
E4. Every call ends by its deadline plus one turn of the loop.
E5. After `aclose` no call is left: each has ended, with a result or an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from functools import partial
from typing import Any, Final, TypeVar

from .._deadline import NEVER, current_deadline
from ..clock import Clock
from ..config import Config
from ..errors import (
    BlockStoreError,
    ClientClosedError,
    ConflictError,
    DecodeError,
    NotFoundError,
    OutcomeUnknownError,
    QuotaWaitTooLongError,
    RateLimitedError,
    RequestTimeoutError,
    UnprocessableEntityError,
)
from ..events import (
    AttemptFinished,
    AttemptSent,
    CallFinished,
    CallStarted,
    RetryScheduled,
    current_observers,
    emit,
)
from ..quota.throttle import Throttle
from .arguments import check_timeout
from .lifetime import Lifecycle
from .messages import Attempt, Call, Dated, Finding, RawResponse, Request
from .protocol import parse_response
from .retry import RetryBudget, decide, is_outcome_unknown
from .settler import Reconciler
from .transport import Transport

__all__ = ["Engine"]

T = TypeVar("T")

# A create keeps a quarter of its time, at most this, to look for what a lost answer left behind.
_LOOKING_S: Final = 10.0


class Engine:
    """Carries calls to their outcome over one transport and one throttle.

    Used inside the event loop in which it was made, by the process that made it.
    """

    def __init__(
        self, transport: Transport, throttle: Throttle, config: Config, clock: Clock
    ) -> None:
        self._transport = transport
        self._throttle = throttle
        self._config = config
        self._clock = clock
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
        """Note that this client made the thing with this id, so that it is never adopted again."""
        self._reconciler.remember(identity)

    async def call(self, request: Request[T], *, timeout: float | None = None) -> T:
        """Carry `request` to its outcome.

        Args:
            timeout: seconds for everything, the wait for quota included; None takes
                `Config.timeout_s`, and where that is None too waits as long as the budget needs.
                A deadline of the surrounding `deadline()` counts where it is earlier.

        Raises:
            BlockStoreError: any of `errors`, with method, path and attempts filled in.
        """
        check_timeout(timeout)
        self._lifecycle.enter()
        started = self._clock.monotonic()
        limit_s = self._config.timeout_s if timeout is None else timeout
        until = current_deadline().child(limit_s, started)
        deadline = None if until is NEVER else until.at
        observers = current_observers()
        hooks = (*self._hooks, *observers) if observers else self._hooks
        call = Call(next(self._numbers), deadline, self._last_answer, hooks)
        if hooks:
            emit(hooks, CallStarted(call.number, request.method, request.route))
        # Its name only: an error that a frame holds, holds the frame, until the garbage collector
        # comes; so does one that the call remembers.
        failure: str | None = None
        try:
            if request.reconciliation is None:
                return await self._attempts(request, call)
            with self._reconciler.pending(request.reconciliation, call):
                return await self._attempts(request, call)
        except BlockStoreError as error:
            if error.method is None:
                error.method, error.path = request.method, request.path
            error.attempts = call.attempts
            failure = type(error).__name__
            raise
        except BaseException as error:
            failure = type(error).__name__
            if not request.idempotent and call.sent_at is not None:
                self._note_unsettled(request, call, error)
            raise
        finally:
            self._lifecycle.leave()
            call.unknown = None
            if hooks:
                duration_s = self._clock.monotonic() - started
                emit(
                    hooks,
                    CallFinished(
                        call.number,
                        request.method,
                        request.route,
                        call.attempts,
                        duration_s,
                        failure,
                    ),
                )

    async def _attempts(self, request: Request[T], call: Call) -> T:
        left_s = call.left_s(self._clock.monotonic())
        if left_s is not None and left_s <= 0:
            # A deadline of the surrounding code, used up by what it did before.
            raise RequestTimeoutError("the deadline has passed already", sent=False)
        while True:
            try:
                result = await self._attempt(request, call)
            except BlockStoreError as error:
                if isinstance(error, NotFoundError) and request.method == "DELETE" and call.unknown:
                    return request.decode(RawResponse(204, {}, b""))  # E3
                decision = await self._after_failure(request, call, error)
                if decision is None:
                    raise
                if isinstance(decision, Finding):
                    return decision.value  # type: ignore[return-value] # adopted: there is one
            else:
                self._budget.succeeded()
                return result
            await self._wait(call, decision, request)
            if call.instead is not None:
                request = call.instead

    async def _attempt(self, request: Request[T], call: Call) -> T:
        """One transmission and its deciphering."""
        attempt = Attempt(deadline=self._attempt_deadline(request, call))
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
            self._last_answer = (raw.headers, self._clock.monotonic())
            return parse_response(request, raw)
        except RateLimitedError as error:
            self._throttle._refused(error.kind, error.retry_after)
            failure = type(error).__name__
            raise
        except BaseException as error:
            if isinstance(error, QuotaWaitTooLongError):
                call.attempts -= 1
            failure = type(error).__name__
            raise
        finally:
            if call.sent_at is None:
                call.sent_at = attempt.sent_at
            if hooks:
                emit(
                    hooks,
                    AttemptFinished(
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
            AttemptSent(call.number, request.method, request.route, call.attempts, sent_at - began),
        )

    def _attempt_deadline(self, request: Request[Any], call: Call) -> float | None:
        """The call's own, less the time a create needs to look for what it left behind."""
        if call.deadline is None or request.reconciliation is None:
            return call.deadline
        left_s = call.deadline - self._clock.monotonic()
        return call.deadline - min(_LOOKING_S, left_s / 4)

    async def _after_failure(
        self, request: Request[T], call: Call, error: BlockStoreError
    ) -> float | Finding[T] | None:
        """The delay in seconds before the next attempt, or what the lost request has made.

        None gives up: the error is to be raised where it was caught. Raised here, it would hold
        this frame, whose local it is.
        """
        unknown = is_outcome_unknown(error) or (
            # Taken effect for certain, but the answer cannot be read.
            isinstance(error, DecodeError) and not request.idempotent
        )
        if unknown:
            call.unknown = error
        elif call.unknown is None:
            # Provably refused: what is made from now on may be made by others.
            call.sent_at = None
        if self._lifecycle.closing:
            raise self._lifecycle.error(request, unknown=call.unknown is not None) from error
        # Also when a repeated create is refused: the first one may have arrived late.
        lost = unknown or (call.unknown is not None and _refused_by_state(error))
        if lost and not request.idempotent:
            finding = await self._reconciler.reconcile(request, call, error)
            if finding is not None:
                return finding if finding.resolution == "adopted" else None
        delay_s = self._delay(request, call, error, found_missing=lost)
        if delay_s is not None or call.unknown is None:
            return delay_s
        if request.idempotent or _refused_by_state(error):
            return None
        if (
            request.reconciliation is not None
            and not request.reconciliation.server_rejects_duplicates
        ):
            return None  # looked for until it could not arrive any more
        raise OutcomeUnknownError(
            "the answer was lost; nothing is there yet, but it may still arrive"
        ) from error

    def _delay(
        self, request: Request[Any], call: Call, error: BlockStoreError, *, found_missing: bool
    ) -> float | None:
        """What `retry.decide` says, if the budget of retries allows it; None to give up."""
        delay_s = decide(
            error,
            repeatable=request.idempotent or found_missing,
            attempt=call.attempts,
            jitter=self._clock.jitter(),
            left_s=call.left_s(self._clock.monotonic()),
            retry_after_s=getattr(error, "retry_after", None),
            config=self._config,
        )
        if delay_s is None or isinstance(error, RateLimitedError) or self._budget.take():
            return delay_s
        return None

    async def _wait(self, call: Call, delay_s: float, request: Request[Any]) -> None:
        if call.hooks:
            reason = type(call.unknown).__name__ if call.unknown else "refused"
            emit(
                call.hooks,
                RetryScheduled(
                    call.number, request.method, request.route, call.attempts, delay_s, reason
                ),
            )
        if await self._lifecycle.pause(delay_s):
            raise self._lifecycle.error(request, unknown=call.unknown is not None)

    def _note_unsettled(self, request: Request[Any], call: Call, error: BaseException) -> None:
        """Leave a trace for whoever cancelled a create: the exception itself cannot be replaced."""
        hint = "" if request.reconciliation is None else f": {request.reconciliation.hint}"
        error.add_note(f"{request.method} {request.path} may have taken effect{hint}")
        self._reconciler.report(request, call, "unknown")

    async def pause(self, delay_s: float) -> None:
        """Wait between two calls.

        Raises:
            ClientClosedError: the client was closed meanwhile.
        """
        if await self._lifecycle.pause(delay_s):
            raise ClientClosedError("the client was closed while the call was under way")

    async def aclose(self, grace_s: float = 0.0) -> None:
        """Give the calls under way up to `grace_s` seconds, then end them and refuse new ones.

        Cancelled in its grace it closes at once; a second close waits for the first.
        """
        try:
            await self._lifecycle.grace(grace_s)
        finally:
            self._lifecycle.start_closing()
            await self._transport.aclose()
            await self._lifecycle.wait_idle()


def _refused_by_state(error: BlockStoreError) -> bool:
    """Whether the refusal may come of what an earlier, lost attempt has made."""
    if isinstance(error, RateLimitedError):
        return error.kind == "snapshot_cooldown"
    return isinstance(error, ConflictError | UnprocessableEntityError)
