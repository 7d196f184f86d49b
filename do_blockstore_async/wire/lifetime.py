"""How long a client lives, and what becomes of its calls when it is closed.

A client belongs to the event loop and to the process that opened it: its sockets are in that loop,
and a forked child would speak on its parent's connections.

L1. After `start_closing` every pause ends at once, and no new call begins.
L2. `wait_idle` returns only when no call is under way.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from ..errors import BlockStoreError, ClientClosedError, OutcomeUnknownError
from .messages import Request

__all__ = ["Lifecycle"]


class Lifecycle:
    """Counts the calls under way, and knows whether there may be more."""

    __slots__ = ("_closing", "_idle", "_loop", "_pid", "_under_way")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._closing = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._under_way = 0

    @property
    def closing(self) -> bool:
        """Whether the client is closed, or being closed."""
        return self._closing.is_set()

    def enter(self) -> None:
        """A call begins.

        Raises:
            ClientClosedError: closed, or used from another event loop or process.
        """
        if self._closing.is_set():
            raise ClientClosedError("the client is closed")
        if os.getpid() != self._pid:
            raise ClientClosedError("the client belongs to the process that forked this one")
        if asyncio.get_running_loop() is not self._loop:
            raise ClientClosedError("the client belongs to another event loop")
        self._under_way += 1
        if self._under_way == 1:
            self._idle.clear()

    def leave(self) -> None:
        """A call has ended."""
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    async def pause(self, delay_s: float) -> bool:
        """Wait that long; True, and at once, if the client is closed meanwhile."""
        try:
            async with asyncio.timeout(delay_s):
                await self._closing.wait()
        except TimeoutError:
            # Both may have come in the same turn of the loop.
            return self.closing
        return True

    async def grace(self, grace_s: float) -> None:
        """Wait until no call is under way, `grace_s` seconds at most."""
        if grace_s <= 0 or self.closing:
            return
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            return

    def start_closing(self) -> None:
        """From now on no call begins, and those that pause are woken."""
        self._closing.set()

    async def wait_idle(self) -> None:
        """Wait until no call is under way."""
        await self._idle.wait()

    @staticmethod
    def error(request: Request[Any], *, unknown: bool) -> BlockStoreError:
        """What a call that the close has ended raises."""
        if unknown and request.method not in {"GET", "HEAD"}:
            hint = "" if request.reconciliation is None else f": {request.reconciliation.hint}"
            return OutcomeUnknownError(f"the client was closed before the answer came{hint}")
        return ClientClosedError("the client was closed while the call was under way")
