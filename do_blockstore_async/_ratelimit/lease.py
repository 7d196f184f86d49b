"""The two objects that callers use: a wait for the budget, and the lease it ends with.

A lease stands for exactly one transmission. It is closed in one of three ways:

    complete(headers, status)   a response's headers arrived, whatever its status
    abandon()                   written, or partly written, and no response: it may still arrive
    cancel()                    certainly never written: the slot is free again at once

Closing twice is harmless; the first counts. Leaving the `async with` block without closing
abandons the lease, because nothing is known of what happened inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from types import TracebackType
from typing import Protocol

from .._interop.habits import AsyncOnly
from .pure.ledger import LeaseRecord

__all__ = ["Lease", "LeaseOwner", "Waiter"]


class LeaseOwner(Protocol):
    """What grants leases and takes them back: the throttle."""

    def _try_grant(self, waiter: Waiter) -> Lease | None: ...
    async def _wait(self, waiter: Waiter) -> Lease: ...
    def _complete(self, lease: Lease, headers: Mapping[str, str], status: int) -> None: ...
    def _abandon(self, lease: Lease) -> None: ...
    def _cancel(self, lease: Lease) -> None: ...


class Lease(LeaseRecord):
    """One transmission's hold on the budget. Close it with the result of the transmission."""

    __slots__ = ("_throttle",)

    def __init__(self, throttle: LeaseOwner) -> None:
        self._throttle = throttle

    def complete(self, headers: Mapping[str, str], status: int = 200) -> None:
        """Record that a response arrived, and learn from its headers.

        Args:
            headers: of the response: a case-insensitive mapping, or a dict with lower-case names.
                May be empty.
            status: its HTTP status.
        """
        if self.is_open:
            self._throttle._complete(self, headers, status)

    def abandon(self) -> None:
        """Record that no response came: a timeout, a cancellation, a broken connection.

        The request may still arrive at the server, so its slot is held for `Config.late_arrival_s`
        longer.
        """
        if self.is_open:
            self._throttle._abandon(self)

    def cancel(self) -> None:
        """Record that nothing was sent, because no connection was made: the slot is free again."""
        if self.is_open:
            self._throttle._cancel(self)


Lease.__module__ = "do_blockstore_async"


class Waiter(AsyncOnly):
    """Waits for a slot of the budget: `async with throttle.acquire() as lease`. Used once."""

    __slots__ = (
        "_throttle",
        "asked_at",
        "deadline",
        "future",
        "generation",
        "job",
        "lease",
        "number",
        "weight",
    )

    asked_at: float
    generation: int
    number: int

    def __init__(
        self, throttle: LeaseOwner, deadline: float | None, job: Hashable | None, weight: float
    ) -> None:
        self._throttle = throttle
        self.deadline = deadline
        self.job = job
        self.weight = weight
        self.future: asyncio.Future[Lease] | None = None
        self.lease: Lease | None = None

    @property
    def waiting(self) -> bool:
        """Whether a task still waits for it."""
        return self.future is not None and not self.future.done()

    def grant(self, lease: Lease) -> None:
        """Resume the waiting task with `lease`."""
        if self.future is not None:
            self.future.set_result(lease)

    def fail(self, error: BaseException) -> None:
        """Raise `error` in the waiting task, if there still is one."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)

    async def __aenter__(self) -> Lease:
        lease = self._throttle._try_grant(self)
        if lease is None:
            lease = await self._throttle._wait(self)
        self.lease = lease
        return lease

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lease = self.lease
        if lease is not None and lease.is_open:
            lease.abandon()
