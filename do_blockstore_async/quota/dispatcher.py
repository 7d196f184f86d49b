"""The dispatcher: the one task that serves those in line, for as long as somebody waits.

It waits until the ledger has a slot for the first in line, then for the pace, and only then picks
whom to serve, so that nobody overtakes and a late interactive request still goes before an early
bulk one.

Invariants (numbers of the design's list in brackets):
 1. While somebody waits there is exactly one task, and whatever can let somebody go on wakes it.
    [I3]
 2. A permit whose deadline has come, or lies inside a pause, fails at once. [I7]
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..clock import Clock
from ..errors import QuotaWaitTooLongError
from .forecast import Forecast
from .ledger import Ledger
from .line import Line
from .pacing import Pacer
from .permit import Permit

__all__ = ["Dispatcher", "too_late"]

_NEVER = float("inf")


class Dispatcher:
    """Serves the line of one throttle.

    Args:
        grant: gives its ticket to a permit that is served now.
    """

    __slots__ = (
        "_clock",
        "_forecast",
        "_grant",
        "_ledger",
        "_line",
        "_pacer",
        "_task",
        "_timed",
        "_wake",
    )

    def __init__(
        self,
        ledger: Ledger,
        pacer: Pacer,
        line: Line,
        forecast: Forecast,
        clock: Clock,
        grant: Callable[[Permit, float], None],
    ) -> None:
        self._ledger = ledger
        self._pacer = pacer
        self._line = line
        self._forecast = forecast
        self._clock = clock
        self._grant = grant
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._timed = False

    def call(self) -> None:
        """Somebody has come into line."""
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._dispatch(), name="quota dispatcher")
        else:
            self.wake()

    def wake(self) -> None:
        """Something has changed that may let somebody go on: look again, if asleep."""
        if self._wake is not None:
            _finish(self._wake)

    def answered(self) -> None:
        """An answer came. A sleep until a known time goes on: the slot it frees is free later."""
        if not self._timed:
            self.wake()

    async def aclose(self) -> None:
        """End the task, where it belongs to the running loop; those in line have left it."""
        task = self._task
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _dispatch(self) -> None:
        paced = False
        waiting = self._line.waiting
        try:
            while waiting[0] or waiting[1]:
                now = self._clock.monotonic()
                if self._line.first_deadline < _NEVER:
                    self._expire(now)
                    if not (waiting[0] or waiting[1]):
                        break
                background = not waiting[0]
                until = self._ledger.until(now, background)
                if until > now:
                    await self._sleep_until(until)
                elif paced or self._pacer.take(now):
                    permit = self._line.next(background)
                    paced = permit is None
                    if permit is not None:
                        self._grant(permit, now)
                else:
                    await self._pacer.wait()
                    paced = True
        finally:
            self._task = None

    def _expire(self, now: float) -> None:
        limit = max(now, self._ledger.gate_until(now))
        while (overdue := self._line.overdue(limit)) is not None:
            permit, ahead = overdue
            at = self._forecast.grant_at(now, 1 + ahead, permit.job is not None)
            permit.fail(too_late(at - now))
            self._line.gave_up(permit)

    async def _sleep_until(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        self._timed = until < _NEVER and not self._ledger.answer_helps
        until = min(until, self._line.first_deadline)
        self._wake = loop.create_future()
        timer = loop.call_at(until, _finish, self._wake) if until < _NEVER else None
        try:
            await self._wake
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def too_late(wait_s: float) -> QuotaWaitTooLongError:
    """The refusal of a permit that could be granted in `wait_s` seconds, which is too late."""
    wait_s = max(0.0, wait_s)
    return QuotaWaitTooLongError(
        f"the token's budget cannot serve this call in time; it could in {wait_s:.1f} s",
        retry_after=wait_s,
    )
