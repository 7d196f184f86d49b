"""Track step state during a run: finished, resolved without a request, or blocked on a dependency.

G1. A step with `depends_on` is released only once that step was done, or what it was to delete was
    found gone, in this run or an earlier one.
G2. Dependents are released as soon as their dependency has finished; none waits for a step that has
    finished, nor for one that the run will not start.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from ..model.outcome import Ended, Outcome, StepVerdict
from ..model.plan import Plan, Step
from .resume import Remaining

__all__ = ["StepTracker"]


class StepTracker:
    """The state of each step of one run.

    Attributes:
        finished: the outcomes so far, by key, those of earlier runs included.
        earlier: keys of the steps that had finished, or were found done, before this run.
    """

    __slots__ = ("_dependencies", "_verdicts", "earlier", "finished")

    def __init__(self) -> None:
        self.finished: dict[str, Ended] = {}
        self.earlier: set[str] = set()
        self._verdicts: Mapping[str, StepVerdict] = {}
        # One future for each step that others depend on: whether they may start.
        self._dependencies: dict[str, asyncio.Future[bool]] = {}

    def start(self, plan: Plan, remaining: Remaining, loop: asyncio.AbstractEventLoop) -> None:
        """Take over what is known when the run starts; in any thread, before anything resolves."""
        self.finished.update(remaining.finished)
        self.earlier.update(remaining.finished)
        self._verdicts = remaining.verdicts
        steps = {step.key: step for step in plan.steps}
        pending = {step.key for step in remaining.pending}
        for key in {step.depends_on for step in remaining.pending if step.depends_on}:
            future = self._dependencies[key] = loop.create_future()
            if key not in pending:
                # This run will not start it, so nothing else would ever resolve the future.
                finished = self.finished.get(key)
                future.set_result(finished is not None and _is_met(steps[key], finished))

    @property
    def counts(self) -> Counter[str]:
        """How many steps have finished in each status."""
        return Counter(finished.status for finished in self.finished.values())

    async def resolve(self, step: Step) -> StepVerdict | None:
        """Wait for its dependency; return how the step ends unstarted, or None to start it."""
        verdict = self._verdicts.get(step.key)
        if verdict is not None or not step.depends_on:
            return verdict
        # Shielded: cancelling one dependent must not cancel the future of all the others.
        if await asyncio.shield(self._dependencies[step.depends_on]):
            return None
        return StepVerdict("skipped", "dependency_failed", f"{step.depends_on} was not done")

    def record(self, outcome: Outcome[Step]) -> None:
        """Record the step's outcome and release its dependents."""
        finished = self.finished[outcome.key] = Ended.of(outcome)
        if outcome.resumed:
            self.earlier.add(outcome.key)
        future = self._dependencies.get(outcome.key)
        if future is not None and not future.done():
            future.set_result(_is_met(outcome.item, finished))


def _is_met(step: Step, finished: Ended) -> bool:
    """Whether dependents may start: the step was done, or what it was to delete is gone."""
    is_gone = step.is_destructive and (finished.status, finished.code) == ("skipped", "not_found")
    return finished.status == "done" or is_gone
