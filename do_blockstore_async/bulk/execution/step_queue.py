"""The steps of a run that are still to be done, in order, each once what it depends on has ended.

G1. A step with `depends_on` is released only once that step was done, or what it was to delete was
    found gone, in this run or an earlier one, by this worker or another.
G2. Dependents are released as soon as their dependency has finished, and hold no slot before.
G3. The queue ends once every step that the run is about has an outcome, whoever brought it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, TypeAlias

from ...resources._ids import IdMap, IdSet
from ..model.outcome import Ended, Outcome, StepVerdict
from ..model.plan import Plan, Step
from .resume import Remaining

__all__ = ["RequestGroup", "StepQueue"]

# Steps that share one request.
RequestGroup: TypeAlias = tuple[Step, ...]


_STATUSES: Final = ("done", "skipped", "failed", "unknown")
_NOT_DONE: Final = {
    "create_snapshot": "the snapshot {name}, which had to be taken first, was not",
    "delete_snapshot": "the snapshot {name}, which had to be deleted first, was not",
}


class StepQueue:
    """The state of each step of one run; an async iterator of what to do next, for one reader.

    Attributes:
        finished: the outcomes so far, by key, those of earlier runs and other workers included.
        earlier: keys of the steps that had finished, or were found done, before this run.
        open: keys of the steps that this run is about and that have no outcome yet.
    """

    __slots__ = (
        "_blocked",
        "_counts",
        "_dependencies",
        "_ready",
        "_source",
        "_verdicts",
        "_wake",
        "earlier",
        "finished",
        "open",
    )

    def __init__(self) -> None:
        self.finished: IdMap[Ended] = IdMap()
        self._counts: Counter[str] = Counter()
        self.earlier = IdSet()
        self.open: IdMap[None] = IdMap()
        self._verdicts: IdMap[StepVerdict] = IdMap()
        # The steps that others depend on, by key.
        self._dependencies: IdMap[Step] = IdMap()
        self._source: Iterator[RequestGroup] = iter(())
        self._ready: deque[RequestGroup] = deque()
        # What waits for a step, by its key.
        self._blocked: dict[str, list[RequestGroup]] = {}
        self._wake = asyncio.Event()

    def start(self, plan: Plan, remaining: Remaining) -> None:
        """Take over what is known when the run starts; in any thread, before anything is read."""
        finished = IdMap(remaining.finished.items())
        counts: Counter[str] = Counter(each.status for each in finished.values())
        for key in finished:
            self.earlier.add(key)
        # At once: others may look meanwhile.
        self.finished, self._counts = finished, counts
        self._verdicts.update(remaining.verdicts)
        self.open.update((step.key, None) for step in remaining.pending)
        named = IdSet(step.depends_on for step in remaining.pending if step.depends_on)
        self._dependencies.update((step.key, step) for step in plan.steps if step.key in named)
        self._source = _request_groups(remaining.pending)

    @property
    def counts(self) -> Counter[str]:
        """How many steps have finished in each status."""
        return Counter({status: n for status in _STATUSES if (n := self._counts[status])})

    def __aiter__(self) -> StepQueue:
        return self

    async def __anext__(self) -> RequestGroup:
        while self.open:
            group = self._take()
            if group is not None:
                return group
            self._wake.clear()
            await self._wake.wait()
        raise StopAsyncIteration

    def _take(self) -> RequestGroup | None:
        """Return what may be started now; None if all that is left waits for something."""
        while True:
            group = self._ready.popleft() if self._ready else next(self._source, None)
            if group is None:
                return None
            awaited = next((step.depends_on for step in group if self._waits(step)), None)
            if awaited is not None:
                self._blocked.setdefault(awaited, []).append(group)
            elif any(step.key in self.open for step in group):
                return group

    def _waits(self, step: Step) -> bool:
        return step.depends_on in self.open and step.key not in self._verdicts

    def resolve(self, step: Step) -> StepVerdict | None:
        """Return how a step that was released ends unstarted, or None to start it."""
        verdict = self._verdicts.get(step.key)
        if verdict is not None or not step.depends_on:
            return verdict
        finished = self.finished.get(step.depends_on)
        if finished is not None and _is_met(self._dependencies[step.depends_on], finished):
            return None
        first = self._dependencies[step.depends_on]
        what = _NOT_DONE.get(first.action, "{name} was not done")
        return StepVerdict("skipped", "dependency_failed", what.format(name=first.name))

    def add(self, steps: Iterable[Step], verdicts: Mapping[str, StepVerdict]) -> None:
        """Put steps in again: what became of them, or that they are to be done, is known now."""
        steps = tuple(steps)
        for step in steps:
            self._verdicts.pop(step.key, None)
        self._verdicts.update(verdicts)
        self._ready.extend(_request_groups(steps))
        self._wake.set()

    def record(self, outcome: Outcome[Step]) -> None:
        """Record the step's outcome and release its dependents."""
        if outcome.resumed:
            self.earlier.add(outcome.key)
        self.record_end(outcome.key, Ended.of(outcome))

    def record_end(self, key: str, finished: Ended) -> None:
        """Record how a step ended, by whomever, and release its dependents."""
        self.reopen(key)
        self.finished[key] = finished
        self._counts[finished.status] += 1
        self.open.pop(key, None)
        self._ready.extend(self._blocked.pop(key, ()))
        self._wake.set()

    def reopen(self, key: str) -> None:
        """Forget how a step ended: another worker has begun it again."""
        before = self.finished.pop(key, None)
        if before is not None:
            self._counts[before.status] -= 1


def _request_groups(steps: Iterable[Step]) -> Iterator[RequestGroup]:
    """Group the steps that share a request: those of one batch; else each by itself."""
    for batch, group in groupby(steps, key=lambda step: step.batch):
        if batch:
            yield tuple(group)
        else:
            yield from ((step,) for step in group)


def _is_met(step: Step, finished: Ended) -> bool:
    """Whether dependents may start: the step was done, or what it was to delete is gone."""
    is_gone = step.is_destructive and (finished.status, finished.code) == ("skipped", "not_found")
    return finished.status == "done" or is_gone
