"""The wait queue: which requests wait for a lease, in which order, and until when.

Interactive waiters are served first come, first served, except that a returning request, which
has a reservation, goes before newcomers: it would have been queued all the time. Bulk waiters are
served fairly by job. A cancelled waiter stays where it is and is skipped when its
turn comes; once the cancelled outnumber the others the queue is swept, so that neither time nor
memory grows with them.

Invariants:
 1. `waiting` counts the waiters of each class that are not cancelled: their future is not done.
 2. Every operation costs O(log n) at most, amortized.
"""

from __future__ import annotations

import heapq
from collections import deque

from .fair_queue import FairQueue
from .lease import Waiter

__all__ = ["WaitQueue"]

_NEVER = float("inf")
_SWEEP_AT_LEAST = 64


class WaitQueue:
    """Requests that wait for a lease, in the order in which they are served.

    Attributes:
        waiting: how many interactive and how many bulk requests wait.
    """

    __slots__ = (
        "_asked",
        "_bulk",
        "_cancelled",
        "_deadlines",
        "_generation",
        "_interactive",
        "_returned",
        "waiting",
    )

    def __init__(self) -> None:
        self._interactive: deque[Waiter] = deque()
        self._returned: deque[Waiter] = deque()
        self._bulk: FairQueue[Waiter] = FairQueue(lambda waiter: waiter.waiting)
        self._deadlines: list[tuple[float, int, Waiter]] = []
        self._asked = 0
        self._cancelled = 0
        self._generation = [0, 0]  # of each class; rises when its count restarts at 0
        self.waiting = [0, 0]

    def join(self, waiter: Waiter, *, returned: bool = False) -> None:
        """Queue `waiter` at the end of its class, or of its job; before newcomers if `returned`."""
        self._asked += 1
        waiter.number = self._asked
        waiter.generation = self._generation[waiter.job is not None]
        if waiter.job is None:
            (self._returned if returned else self._interactive).append(waiter)
            self.waiting[0] += 1
        else:
            self._bulk.push(waiter.job, waiter.weight, waiter)
            self.waiting[1] += 1
        if waiter.deadline is not None:
            heapq.heappush(self._deadlines, (waiter.deadline, waiter.number, waiter))

    def pass_through(self, waiter: Waiter) -> None:
        """Count a bulk request that did not have to wait."""
        self._bulk.pass_through(waiter.weight)

    def ahead_of(self, waiter: Waiter, *, returned: bool = False) -> int:
        """Count those served before `waiter`, which is not queued yet."""
        if returned:
            return min(len(self._returned), self.waiting[0])
        ahead = self.waiting[0]
        if waiter.job is not None and self.waiting[1]:
            ahead += self._bulk.ahead_of(waiter.job, waiter.weight)
        return ahead

    def next(self, background: bool) -> Waiter | None:
        """Remove and return the next waiter of a class; None when none waits there."""
        waiter = self._bulk.pop() if background else self._next_interactive()
        if waiter is None:
            # Those still counted were cancelled in this very turn of the loop and have not
            # called discard() yet. The new generation keeps their late calls from being
            # subtracted again, from the count of those who join in between.
            self._forget_counted(background)
        else:
            self.waiting[background] -= 1
        return waiter

    def _forget_counted(self, background: bool) -> None:
        self.waiting[background] = 0
        self._generation[background] += 1

    def _next_interactive(self) -> Waiter | None:
        for queue in (self._returned, self._interactive):
            while queue:
                waiter = queue.popleft()
                if waiter.waiting:
                    return waiter
        return None

    def discard(self, waiter: Waiter) -> None:
        """Forget a queued `waiter` that was cancelled or failed rather than served."""
        background = waiter.job is not None
        if waiter.generation == self._generation[background]:
            self.waiting[background] -= 1
        self._cancelled += 1
        if self._cancelled > _SWEEP_AT_LEAST + self.waiting[0] + self.waiting[1]:
            self._cancelled = 0
            self._interactive = deque(p for p in self._interactive if p.waiting)
            self._returned = deque(p for p in self._returned if p.waiting)
            self._bulk.compact()
            self._deadlines = [entry for entry in self._deadlines if entry[2].waiting]
            heapq.heapify(self._deadlines)

    def oldest_asked_at(self, *, after_next: bool = False) -> float:
        """When the oldest interactive request was made, or the oldest after the next one is served.

        Infinity if none waits.
        """
        oldest = _NEVER
        for queue in (self._returned, self._interactive):
            for waiter in queue:
                if waiter.waiting and not after_next:
                    oldest = min(oldest, waiter.asked_at)
                    break
                after_next = after_next and not waiter.waiting
        return oldest

    @property
    def bulk_weight(self) -> float:
        """The weights of the bulk jobs that wait, together."""
        return self._bulk.weight

    @property
    def first_deadline(self) -> float:
        """The earliest deadline queued, which may be that of a waiter cancelled since."""
        return self._deadlines[0][0] if self._deadlines else _NEVER

    def overdue(self, limit: float) -> tuple[Waiter, int] | None:
        """Take one waiter whose deadline is at most `limit`; returns it and how many precede it."""
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] <= limit or not deadlines[0][2].waiting):
            _, number, waiter = heapq.heappop(deadlines)
            if not waiter.waiting:
                continue
            if waiter.job is not None:
                return waiter, self.waiting[0]
            first = self._interactive[0].number if self._interactive else number
            return waiter, max(0, number - first)
        return None

    def clear(self) -> list[Waiter]:
        """Empty the queue; returns those who waited."""
        queued = [*self._returned, *self._interactive, *self._bulk]
        waiters = [waiter for waiter in queued if waiter.waiting]
        self._interactive.clear()
        self._returned.clear()
        self._deadlines.clear()
        self._forget_counted(False)
        self._forget_counted(True)
        return waiters
