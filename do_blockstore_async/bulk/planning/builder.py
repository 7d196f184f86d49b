"""Build plans: read what the account holds, decide the steps, add the forecast.

What the steps are is decided by the pure modules beside it, in a thread: of a large account that
takes seconds, and the event loop is to go on. The arguments come from `service.Bulk`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial, wraps
from itertools import chain
from operator import attrgetter
from typing import Any, Final, ParamSpec

import attrs

from ..._http.engine import Engine
from ..._ratelimit.throttle import Throttle
from ..._schema.validation import check_tags
from ...errors import InvalidArgumentError
from ...resources._disposal import all_freed
from ...resources._ids import IdSet
from ..account import AccountReader
from ..concurrency.thread import in_thread
from ..errors import NothingSelectedError, PlanError
from ..model.listed import AnySnapshot, AnyVolume
from ..model.plan import (
    ListingCounts,
    Plan,
    PlanKind,
    Sighting,
    SkippedStep,
    Step,
    account_sample,
)
from ..model.prices import Prices
from ..model.retention import Retention
from ..model.rows import CompactRows, kept
from ..model.selection import Selection
from ..model.snapshot_names import Template, check_job, check_own_tags, job_tag
from ..model.specs import VolumeSpec
from .creations import creation_steps
from .deletions import deletion_steps
from .orphans import expired, mark_steps, marks_of
from .policy import MAX_PRUNED_SHARE, SnapshotPolicy, Steps, time_zone_of
from .snapshots import prune_steps, snapshot_steps

__all__ = ["PlanBuilder"]

P = ParamSpec("P")

_MAX_CLOCK_ERROR: Final = timedelta(hours=1)
_ID: Final = attrgetter("id")


def _then_freed(make: Callable[P, Coroutine[Any, Any, Plan]]) -> Callable[P, Awaitable[Plan]]:
    """Give the plan when what it was made from is freed.

    It is freed in turns of the loop, and the caller may not let it turn before the plan is written.
    """

    @wraps(make)
    async def then_freed(*args: P.args, **words: P.kwargs) -> Plan:
        plan = await make(*args, **words)
        await all_freed()
        return plan

    return then_freed


class PlanBuilder:
    """Listings in, a plan out; every request as background work of the plan's job."""

    def __init__(self, engine: Engine, throttle: Throttle, account: AccountReader) -> None:
        self._engine = engine
        self._throttle = throttle
        self._account = account

    def forecast(self, plan: Plan) -> timedelta:
        """How long the plan's requests would take from now on, as background."""
        return self._throttle.forecast(plan.requests, background=True)

    def moment(self, at: datetime | None) -> datetime:
        """The time for names and retention, in UTC; now by default.

        Raises:
            InvalidArgumentError: `at` has no time zone.
        """
        if at is None:
            return self._engine.clock.utc_now()
        if at.tzinfo is None:
            raise InvalidArgumentError("at must know its time zone, such as datetime.now(UTC)")
        return at.astimezone(UTC)

    def policy(
        self,
        job: str,
        template: str,
        at: datetime | None,
        prices: Prices | None,
        tags: Iterable[str] = (),
        match_by: str = "tag",
        max_pruned_share: float = MAX_PRUNED_SHARE,
        time_zone: str | tzinfo = "UTC",
    ) -> SnapshotPolicy:
        """Check the arguments that planners share.

        Raises:
            PlanError: the job's name or the template is invalid.
            InvalidArgumentError: a tag, `match_by`, `time_zone` or `at` is invalid.
        """
        if match_by not in {"tag", "name"}:
            raise InvalidArgumentError(f"match_by is tag or name, not {match_by!r}")
        if not 0 <= max_pruned_share <= 1:
            raise InvalidArgumentError(
                f"max_pruned_share must be in [0, 1], not {max_pruned_share!r}"
            )
        return SnapshotPolicy(
            job=check_job(job),
            template=Template(template, time_zone_of(time_zone)),
            at=self.moment(at),
            is_at_given=at is not None,
            prices=Prices() if prices is None else prices,
            tags=check_own_tags(tuple(dict.fromkeys(check_tags(tags)))),
            by_name=match_by == "name",
            max_pruned_share=max_pruned_share,
        )

    @_then_freed
    async def snapshots(
        self, selection: Selection, policy: SnapshotPolicy, keep: Retention | None
    ) -> Plan:
        """See `Bulk.plan_snapshots`."""
        if keep is not None and keep.hourly and not policy.template.has("date", "time"):
            text = policy.template.text
            missing = "".join(f"-{{{x}}}" for x in ("date", "time") if not policy.template.has(x))
            raise PlanError(
                f"to keep one snapshot an hour, names need date and time: not {text!r} "
                f"but {text + missing!r}"
            )
        sighting = self._sighting()
        with self._throttle.background(policy.job):
            volumes = await self._account.volumes_in(selection)
            fleet = await in_thread(lambda: selected(volumes, selection))
            snapshots = await self._account.snapshots()
        policy = self._on_server_time(policy)
        steps, skips = await in_thread(lambda: snapshot_steps(fleet, snapshots, policy, keep))
        options = {
            "template": policy.template.text,
            "keep": "" if keep is None else str(keep),
            "time_zone": str(policy.zone),
        }
        return await self._plan(
            "snapshots", policy, selection, steps, skips, volumes, snapshots, sighting, options
        )

    @_then_freed
    async def prune(self, selection: Selection, policy: SnapshotPolicy, keep: Retention) -> Plan:
        """See `Bulk.plan_prune`."""
        sighting = self._sighting()
        volumes: Collection[AnyVolume] | None = None
        fleet: CompactRows[AnyVolume] | None = None
        with self._throttle.background(policy.job):
            if policy.by_name or not selection.is_everything:
                volumes = await self._account.volumes_in(selection)
                fleet = await in_thread(lambda: selected(volumes, selection))
            snapshots = await self._account.snapshots()
        policy = self._on_server_time(policy)
        steps, skips = await in_thread(lambda: prune_steps(snapshots, fleet, policy, keep))
        options = {"keep": str(keep), "time_zone": str(policy.zone)}
        return await self._plan(
            "prune", policy, selection, steps, skips, volumes, snapshots, sighting, options
        )

    @_then_freed
    async def deletions(
        self, selection: Selection, policy: SnapshotPolicy, *, snapshot_first: bool
    ) -> Plan:
        """See `Bulk.plan_deletions`."""
        if selection.is_everything:
            raise PlanError("this would delete every volume: say which, by region, tag or name")
        sighting = self._sighting()
        with self._throttle.background(policy.job):
            volumes = await self._account.volumes_in(selection)
            fleet = await in_thread(lambda: selected(volumes, selection))
            snapshots = await self._account.snapshots() if snapshot_first else None
        policy = self._on_server_time(policy)
        steps, skips = await in_thread(lambda: deletion_steps(fleet, snapshots, policy))
        options = {"snapshot_first": str(snapshot_first).lower()}
        return await self._plan(
            "deletions", policy, selection, steps, skips, volumes, snapshots, sighting, options
        )

    async def creations(self, specs: Sequence[VolumeSpec], policy: SnapshotPolicy) -> Plan:
        """See `Bulk.plan_creations`."""
        sighting = self._sighting()
        with self._throttle.background(policy.job):
            volumes = await self._account.volumes()
            await self._account.check_regions((spec.region for spec in specs), volumes)
        steps, skips = await in_thread(
            lambda: creation_steps(specs, volumes, policy.tags, policy.prices)
        )
        return await self._plan(
            "creations", policy, Selection(), steps, skips, volumes, None, sighting, {}
        )

    @_then_freed
    async def orphan_tags(
        self, selection: Selection, policy: SnapshotPolicy, *, prefix: str
    ) -> Plan:
        """See `Bulk.plan_orphan_tags`."""
        sighting = self._sighting()
        with self._throttle.background(policy.job):
            volumes = await self._account.volumes_in(selection)
        policy = self._on_server_time(policy)
        fleet = await in_thread(lambda: selected(volumes, selection))
        steps, skips = await in_thread(lambda: mark_steps(fleet, prefix, policy.at))
        options = {"prefix": prefix}
        return await self._plan(
            "orphan-tags", policy, selection, steps, skips, volumes, None, sighting, options
        )

    @_then_freed
    async def orphan_deletions(
        self,
        selection: Selection,
        policy: SnapshotPolicy,
        grace: timedelta,
        *,
        prefix: str,
        snapshot_first: bool,
    ) -> Plan:
        """See `Bulk.plan_orphan_deletions`."""
        sighting = self._sighting()
        with self._throttle.background(policy.job):
            volumes = await self._account.volumes_in(selection)
            fleet = await in_thread(lambda: selected(volumes, selection))
            snapshots = await self._account.snapshots() if snapshot_first else None
        policy = self._on_server_time(policy)

        def decide() -> Steps:
            due, waiting = expired(fleet, prefix, grace, policy.at)
            steps, skips = deletion_steps(
                due, snapshots, policy, must_carry=lambda volume: tuple(marks_of(volume, prefix))
            )
            return steps, [*skips, *waiting]

        steps, skips = await in_thread(decide)
        options = {
            "prefix": prefix,
            "grace_days": f"{grace / timedelta(days=1):g}",
            "snapshot_first": str(snapshot_first).lower(),
        }
        return await self._plan(
            "deletions", policy, selection, steps, skips, volumes, snapshots, sighting, options
        )

    def _on_server_time(self, policy: SnapshotPolicy) -> SnapshotPolicy:
        """Take the time from the API, which has just answered; check one that the caller gave.

        By this machine's clock, if it is wrong, retention would delete the wrong history.

        Raises:
            PlanError: the given time is more than an hour from the API's.
        """
        server_s = self._engine.server_time_s()
        if server_s is None:
            return policy
        now = datetime.fromtimestamp(server_s, UTC)
        if not policy.is_at_given:
            return attrs.evolve(policy, at=now)
        if abs(policy.at - now) > _MAX_CLOCK_ERROR:
            raise PlanError(
                f"`at` is {policy.at:%Y-%m-%d %H:%M} UTC, more than an hour from the API's time, "
                f"{now:%Y-%m-%d %H:%M} UTC: leave it out to use the API's"
            )
        return policy

    def _sighting(self) -> Sighting:
        return Sighting(self._engine, self._engine.clock.monotonic())

    async def _plan(
        self,
        kind: PlanKind,
        policy: SnapshotPolicy,
        selection: Selection,
        steps: Sequence[Step],
        skips: Sequence[SkippedStep],
        volumes: Collection[AnyVolume] | None,
        snapshots: Collection[AnySnapshot] | None,
        sighting: Sighting,
        options: Mapping[str, str],
    ) -> Plan:
        def make() -> tuple[Plan, int]:
            plan = self._made(
                kind, policy, selection, steps, skips, volumes, snapshots, sighting, options
            )
            return plan, plan.requests

        plan, requests = await in_thread(make)
        took = await in_thread(self._throttle._forecast_later(requests, background=True))
        return attrs.evolve(plan, duration_s=took.total_seconds())

    @staticmethod
    def _made(
        kind: PlanKind,
        policy: SnapshotPolicy,
        selection: Selection,
        steps: Sequence[Step],
        skips: Sequence[SkippedStep],
        volumes: Collection[AnyVolume] | None,
        snapshots: Collection[AnySnapshot] | None,
        sighting: Sighting,
        options: Mapping[str, str],
    ) -> Plan:
        targets = IdSet(step.target_id for step in steps if step.is_destructive)
        samples = [
            account_sample(partial(map, _ID, listing), targets)
            for listing in (volumes, snapshots)
            if listing is not None
        ]
        return Plan(
            kind=kind,
            job=policy.job,
            made_at=policy.at,
            selection=selection,
            steps=kept(steps),
            skips=kept(skips),
            listing_counts=ListingCounts(
                None if volumes is None else len(volumes),
                None if snapshots is None else len(snapshots),
                None if volumes is None else sum(map(selection.is_in_region, volumes)),
                None if snapshots is None else policy.count_own(snapshots, volumes),
            ),
            currency=policy.prices.currency,
            options=dict(options),
            account_sample_ids=tuple(chain.from_iterable(samples)),
            warnings=_warnings(policy, snapshots, volumes),
            sighting=sighting,
        )


def _warnings(
    policy: SnapshotPolicy,
    snapshots: Collection[AnySnapshot] | None,
    volumes: Collection[AnyVolume] | None,
) -> tuple[str, ...]:
    lookalikes = policy.count_lookalikes(snapshots or (), volumes)
    if not lookalikes:
        return ()
    return (
        f"{lookalikes} snapshots have names like this job's but lack its tag "
        f"{job_tag(policy.job)}, so they are never pruned: tag them, or recognize snapshots by "
        "their names (match_by name)",
    )


def selected(volumes: Collection[AnyVolume], selection: Selection) -> CompactRows[AnyVolume]:
    """Return the volumes that match.

    Raises:
        NothingSelectedError: none does.
    """
    found: CompactRows[AnyVolume] = CompactRows()
    found.extend(volume for volume in volumes if selection.matches(volume))
    if not found:
        raise NothingSelectedError(
            f"nothing is selected: no volume of {len(volumes)} matches ({selection}); "
            "check regions, tags and name pattern against `store.bulk.inventory()`"
        )
    return found
