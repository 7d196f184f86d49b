"""What remains of a run: the plan, less what its journal knows, less what the account shows.

A step is pending when it has no outcome yet, or an unknown one, or was skipped because it depended
on such a step (with `retry_failed`: when it failed, is unknown, or was skipped for a dependency).
It is in doubt when its request may have been sent: the journal says that it started, and not how it
finished. Steps in doubt are reconciled with the account; every pending one is checked against the
same view for drift, unless this very client read the account a moment ago. A step that depends on a
snapshot of an earlier run only starts if that snapshot still exists: the journal knows that it was
made, not that it is there.

The decisions are pure functions; only `compute_remaining` reads the account.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from ..._http.engine import Engine
from ..account import AccountReader, AccountView, check_account
from ..concurrency.thread import in_thread
from ..errors import PlanError
from ..model.outcome import Ended, StepVerdict
from ..model.plan import Plan, Step
from .journal import Journal
from .step_actions import handler_of

__all__ = ["Remaining", "classify", "compute_remaining", "in_doubt", "pending_steps"]


@attrs.frozen
class Remaining:
    """What a run has left to do.

    Attributes:
        pending: the steps, in the plan's order.
        verdicts: how some of them end without a request, by key; these are not started.
        finished: the outcomes of the others, by key.
    """

    pending: tuple[Step, ...]
    verdicts: Mapping[str, StepVerdict]
    finished: Mapping[str, Ended]


async def compute_remaining(
    plan: Plan,
    journal: Journal | None,
    *,
    retry_failed: bool,
    max_plan_age_s: float,
    engine: Engine,
    account: AccountReader,
) -> Remaining:
    """Find out what is left to do, reading the account where that is needed.

    Requests: none while the plan is fresh, nothing is in doubt and nothing depends on a snapshot of
    an earlier run; else as `Plan.requests_to_check`, and ceil(S / 200) where a snapshot is in
    doubt.

    Raises:
        PlanError: the plan is of another account, or `retry_failed` and the journal has no outcome.
    """
    started = {} if journal is None else journal.started
    finished = {} if journal is None else journal.finished
    if retry_failed and not finished:
        raise PlanError("no step in this journal has an outcome yet: run without retry_failed")

    def select() -> tuple[tuple[Step, ...], frozenset[str], dict[str, Step]]:
        pending = pending_steps(plan, finished, retry_failed=retry_failed)
        return (
            pending,
            in_doubt(pending, started, finished),
            _earlier_dependencies(plan, pending),
        )

    # Of 70,000 steps, these take most of a second.
    pending, doubtful, dependencies = await in_thread(select)
    verdicts: dict[str, StepVerdict] = {}
    is_fresh = plan.was_read_by(engine, since_s=engine.clock.monotonic() - max_plan_age_s)
    if pending and (doubtful or dependencies or not is_fresh):
        if doubtful:
            # A request of a run that died may still arrive: read only once it must have.
            await engine.clock.sleep(engine.config.late_arrival_s)
        view = await _read(plan, pending, doubtful, account)

        def compare() -> dict[str, StepVerdict]:
            deleted = [s.target_id for s in plan.steps if s.key in started and s.is_destructive]
            check_account(plan, view, deleted)
            return classify(plan, pending, view, doubtful, dependencies)

        verdicts = await in_thread(compare)
    left = {step.key for step in pending}
    return Remaining(pending, verdicts, {k: v for k, v in finished.items() if k not in left})


async def _read(
    plan: Plan, pending: Sequence[Step], doubtful: Collection[str], account: AccountReader
) -> AccountView:
    """Read the listings that tell what became of these steps, and no others."""
    in_doubt_by_snapshot = (
        step.key in doubtful and handler_of(step).trace == "snapshots" for step in pending
    )
    volumes = snapshots = None
    if any(step.concerns_volume for step in pending):
        volumes = await account.volumes(plan.selection.only_region)
    if plan.needs_snapshots_for(pending) or any(in_doubt_by_snapshot):
        snapshots = await account.snapshots()
    return await in_thread(lambda: AccountView.of(volumes, snapshots))


def pending_steps(
    plan: Plan, finished: Mapping[str, Ended], *, retry_failed: bool = False
) -> tuple[Step, ...]:
    """Select the steps that are still to be done, in the plan's order. Pure.

    Args:
        plan: the plan.
        finished: the outcomes of earlier runs, by key.
        retry_failed: select those that failed too, and none that no run has come to.
    """
    found: dict[str, Step] = {}
    for step in plan.steps:  # dependencies come first, so one pass follows whole chains
        was = finished.get(step.key)
        if was is None:
            is_pending = not retry_failed
        elif was.code == "dependency_failed":
            is_pending = retry_failed or step.depends_on in found
        else:
            is_pending = was.status == "unknown" or (retry_failed and was.status == "failed")
        if is_pending:
            found[step.key] = step
    return tuple(found.values())


def in_doubt(
    pending: Iterable[Step], started: Collection[str], finished: Mapping[str, Ended]
) -> frozenset[str]:
    """Return the keys of the pending steps that may have been done already. Pure."""
    return frozenset(
        step.key
        for step in pending
        if step.key in started
        and (step.key not in finished or finished[step.key].status == "unknown")
    )


def classify(
    plan: Plan,
    pending: Iterable[Step],
    view: AccountView,
    doubtful: Collection[str],
    dependencies: Mapping[str, Step],
) -> dict[str, StepVerdict]:
    """Decide which pending steps end without a request, and how. Pure.

    Args:
        plan: the plan; its selection must still match.
        pending: the steps to decide on.
        view: the account, as just read.
        doubtful: keys of those that may have been done.
        dependencies: steps of earlier runs that pending ones depend on, by the key of the latter.
    """
    verdicts: dict[str, StepVerdict] = {}
    for step in pending:
        handler = handler_of(step)
        # What a step in doubt has done looks like drift: so it is reconciled first.
        verdict = handler.reconcile_step(step, view) if step.key in doubtful else None
        verdict = verdict or handler.detect_drift(step, view, plan.selection)
        dependency = dependencies.get(step.key)
        if verdict is None and dependency is not None:
            verdict = handler_of(dependency).check_dependency(dependency, view)
        if verdict is not None:
            verdicts[step.key] = verdict
    return verdicts


def _earlier_dependencies(plan: Plan, pending: Iterable[Step]) -> dict[str, Step]:
    """Steps of earlier runs whose result must still exist, by the key of what depends on them."""
    waiting = {step.key: step for step in pending}
    earlier = {
        step.key: step
        for step in plan.steps
        if step.key not in waiting and handler_of(step).must_outlast_run
    }
    return {
        key: earlier[step.depends_on] for key, step in waiting.items() if step.depends_on in earlier
    }
