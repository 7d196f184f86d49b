"""`store.bulk`: plan, run, resume, and any operation over many items.

Holds nothing but the parts of its client. What the jobs decide stands in the pure modules beside
it; here they are given what the account holds, and a forecast of the budget.

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
snapshot or waits for a new one, or a snapshot was being made when the last run died.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Iterable
from contextvars import copy_context
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from .._http.engine import Engine
from .._ratelimit.throttle import Throttle
from .._schema.codec import Codec
from ..resources.actions import ActionManager
from ..resources.regions import RegionManager
from ..resources.snapshots import SnapshotManager
from ..resources.volumes import VolumeManager
from .account import AccountWriter
from .concurrency.map import MapRun
from .errors import PlanError
from .execution.executor import Executor
from .execution.run import Run, RunOptions
from .model.inventory import Inventory, take_inventory
from .model.plan import Plan
from .model.prices import Prices
from .model.selection import Selection
from .model.snapshot_names import check_job
from .planning.builder import PlanBuilder
from .planning.orphans import MARK, check_mark, expired, mark_steps, marks_of
from .planning.planbase import TEMPLATE, read_text, selected
from .planning.policy import deletion_steps

__all__ = ["Bulk"]

T = TypeVar("T")


class Bulk(PlanBuilder):
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
        volumes: VolumeManager,
        snapshots: SnapshotManager,
        actions: ActionManager,
        regions: RegionManager,
    ) -> None:
        # Neither actions nor regions are listed by any job: that would be requests for nothing.
        super().__init__(engine, throttle, volumes, snapshots)
        self._codec = codec

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
        return MapRun(
            operation,
            items,
            concurrency=concurrency,
            per_region=per_region,
            region_of=region_of,
            context=context,
            clock=self._engine.clock,
        )

    # Orphans, and the inventory.

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
        has gone meanwhile, a listing and its batch once more.

        Args:
            selection: which volumes; all by default.
            prefix: the tag is `<prefix>:<date>`.
            job, at: as `plan_snapshots`.

        Raises:
            PlanError: no volume is selected, or a prefix that cannot be.
        """
        chosen = Selection() if selection is None else selection
        making = self._making(job, TEMPLATE, at, None, (), "tag")
        check_mark(prefix)
        sighting = self._sighting()
        with self._throttle.background(job):
            volumes = await self._account.volumes(chosen.only_region)
        steps, skips = mark_steps(selected(volumes, chosen), prefix, making.at)
        options = {"prefix": prefix}
        return self._plan(
            "orphan-tags", making, chosen, steps, skips, volumes, None, sighting, options
        )

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
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the deletion of volumes that were marked as unattached longer than a grace ago.

        A volume is deleted only if, when the run begins, it is still unattached and still carries
        the mark. Requests: as `plan_deletions`.

        Args:
            grace: how long ago the mark must have been set, in whole days.
            selection, prefix: as `plan_orphan_tags`.
            snapshot_first, job, name_template, tags, at, prices: as `plan_deletions`.

        Raises:
            PlanError: no volume is selected; a template, name or prefix cannot be.
        """
        chosen = Selection() if selection is None else selection
        making = self._making(job, name_template, at, prices, tags, "tag")
        check_mark(prefix)
        sighting = self._sighting()
        with self._throttle.background(job):
            volumes = await self._account.volumes(chosen.only_region)
            fleet = selected(volumes, chosen)
            snapshots = await self._account.snapshots() if snapshot_first else None
        due, waiting = expired(fleet, prefix, grace, making.at)
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

        Raises:
            PlanError: a job's name that cannot be.
            InvalidArgumentError: `at` without a time zone.
        """
        chosen = Selection() if selection is None else selection
        with self._throttle.background(check_job(job)):
            listed = await self._account.volumes(chosen.only_region)
            found = await self._account.snapshots() if snapshots else []
        return take_inventory(
            [volume for volume in listed if chosen.matches(volume)],
            found,
            self._moment(at),
            Prices() if prices is None else prices,
            with_orphaned=chosen.is_everything,
        )

    # Files.

    def save_plan(self, plan: Plan, path: str | os.PathLike[str]) -> None:
        """Write a plan to a file, replacing it whole. Blocks for a moment.

        Raises:
            PlanError: it cannot be written.
        """
        where = Path(path)
        part = where.with_name(f"{where.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(plan.to_json())
                file.flush()
                os.fsync(file.fileno())  # or a crash could leave the name with nothing behind it
            part.replace(where)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise PlanError(f"the plan cannot be saved to {where}: {error.strerror}") from None

    def load_plan(self, path: str | os.PathLike[str]) -> Plan:
        """Read a plan from a file. Blocks for a moment.

        Raises:
            PlanError: it cannot be read, has another format, or was edited.
        """
        return Plan.from_json(read_text(Path(path)))

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

            async with store.bulk.run(plan, journal="nightly.journal") as run:
                async for outcome in run: ...
            report = run.report()

        On entering, nothing having been sent: the guards, the journal's lock, and, unless this
        client made the plan less than `max_plan_age_s` ago, a read of the account. What has changed
        since the plan was made is `skipped`, code `drifted` (see `step_actions` for the exact
        guarantee).

        With a journal of this same plan the run goes on where the earlier one ended: steps that
        have an outcome are not repeated, those under way are looked up. A plan made anew is
        another plan, and its journal another file: to go on without the plan at hand, `resume`.
        The file is the caller's; delete it when nothing of the plan remains and nothing is unknown.

        Requests: `plan.requests`, and `plan.requests_to_check` for the look, and retries.

        Args:
            plan: from one of the `plan_` methods, or loaded.
            journal: path of the file that makes the run resumable; None for none.
            max_failures: with more `failed` and `unknown` steps, nothing more starts; None for any
                number.
            concurrency: steps in flight at most.
            per_region: steps of one region in flight at most; None for no bound of its own.
            retry_failed: repeat only what failed (or is unknown, or waited for such a step).
            max_items: deletions of each kind at most; None: 100 volumes, 10,000 snapshots.
            max_share: share that may be deleted, in [0, 1], of the volumes in the selection's
                regions, or of the job's own snapshots; None: a quarter, and nine tenths.
            max_plan_age_s: seconds for which the plan's own listings count as fresh; 0 always looks
                again.

        Raises:
            GuardError: on entering: it deletes more than the guards allow.
            PlanError: on entering: it was made for another account.
            JournalError: on entering: the journal is in use, of another plan, or damaged.
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
        """Resume the run of a journal; the plan comes out of it.

        Where a request of the earlier run may still be in flight, wait `Config.late_arrival_s` for
        it to arrive, read the account to see what became of it, then go on.

        Requests: those of the steps that remain, `plan.requests_to_check` for the reading, retries.

        Args:
            journal: path of the journal.
            max_failures: with more `failed` and `unknown` steps, nothing more starts; None for any
                number.
            concurrency: steps in flight at most.
            per_region: steps of one region in flight at most; None for no bound of its own.
            retry_failed: repeat only what failed (or is unknown, or depended on such a step).
            max_items: deletions of each kind at most; None: 100 volumes, 10,000 snapshots.
            max_share: share that may be deleted, in [0, 1], of the volumes in the selection's
                regions, or of the job's own snapshots; None: a quarter, and nine tenths.

        Raises:
            GuardError: on entering: the plan deletes more than the guards allow.
            PlanError: on entering: the plan was made for another account.
            JournalError: on entering: the journal does not exist, is in use, or is damaged.
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

    def _run(self, plan: Plan | None, options: RunOptions) -> Run:
        writer = AccountWriter(self._engine, self._codec, self._volumes, self._snapshots)
        return Run(
            plan,
            options,
            engine=self._engine,
            throttle=self._throttle,
            account=self._account,
            executor=Executor(self._engine.clock, writer),
        )
