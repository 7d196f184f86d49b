"""What a run has left to do: the plan, less what its journal knows, less what a look shows.

A step is pending when it has no outcome yet, or an unknown one, or was skipped because it waited
for such a step (with `only_failed`: when it failed, is unknown, or waited). It is in doubt when its
request may have been sent: the journal says that it was begun, and not how it ended. Steps in doubt
are looked up; every pending one is held against the same look, unless this very client read the
account a moment ago. A step that waits for a snapshot of an earlier run is only begun when that
snapshot is still seen: the journal knows that it was made, not that it is there.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..wire.engine import Engine
from .errors import PlanError
from .journal import Journal
from .looking import Looker
from .outcome import Ended
from .plan import Plan, Step
from .recheck import Finding, check_account, check_made, check_step, settle_step

__all__ = ["Prepared", "prepare"]


@attrs.frozen
class Prepared:
    """What is left to do.

    Attributes:
        pending: the steps, in the plan's order.
        findings: what is known of some of them already; these are not begun.
        ended: the outcomes of the others, by key.
    """

    pending: tuple[Step, ...]
    findings: Mapping[str, Finding]
    ended: Mapping[str, Ended]


async def prepare(
    plan: Plan,
    journal: Journal | None,
    *,
    only_failed: bool,
    fresh_s: float,
    engine: Engine,
    looker: Looker,
) -> Prepared:
    """Find out what is left, with a look at the account where one is needed.

    Requests: none while the plan is fresh, nothing is in doubt and nothing rests on a snapshot of
    an earlier run; else as `Plan.requests_to_check`, and ceil(S / 200) where a snapshot is in
    doubt.

    Raises:
        PlanError: the plan is of another account; or only the failures are asked for, of none.
    """
    ended = {} if journal is None else journal.finished
    if only_failed and not ended:
        raise PlanError("nothing in this journal has ended yet: run without only_failed")
    begun = set() if journal is None else set(journal.started)
    pending = _pending(plan, ended, only_failed)
    left = {step.key for step in pending}
    doubtful = {
        step.key
        for step in pending
        if step.key in begun and (step.key not in ended or ended[step.key].status == "unknown")
    }
    made = {step.key: step for step in plan.steps if step.action == "create_snapshot"}
    made_before = made.keys() - left
    rests_on = {
        step.key: made[step.depends_on] for step in pending if step.depends_on in made_before
    }
    findings: dict[str, Finding] = {}
    is_fresh = plan.was_read_by(engine, since_s=engine.clock.monotonic() - fresh_s)
    if pending and (doubtful or rests_on or not is_fresh):
        if doubtful:
            # A request of a run that died may still be under way: look only when it has arrived.
            await engine.clock.sleep(engine.config.linger_s)
        seen = await looker.look(
            region=plan.selection.only_region,
            volumes=any(step.concerns_volume for step in pending),
            snapshots=plan.needs_snapshots_for(pending) or not doubtful.isdisjoint(made),
        )
        gone = [step.target_id for step in plan.steps if step.key in begun and step.is_destructive]
        check_account(plan, seen, gone)
        for step in pending:
            found = settle_step(step, seen) if step.key in doubtful else None
            found = found or check_step(step, seen, plan.selection)
            if found is None and step.key in rests_on:
                found = check_made(rests_on[step.key], seen)
            if found is not None:
                findings[step.key] = found
    return Prepared(pending, findings, {k: v for k, v in ended.items() if k not in left})


def _pending(plan: Plan, ended: Mapping[str, Ended], only_failed: bool) -> tuple[Step, ...]:
    found: dict[str, Step] = {}
    for step in plan.steps:  # what is waited for stands first, so one pass follows whole chains
        was = ended.get(step.key)
        if was is None:
            is_pending = not only_failed
        elif was.code == "dependency_failed":
            is_pending = only_failed or step.depends_on in found
        else:
            is_pending = was.status == "unknown" or (only_failed and was.status == "failed")
        if is_pending:
            found[step.key] = step
    return tuple(found.values())
