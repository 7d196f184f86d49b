"""`store.bulk`: plan, run, resume, and any operation over many items.

The public methods and their documentation; plans are built in `planning`, runs in `execution`.

Requests, with V volumes (of the one region, where exactly one is selected) and S snapshots of
volumes in the account, and v = max(1, ceil(V / 200)), s = max(1, ceil(S / 200)):

| job | to plan | to run |
| --- | --- | --- |
| snapshots | v + s | one for each snapshot, one for each deletion |
| prune | s; v + s with a selection or `match_by="name"` | one for each deletion |
| deletions | v; v + s with `snapshot_first` | one for each volume, one more with `snapshot_first` |
| creations | v | one for each volume |
| orphan tags | v | for each tag ceil(n / 200), and one to make a new tag |
| orphan deletions | as deletions | as deletions |
| inventory | v + s; v without snapshots | - |

A run whose plan was not made by this client within the last `max_plan_age_s` seconds, or that
resumes, reads the account again first: v where a step concerns a volume, s where one deletes a
snapshot or depends on a new one, or a snapshot was being taken when the earlier run died.
"""

from __future__ import annotations

import os
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Mapping,
)
from contextvars import copy_context
from datetime import datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from .._http.engine import Engine
from .._ratelimit.throttle import Throttle
from .._schema.json_to_models import Codec
from ..errors import InvalidArgumentError
from ..resources.actions import ActionManager
from ..resources.regions import RegionManager
from ..resources.snapshots import SnapshotManager
from ..resources.volumes import VolumeManager
from .account import AccountReader, AccountWriter
from .arguments import check_arguments
from .concurrency.map import MapRun
from .concurrency.thread import in_thread
from .execution.executor import Executor
from .execution.journal_reader import remove_journal
from .execution.run import Run, RunOptions
from .execution.watch import read_details, read_status, watch_status
from .files import as_text, read_bytes, read_text, replace_file
from .model.inventory import Inventory, take_inventory
from .model.plan import Plan
from .model.prices import Prices
from .model.retention import Retention
from .model.run_status import RunDetails, RunStatus
from .model.selection import Selection
from .model.snapshot_names import TEMPLATE, check_job
from .model.specs import MAX_SPECS, VolumeSpec, parse_specs, read_specs
from .planning.builder import PlanBuilder
from .planning.orphans import MARK, check_mark
from .planning.policy import MAX_PRUNED_SHARE

__all__ = ["Bulk"]

T = TypeVar("T")


@check_arguments
class Bulk:
    """`store.bulk`: jobs over many volumes.

    Every request goes through the one engine, as background work: interactive calls go first, and
    keep their reserve of the budget.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        codec: Codec,
        throttle: Throttle,
        volumes: VolumeManager,
        snapshots: SnapshotManager,
        actions: ActionManager,
        regions: RegionManager,
    ) -> None:
        # Actions are not listed by any job: that would be requests for nothing.
        self._engine = engine
        self._throttle = throttle
        self._account = AccountReader(volumes, snapshots, regions)
        self._plans = PlanBuilder(engine, throttle, self._account)
        self._executor = Executor(engine.clock, AccountWriter(engine, codec, volumes, snapshots))

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
    ) -> MapRun[T]:
        """Run an operation for each item, a bounded number at a time.

            async with store.bulk.map(work, store.volumes.list()) as outcomes:
                async for outcome in outcomes: ...

        Memory is bounded by `concurrency` (and 1,024 items held back with `per_region`), however
        many items there are. Requests: those of the operation, as background.

        Args:
            operation: called with each item. Raise `Skip("why")` in it to skip; what else it raises
                makes the item `failed`, and `OutcomeUnknownError` makes it `unknown`.
            items: any iterable or async iterable; read only as far as `concurrency` needs.
            concurrency: items in flight at most, 1 or more.
            per_region: items of one region in flight at most; None for no bound of its own.
            region_of: the region of an item; by default that of a volume or its `region`.
            job: names the job for the fair sharing of the budget; None makes it one of its own.

        Returns:
            An async iterator of `Outcome`, in the order in which items finish.

        Raises:
            InvalidArgumentError: a bound is invalid.
        """
        with self._throttle.background(job):
            context = copy_context()
        return MapRun(
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
        name_template: str = TEMPLATE,
        tags: Iterable[str] = (),
        job: str = "nightly",
        keep: Retention | None = None,
        match_by: Literal["tag", "name"] = "tag",
        max_pruned_share: float = MAX_PRUNED_SHARE,
        time_zone: str | tzinfo = "UTC",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan a snapshot of each selected volume and, with `keep`, the pruning of older ones.

        Skipped are a volume that has a snapshot of that name from the last 20 hours (an older one
        counts as an earlier run's: the new one gets the time behind its name), one whose newest
        snapshot is less than ten minutes old, one whose name would be too long, and one that has 25
        of which none may be deleted. The retention counts
        the new snapshot; nothing of a volume is deleted before it exists, except where there are
        25 already.

        Requests: v + s. To run: one for each snapshot and one for each deletion.

        Args:
            selection: which volumes; all by default.
            name_template: of the snapshots' names, which must differ; see `snapshot_names`.
            tags: for the snapshots, besides the job's own, `bulk-job:<job>`.
            job: letters, digits, `_`, `-` and `:`; by its tag the job recognizes its snapshots.
            keep: what to keep of this job's snapshots; None prunes nothing.
            match_by: `tag`; or `name`: recognize snapshots by the template, and tag none with the
                job.
            max_pruned_share: of one volume's snapshots of this job, the new one included, at most
                this share is deleted, in [0, 1]; where more would be, its pruning is skipped with
                code `prune_guard`.
            time_zone: of the names and of the retention's days, as in the IANA database
                (`Europe/Rome`); give that of the job's schedule.
            at: the time for names and retention, with a time zone, within an hour of the API's
                own, which is the default.
            prices: by default `Prices()`.

        Returns:
            The plan, for `run`, `save_plan`, or to show.

        Raises:
            PlanError: no volume is selected, a template, name or job is invalid, or `at` is more
                than an hour from the API's clock.
            InvalidArgumentError: a tag, `match_by`, `max_pruned_share`, `time_zone` or `at` is
                invalid.
        """
        policy = self._plans.policy(
            job, name_template, at, prices, tags, match_by, max_pruned_share, time_zone
        )
        return await self._plans.snapshots(_or_all(selection), policy, keep)

    async def plan_prune(
        self,
        keep: Retention,
        *,
        selection: Selection | None = None,
        job: str = "nightly",
        name_template: str = TEMPLATE,
        match_by: Literal["tag", "name"] = "tag",
        max_pruned_share: float = MAX_PRUNED_SHARE,
        time_zone: str | tzinfo = "UTC",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the deletion of this job's snapshots that `keep` does not keep.

        Without a selection, snapshots of deleted volumes are pruned too.

        Requests: s; v + s with a selection or `match_by="name"`. To run: one for each deletion.

        Args:
            keep: what to keep of this job's snapshots.
            selection: which volumes; all by default.
            job: letters, digits, `_`, `-` and `:`; by its tag the job recognizes its snapshots.
            name_template: by which snapshots are recognized with `match_by="name"`.
            match_by: `tag` or `name`: how the job recognizes its snapshots.
            max_pruned_share: of one volume's snapshots of this job at most this share is deleted,
                in [0, 1]; where more would be, its pruning is skipped with code `prune_guard`.
            time_zone: of the retention's days, as in the IANA database.
            at: the time for the retention, with a time zone, within an hour of the API's own, which
                is the default.
            prices: by default `Prices()`.

        Raises:
            PlanError: no volume is selected, or the template or job is invalid.
            InvalidArgumentError: `keep` is not a `Retention`; `match_by`, `time_zone` or `at` is
                invalid.
        """
        if not isinstance(keep, Retention):
            raise InvalidArgumentError("keep must be a Retention, such as Retention(last=7)")
        policy = self._plans.policy(
            job,
            name_template,
            at,
            prices,
            match_by=match_by,
            max_pruned_share=max_pruned_share,
            time_zone=time_zone,
        )
        return await self._plans.prune(_or_all(selection), policy, keep)

    async def plan_deletions(
        self,
        selection: Selection,
        *,
        snapshot_first: bool = False,
        job: str = "delete",
        name_template: str = TEMPLATE,
        tags: Iterable[str] = (),
        time_zone: str | tzinfo = "UTC",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the deletion of the selected volumes; attached ones are skipped.

        Requests: v; v + s with `snapshot_first`. To run: one for each volume, two with it.

        Args:
            selection: which volumes; one that selects everything is rejected.
            snapshot_first: take a last snapshot of each volume, and delete only those that have
                one. Where a snapshot of the last 20 hours has the name, the volume is skipped:
                `{time}` in the template makes names unique.
            job: names the job: letters, digits, `_`, `-` and `:`.
            name_template: of the last snapshots' names.
            tags: for the last snapshots, besides the job's own.
            time_zone: of the names, as in the IANA database.
            at: the time for names, with a time zone; now by default.
            prices: by default `Prices()`.

        Raises:
            PlanError: everything or nothing is selected; a template, name or job is invalid.
            InvalidArgumentError: a tag or `at` is invalid.
        """
        policy = self._plans.policy(job, name_template, at, prices, tags, time_zone=time_zone)
        return await self._plans.deletions(selection, policy, snapshot_first=snapshot_first)

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
                file of them (see `specs`).
            tags: for every volume, besides those of its spec.
            job: names the job: letters, digits, `_`, `-` and `:`.
            at: when the plan counts as made, with a time zone; now by default.
            prices: by default `Prices()`.

        Raises:
            PlanError: the file or a spec is invalid, or two have one name; nothing was sent.
            InvalidArgumentError: a tag or `at` is invalid.
        """
        policy = self._plans.policy(job, TEMPLATE, at, prices, tags)
        # A hundred thousand take most of a second.
        if isinstance(source, str | os.PathLike):
            where = Path(source)
            specs = await in_thread(lambda: parse_specs(read_text(where), where.suffix.lower()))
        else:
            rows = list(islice(source, MAX_SPECS + 1))  # here: it may be a generator of the loop's
            specs = await in_thread(lambda: read_specs(rows))
        return await self._plans.creations(specs, policy)

    async def plan_orphan_tags(
        self,
        selection: Selection | None = None,
        *,
        prefix: str = MARK,
        job: str = "orphans",
        at: datetime | None = None,
    ) -> Plan:
        """Plan to tag newly unattached volumes with today's date, and to untag attached ones.

        Requests: v. To run: for each tag ceil(n / 200), and one to make a new tag; where a volume
        was deleted meanwhile, a listing and its batch once more.

        Args:
            selection: which volumes; all by default.
            prefix: the tag is `<prefix>:<date>`.
            job: names the job: letters, digits, `_`, `-` and `:`.
            at: the time whose date is written, with a time zone; now by default.

        Raises:
            PlanError: no volume is selected, or the prefix or job is invalid.
            InvalidArgumentError: `at` has no time zone.
        """
        policy = self._plans.policy(job, TEMPLATE, at, None)
        return await self._plans.orphan_tags(_or_all(selection), policy, prefix=check_mark(prefix))

    async def plan_orphan_deletions(
        self,
        grace: timedelta = timedelta(days=30),
        *,
        selection: Selection | None = None,
        snapshot_first: bool = False,
        prefix: str = MARK,
        job: str = "orphans",
        name_template: str = TEMPLATE,
        tags: Iterable[str] = (),
        time_zone: str | tzinfo = "UTC",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the deletion of volumes that were tagged as unattached longer than a grace ago.

        A volume is deleted only if, when the run begins, it is still unattached and still has the
        tag.

        Requests: v; v + s with `snapshot_first`. To run: one for each volume, two with it.

        Args:
            grace: how long ago the tag must have been set, in whole days.
            selection: which volumes; all by default.
            snapshot_first: take a last snapshot of each volume, and delete only those that have
                one.
            prefix: of the tags that `plan_orphan_tags` set.
            job: names the job: letters, digits, `_`, `-` and `:`.
            name_template: of the last snapshots' names.
            tags: for the last snapshots, besides the job's own.
            time_zone: of the names, as in the IANA database.
            at: the time from which the grace counts back, with a time zone; now by default.
            prices: by default `Prices()`.

        Raises:
            PlanError: no volume is selected; a template, name, job or prefix is invalid.
            InvalidArgumentError: a tag or `at` is invalid.
        """
        policy = self._plans.policy(job, name_template, at, prices, tags, time_zone=time_zone)
        return await self._plans.orphan_deletions(
            _or_all(selection),
            policy,
            grace,
            prefix=check_mark(prefix),
            snapshot_first=snapshot_first,
        )

    def forecast(self, plan: Plan) -> timedelta:
        """How long the plan's requests would take from now on, as background."""
        return self._plans.forecast(plan)

    async def inventory(
        self,
        selection: Selection | None = None,
        *,
        snapshots: bool = True,
        job: str = "inventory",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Inventory:
        """List every selected volume with its size, age, attachment, snapshots and cost.

        Without a selection, snapshots of deleted volumes have rows too.

        Requests: v + s; v without snapshots.

        Args:
            selection: which volumes; all by default. None need match.
            snapshots: whether to list them.
            job: names the job: letters, digits, `_`, `-` and `:`.
            at: the time from which ages count, with a time zone; now by default.
            prices: by default `Prices()`.

        Raises:
            PlanError: the job's name is invalid.
            InvalidArgumentError: `at` has no time zone.
        """
        chosen = _or_all(selection)
        with self._throttle.background(check_job(job)):
            listed = await self._account.volumes_in(chosen)
            found = await self._account.snapshots() if snapshots else []
        moment = self._plans.moment(at)

        def take() -> Inventory:
            return take_inventory(
                [volume for volume in listed if chosen.matches(volume)],
                found,
                moment,
                Prices() if prices is None else prices,
                with_orphaned=chosen.is_everything,
            )

        return await in_thread(take)

    # Files.

    def save_plan(self, plan: Plan, path: str | os.PathLike[str]) -> None:
        """Write a plan to a file, replacing it whole. Blocks for a moment.

        A large plan in a service: `await asyncio.to_thread(store.bulk.save_plan, plan, path)`.

        Raises:
            PlanError: it cannot be written.
        """
        replace_file(Path(path), plan.to_json_pieces())

    def load_plan(self, path: str | os.PathLike[str]) -> Plan:
        """Read a plan from a file. Blocks for a moment.

        A large plan in a service: `plan = await asyncio.to_thread(store.bulk.load_plan, path)`.

        Raises:
            PlanError: it cannot be read, has another format, or was edited.
        """
        data = read_bytes(Path(path))
        return Plan.read_as_written(data) or Plan.from_json(as_text(data, Path(path)))

    # Running.

    def run(
        self,
        plan: Plan,
        *,
        journal: str | os.PathLike[str] | None = None,
        max_failures: int | None = 10,
        concurrency: int = 16,
        per_region: int | None = None,
        retry_failed: bool = False,
        max_items: float | None = None,
        max_share: float | None = None,
        max_plan_age_s: float = 60.0,
    ) -> Run:
        """Run a plan as it was made.

            async with store.bulk.run(plan, journal="nightly.db") as run:
                async for outcome in run: ...
            report = run.report()

        On entering, nothing having been sent: the guards, the journal, and, unless this client made
        the plan less than `max_plan_age_s` ago, a read of the account. What has changed since the
        plan was made is `skipped`, code `drifted` (see `step_actions` for the exact guarantee).

        With a journal of this same plan the run goes on where the earlier one ended, or joins the
        workers that are at it: steps that have an outcome are not repeated, those that were in
        flight when a worker died are reconciled. The run yields the outcomes of this worker; its
        report counts those of all, and it ends when every step has one. A plan made anew is another
        plan, and its journal another one: to go on without the plan at hand, `resume`. The journal
        is the caller's; `remove_journal` when nothing of the plan remains and nothing is unknown.

        Requests: `plan.requests`, and `plan.requests_to_check` for that read, and retries.

        Args:
            plan: from one of the `plan_` methods, or loaded.
            journal: what makes the run resumable, and lets others join: the path of an SQLite file,
                for the workers of one machine; or `postgresql://host/database#NAME`, for those of
                many (extra `postgres`; without `#NAME` it is called `journal`). None for none.
            max_failures: with more `failed` and `unknown` steps, those of all workers counted,
                nothing more starts; None for any number.
            concurrency: steps in flight at most, of this worker.
            per_region: steps of one region in flight at most, of all workers; None for no bound of
                its own.
            retry_failed: repeat only what failed (or is unknown, or depended on such a step).
            max_items: deletions of each kind at most; None: 100 volumes, 10,000 snapshots.
            max_share: share that may be deleted, in [0, 1], of the volumes in the selection's
                regions, or of the job's own snapshots; None: a quarter, and nine tenths.
            max_plan_age_s: seconds for which the plan's own listings count as fresh; 0 always reads
                the account again.

        Raises:
            GuardError: on entering: it deletes more than the guards allow.
            PlanError: on entering: it was made for another account.
            JournalError: on entering: the journal is of another plan, of another format, or cannot
                be used. Later: it cannot be written any more.
            InvalidArgumentError: an option out of range.
        """
        options = RunOptions(
            journal=journal,
            max_failures=max_failures,
            concurrency=concurrency,
            per_region=per_region,
            retry_failed=retry_failed,
            max_items=max_items,
            max_share=max_share,
            max_plan_age_s=max_plan_age_s,
        )
        return self._run(plan, options)

    def resume(
        self,
        journal: str | os.PathLike[str],
        *,
        max_failures: int | None = 10,
        concurrency: int = 16,
        per_region: int | None = None,
        retry_failed: bool = False,
        max_items: float | None = None,
        max_share: float | None = None,
    ) -> Run:
        """Resume the run of a journal, or join it while others are at it; the plan comes out of it.

        A step that was in flight when its worker died is looked up in the account once its request
        cannot arrive any more, `Config.late_arrival_s` and 10 s after it was begun; what remains is
        done meanwhile. A worker that is alive keeps what it has begun; one that has been silent for
        30 s is taken for dead. (Where `late_arrival_s` is less than 30, both times are shorter; a
        third of it must be enough to connect.)

        Requests: those of the steps that remain, `plan.requests_to_check` for the reading, and once
        more where a step is in doubt later, retries.

        Args:
            journal: of the run: a path, or `postgresql://host/database#NAME`.
            max_failures: with more `failed` and `unknown` steps, those of all workers counted,
                nothing more starts; None for any number.
            concurrency: steps in flight at most, of this worker.
            per_region: steps of one region in flight at most, of all workers; None for no bound of
                its own.
            retry_failed: repeat only what failed (or is unknown, or depended on such a step).
            max_items: deletions of each kind at most; None: 100 volumes, 10,000 snapshots.
            max_share: share that may be deleted, in [0, 1], of the volumes in the selection's
                regions, or of the job's own snapshots; None: a quarter, and nine tenths.

        Raises:
            GuardError: on entering: the plan deletes more than the guards allow.
            PlanError: on entering: the plan was made for another account.
            JournalError: on entering: the journal does not exist, is of another format, or cannot
                be used. Later: it cannot be written any more.
            InvalidArgumentError: an option out of range.
        """
        options = RunOptions(
            journal=journal,
            max_failures=max_failures,
            concurrency=concurrency,
            per_region=per_region,
            retry_failed=retry_failed,
            max_items=max_items,
            max_share=max_share,
        )
        return self._run(None, options)

    async def status(self, journal: str | os.PathLike[str]) -> RunStatus | None:
        """Return how far the run of a journal is, whoever carries it out.

        Requests: none.

        Args:
            journal: a path, or `postgresql://host/database#NAME`.

        Returns:
            None if there is no such journal, or nothing in it yet.

        Raises:
            JournalError: it is no journal, of another format, or cannot be used.
        """
        return await read_status(journal)

    async def details(self, journal: str | os.PathLike[str]) -> RunDetails | None:
        """Return all that a journal says: its plan, the state of each step, and what remains.

            details = await store.bulk.details("nightly.db")
            print(details.remainder().counts)

        Nothing is changed, in the account or in the journal.

        Requests: none.

        Args:
            journal: a path, or `postgresql://host/database#NAME`.

        Returns:
            None if there is no such journal, or nothing in it yet.

        Raises:
            JournalError: it is no journal, of another format, or cannot be used.
        """
        return await read_details(journal)

    def watch(
        self, journal: str | os.PathLike[str], *, every_s: float = 1.0
    ) -> AsyncIterator[RunStatus]:
        """Watch a run that others carry out.

            async for status in store.bulk.watch("nightly.db"):
                print(f"{status.done} of {status.total}")

        Requests: none.

        Args:
            journal: a path, or `postgresql://host/database#NAME`.
            every_s: seconds between two readings at least.

        Returns:
            An async iterator of `RunStatus`: the first at once, then each that differs, to the one
            in which every step has an outcome; or until the journal is removed.

        Raises:
            JournalError: by the iteration: there is no journal, or it cannot be used.
            InvalidArgumentError: `every_s` is not a positive number.
        """
        if not every_s > 0:
            raise InvalidArgumentError(f"every_s must be more than 0, not {every_s!r}")
        return watch_status(journal, every_s)

    async def remove_journal(self, journal: str | os.PathLike[str]) -> None:
        """Remove a journal that has served, with the files beside it; harmless if there is none.

        Where every step has an outcome, other workers that have not read so yet are waited for.

        Args:
            journal: a path, or `postgresql://host/database#NAME`.

        Raises:
            JournalError: it is no journal, a worker is at it, or it cannot be removed.
        """
        await remove_journal(journal)

    def _run(self, plan: Plan | None, options: RunOptions) -> Run:
        return Run(
            plan,
            options,
            engine=self._engine,
            throttle=self._throttle,
            account=self._account,
            executor=self._executor,
        )


def _or_all(selection: Selection | None) -> Selection:
    return Selection() if selection is None else selection
