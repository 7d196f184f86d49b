"""`do-blockstore bulk ...`: each command makes a plan; `run.py` shows and runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..exit_codes import UsageError
from ..options import TableOptions, current
from .options import Job, Keep, Pick, RunFlags

if TYPE_CHECKING:
    from ...bulk.model.plan import Plan
    from ...bulk.service import Bulk

__all__ = ["create", "delete", "inventory", "prune", "snapshot"]

_JOB = Job()
_KEEP = Keep()
_PICK = Pick()
_RUNNING = RunFlags()
_TABLE = TableOptions()


async def snapshot(
    *,
    pick: Pick = _PICK,
    keep: Keep = _KEEP,
    job: Job = _JOB,
    add_tag: tuple[str, ...] = (),
    running: RunFlags = _RUNNING,
) -> int:
    """Snapshot volumes and, with any --keep-*, prune this job's older snapshots of them.

    Args:
        add_tag: tag the snapshots with this too; repeat it for more.
    """
    from .run import run_bulk_command

    async def plan(bulk: Bulk) -> Plan:
        return await bulk.plan_snapshots(
            pick.selection(),
            name_template=job.template,
            tags=add_tag,
            job=job.job,
            time_zone=job.time_zone,
            match_by=keep.match_by,
            keep=keep.retention(),
            max_pruned_share=keep.max_pruned_share,
        )

    return await run_bulk_command("snapshot", plan, running)


async def prune(
    *,
    pick: Pick = _PICK,
    keep: Keep = _KEEP,
    job: Job = _JOB,
    running: RunFlags = _RUNNING,
) -> int:
    """Delete the snapshots of a job that no --keep-* rule keeps.

    Snapshots that no `bulk snapshot` with this job's name has made are never touched.
    """
    from .run import run_bulk_command

    retention = keep.retention()
    if retention is None and not running.resume:
        raise UsageError("say what to keep, such as --keep-last 7: otherwise nothing would be left")

    async def plan(bulk: Bulk) -> Plan:
        if retention is None:
            raise UsageError("say what to keep")
        return await bulk.plan_prune(
            retention,
            selection=pick.selection(),
            job=job.job,
            name_template=job.template,
            time_zone=job.time_zone,
            match_by=keep.match_by,
            max_pruned_share=keep.max_pruned_share,
        )

    return await run_bulk_command("prune", plan, running)


async def delete(
    *,
    pick: Pick = _PICK,
    snapshot_first: bool = False,
    add_tag: tuple[str, ...] = (),
    job: Job = Job(job="delete"),  # noqa: B008 -- frozen
    running: RunFlags = _RUNNING,
) -> int:
    """Delete volumes and their data permanently. Attached ones are skipped.

    Args:
        snapshot_first: take a last snapshot of each, and delete only what has one.
        add_tag: tag these snapshots; repeat it for more.
    """
    from .run import run_bulk_command

    async def plan(bulk: Bulk) -> Plan:
        return await bulk.plan_deletions(
            pick.selection(),
            snapshot_first=snapshot_first,
            job=job.job,
            name_template=job.template,
            time_zone=job.time_zone,
            tags=add_tag,
        )

    return await run_bulk_command("delete", plan, running)


async def create(
    file: Path | None = None,
    /,
    *,
    add_tag: tuple[str, ...] = (),
    running: RunFlags = _RUNNING,
) -> int:
    """Create many volumes; a name that is taken in its region is skipped.

    Args:
        file: .csv, .json or .jsonl with name, region, size_gigabytes, and optionally description,
            filesystem_type, filesystem_label, snapshot_id, tags (in CSV separated by ;).
        add_tag: tag all of them; repeat it for more.
    """
    from .run import run_bulk_command

    async def plan(bulk: Bulk) -> Plan:
        if file is None:
            raise UsageError("missing FILE: the volumes to create")
        return await bulk.plan_creations(file, tags=add_tag)

    return await run_bulk_command("create", plan, running)


async def inventory(
    *, pick: Pick = _PICK, no_snapshots: bool = False, table: TableOptions = _TABLE
) -> int:
    """List volumes with their sizes, ages, snapshots and what they cost in a month.

    Args:
        no_snapshots: leave the snapshots out, which saves their listing.
    """
    from ..commands.targets import check_regions
    from ..output.columns import inventory_columns
    from ..output.tables import show_rows, write, write_json
    from ..session import open_session

    async with open_session(patient=True) as session:
        found = await session.store.bulk.inventory(pick.selection(), snapshots=not no_snapshots)
        if pick.region and not found.rows:
            await check_regions(session.store, *pick.region)
    output = current().shown
    if output in ("json", "json-full"):
        write_json(found.to_json())
    elif output == "csv" and table == _TABLE:
        write(found.to_csv())
    else:
        total = found.total
        totals = {
            "id": "all",
            "name": f"{total.volumes:,} volumes",
            "size": f"{total.size_gigabytes:,}",
            "droplet": f"{total.attached:,} attached",
            "snapshots": f"{total.snapshots:,}",
            "snapshot_size": f"{total.snapshots_gigabytes:,.0f}",
            "cost": f"{total.monthly_cost:,.2f}",
        }
        # The id of a deleted volume is of no use to a command.
        rows = [row for row in found.rows if output != "name" or not row.orphaned]
        show_rows(
            output,
            inventory_columns(found.currency),
            rows,
            noun="volumes",
            is_filtered=pick != _PICK,
            options=table,
            totals=totals,
        )
    return 0
