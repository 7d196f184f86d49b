"""Track the lifecycle of a client: which calls are in flight, and whether new ones may begin.

A client belongs to the event loop and to the process that opened it: its sockets are in that loop,
and a forked child would speak on its parent's connections.

L1. After `start_closing` every pause ends at once, and no new call begins.
L2. `wait_idle` returns only when no call is in flight.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from .._clock import wait_for_event
from ..errors import BlockStoreError, ClientClosedError, OutcomeUnknownError
from .request import Request

__all__ = ["Lifecycle"]


class Lifecycle:
    """Count the calls in flight, and know whether new ones may begin."""

    __slots__ = ("_closing", "_idle", "_in_flight", "_loop", "_pid")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._closing = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_flight = 0

    @property
    def closing(self) -> bool:
        """Whether the client is closed, or being closed."""
        return self._closing.is_set()

    def enter(self) -> None:
        """Count a call that begins.

        Raises:
            ClientClosedError: closed, or used from another event loop or process.
        """
        if self._closing.is_set():
            raise ClientClosedError(
                "the client is closed: make calls and read listings inside its `async with` block"
            )
        if os.getpid() != self._pid:
            raise ClientClosedError("the client belongs to the process that forked this one")
        if asyncio.get_running_loop() is not self._loop:
            raise ClientClosedError(
                "the client belongs to another event loop: make one client in each, or hand calls "
                "to its loop with asyncio.run_coroutine_threadsafe(call, loop)"
            )
        self._in_flight += 1
        if self._in_flight == 1:
            self._idle.clear()

    def leave(self) -> None:
        """Count a call that has ended."""
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    async def pause(self, delay_s: float) -> bool:
        """Wait for `delay_s` seconds; return True at once if the client is closed meanwhile."""
        return await wait_for_event(self._closing, delay_s)

    async def grace(self, grace_s: float) -> None:
        """Wait until no call is in flight, `grace_s` seconds at most."""
        if grace_s > 0 and not self.closing:
            await wait_for_event(self._idle, grace_s)

    def start_closing(self) -> None:
        """Reject new calls and wake those sleeping between attempts."""
        self._closing.set()

    async def wait_idle(self) -> None:
        """Wait until no call is in flight."""
        await self._idle.wait()

    @staticmethod
    def error(request: Request[Any], *, unknown: bool) -> BlockStoreError:
        """Return the error of a call that was ended by the close."""
        if unknown and request.method not in {"GET", "HEAD"}:
            hint = "" if request.reconciliation is None else f": {request.reconciliation.hint}"
            return OutcomeUnknownError(f"the client was closed before the response came{hint}")
        return ClientClosedError("the client was closed while the call was in flight")
