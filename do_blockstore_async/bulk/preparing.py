"""What a run has left to do: the plan, less what its journal knows, less what a look shows.

A step is pending when it has no outcome yet, or an unknown one (with `only_failed`: when it failed,
is unknown, or waited for such a step). It is in doubt when its request may have been sent: the
journal says that it was begun, and not how it ended. Steps in doubt are looked up; every pending
one is held against the same look, unless this very client read the account a moment ago.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from ..wire.engine import Engine
from .errors import PlanError
from .journal import Journal
from .looking import Looker
from .outcome import Ended
from .plan import Plan, Step
from .recheck import Finding, Seen, check_account, check_step, settle_step

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

    Requests: none while the plan is fresh and nothing is in doubt; else as
    `Plan.requests_to_check`, and ceil(S / 200) where a snapshot is in doubt.

    Raises:
        PlanError: the plan is of another account; or only the failures are asked for, of none.
    """
    ended = {} if journal is None else journal.ended
    if only_failed and not ended:
        raise PlanError("nothing in this journal has ended yet: run without only_failed")
    begun = {} if journal is None else journal.begun
    pending = tuple(step for step in plan.steps if _is_pending(ended.get(step.key), only_failed))
    left = {step.key for step in pending}
    doubtful = [
        step
        for step in pending
        if step.key in begun and _is_pending(ended.get(step.key), only_failed=False)
    ]
    findings: dict[str, Finding] = {}
    if pending and (doubtful or not _is_fresh(plan, engine, fresh_s)):
        await _let_late_requests_arrive([begun[step.key] for step in doubtful], engine)
        seen = await _look(plan, pending, doubtful, looker)
        gone = [
            step.target_id
            for step in plan.steps
            if step.key in begun and step.action in {"delete_snapshot", "delete_volume"}
        ]
        check_account(plan, seen, gone)
        findings = _judge(plan, pending, {step.key for step in doubtful}, seen)
    return Prepared(pending, findings, {k: v for k, v in ended.items() if k not in left})


def _is_pending(ended: Ended | None, only_failed: bool) -> bool:
    if not only_failed:
        return ended is None or ended.status == "unknown"
    return ended is not None and (ended.status in {"failed", "unknown"} or ended.code == "before")


def _is_fresh(plan: Plan, engine: Engine, fresh_s: float) -> bool:
    """Whether this very client made the plan from listings read a moment ago."""
    sighting = plan.sighting
    return (
        sighting is not None
        and sighting.engine is engine
        and engine.clock.monotonic() - sighting.at_s <= fresh_s
    )


async def _let_late_requests_arrive(begun_s: Sequence[float], engine: Engine) -> None:
    """A request of a run that died may still be under way: look only when it has arrived."""
    if not begun_s:
        return
    linger_s = engine.config.linger_s
    left_s = max(begun_s) + linger_s - engine.clock.wall_s()
    if left_s > 0:
        # A clock that was set back must not make it wait for ever.
        await engine.clock.sleep(min(left_s, linger_s))


async def _look(
    plan: Plan, pending: Sequence[Step], doubtful: Sequence[Step], looker: Looker
) -> Seen:
    making = any(step.action == "create_snapshot" for step in doubtful)
    return await looker.look(
        region=plan.selection.only_region,
        volumes=any(step.concerns_volume for step in pending),
        snapshots=making or any(step.action == "delete_snapshot" for step in pending),
    )


def _judge(
    plan: Plan, pending: Sequence[Step], doubtful: set[str], seen: Seen
) -> dict[str, Finding]:
    findings: dict[str, Finding] = {}
    for step in pending:
        found = settle_step(step, seen) if step.key in doubtful else None
        found = found or check_step(step, seen, plan.selection)
        if found is not None:
            findings[step.key] = found
    return findings
