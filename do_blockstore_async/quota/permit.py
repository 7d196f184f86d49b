"""The two objects a caller meets: a permit to wait for, and the ticket it turns into.

A ticket stands for exactly one transmission. It is closed in one of three ways:

    done(headers, status)   an answer's headers arrived, whatever its status
    lost()                  written, or partly written, and no answer: it may still arrive
    unused()                certainly never written: the slot is free again at once

Closing twice is harmless; the first counts. Leaving the `async with` block without closing is
`lost`, because nothing is known of what happened inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from types import TracebackType
from typing import Protocol

from .ledger import Lease

__all__ = ["Giver", "Permit", "Ticket"]


class Giver(Protocol):
    """What gives permits and takes tickets back: the throttle."""

    def _grant_now(self, permit: Permit) -> Ticket | None: ...
    async def _wait(self, permit: Permit) -> Ticket: ...
    def _done(self, ticket: Ticket, headers: Mapping[str, str], status: int) -> None: ...
    def _lost(self, ticket: Ticket) -> None: ...
    def _unused(self, ticket: Ticket) -> None: ...


class Ticket(Lease):
    """One transmission's hold on the budget."""

    __slots__ = ("_throttle",)

    def __init__(self, throttle: Giver) -> None:
        self._throttle = throttle

    def done(self, headers: Mapping[str, str], status: int = 200) -> None:
        """An answer arrived.

        Args:
            headers: of the answer: a case-insensitive mapping, or a dict with lower-case names.
                May be empty.
            status: its HTTP status.
        """
        if self.is_open:
            self._throttle._done(self, headers, status)

    def lost(self) -> None:
        """No answer came: a timeout, a cancellation, a broken connection."""
        if self.is_open:
            self._throttle._lost(self)

    def unused(self) -> None:
        """Nothing was sent: the connection could not be made, or there was nothing to do."""
        if self.is_open:
            self._throttle._unused(self)


class Permit:
    """Waits for a slot of the budget: `async with throttle.permit() as ticket`. Used once."""

    __slots__ = (
        "_throttle",
        "asked_at",
        "deadline",
        "era",
        "future",
        "job",
        "number",
        "ticket",
        "weight",
    )

    asked_at: float
    era: int
    number: int

    def __init__(
        self, throttle: Giver, deadline: float | None, job: Hashable | None, weight: float
    ) -> None:
        self._throttle = throttle
        self.deadline = deadline
        self.job = job
        self.weight = weight
        self.future: asyncio.Future[Ticket] | None = None
        self.ticket: Ticket | None = None

    @property
    def waiting(self) -> bool:
        """Whether somebody still waits for it."""
        return self.future is not None and not self.future.done()

    def grant(self, ticket: Ticket) -> None:
        """Let the one who waits go on with `ticket`."""
        if self.future is not None:
            self.future.set_result(ticket)

    def fail(self, error: BaseException) -> None:
        """Let the one who waits, if there still is one, get `error`."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)

    async def __aenter__(self) -> Ticket:
        ticket = self._throttle._grant_now(self)
        if ticket is None:
            ticket = await self._throttle._wait(self)
        self.ticket = ticket
        return ticket

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ticket = self.ticket
        if ticket is not None and ticket.is_open:
            ticket.lost()
