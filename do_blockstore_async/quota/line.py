"""The line: who waits for a permit, in which order, and until when.

Interactive permits are served first come first served, but for those who were told to come back and
do: they would have been in line all the time, so they go before newcomers. Bulk permits are served
in fair turns of their jobs. A
permit that is cancelled stays where it is, dead, and is passed over when its turn comes; when the
dead outnumber the living the line is swept, so that neither time nor memory grows with them.

Invariants:
 1. `waiting` counts the living of each class: those whose future is not done.
 2. Every operation costs O(log n) at most, amortized.
"""

from __future__ import annotations

import heapq
from collections import deque

from .fairness import FairQueue
from .permit import Permit

__all__ = ["Line"]

_NEVER = float("inf")
_DEAD_AT_LEAST = 64


class Line:
    """Waiting permits.

    Attributes:
        waiting: how many interactive and how many bulk permits wait.
    """

    __slots__ = (
        "_asked",
        "_bulk",
        "_dead",
        "_deadlines",
        "_era",
        "_interactive",
        "_returned",
        "waiting",
    )

    def __init__(self) -> None:
        self._interactive: deque[Permit] = deque()
        self._returned: deque[Permit] = deque()
        self._bulk: FairQueue[Permit] = FairQueue(lambda permit: permit.waiting)
        self._deadlines: list[tuple[float, int, Permit]] = []
        self._asked = 0
        self._dead = 0
        self._era = [0, 0]  # rises when a count starts afresh
        self.waiting = [0, 0]

    def join(self, permit: Permit, *, returned: bool = False) -> None:
        """Put `permit` at the end of its class, or of its job; `returned` before newcomers."""
        self._asked += 1
        permit.number = self._asked
        permit.era = self._era[permit.job is not None]
        if permit.job is None:
            (self._returned if returned else self._interactive).append(permit)
            self.waiting[0] += 1
        else:
            self._bulk.push(permit.job, permit.weight, permit)
            self.waiting[1] += 1
        if permit.deadline is not None:
            heapq.heappush(self._deadlines, (permit.deadline, permit.number, permit))

    def pass_through(self, permit: Permit) -> None:
        """A bulk permit that never had to wait is charged to its job."""
        if permit.job is not None:
            self._bulk.charge(permit.job, permit.weight)

    def ahead_of(self, permit: Permit, *, returned: bool = False) -> int:
        """How many are served before `permit`, which does not wait yet."""
        if returned:
            return min(len(self._returned), self.waiting[0])
        ahead = self.waiting[0]
        if permit.job is not None and self.waiting[1]:
            ahead += self._bulk.ahead_of(permit.job, permit.weight)
        return ahead

    def next(self, background: bool) -> Permit | None:
        """Take out who is to be served next in a class; None when nobody alive waits there."""
        permit = self._bulk.pop() if background else self._next_interactive()
        if permit is None:
            # Those still counted were cancelled in this very turn and have yet to say so; when
            # they do, they must not be taken off again, from those who come in between.
            self._forget_counted(background)
        else:
            self.waiting[background] -= 1
        return permit

    def _forget_counted(self, background: bool) -> None:
        self.waiting[background] = 0
        self._era[background] += 1

    def _next_interactive(self) -> Permit | None:
        for line in (self._returned, self._interactive):
            while line:
                permit = line.popleft()
                if permit.waiting:
                    return permit
        return None

    def gave_up(self, permit: Permit) -> None:
        """One of those waiting waits no more, and nobody served it."""
        background = permit.job is not None
        if permit.era == self._era[background]:
            self.waiting[background] -= 1
        self._dead += 1
        if self._dead > _DEAD_AT_LEAST + self.waiting[0] + self.waiting[1]:
            self._dead = 0
            self._interactive = deque(p for p in self._interactive if p.waiting)
            self._returned = deque(p for p in self._returned if p.waiting)
            self._bulk.compact()
            self._deadlines = [entry for entry in self._deadlines if entry[2].waiting]
            heapq.heapify(self._deadlines)

    @property
    def first_deadline(self) -> float:
        """The earliest deadline of those waiting, perhaps of one that waits no more."""
        return self._deadlines[0][0] if self._deadlines else _NEVER

    def overdue(self, limit: float) -> tuple[Permit, int] | None:
        """One living permit with a deadline of at most `limit`, and how many are before it."""
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] <= limit or not deadlines[0][2].waiting):
            _, number, permit = heapq.heappop(deadlines)
            if not permit.waiting:
                continue
            if permit.job is not None:
                return permit, self.waiting[0]
            first = self._interactive[0].number if self._interactive else number
            return permit, max(0, number - first)
        return None

    def clear(self) -> list[Permit]:
        """Send everybody away; returns those who waited."""
        everybody = [*self._returned, *self._interactive, *self._bulk]
        gone = [permit for permit in everybody if permit.waiting]
        self._interactive.clear()
        self._returned.clear()
        self._deadlines.clear()
        self._forget_counted(False)
        self._forget_counted(True)
        return gone
