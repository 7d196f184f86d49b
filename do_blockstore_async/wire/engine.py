"""The one send/retry loop: every page, poll and bulk item passes here.

An engine takes a described call to its outcome: send, decipher, decide, wait, send again. What to
do after a failure is decided in `retry.py`, what became of a lost request in `settle.py`; both are
pure, and this module only carries out what they say.

The loop is our own although stamina and tenacity are good: between two attempts it may have to look
up what the first one did, to yield to a close, and to tell the budget what it learned. Wrapped in
their callbacks these three would be harder to follow than the dozen lines that a library saves.

E1. Between two attempts nothing is held: no permit, no connection.
E2. A request that is not repeatable is sent again only when the earlier one was provably refused,
    never written, or looked up and found absent.
E3. A DELETE that meets a 404 after an attempt whose outcome was unknown has succeeded.
E4. Every call ends by its deadline plus one turn of the loop.
E5. After `aclose` no call is left: each has ended, with a result or an error.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Hashable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

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
    UnprocessableEntityError,
)
from ..events import (
    AttemptFinished,
    CallFinished,
    CallStarted,
    OutcomeSettled,
    RetryScheduled,
    emit,
)
from ..quota.throttle import Throttle
from .arguments import check_timeout
from .codec import date_s
from .messages import Attempt, Listing, RawResponse, Request
from .protocol import decipher
from .retry import RetryBudget, decide, is_outcome_unknown
from .settle import Evidence, Finding, Settlement
from .transport import Transport

__all__ = ["Engine"]

T = TypeVar("T")

# How many of its own creates a client remembers; only those of the last seconds matter (settle S2).
_REMEMBERED: Final = 4096
# Two clocks that run alike disagree by the whole second of `Date` and a round trip.
_CLOCK_STEP_S: Final = 3.0
# A create keeps a quarter of its time, at most this, to look for what a lost answer left behind.
_LOOKING_S: Final = 10.0


# An answer's headers and the loop time at which it came: two of them compare two clocks.
_Dated: TypeAlias = tuple[Mapping[str, str], float]


class _Call:
    """What one call has gone through so far."""

    __slots__ = ("answered_before", "attempts", "deadline", "number", "sent_at", "unknown")

    def __init__(
        self,
        number: int,
        deadline: float | None,
        answered_before: _Dated | None,
    ) -> None:
        self.number = number
        self.deadline = deadline
        self.answered_before = answered_before
        self.attempts = 0
        self.sent_at: float | None = None
        self.unknown: BlockStoreError | None = None

    def left_s(self, now: float) -> float | None:
        return None if self.deadline is None else self.deadline - now


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
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._ids = itertools.count(1)
        self._in_flight = 0
        self._closing: asyncio.Event = asyncio.Event()
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self._made: deque[Hashable] = deque(maxlen=_REMEMBERED)
        self._last_answer: _Dated | None = None

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
        self._made.append(identity)

    async def call(self, request: Request[T], *, timeout: float | None = None) -> T:
        """Carry `request` to its outcome.

        Args:
            timeout: seconds for everything, the wait for quota included; None takes
                `Config.timeout_s`, and where that is None too waits as long as the budget needs.

        Raises:
            BlockStoreError: any of `errors`, with method, path and attempts filled in.
        """
        self._check_usable()
        check_timeout(timeout)
        started = self._clock.monotonic()
        limit_s = self._config.timeout_s if timeout is None else timeout
        deadline = None if limit_s is None else started + limit_s
        call = _Call(next(self._ids), deadline, self._last_answer)
        if self._hooks:
            emit(self._hooks, CallStarted(call.number, request.method, request.route))
        self._in_flight += 1
        self._idle.clear()
        failure: BaseException | None = None
        try:
            return await self._attempts(request, call)
        except BlockStoreError as error:
            if error.method is None:
                error.method, error.path = request.method, request.path
            error.attempts = call.attempts
            failure = error
            raise
        except BaseException as error:
            failure = error
            if not request.repeatable and call.sent_at is not None:
                self._note_unsettled(request, call, error)
            raise
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
            if self._hooks:
                name = None if failure is None else type(failure).__name__
                duration_s = self._clock.monotonic() - started
                emit(
                    self._hooks,
                    CallFinished(
                        call.number, request.method, request.route, call.attempts, duration_s, name
                    ),
                )

    async def _attempts(self, request: Request[T], call: _Call) -> T:
        while True:
            try:
                result = await self._attempt(request, call)
            except BlockStoreError as error:
                if isinstance(error, NotFoundError) and request.method == "DELETE" and call.unknown:
                    return request.decode(RawResponse(204, {}, b""))  # E3
                delay_s = await self._after_failure(request, call, error)
                if isinstance(delay_s, Finding):
                    return delay_s.value  # type: ignore[return-value] # adopted: there is one
            else:
                self._budget.succeeded()
                return result
            await self._wait(call, delay_s, request)

    async def _attempt(self, request: Request[T], call: _Call) -> T:
        """One transmission and its deciphering."""
        attempt = Attempt(deadline=self._attempt_deadline(request, call))
        began = self._clock.monotonic() if self._hooks else 0.0
        status: int | None = None
        failure: str | None = None
        call.attempts += 1
        try:
            raw = await self._transport.send(request, attempt)
            status = raw.status
            self._last_answer = (raw.headers, self._clock.monotonic())
            return decipher(request, raw)
        except RateLimitedError as error:
            self._throttle.refused(error.kind, error.retry_after)
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
            if self._hooks:
                emit(
                    self._hooks,
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

    def _attempt_deadline(self, request: Request[Any], call: _Call) -> float | None:
        """The call's own, less the time a create needs to look for what it left behind."""
        if call.deadline is None or request.settle is None:
            return call.deadline
        left_s = call.deadline - self._clock.monotonic()
        return call.deadline - min(_LOOKING_S, left_s / 4)

    async def _after_failure(
        self, request: Request[T], call: _Call, error: BlockStoreError
    ) -> float | Finding[T]:
        """The delay before the next attempt, or what the lost request turned out to have made."""
        unknown = is_outcome_unknown(error) or (
            # Taken effect for certain, but the answer cannot be read.
            isinstance(error, DecodeError) and not request.repeatable
        )
        if unknown:
            call.unknown = error
        if self._closing.is_set():
            raise self._closed_error(request, unknown) from error
        if request.repeatable or not (unknown or (call.unknown and _refused_by_state(error))):
            return self._delay(request, call, error, found_absent=False)
        # Also when a repeated create is refused: the first one may have arrived late.
        finding = await self._settle(request, call, error)
        if finding is not None:
            return finding
        return self._delay(request, call, error, found_absent=True)

    def _delay(
        self, request: Request[Any], call: _Call, error: BlockStoreError, *, found_absent: bool
    ) -> float:
        """What `retry.decide` says; raises the error where it says to give up."""
        delay_s = decide(
            error,
            repeatable=request.repeatable or found_absent,
            attempt=call.attempts,
            jitter=self._clock.jitter(),
            left_s=call.left_s(self._clock.monotonic()),
            retry_after_s=getattr(error, "retry_after", None),
            config=self._config,
        )
        if delay_s is None or not (isinstance(error, RateLimitedError) or self._budget.take()):
            raise error
        return delay_s

    async def _wait(self, call: _Call, delay_s: float, request: Request[Any]) -> None:
        if self._hooks:
            reason = type(call.unknown).__name__ if call.unknown else "refused"
            emit(
                self._hooks,
                RetryScheduled(
                    call.number, request.method, request.route, call.attempts, delay_s, reason
                ),
            )
        if await self._pause(delay_s):
            raise self._closed_error(request, call.unknown is not None and not request.repeatable)

    async def _pause(self, delay_s: float) -> bool:
        """Wait; True if the client was closed meanwhile."""
        try:
            async with asyncio.timeout(delay_s):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True

    # Settling.

    async def _settle(
        self, request: Request[T], call: _Call, error: BlockStoreError
    ) -> Finding[T] | None:
        """What became of a lost request: a finding to return, or None to send it again.

        Raises:
            ConflictError, OutcomeUnknownError
        """
        settlement = request.settle
        cause = call.unknown if call.unknown is not None else error
        if settlement is None:
            raise OutcomeUnknownError(
                f"the answer was lost and this request cannot be looked up: {cause}"
            ) from cause
        lost_at = self._clock.monotonic()
        delay_s = 1.0
        while True:
            finding = await self._look(request, settlement, call, cause)
            arrives_until = lost_at + self._config.linger_s
            late = not settlement.unique and self._clock.monotonic() < arrives_until
            if finding.verdict != "absent" or not late:
                break
            left_s = call.left_s(self._clock.monotonic())
            if left_s is not None and delay_s >= left_s:
                finding = Finding("unknown")
                break
            if await self._pause(delay_s):
                raise self._closed_error(request, True) from cause
            delay_s = min(2 * delay_s, 10.0)
        if self._hooks:
            emit(
                self._hooks,
                OutcomeSettled(call.number, request.method, request.route, finding.verdict),
            )
        if finding.verdict == "adopted":
            return finding
        if finding.verdict == "absent":
            return None
        if finding.verdict == "conflict":
            if isinstance(error, ConflictError):
                raise error
            raise ConflictError(
                "the name was taken before this call", status=409, id="conflict"
            ) from cause
        raise OutcomeUnknownError(
            f"the answer was lost and looking could not tell what became of the request: "
            f"{settlement.hint}",
            candidate=finding.candidate,
        ) from cause

    async def _look(
        self,
        request: Request[T],
        settlement: Settlement[T],
        call: _Call,
        cause: BlockStoreError,
    ) -> Finding[T]:
        """One look-up and its judgement; a look-up that fails leaves the outcome unknown."""
        try:
            left_s = call.left_s(self._clock.monotonic())
            if left_s is not None and left_s <= 0:
                raise OutcomeUnknownError("no time is left to look") from cause
            listing = await settlement.look(left_s)
        except BlockStoreError as error:
            if self._closing.is_set():
                raise self._closed_error(request, True) from cause
            raise OutcomeUnknownError(
                f"the answer was lost and looking failed too ({type(error).__name__}): "
                f"{settlement.hint}"
            ) from cause
        return settlement.judge(listing, Evidence(self._sent_s(call, listing), self._made))

    def _sent_s(self, call: _Call, listing: Listing[Any]) -> float | None:
        """The server's time when the call was first sent, at the earliest; None if untellable."""
        if call.sent_at is None or listing.date_s is None:
            return None
        now = self._clock.monotonic()
        if call.answered_before is not None:
            headers, then = call.answered_before
            then_s = date_s(headers)
            if then_s is not None and abs((listing.date_s - then_s) - (now - then)) > _CLOCK_STEP_S:
                # The server's clock did not move as ours did: its dates prove nothing.
                return None
        return listing.date_s - (now - call.sent_at)

    def _note_unsettled(self, request: Request[Any], call: _Call, error: BaseException) -> None:
        """Leave a trace for whoever cancelled a create: the exception itself cannot be replaced."""
        hint = "" if request.settle is None else f": {request.settle.hint}"
        error.add_note(f"{request.method} {request.path} may have taken effect{hint}")
        if self._hooks:
            emit(self._hooks, OutcomeSettled(call.number, request.method, request.route, "unknown"))

    # Lifetime.

    def _check_usable(self) -> None:
        if self._closing.is_set():
            raise ClientClosedError("the client is closed")
        if os.getpid() != self._pid:
            raise ClientClosedError("the client belongs to the process that forked this one")
        if asyncio.get_running_loop() is not self._loop:
            raise ClientClosedError("the client belongs to another event loop")

    def _closed_error(self, request: Request[Any], unknown: bool) -> BlockStoreError:
        if unknown and not request.repeatable:
            hint = "" if request.settle is None else f": {request.settle.hint}"
            return OutcomeUnknownError(f"the client was closed before the answer came{hint}")
        return ClientClosedError("the client was closed while the call was under way")

    async def aclose(self, grace_s: float = 0.0) -> None:
        """Give the calls under way up to `grace_s` seconds, then end them and refuse new ones."""
        if self._closing.is_set():
            return
        if self._in_flight and grace_s > 0:
            try:
                async with asyncio.timeout(grace_s):
                    await self._idle.wait()
            except TimeoutError:
                pass
        self._closing.set()
        await self._transport.aclose()
        await self._idle.wait()


def _refused_by_state(error: BlockStoreError) -> bool:
    """Whether the refusal may come of what an earlier, lost attempt has made."""
    if isinstance(error, RateLimitedError):
        return error.kind == "snapshot_cooldown"
    return isinstance(error, ConflictError | UnprocessableEntityError)
