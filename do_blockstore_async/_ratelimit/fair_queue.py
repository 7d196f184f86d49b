"""Fair service between bulk jobs: stride scheduling (Waldspurger and Weihl, 1995).

Each job has a `turn`, the virtual time at which it is next due. The job with the smallest turn is
served and its turn grows by 1/weight, so jobs that always have requests waiting are served in
proportion to their weights. With each service virtual time moves on by 1/(the weights of all
waiting jobs): after a round in which each was served, by one turn. A job that returns from idling
starts there when that is later than its own turn: idling earns no credit. An idle job keeps its
turn until virtual time has passed it, so that pausing is no way to get ahead; then it is forgotten.
While nobody waits there is nothing to share: what is granted at once only moves virtual time on.

Invariants:
 1. Of two jobs that both wait all the time, service divided by weight differs by at most
    1/weight of either (I6).
 2. Within a job, first come is first served.
 3. `push` and `pop` cost O(log jobs); nothing depends on how many items wait, nor, for long, on how
    many jobs there have been: a million blocks of one request each are a million jobs.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, TypeVar

__all__ = ["FairQueue"]

_SWEEP_AT_LEAST: Final = 64
# Beyond a million to one nobody can tell the shares apart, but sums would lose their digits.
_LIGHTEST: Final = 1e-3
_HEAVIEST: Final = 1e3

T = TypeVar("T")


def _bounded(weight: float) -> float:
    return min(max(weight, _LIGHTEST), _HEAVIEST)


class _Job(Generic[T]):
    __slots__ = ("items", "listed", "turn", "weight")

    def __init__(self, turn: float, weight: float) -> None:
        self.turn = turn
        self.weight = weight
        self.items: deque[T] = deque()
        self.listed = False


class FairQueue(Generic[T]):
    """Items of many jobs, taken out in fair order.

    Args:
        alive: tells whether an item still waits; cancelled ones are dropped without charge.
    """

    __slots__ = ("_alive", "_count", "_heap", "_jobs", "_sweep_at", "_virtual", "_weight")

    def __init__(self, alive: Callable[[T], bool]) -> None:
        self._alive = alive
        self._jobs: dict[Hashable, _Job[T]] = {}
        self._heap: list[tuple[float, int, _Job[T]]] = []
        self._virtual = 0.0
        self._weight = 0.0  # of the jobs in the heap together
        self._count = 0
        self._sweep_at = _SWEEP_AT_LEAST

    def _job(self, key: Hashable, weight: float) -> _Job[T]:
        weight = _bounded(weight)
        job = self._jobs.get(key)
        if job is None:
            self._forget_idle()
            job = self._jobs[key] = _Job(self._virtual, weight)
        if job.listed:
            self._weight += weight - job.weight
        job.weight = weight
        return job

    def _forget_idle(self) -> None:
        # An idle job whose turn has passed is no different from one never seen.
        if len(self._jobs) >= self._sweep_at:
            self._jobs = {
                key: job
                for key, job in self._jobs.items()
                if job.listed or job.turn > self._virtual
            }
            self._sweep_at = 2 * len(self._jobs) + _SWEEP_AT_LEAST

    def _list(self, job: _Job[T]) -> None:
        job.listed = True
        self._weight += job.weight
        self._count += 1
        heapq.heappush(self._heap, (job.turn, self._count, job))

    def push(self, key: Hashable, weight: float, item: T) -> None:
        """Add `item` at the end of the job `key`, which from now on has `weight` (> 0)."""
        job = self._job(key, weight)
        job.items.append(item)
        if not job.listed:
            job.turn = max(job.turn, self._virtual)
            self._list(job)

    def pop(self) -> T | None:
        """Take out the item that is due next and charge its job; None when none is left."""
        heap = self._heap
        while heap:
            _, _, job = heap[0]
            items = job.items
            while items and not self._alive(items[0]):
                items.popleft()
            if items:
                item = items.popleft()
                self._virtual = max(self._virtual, job.turn) + 1.0 / self._weight
                job.turn += 1.0 / job.weight
                self._unlist(job)
                if items:
                    self._list(job)
                return item
            self._unlist(job)
        return None

    def _unlist(self, job: _Job[T]) -> None:
        heapq.heappop(self._heap)
        job.listed = False
        self._weight = self._weight - job.weight if self._heap else 0.0

    @property
    def weight(self) -> float:
        """The weights of the jobs that have items queued, together."""
        return self._weight

    def pass_through(self, weight: float) -> None:
        """Count a request of a job of this weight that was granted while nobody waited."""
        self._virtual += 1.0 / _bounded(weight)

    def ahead_of(self, key: Hashable, weight: float) -> int:
        """Count the items that will be served before one that is queued for the job `key` now."""
        own, weight = self._jobs.get(key), _bounded(weight)
        before = len(own.items) if own is not None else 0
        start = max(own.turn, self._virtual) if own is not None else self._virtual
        due = start + before / weight
        total = before
        for _, _, job in self._heap:
            if job is not own and due >= job.turn:
                total += min(len(job.items), int((due - job.turn) * job.weight) + 1)
        return total

    def compact(self) -> None:
        """Drop every cancelled item at once."""
        for job in self._jobs.values():
            if job.items:
                job.items = deque(item for item in job.items if self._alive(item))

    def __iter__(self) -> Iterator[T]:
        for job in self._jobs.values():
            yield from job.items
