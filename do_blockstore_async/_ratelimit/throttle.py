"""The throttle: who may send next, and when.

`pure/ledger.py` knows how many requests may be sent and `pacer.py` how fast; this module grants
leases. When the queue is empty and a slot is free, a lease is granted at once, without a task
switch. Otherwise the request is queued, and `dispatcher.py` serves the queue: interactive requests
first; bulk requests by weighted fair queuing (`fair_queue.py`), leaving the reserve alone.

Invariants (numbers of the design's list in brackets):
 1. Every request for a lease is granted, rejected or cancelled; a lease granted to a task that was
    cancelled meanwhile is cancelled too. [I2]
 2. While a request waits there is a dispatcher, and whatever can let one go on wakes it. [I3]
 3. While an interactive request waits, no bulk request gets a lease. [I4]
 4. A request with a deadline has its lease by then or raises; at once where the wait is
    foreseeable, with the time at which it would have been served. [I7]
 5. All of it happens in one event loop, the one that first asked for a lease; in another one only
    after that one was closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .. import _context
from .._clock import Clock
from .._context import current_job
from .._deadline import NEVER, Timeout, current_deadline, deadline_at, seconds_of
from .._interop.habits import AsyncOnly
from .._lazy import ModuleLater
from .._observers import emit
from ..config import Config
from ..errors import (
    ClientClosedError,
    ConfigError,
    InvalidArgumentError,
    QuotaWaitTooLongError,
    RateLimitKind,
)
from .dispatcher import Dispatcher, too_late
from .lease import Lease, Waiter
from .local_budget import Budget, LocalBudget
from .middleware import fence, send_with_lease
from .pacer import Pacer
from .pure.causes import Cause
from .pure.ledger import Admission, Ledger
from .queue import WaitQueue

if TYPE_CHECKING:
    import aiohttp

    from .. import events
    from . import status as _status
else:
    # What annotations name is found where somebody resolves them, and imported only then.
    aiohttp = ModuleLater("aiohttp")
    _status = ModuleLater("do_blockstore_async._ratelimit.status")
    # Where nobody listens no event is made: their classes take as long to import as the ledger.
    events = ModuleLater("do_blockstore_async.events")

__all__ = ["Lease", "Throttle", "deadline_at"]

_NEVER = float("inf")
_ROUNDED_S = 1.0
_MANY = 5_000
_FRESH_SHARE = 0.01
_LONGEST_WAIT_S = 86_400.0
_READY = Cause("ready")
_ELSEWHERE = "the budget is read in the event loop of its client: inside of a coroutine"
_NO_FENCE = nullcontext()


class Throttle(AsyncOnly):
    """Keeps everything that spends one token inside the token's budget.

        async with throttle.acquire() as lease:
            response = await session.get(...)
            lease.complete(response.headers, response.status)

    It belongs to the event loop that first uses it. Once that loop is closed it may go on in
    another one of the process, such as that of the next `asyncio.run`, and keeps what was spent.

    Args:
        config: windows, reserve, burst, cold start, margins and hooks are taken from it.
        clock: where time comes from; the event loop's by default.
        budget: for `BlockStore`, which knows the token that a shared budget is named after.

    Raises:
        ConfigError: `config.budget` is shared, and there is no token to name it after: take
            `store.throttle` instead.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        clock: Clock | None = None,
        budget: Budget | None = None,
    ) -> None:
        if config is not None and not isinstance(config, Config):
            raise ConfigError(f"config must be Config(...), not a {type(config).__name__}")
        self.config = Config() if config is None else config
        self._clock = Clock() if clock is None else clock
        if budget is None and self.config.budget != "process":
            raise ConfigError(
                "a shared budget is named after a token: give the setting to BlockStore, and use "
                "store.throttle"
            )
        (limit, length_s), *_ = self.config.windows
        self._pacer = Pacer(limit, length_s, self.config.burst)
        # The last forecast of `_served_in_s`: when it was made, of how many, and until when.
        self._served = 0.0, 0, 0.0
        self._budget: Budget = LocalBudget(self.config, self._pacer) if budget is None else budget
        self._admission = self._budget.admission
        self._open_lease = self._budget.open
        self._hooks = self.config.hooks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue = WaitQueue()
        self._waiting = self._queue.waiting
        self._dispatcher = Dispatcher(
            self._budget, self._pacer, self._queue, self._clock, self._serve
        )
        self._shared = self._budget.shared
        if self._shared is not None:
            self._shared.attach(self._queue, self._moved)
        self._holders = 0
        self._closed = False
        self._paused_at: float | None = None

    # -- acquiring a lease --------------------------------------------------------------------

    def acquire(
        self, *, timeout: Timeout = None, background: bool | None = None
    ) -> AbstractAsyncContextManager[Lease]:
        """Wait for the right to send one request: `async with throttle.acquire() as lease`.

        Args:
            timeout: seconds or a timedelta to wait at most; None waits as long as the budget needs,
                or until the deadline set by `deadline_at`.
            background: True for a bulk request, False for an interactive one; None takes it from
                the surrounding `background()`.

        Raises:
            QuotaWaitTooLongError: on entering: the lease cannot be granted in time; `retry_after`
                says when it could.
            ClientClosedError: on entering: the throttle is closed, or belongs to another event
                loop.
        """
        job = current_job() if background is None or background else None
        deadline = current_deadline()
        if timeout is not None:
            limit_s = seconds_of(timeout, "timeout")
            deadline = deadline.child(limit_s, self._clock.monotonic())
        at = None if deadline is NEVER else deadline.at
        if job is not None:
            return Waiter(self, at, job.key, job.weight)
        return Waiter(self, at, self if background else None, 1.0)

    def background(
        self, job: Hashable | None = None, weight: float = 1.0
    ) -> AbstractContextManager[None]:
        """Mark the requests made inside as bulk: after interactive ones, outside the reserve.

        Args:
            job: names the job; each `with` block is a job of its own by default.
            weight: the job's share of bulk service, more than 0; less than 0.001 counts as that,
                more than 1,000 as 1,000.

        Raises:
            InvalidArgumentError: on entering: `weight` is not a positive, finite number.
        """
        return _context.background(job, weight)

    def _here(self) -> asyncio.AbstractEventLoop:
        """The running loop, if the throttle is open and belongs to it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._closed:
            if self._closed:
                raise ClientClosedError("the throttle is closed")
            if self._loop is not None:
                if not self._loop.is_closed():
                    raise ClientClosedError("the throttle belongs to another event loop")
                self._carry_over()
            self._loop = loop
        return loop

    def _carry_over(self) -> None:
        """Go on in another loop after the first was closed: what was spent stays spent.

        Loops of one process share the monotonic clock, so the ledger's times stay valid.
        """
        if self._shared is not None:
            raise ClientClosedError("a shared budget belongs to the event loop that opened it")
        self._queue.clear()
        self._dispatcher.forget()
        shortest = self._ledger.windows[0]
        self._pacer.resize(shortest.limit, shortest.length_s, self.config.burst)

    def _try_grant(self, waiter: Waiter) -> Lease | None:
        self._here()
        background = waiter.job is not None
        if self._shared is not None:
            return None
        if self._waiting[0] or (background and self._waiting[1]):
            return None
        now = self._clock.monotonic()
        admission = self._admission(now, background)
        if admission.at > now or not self._pacer.take(now):
            return None
        if background:
            self._queue.pass_through(waiter)
        elif self._ledger.reservations:
            self._budget.take_reservation(now)
        return self._open(now, admission)

    def _open(self, now: float, admission: Admission) -> Lease:
        if self._paused_at is not None:
            self._resumed(now)
        lease = Lease(self)
        self._open_lease(lease, now, admission)
        return lease

    async def _wait(self, waiter: Waiter) -> Lease:
        loop = self._here()
        waiter.asked_at = now = self._clock.monotonic()
        returned = waiter.job is None and self._budget.take_reservation(now)
        if waiter.deadline is not None:
            at = self._granted_at(waiter, now, returned)
            if at > waiter.deadline:
                # A loop that asks again and again must not keep every other task from running.
                await self._clock.sleep(0)
                raise too_late(at - now)
        if self._hooks:
            why = self._explain(
                now, waiter.job is not None, self._queue.ahead_of(waiter, returned=returned)
            )
            if why.kind != "ready":
                event = events.QuotaWaitBegan(why.kind, why.wait_s, why.background, why.window_s)
                emit(self._hooks, event)
        future: asyncio.Future[Lease] = loop.create_future()
        waiter.future = future
        self._queue.join(waiter, returned=returned)
        self._dispatcher.call()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                # Granted (or rejected) and cancelled in the same iteration of the loop.
                if future.exception() is None:
                    future.result().cancel()
            else:
                future.cancel()
                self._queue.discard(waiter)
                # The dispatcher may be asleep until a time that concerned this waiter alone.
                self._dispatcher.wake()
            raise

    def _granted_at(self, waiter: Waiter, now: float, returned: bool) -> float:
        """When `waiter` would be granted: after those queued and those who return by then."""
        background = waiter.job is not None
        ahead = self._queue.ahead_of(waiter, returned=returned) + 1
        at = self._budget.grant_at(now, ahead, background)
        if background or returned or not self._ledger.reservations:
            return at
        before = 0
        # Retry-After is in whole seconds: their slots are free up to a second before they return.
        while (by_then := self._budget.reserved_by(at + _ROUNDED_S)) > before:
            before = by_then
            at = self._budget.grant_at(now, ahead + by_then, background)
        return at

    def _too_late(self) -> QuotaWaitTooLongError:
        """Build the error of a call whose own deadline ended its wait, before the queue's did."""
        return too_late(self.explain().wait_s)

    def _serve(self, waiter: Waiter, now: float, admission: Admission) -> None:
        waiter.grant(self._open(now, admission))
        if self._hooks:
            emit(self._hooks, events.QuotaWaited(now - waiter.asked_at, waiter.job is not None))

    # -- closing a lease ----------------------------------------------------------------------

    def _complete(self, lease: Lease, headers: Mapping[str, str], status: int) -> None:
        now = self._clock.monotonic()
        ignored: list[tuple[str, str]] = []
        kind = self._budget.close_done(lease, now, headers, status, ignored)
        if ignored and self._hooks:
            for name, reason in ignored:
                emit(self._hooks, events.HeaderIgnored(name, reason))
        if kind is not None:
            self._after_refusal(now, kind)
        if self._ledger.limits.changes:
            self._limits_changed(now)
        if kind is None:
            self._dispatcher.answered()
        else:
            self._dispatcher.wake()

    def _abandon(self, lease: Lease) -> None:
        self._budget.close_lost(lease, self._clock.monotonic())
        self._dispatcher.wake()

    def _cancel(self, lease: Lease) -> None:
        self._budget.close_unused(lease, self._clock.monotonic())
        self._dispatcher.wake()

    def _refused(self, kind: RateLimitKind, retry_after_s: float | None) -> None:
        """Take in a 429 whose kind only its body tells; for the engine.

        Args:
            kind: only `burst` and `hourly` concern the budget; others are ignored here.
            retry_after_s: what the server asked to wait, seconds, or None.
        """
        if kind not in ("burst", "hourly"):
            return
        now = self._clock.monotonic()
        self._budget.refused(kind, now, retry_after_s)
        self._after_refusal(now, kind)
        if self._ledger.limits.changes:
            self._limits_changed(now)
        self._dispatcher.wake()

    def _after_refusal(self, now: float, kind: RateLimitKind) -> None:
        if kind == "burst" and self._shared is None:
            window = self._ledger.windows[0]
            slots = window.limit - self._ledger.others_in(0, now)
            self._pacer.smooth(now, window.hold_s, slots)
        until = self._budget.gate_until(now)
        if until > now and self._paused_at is None:
            self._paused_at = now
            if self._hooks:
                emit(self._hooks, events.QuotaPaused(until - now, kind))

    def _limits_changed(self, now: float) -> None:
        limits = self._ledger.limits
        changes, limits.changes = limits.changes, []
        self._ledger.version += 1
        shortest = self._ledger.windows[0]
        self._pacer.resize(shortest.limit, shortest.length_s, self.config.burst)
        for limit, previous, reason in changes:
            emit(self._hooks, events.LimitChanged(limit, previous, reason))
        self._dispatcher.wake()

    def _moved(self) -> None:
        """Report what other processes changed in a shared ledger, and look at the queue again."""
        if self._ledger.limits.changes:
            self._limits_changed(self._clock.monotonic())
        self._dispatcher.wake()

    def _resumed(self, now: float) -> None:
        if self._paused_at is not None and not self._ledger.gate.probing:
            paused_s, self._paused_at = now - self._paused_at, None
            if self._hooks:
                emit(self._hooks, events.QuotaResumed(paused_s))

    # -- status -------------------------------------------------------------------------------

    def status(self) -> _status.QuotaStatus:
        """Return the state of the budget; needs the throttle's running event loop."""
        now = self._now()
        # Bulk requests wait until no interactive one is queued.
        position = self._waiting[0] + 1
        wait_s = [self._budget.grant_at(now, position, bulk) - now for bulk in (False, True)]
        state = self._budget.state(now)
        reasons = self._cause(now, False).kind, self._cause(now, True).kind
        log_s = self._budget.time_of(now)
        return _status.quota_status(self._ledger, log_s, self._waiting, wait_s, state, reasons)

    def explain(self, *, background: bool | None = None) -> _status.WaitReason:
        """Say why a call made now would wait for the budget, and until when.

        Args:
            background: whether the call is bulk; None takes it from the surrounding `background()`.

        Raises:
            ClientClosedError: it is not called in the client's event loop.
        """
        if background is None:
            background = current_job() is not None
        now = self._now()
        loop = self._loop
        if loop is not None and loop is not asyncio.get_running_loop() and not loop.is_closed():
            raise ClientClosedError(_ELSEWHERE)
        return self._explain(now, background)

    def _explain(
        self, now: float, background: bool, ahead: int | None = None
    ) -> _status.WaitReason:
        if ahead is None:
            ahead = self._waiting[0] + (self._waiting[1] if background else 0)
        cause = self._cause(now, background, ahead)
        wait_s = 0.0
        if cause.kind != "ready":
            wait_s = max(0.0, self._budget.grant_at(now, ahead + 1, background) - now)
        until = self._clock.utc_now() + timedelta(seconds=min(wait_s, _LONGEST_WAIT_S))
        return _status.wait_reason(cause, wait_s, until, background=background, ahead=ahead)

    def _cause(self, now: float, background: bool, ahead: int | None = None) -> Cause:
        cause = self._budget.cause(now, background)
        # The pacer starts again in another loop, after the first was closed.
        is_paced = self._shared is None and self._loop is asyncio.get_running_loop()
        if cause is None and is_paced and not self._pacer.turns_now():
            cause = Cause("pace")
        if ahead is None:
            ahead = self._waiting[0] + (self._waiting[1] if background else 0)
        return cause or (Cause("queue") if ahead else _READY)

    def forecast(self, requests: int, *, background: bool | None = None) -> timedelta:
        """Forecast the time until `requests` more requests would have been answered.

        Args:
            requests: how many, 0 or more; those already waiting go first.
            background: whether they are bulk; None takes it from the surrounding `background()`.

        Raises:
            InvalidArgumentError: `requests` is negative.
        """
        if not isinstance(requests, int) or requests < 0:
            raise InvalidArgumentError(f"requests must be 0 or more, not {requests!r}")
        if background is None:
            background = current_job() is not None
        return self._forecast_later(requests, background)()

    def _forecast_later(self, requests: int, background: bool) -> Callable[[], timedelta]:
        """Return what computes a forecast of this moment, in any thread: it may take long."""
        if requests == 0:
            return timedelta
        now = self._now()
        ahead = self._waiting[0] + (self._waiting[1] if background else 0)
        answer = self._budget.answer_later(now, ahead + requests, background)
        return lambda: timedelta(seconds=answer() - now)

    def _served_in_s(self, requests: int) -> float:
        """Seconds until all that waits, and so many more background requests, have responses."""
        waiting = sum(self._waiting) + requests
        if not waiting:
            return self._response_s
        now = self._now()
        # Of many, computing it stops the loop: it is kept until its age is a hundredth of the wait.
        made_at, of, until = self._served
        is_fresh = 0 <= now - made_at <= _FRESH_SHARE * (until - now)
        if waiting < _MANY or not is_fresh or not of * (1 - _FRESH_SHARE) <= waiting <= of:
            until = self._budget.answer_at(now, waiting, True)
            self._served = now, waiting, until
        return until - now

    def _now(self) -> float:
        try:
            return self._clock.monotonic()
        except RuntimeError:
            raise ClientClosedError(_ELSEWHERE) from None

    @property
    def _ledger(self) -> Ledger:
        return self._budget.ledger

    @property
    def _response_s(self) -> float:
        """Seconds within which most responses come, once their request has its lease."""
        return self._ledger.latency_s + 2 * self._ledger.latency_spread_s

    @property
    def _latency_s(self) -> float:
        """Seconds that a response takes, on average, once its request has its lease."""
        return self._ledger.latency_s

    def reserve_at(self, wait_s: float) -> None:
        """Reserve a slot for a caller that will return after `wait_s` (a Retry-After, say).

        Background requests leave the slot alone, and interactive ones with a deadline do not count
        on it. The reservation lasts for a second beyond that time and binds nobody: the next
        interactive request after that time consumes it and goes before newcomers in the queue. It
        holds back no interactive request that finds a free slot.

        Args:
            wait_s: seconds from now, 0 or more.

        Raises:
            InvalidArgumentError: `wait_s` is not a number of seconds, 0 or more.
        """
        delay_s = seconds_of(wait_s, "wait_s")
        self._budget.reserve_at(self._clock.monotonic() + delay_s)

    # -- other sessions, and closing --------------------------------------------------------------

    async def middleware(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """An aiohttp client middleware: every transmission of a session takes a lease.

        aiohttp.ClientSession(middlewares=(throttle.middleware,))
        """
        return await send_with_lease(self, request, handler)

    def _fence(
        self,
        request: aiohttp.ClientRequest,
        lease: Lease,
        is_late: Callable[[], bool] | None = None,
    ) -> AbstractContextManager[None]:
        """Keep `request` from being written with a lease that the other processes gave up.

        Args:
            request: what is about to be written.
            lease: its lease.
            is_late: another reason not to write it any more.
        """
        if is_late is None:
            if self._shared is None:
                return _NO_FENCE
            return fence(request, lambda: self._budget.is_stale(lease))
        return fence(request, lambda: is_late() or self._budget.is_stale(lease))

    def _join(self) -> None:
        """Count one more client that uses this throttle."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._holders += 1

    async def _open_budget(self) -> None:
        """Join the processes that share the budget, if it is shared."""
        if self._shared is not None:
            await self._shared.aopen()

    async def _leave(self) -> None:
        """Count one client less; after the last one, waiting requests raise ClientClosedError."""
        self._holders -= 1
        if self._holders <= 0:
            self._fail_waiting()
            if self._shared is not None:
                await self.aclose()

    async def aclose(self) -> None:
        """Close for good: waiting requests and later ones raise ClientClosedError."""
        self._closed = True
        self._fail_waiting()
        try:
            await self._dispatcher.aclose()
        finally:
            if self._shared is not None:
                await self._shared.aclose()

    def _fail_waiting(self) -> None:
        for waiter in self._queue.clear():
            waiter.fail(ClientClosedError("the client was closed while a request waited for quota"))
        self._dispatcher.wake()

    async def __aenter__(self) -> Throttle:
        self._join()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self._leave()
        if self._holders <= 0:
            await self.aclose()


Throttle.__module__ = "do_blockstore_async"
