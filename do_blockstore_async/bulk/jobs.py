"""`store.bulk`: plan, run, resume, and any operation over many items.

Holds nothing but the parts of its client. What the jobs decide stands in the pure modules beside
it; here they are given what the account holds, and a forecast of the budget.

Requests, with V volumes (of the one region, where exactly one is selected) and S snapshots of
volumes in the account, and v = max(1, ceil(V / 200)), s = max(1, ceil(S / 200)):

| job | to plan | to run |
| --- | --- | --- |
| snapshots | v + s | one for each snapshot, one for each deletion |
| prune | s; v + s with a selection or `recognise="name"` | one for each deletion |
| deletions | v; v + s with `snapshot_first` | one for each volume, one more with `snapshot_first` |
| creations | v | one for each volume |
| orphan marks | v | for each tag ceil(n / 200), and one to make a new tag |
| orphan deletions | as deletions | as deletions |
| inventory | v + s; v without snapshots | - |

A run whose plan was not made by this client within the last `fresh_s` seconds, or that resumes,
reads the account again first: v where a step concerns a volume, s where one deletes a snapshot or a
snapshot was being made when the last run died.
"""

from __future__ import annotations

import os
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Mapping,
    Sequence,
)
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import attrs

from ..errors import InvalidArgumentError
from ..models import Volume, VolumeSnapshot
from ..quota.throttle import Throttle
from ..resources.actions import Actions
from ..resources.regions import Regions
from ..resources.snapshots import Snapshots
from ..resources.volumes import Volumes
from ..wire.arguments import check_tags
from ..wire.codec import Codec
from ..wire.engine import Engine
from .errors import PlanError
from .guards import Guards
from .inventory import Inventory, take_inventory
from .looking import Looker
from .mapping import Fanout
from .names import Template, check_job
from .orphans import MARK, check_mark, expired, mark_steps, marks_of
from .performing import Performer
from .plan import Listed, Plan, PlanKind, Sighting, SkippedStep, Step, witnesses
from .planning import Making, creation_steps, deletion_steps, prune_steps, snapshot_steps
from .prices import Prices
from .retention import Retention
from .run import Run, RunOptions
from .selection import Selection
from .specs import VolumeSpec, parse_specs, read_specs

__all__ = ["Bulk"]

T = TypeVar("T")

_TEMPLATE = "{volume}-{region}-{date}"
_MAX_PLAN_BYTES = 1 << 30


class Bulk:
    """`store.bulk`: jobs over many volumes.

    Every request passes the one engine, as background work: interactive calls go first, and keep
    their reserve of the budget.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        codec: Codec,
        throttle: Throttle,
        volumes: Volumes,
        snapshots: Snapshots,
        actions: Actions,
        regions: Regions,
    ) -> None:
        # Neither actions nor regions are listed by any job: that would be requests for nothing.
        self._engine = engine
        self._codec = codec
        self._throttle = throttle
        self._volumes = volumes
        self._snapshots = snapshots
        self._looker = Looker(volumes, snapshots)

    # Any operation.

    def map(
        self,
        operation: Callable[[T], Awaitable[Any]],
        items: Iterable[T] | AsyncIterable[T],
        *,
        concurrency: int = 16,
        per_region: int | None = None,
        region_of: Callable[[T], str] | None = None,
        job: Hashable | None = None,
    ) -> Fanout[T]:
        """Run an operation for each item, a bounded number at a time.

            async with store.bulk.map(work, store.volumes.list()) as outcomes:
                async for outcome in outcomes: ...

        Memory is bounded by `concurrency` (and 1,024 items held back with `per_region`), however
        many items there are. Requests: those of the operation, as background.

        Args:
            operation: called with each item. Raise `Skip("why")` in it to skip; what else it raises
                makes the item `failed`, and `OutcomeUnknownError` makes it `unknown`.
            items: any iterable or async iterable; read only as far as there is room.
            concurrency: items under way at most, 1 or more.
            per_region: items of one region under way at most; None for no bound of its own.
            region_of: the region of an item; by default that of a volume or its `region`.
            job: names the job for the fair sharing of the budget; None makes it one of its own.

        Returns:
            An async iterator of `Outcome`, in the order in which items end.

        Raises:
            InvalidArgumentError: a bound that cannot be.
        """
        with self._throttle.background(job):
            context = copy_context()
        return Fanout(
            operation,
            items,
            concurrency=concurrency,
            per_region=per_region,
            region_of=region_of,
            context=context,
            clock=self._engine.clock,
        )

    # Plans.

    async def plan_snapshots(
        self,
        selection: Selection | None = None,
        *,
        name_template: str = _TEMPLATE,
        tags: Iterable[str] = (),
        job: str = "nightly",
        keep: Retention | None = None,
        recognise: Literal["tag", "name"] = "tag",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan a snapshot of each selected volume and, with `keep`, the pruning of older ones.

        Skipped: a volume that has a snapshot of that name, one whose newest snapshot is less than
        ten minutes old, one that has 25 and none that may go. The retention counts the new
        snapshot; nothing of a volume is deleted before it is there, but where there are 25.

        Requests: v + s. To run: one for each snapshot and one for each deletion.

        Args:
            selection: which volumes; all by default.
            name_template: of the names, which must differ; see `names.Template`.
            tags: for the snapshots, besides the job's name.
            job: letters, digits, `_`, `-` and `:`; the tag by which the job knows its snapshots.
            keep: what to keep of this job's snapshots.
            recognise: `tag`, or `name`: then by the template, and nothing is tagged with the job.
            at: the time for names and retention; now by default.
            prices: by default `Prices()`.

        Raises:
            PlanError: no volume is selected, a template or name cannot be.
            InvalidArgumentError: a tag that cannot be.
        """
        chosen = Selection() if selection is None else selection
        making = self._making(job, name_template, at, prices, tags, recognise)
        sighting = self._sighting()
        with self._throttle.background(job):
            volumes = await self._looker.volumes(chosen.only_region)
            selected = _selected(volumes, chosen)
            snapshots = await self._looker.snapshots()
        steps, skips = snapshot_steps(selected, snapshots, making, keep)
        options = {"template": name_template, "keep": "" if keep is None else str(keep)}
        return self._plan(
            "snapshots", making, chosen, steps, skips, volumes, snapshots, sighting, options
        )

    async def plan_prune(
        self,
        keep: Retention,
        *,
        selection: Selection | None = None,
        job: str = "nightly",
        name_template: str = _TEMPLATE,
        recognise: Literal["tag", "name"] = "tag",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the deletion of what `keep` lets go of this job's snapshots.

        Without a selection, snapshots of volumes that are gone are pruned too.

        Requests: s; v + s with a selection or `recognise="name"`. To run: one for each deletion.

        Args and errors: as `plan_snapshots`.
        """
        if not isinstance(keep, Retention):
            raise InvalidArgumentError("keep must be a Retention, such as Retention(last=7)")
        chosen = Selection() if selection is None else selection
        making = self._making(job, name_template, at, prices, (), recognise)
        sighting = self._sighting()
        volumes: list[Volume] | None = None
        selected: Sequence[Volume] | None = None
        with self._throttle.background(job):
            if making.by_name or not chosen.is_everything:
                volumes = await self._looker.volumes(chosen.only_region)
                selected = _selected(volumes, chosen)
            snapshots = await self._looker.snapshots()
        steps, skips = prune_steps(snapshots, selected, making, keep)
        options = {"keep": str(keep)}
        return self._plan(
            "prune", making, chosen, steps, skips, volumes, snapshots, sighting, options
        )

    async def plan_deletions(
        self,
        selection: Selection,
        *,
        snapshot_first: bool = False,
        job: str = "delete",
        name_template: str = _TEMPLATE,
        tags: Iterable[str] = (),
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the deletion of the selected volumes; attached ones are skipped.

        Requests: v; v + s with `snapshot_first`. To run: one for each volume, two with it.

        Args:
            selection: which volumes; one that selects everything is refused.
            snapshot_first: take a last snapshot of each, and delete only what has one.
            job, name_template, tags, at, prices: as `plan_snapshots`.

        Raises:
            PlanError: everything or nothing is selected; a template or name cannot be.
        """
        if selection.is_everything:
            raise PlanError("this would delete every volume: say which, by region, tag or name")
        making = self._making(job, name_template, at, prices, tags, "tag")
        sighting = self._sighting()
        with self._throttle.background(job):
            volumes = await self._looker.volumes(selection.only_region)
            selected = _selected(volumes, selection)
            snapshots = await self._looker.snapshots() if snapshot_first else None
        steps, skips = deletion_steps(selected, snapshots, making)
        options = {"snapshot_first": str(snapshot_first).lower()}
        return self._plan(
            "deletions", making, selection, steps, skips, volumes, snapshots, sighting, options
        )

    async def plan_creations(
        self,
        source: str | os.PathLike[str] | Iterable[VolumeSpec | Mapping[str, Any]],
        *,
        tags: Iterable[str] = (),
        job: str = "create",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the creation of volumes; a name that is taken in its region is skipped.

        Requests: v. To run: one for each volume.

        Args:
            source: specs, or mappings with their fields, or the path of a JSON, JSON lines or CSV
                file of them (see `specs`). Reading a file blocks for a moment.
            tags: for every volume, besides those of its spec.
            job, at, prices: as `plan_snapshots`.

        Raises:
            PlanError: the file or a spec cannot be used, two have one name; nothing was sent.
        """
        making = self._making(job, _TEMPLATE, at, prices, tags, "tag")
        if isinstance(source, str | os.PathLike):
            specs = parse_specs(_read(Path(source)), Path(source).suffix.lower())
        else:
            specs = read_specs(source)
        sighting = self._sighting()
        with self._throttle.background(job):
            volumes = await self._looker.volumes()
        steps, skips = creation_steps(specs, volumes, making.tags, making.prices)
        return self._plan(
            "creations", making, Selection(), steps, skips, volumes, None, sighting, {}
        )

    async def plan_orphan_marks(
        self,
        selection: Selection | None = None,
        *,
        prefix: str = MARK,
        job: str = "orphans",
        at: datetime | None = None,
    ) -> Plan:
        """Plan to tag newly unattached volumes with today's date, and to untag attached ones.

        Requests: v. To run: for each tag ceil(n / 200), and one to make a new tag.

        Args:
            selection: which volumes; all by default.
            prefix: the tag is `<prefix>:<date>`.
            job, at: as `plan_snapshots`.

        Raises:
            PlanError: no volume is selected, or a prefix that cannot be.
        """
        chosen = Selection() if selection is None else selection
        making = self._making(job, _TEMPLATE, at, None, (), "tag")
        check_mark(prefix)
        sighting = self._sighting()
        with self._throttle.background(job):
            volumes = await self._looker.volumes(chosen.only_region)
        steps, skips = mark_steps(_selected(volumes, chosen), prefix, making.at)
        options = {"prefix": prefix}
        return self._plan(
            "orphan-marks", making, chosen, steps, skips, volumes, None, sighting, options
        )

    async def plan_orphan_deletions(
        self,
        grace: timedelta = timedelta(days=30),
        *,
        selection: Selection | None = None,
        snapshot_first: bool = False,
        prefix: str = MARK,
        job: str = "orphans",
        name_template: str = _TEMPLATE,
        tags: Iterable[str] = (),
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the deletion of volumes that were marked as unattached longer than a grace ago.

        A volume is deleted only if, when the run begins, it is still unattached and still carries
        the mark. Requests: as `plan_deletions`.

        Args:
            grace: how long ago the mark must have been set, in whole days.
            selection, prefix: as `plan_orphan_marks`.
            snapshot_first, job, name_template, tags, at, prices: as `plan_deletions`.

        Raises:
            PlanError: no volume is selected; a template, name or prefix cannot be.
        """
        chosen = Selection() if selection is None else selection
        making = self._making(job, name_template, at, prices, tags, "tag")
        check_mark(prefix)
        sighting = self._sighting()
        with self._throttle.background(job):
            volumes = await self._looker.volumes(chosen.only_region)
            selected = _selected(volumes, chosen)
            snapshots = await self._looker.snapshots() if snapshot_first else None
        due, waiting = expired(selected, prefix, grace, making.at)
        steps, skips = deletion_steps(
            due, snapshots, making, must_carry=lambda volume: tuple(marks_of(volume, prefix))
        )
        options = {
            "prefix": prefix,
            "grace_days": f"{grace / timedelta(days=1):g}",
            "snapshot_first": str(snapshot_first).lower(),
        }
        skips = [*skips, *waiting]
        return self._plan(
            "deletions", making, chosen, steps, skips, volumes, snapshots, sighting, options
        )

    async def inventory(
        self,
        selection: Selection | None = None,
        *,
        snapshots: bool = True,
        job: str = "inventory",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Inventory:
        """Every selected volume with its size, age, attachment, snapshots and cost.

        Without a selection, snapshots whose volume is gone have rows too.

        Requests: v + s; v without snapshots.

        Args:
            selection: which volumes; all by default. None need match.
            snapshots: whether to list them.
            job, at, prices: as `plan_snapshots`.
        """
        chosen = Selection() if selection is None else selection
        with self._throttle.background(check_job(job)):
            listed = await self._looker.volumes(chosen.only_region)
            found = await self._looker.snapshots() if snapshots else []
        return take_inventory(
            [volume for volume in listed if chosen.matches(volume)],
            found,
            self._moment(at),
            Prices() if prices is None else prices,
            with_orphaned=chosen.is_everything,
        )

    def forecast(self, plan: Plan) -> timedelta:
        """How long the plan's requests would take from now on, as background."""
        return self._throttle.forecast(plan.requests, background=True)

    def save_plan(self, plan: Plan, path: str | os.PathLike[str]) -> None:
        """Write a plan to a file, replacing it whole. Blocks for a moment.

        Raises:
            PlanError: it cannot be written.
        """
        where = Path(path)
        part = where.with_name(f"{where.name}.{os.getpid()}.part")
        try:
            part.write_text(plan.to_json(), encoding="utf-8")
            part.replace(where)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise PlanError(f"the plan cannot be saved to {where}: {error.strerror}") from None

    def load_plan(self, path: str | os.PathLike[str]) -> Plan:
        """Read a plan from a file. Blocks for a moment.

        Raises:
            PlanError: it cannot be read, has another format, or was edited.
        """
        return Plan.from_json(_read(Path(path)))

    # Running.

    def run(
        self,
        plan: Plan,
        *,
        journal: str | os.PathLike[str] | None = None,
        max_failures: int | None = 10,
        concurrency: int = 16,
        per_region: int | None = None,
        only_failed: bool = False,
        max_items: float | None = None,
        max_share: float | None = None,
        fresh_s: float = 60.0,
    ) -> Run:
        """Run a plan as it was made.

            async with store.bulk.run(plan, journal="nightly.journal") as run:
                async for outcome in run: ...
            report = run.report()

        On entering, nothing having been sent: the guards, the journal's lock, and, unless this
        client made the plan less than `fresh_s` ago, a look at the account. What has changed since
        the plan was made is `skipped`, code `changed` (see `recheck` for the exact guarantee).

        With a journal that exists already, the run goes on where the earlier one ended: steps that
        have an outcome are not repeated, those under way are looked up.

        Requests: `plan.requests`, and `plan.requests_to_check` for the look, and retries.

        Args:
            plan: from one of the `plan_` methods, or loaded.
            journal: path of the file that makes the run resumable; None for none.
            max_failures: with more `failed` and `unknown` ones, nothing more is begun; None for
                any number.
            concurrency: steps under way at most.
            per_region: steps of one region under way at most; None for no bound of its own.
            only_failed: repeat only what failed (or is unknown, or waited for such a step).
            max_items: deletions of each kind at most; None: 100 volumes, 10,000 snapshots.
            max_share: share of what was listed that may be deleted, in [0, 1]; None: a quarter of
                the volumes, nine tenths of the snapshots.
            fresh_s: seconds for which the plan's own listings count as fresh; 0 always looks again.

        Raises (here or on entering):
            GuardError: it deletes more than the guards allow.
            PlanError: it was made for another account.
            JournalError: the journal is in use, of another plan, or damaged.
            InvalidArgumentError: a bound that cannot be.
        """
        options = RunOptions(
            journal=journal,
            max_failures=max_failures,
            concurrency=concurrency,
            per_region=per_region,
            only_failed=only_failed,
            guards=Guards(max_items=max_items, max_share=max_share),
            fresh_s=fresh_s,
        )
        return self._run(plan, options)

    def resume(
        self,
        journal: str | os.PathLike[str],
        *,
        max_failures: int | None = 10,
        concurrency: int = 16,
        per_region: int | None = None,
        only_failed: bool = False,
        max_items: float | None = None,
        max_share: float | None = None,
    ) -> Run:
        """Go on with the run of a journal; the plan comes out of it.

        Waits until requests of the earlier run cannot be on their way any more
        (`Config.linger_s` after the last one was begun), looks what became of them, then goes on.

        Args and errors: as `run`.
        """
        options = RunOptions(
            journal=journal,
            max_failures=max_failures,
            concurrency=concurrency,
            per_region=per_region,
            only_failed=only_failed,
            guards=Guards(max_items=max_items, max_share=max_share),
        )
        return self._run(None, options)

    def _run(self, plan: Plan | None, options: RunOptions) -> Run:
        return Run(
            plan,
            options,
            engine=self._engine,
            throttle=self._throttle,
            looker=self._looker,
            performer=Performer(self._engine, self._codec, self._volumes, self._snapshots),
        )

    # The pieces of planning.

    def _moment(self, at: datetime | None) -> datetime:
        if at is None:
            return self._engine.clock.utc_now()
        if at.tzinfo is None:
            raise InvalidArgumentError("at must know its time zone, such as datetime.now(UTC)")
        return at.astimezone(UTC)

    def _making(
        self,
        job: str,
        template: str,
        at: datetime | None,
        prices: Prices | None,
        tags: Iterable[str],
        recognise: str,
    ) -> Making:
        if recognise not in {"tag", "name"}:
            raise InvalidArgumentError(f"recognise is tag or name, not {recognise!r}")
        return Making(
            job=check_job(job),
            template=Template(template),
            at=self._moment(at),
            prices=Prices() if prices is None else prices,
            tags=check_tags(tags),
            by_name=recognise == "name",
        )

    def _sighting(self) -> Sighting:
        return Sighting(self._engine, self._engine.clock.monotonic())

    def _plan(
        self,
        kind: PlanKind,
        making: Making,
        selection: Selection,
        steps: Sequence[Step],
        skips: Sequence[SkippedStep],
        volumes: Sequence[Volume] | None,
        snapshots: Sequence[VolumeSnapshot] | None,
        sighting: Sighting,
        options: Mapping[str, str],
    ) -> Plan:
        targets = [step.target_id for step in steps if step.deletes]
        seen = (
            witnesses([each.id for each in listing], targets)
            for listing in (volumes, snapshots)
            if listing is not None
        )
        plan = Plan(
            kind=kind,
            job=making.job,
            made_at=making.at,
            selection=selection,
            steps=tuple(steps),
            skips=tuple(skips),
            listed=Listed(
                None if volumes is None else len(volumes),
                None if snapshots is None else len(snapshots),
            ),
            currency=making.prices.currency,
            options=dict(options),
            witnesses=tuple(each for ids in seen for each in ids),
            sighting=sighting,
        )
        return attrs.evolve(plan, duration_s=self.forecast(plan).total_seconds())


def _selected(volumes: Sequence[Volume], selection: Selection) -> list[Volume]:
    """The volumes that match; refuses when none does."""
    found = [volume for volume in volumes if selection.matches(volume)]
    if not found:
        raise PlanError(
            f"nothing is selected: no volume of {len(volumes)} matches ({selection}); "
            "check regions, tags and name pattern against `store.bulk.inventory()`"
        )
    return found


def _read(where: Path) -> str:
    try:
        if where.stat().st_size > _MAX_PLAN_BYTES:
            raise PlanError(f"{where} is larger than a plan can be")
        return where.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise PlanError(f"{where} cannot be read: {reason}") from None
