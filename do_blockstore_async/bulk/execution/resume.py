"""What remains of a run: the plan, less what its journal knows, less what the account shows.

A step is pending when it has no outcome yet, or an unknown one, or was skipped because it depended
on such a step (with `retry_failed`: when it failed, is unknown, or was skipped for a dependency).
It is in doubt when its request may have been sent: the journal says that it started, and not how it
finished. Steps in doubt are reconciled with the account; every pending one is checked against the
same view for drift, unless this very client read the account a moment ago. A step that depends on a
snapshot of an earlier run only starts if that snapshot still exists: the journal knows that it was
made, not that it is there.

What another worker holds is left to it. What was in flight when a worker died is looked up once its
request cannot arrive any more: `journal_state.py`, JS4.

The decisions are pure functions; only `compute_remaining` and `examine` read the account.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import attrs

from ..._http.engine import Engine
from ...resources._ids import IdMap, IdSet
from ..account import AccountReader, AccountView, another_account, is_account_of
from ..concurrency.thread import in_thread
from ..errors import PlanError
from ..model.outcome import Ended, StepVerdict
from ..model.plan import Plan, Step
from ..model.rows import CompactRows, kept
from .journal import Journal
from .journal_state import JournalState
from .step_actions import handler_of

__all__ = ["Remaining", "classify", "compute_remaining", "examine", "in_doubt", "pending_steps"]

# For one step, at most.
_LOOK_REQUESTS: Final = 3


@attrs.frozen
class Remaining:
    """What a run has left to do.

    Attributes:
        pending: the steps, in the plan's order.
        verdicts: how some of them end without a request, by key; these are not started.
        finished: the outcomes of the others, by key.
        parked: keys of pending ones that other workers hold, or whose requests may still arrive:
            `examine` them once neither is so.
        dependencies: steps of earlier runs that pending ones depend on, by the key of the latter.
        is_account_known: whether the plan was seen to be of this account.
    """

    pending: Sequence[Step]
    verdicts: Mapping[str, StepVerdict]
    finished: Mapping[str, Ended]
    parked: frozenset[str] = frozenset()
    dependencies: Mapping[str, Step] = attrs.field(factory=dict)
    is_account_known: bool = False


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
    state = JournalState() if journal is None else journal.state
    finished: Mapping[str, Ended] = state.finished.copy()
    if retry_failed and not finished:
        raise PlanError("no step in this journal has an outcome yet: run without retry_failed")

    # Of 70,000 steps, what is done in a thread here takes most of a second.
    def select() -> tuple[Sequence[Step], frozenset[str], Mapping[str, Step]]:
        pending = pending_steps(plan, finished, retry_failed=retry_failed)
        doubtful = in_doubt(pending, state.claims, finished)
        return pending, doubtful, _earlier_dependencies(plan, pending)

    pending, doubtful, dependencies = await in_thread(select)
    parked: frozenset[str] = frozenset()
    if journal is not None:
        mine = journal.mine
        parked = frozenset(
            key for key in doubtful if state.is_held(key, mine) or journal.remaining_s(key) > 0
        )
    chosen = pending
    if parked:
        chosen = await in_thread(
            lambda: CompactRows(step for step in pending if step.key not in parked)
        )
    doubtful -= parked
    verdicts: IdMap[StepVerdict] = IdMap()
    is_fresh = plan.was_read_by(engine, since_s=engine.clock.monotonic() - max_plan_age_s)
    must_read = bool(doubtful) or not parked.issuperset(dependencies)
    reads = bool(chosen) and (must_read or not is_fresh)
    if reads:
        verdicts = await examine(plan, chosen, doubtful, dependencies, state, account)
    if finished:

        def without_pending() -> IdMap[Ended]:
            left = IdSet(step.key for step in pending)
            return IdMap((key, ended) for key, ended in finished.items() if key not in left)

        finished = await in_thread(without_pending)
    return Remaining(
        pending,
        verdicts,
        finished,
        parked,
        dependencies,
        is_fresh or reads,
    )


async def examine(
    plan: Plan,
    steps: Sequence[Step],
    doubtful: Collection[str],
    dependencies: Mapping[str, Step],
    state: JournalState,
    account: AccountReader,
    *,
    is_account_known: bool = False,
) -> IdMap[StepVerdict]:
    """Read the account, and decide which of these steps end without a request, and how.

    Args:
        plan: the plan.
        steps: the steps.
        doubtful: keys of those that may have been done.
        dependencies: steps of earlier runs that these depend on, by the key of the latter.
        state: what the journal says.
        account: what to read.
        is_account_known: whether the plan is known to be of this account. Then a few steps are
            looked at by themselves, where that takes fewer requests than the listings.

    Raises:
        PlanError: the plan is of another account.
    """
    if is_account_known and _LOOK_REQUESTS * len(steps) <= plan.requests_to_check:
        return await _looked_up(plan, steps, doubtful, dependencies, account)

    def needs() -> tuple[bool, bool]:
        by_snapshot = any(
            step.key in doubtful and handler_of(step).trace == "snapshots" for step in steps
        )
        needs_volumes = any(step.concerns_volume for step in steps)
        return needs_volumes, by_snapshot or plan.needs_snapshots_for(steps)

    needs_volumes, needs_snapshots = await in_thread(needs)
    volumes, snapshots, is_whole = await account.listings(
        volumes=needs_volumes,
        snapshots=needs_snapshots,
        region=plan.selection.only_region,
    )

    def compare() -> IdMap[StepVerdict]:
        return classify(plan, steps, view, doubtful, dependencies)

    def is_right() -> bool:
        deleted = [s.target_id for s in plan.steps if s.key in state.claims and s.is_destructive]
        return is_account_of(plan, view, deleted)

    view = await in_thread(lambda: AccountView.of(volumes, snapshots))
    if not await in_thread(is_right):
        # Where only snapshots were listed, the volumes may show it.
        listed, _, _ = await account.listings(volumes=volumes is None, snapshots=False)
        if not await in_thread(lambda: is_account_of(plan, AccountView.of(listed))):
            raise another_account()
    verdicts = await in_thread(compare)
    if is_whole:
        return verdicts
    # What was found is there; whatever rests on what was not found is looked for once more.
    unsure = [step for step in steps if step.key in doubtful or step.key in verdicts]
    for step in unsure:
        verdicts.pop(step.key, None)
    verdicts.update(await _looked_up(plan, unsure, doubtful, dependencies, account))
    return verdicts


async def _looked_up(
    plan: Plan,
    steps: Sequence[Step],
    doubtful: Collection[str],
    dependencies: Mapping[str, Step],
    account: AccountReader,
) -> IdMap[StepVerdict]:
    """Look at what these steps are about, and at nothing else; else as `examine`."""
    view = await account.look(
        volume_ids={step.volume_id for step in steps if step.concerns_volume and step.volume_id},
        snapshots_of={
            each.volume_id
            for step in steps
            for each in (step, dependencies.get(step.key))
            if each is not None and each.action == "create_snapshot"
        },
        snapshot_ids={
            each
            for step in steps
            if step.action == "delete_snapshot"
            for each in (step.target_id, step.retained_snapshot_id)
            if each
        },
        names={(step.name, step.region) for step in steps if step.action == "create_volume"},
    )
    return classify(plan, steps, view, doubtful, dependencies)


def pending_steps(
    plan: Plan, finished: Mapping[str, Ended], *, retry_failed: bool = False
) -> Sequence[Step]:
    """Select the steps that are still to be done, in the plan's order. Pure.

    Args:
        plan: the plan.
        finished: the outcomes of earlier runs, by key.
        retry_failed: select those that failed too, and none that no run has come to.
    """
    if not finished and not retry_failed:
        return plan.steps
    found: CompactRows[Step] = CompactRows()
    keys = IdSet()
    for step in plan.steps:  # dependencies come first, so one pass follows whole chains
        was = finished.get(step.key)
        if was is None:
            is_pending = not retry_failed
        elif was.code == "dependency_failed":
            is_pending = retry_failed or step.depends_on in keys
        else:
            is_pending = was.status == "unknown" or (retry_failed and was.status == "failed")
        if is_pending:
            keys.add(step.key)
            found.append(step)
    return kept(found)


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
) -> IdMap[StepVerdict]:
    """Decide which pending steps end without a request, and how. Pure.

    Args:
        plan: the plan; its selection must still match.
        pending: the steps to decide on.
        view: the account, as just read.
        doubtful: keys of those that may have been done.
        dependencies: steps of earlier runs that pending ones depend on, by the key of the latter.
    """
    verdicts: IdMap[StepVerdict] = IdMap()
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


def _earlier_dependencies(plan: Plan, pending: Sequence[Step]) -> Mapping[str, Step]:
    """Steps of earlier runs whose result must still exist, by the key of what depends on them."""
    if len(pending) == len(plan.steps):
        return {}  # there was no earlier run
    waiting = IdSet(step.key for step in pending)
    earlier = IdMap(
        (step.key, step)
        for step in plan.steps
        if handler_of(step).must_outlast_run and step.key not in waiting
    )
    return IdMap(
        (step.key, earlier[step.depends_on]) for step in pending if step.depends_on in earlier
    )
