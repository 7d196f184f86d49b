"""The dispatcher: the one task that serves the wait queue, for as long as a request waits.

It waits until the ledger has a free slot, then for the pace, and only then picks
whom to serve, so that nobody overtakes and a late interactive request still goes before an early
bulk one.

Invariants (numbers of the design's list in brackets):
 1. While a request waits there is exactly one task, and whatever can let one go on wakes it. [I3]
 2. A waiter whose deadline has come, or lies inside a pause, fails at once. [I7]
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .._clock import Clock, finish, wait_until
from ..errors import BlockStoreError, QuotaWaitTooLongError
from .lease import Waiter
from .local_budget import Budget
from .pacer import Pacer
from .pure.ledger import Admission
from .queue import WaitQueue

__all__ = ["Dispatcher", "too_late"]

T = TypeVar("T")

_logger = logging.getLogger("do_blockstore_async")
_NEVER = math.inf


class Dispatcher:
    """Serves the wait queue of one throttle.

    Args:
        budget: says when a request may go; of a shared one each grant is an exchange.
        grant: gives a lease to the waiter that is served now.
    """

    __slots__ = (
        "_alarm",
        "_budget",
        "_clock",
        "_grant",
        "_is_busy",
        "_pacer",
        "_queue",
        "_task",
        "_timed",
        "_wake",
    )

    def __init__(
        self,
        budget: Budget,
        pacer: Pacer,
        queue: WaitQueue,
        clock: Clock,
        grant: Callable[[Waiter, float, Admission], None],
    ) -> None:
        self._budget = budget
        self._pacer = pacer
        self._queue = queue
        self._clock = clock
        self._grant = grant
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._timed = False
        # While the dispatcher waits for something that is no sleep of its own, deadlines are kept
        # by a timer.
        self._is_busy = False
        self._alarm: asyncio.TimerHandle | None = None

    def call(self) -> None:
        """Start the dispatcher, or wake it, because a request was queued."""
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._dispatch(), name="quota dispatcher")
            self._task.add_done_callback(self._on_done)
        else:
            self.wake()

    def wake(self) -> None:
        """End the sleep, because something changed that may let a request go on, or end one."""
        if self._wake is not None:
            finish(self._wake)
        elif self._is_busy:
            self._keep_deadlines()

    def answered(self) -> None:
        """End the sleep because of a response, unless the wait has a known end.

        The slot that a response frees comes free a whole window later, so it cannot help now.
        """
        if not self._timed:
            self.wake()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        """Start again if the task ended although requests wait: a hook may cancel what calls it."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("the quota dispatcher failed and is started again", exc_info=error)
        if self._task is task:
            self._task = None
        waiting = self._queue.waiting
        if self._task is None and (waiting[0] or waiting[1]) and not task.get_loop().is_closed():
            self.call()

    def forget(self) -> None:
        """Forget a task whose loop was closed."""
        self._task = self._wake = self._alarm = None
        self._is_busy = False

    async def aclose(self) -> None:
        """End the task, if it belongs to the running loop; the queue is empty already."""
        task = self._task
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _dispatch(self) -> None:
        paced = False
        waiting = self._queue.waiting
        look, shared = self._budget.admission, self._budget.shared
        try:
            while waiting[0] or waiting[1]:
                now = self._clock.monotonic()
                if self._queue.first_deadline < _NEVER:
                    self._expire(now)
                    if not (waiting[0] or waiting[1]):
                        break
                background = not waiting[0]
                admission = look(now, background)
                if admission.at > now:
                    if shared is not None:
                        shared.note_waiting()
                    await self._sleep(admission)
                elif paced or self._pacer.take(now):
                    if shared is not None:
                        paced = True
                        if not await self._meanwhile(shared.claim(background)):
                            continue
                        now = self._clock.monotonic()
                    waiter = self._queue.next(background)
                    paced = waiter is None
                    if waiter is not None:
                        self._grant(waiter, now, admission)
                    elif shared is not None:
                        shared.unclaim()
                else:
                    await self._meanwhile(self._pacer.wait())
                    paced = True
        except BlockStoreError as error:
            # A shared budget that cannot be used at all: everybody who waits is told.
            for waiter in self._queue.clear():
                waiter.fail(error)
        finally:
            self._task = None
            if shared is not None:
                shared.note_waiting()

    async def _meanwhile(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the pace or a store, which may be slow; deadlines that come meanwhile hold."""
        self._is_busy = True
        self._set_alarm()
        try:
            return await work
        finally:
            self._is_busy = False
            self._set_alarm()

    def _set_alarm(self) -> None:
        at = self._queue.first_deadline if self._is_busy else _NEVER
        if self._alarm is not None:
            if self._alarm.when() == at:
                return
            self._alarm.cancel()
        self._alarm = None
        if at < _NEVER:
            self._alarm = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._keep_deadlines()

    def _keep_deadlines(self) -> None:
        if self._queue.first_deadline < _NEVER:
            self._expire(self._clock.monotonic())
            self._set_alarm()

    def _expire(self, now: float) -> None:
        limit = max(now, self._budget.gate_until(now))
        while (overdue := self._queue.overdue(limit)) is not None:
            waiter, ahead = overdue
            at = self._budget.grant_at(now, 1 + ahead, waiter.job is not None)
            waiter.fail(too_late(at - now))
            self._queue.discard(waiter)

    async def _sleep(self, admission: Admission) -> None:
        self._timed = admission.at < _NEVER and not admission.wakes_on_response
        until = min(admission.at, self._queue.first_deadline)
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await wait_until(self._wake, until)
        finally:
            self._wake = None


def too_late(wait_s: float) -> QuotaWaitTooLongError:
    """Build the error of a request that would get its lease only in `wait_s` seconds."""
    wait_s = max(0.0, wait_s)
    return QuotaWaitTooLongError(
        f"the token's budget cannot serve this call in time; it could in {wait_s:.1f} s",
        retry_after=wait_s,
    )
