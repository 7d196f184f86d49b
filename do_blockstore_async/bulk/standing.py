"""How the steps of a run stand: which have ended, which are decided already, which must wait.

Theory: a step is let go once nothing is known that decides it. What decides it is a finding of the
preparation (it is there already, it has changed), or the end of the step it comes after.

G1. A step with `depends_on` is let go only once that step was done, or what it was to delete was
    found gone, in this run or an earlier one.
G2. Whoever waits for a step is told as soon as it has ended; nobody waits for one that has, nor
    for one that the run will not begin.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from .outcome import Ended, Outcome
from .plan import Plan, Step
from .preparing import Prepared
from .recheck import Finding

__all__ = ["Standing"]


class Standing:
    """What is known of each step of one run.

    Attributes:
        ended: what has become of the steps that have ended, those of earlier runs included.
        earlier: keys of those that had ended, or were found done, before this run.
    """

    __slots__ = ("_findings", "_met", "earlier", "ended")

    def __init__(self) -> None:
        self.ended: dict[str, Ended] = {}
        self.earlier: set[str] = set()
        self._findings: Mapping[str, Finding] = {}
        self._met: dict[str, asyncio.Future[bool]] = {}

    def begin(self, plan: Plan, left: Prepared) -> None:
        """Take over what the preparation has found; within the loop of the run."""
        self.ended.update(left.ended)
        self.earlier.update(left.ended)
        self._findings = left.findings
        loop = asyncio.get_running_loop()
        steps = {step.key: step for step in plan.steps}
        waiting = {step.key for step in left.pending}
        for key in {step.depends_on for step in left.pending if step.depends_on}:
            met = self._met[key] = loop.create_future()
            if key not in waiting:
                ended = self.ended.get(key)
                met.set_result(ended is not None and _is_met(steps[key], ended))

    @property
    def counts(self) -> Counter[str]:
        """How many steps have ended in each status."""
        return Counter(ended.status for ended in self.ended.values())

    async def decided(self, step: Step) -> Finding | None:
        """What decides the step without a request, once that is known; None lets it go."""
        finding = self._findings.get(step.key)
        if (
            finding is None
            and step.depends_on
            and not await asyncio.shield(self._met[step.depends_on])
        ):
            return Finding("skipped", "dependency_failed", f"{step.depends_on} was not done")
        return finding

    def note(self, outcome: Outcome[Step]) -> None:
        """The step has ended so."""
        ended = self.ended[outcome.key] = Ended.of(outcome)
        if outcome.resumed:
            self.earlier.add(outcome.key)
        met = self._met.get(outcome.key)
        if met is not None and not met.done():
            met.set_result(_is_met(outcome.item, ended))


def _is_met(step: Step, ended: Ended) -> bool:
    """Whether what waits for the step may be begun: it was made, or what was to go is gone."""
    is_gone = step.is_destructive and (ended.status, ended.code) == ("skipped", "not_found")
    return ended.status == "done" or is_gone
