"""`do-blockstore bulk ...`: each command makes a plan; `run.py` shows and runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..exit_codes import UsageError
from ..options import TableOptions, current
from ..output.prompts import read_stdin
from ..pages.picture import Picture
from .options import Job, Keep, Pick, RunFlags

if TYPE_CHECKING:
    from ...bulk.model.inventory import Inventory
    from ...bulk.model.plan import Plan
    from ...bulk.model.specs import VolumeSpec
    from ...bulk.service import Bulk

__all__ = ["create", "delete", "inventory", "prune", "snapshot"]

_JOB = Job()
_KEEP = Keep()
_PICK = Pick()
_PICTURE = Picture()
_RUNNING = RunFlags()
_TABLE = TableOptions()
_MOST_BYTES = 1 << 30


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

    selection, retention, how = pick.selection(), keep.retention(), keep.how()

    async def plan(bulk: Bulk) -> Plan:
        return await bulk.plan_snapshots(
            selection, tags=add_tag, keep=retention, **job.names(), **how
        )

    given = (*pick.given, *keep.given, *job.given, *_tags(add_tag))
    return await run_bulk_command("bulk snapshot", plan, running, given)


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

    selection, retention, how = pick.selection(), keep.retention(), keep.how()
    if retention is None and not running.resume:
        raise UsageError("say what to keep, such as --keep-last 7: otherwise nothing would be left")

    async def plan(bulk: Bulk) -> Plan:
        if retention is None:
            raise UsageError("say what to keep")
        return await bulk.plan_prune(retention, selection=selection, **job.names(), **how)

    given = (*pick.given, *keep.given, *job.given)
    return await run_bulk_command("bulk prune", plan, running, given)


async def delete(
    *,
    pick: Pick = _PICK,
    snapshot_first: bool = False,
    add_tag: tuple[str, ...] = (),
    job: Job = _JOB,
    running: RunFlags = _RUNNING,
) -> int:
    """Delete volumes and their data permanently. Attached ones are skipped.

    Args:
        snapshot_first: take a last snapshot of each, and delete only what has one.
        add_tag: tag these snapshots; repeat it for more.
    """
    from .run import run_bulk_command

    selection = pick.selection()

    async def plan(bulk: Bulk) -> Plan:
        return await bulk.plan_deletions(
            selection, snapshot_first=snapshot_first, tags=add_tag, **job.names()
        )

    first = ("--snapshot-first",) if snapshot_first else ()
    given = (*pick.given, *first, *job.given, *_tags(add_tag))
    return await run_bulk_command("bulk delete", plan, running, given)


async def create(
    file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    written_as: Annotated[
        Literal["csv", "json", "jsonl"] | None, Parameter(name="--format")
    ] = None,
    add_tag: tuple[str, ...] = (),
    running: RunFlags = _RUNNING,
) -> int:
    """Create many volumes; a name that is taken in its region is skipped.

    Args:
        file: .csv, .json or .jsonl with name, region, size_gigabytes, and optionally description,
            filesystem_type, filesystem_label, snapshot_id, tags (in CSV separated by ;); - is
            standard input.
        written_as: how the file is written, where its name does not say.
        add_tag: tag all of them; repeat it for more.
    """
    from .run import run_bulk_command

    given = (
        *(() if file is None else (str(file),)),
        *(() if written_as is None else ("--format",)),
        *_tags(add_tag),
    )
    source: Path | list[VolumeSpec] = []
    if not running.resume:
        if file is None:
            raise UsageError("missing FILE: the volumes to create; - is standard input")
        running.check()
        if str(file) == "-" and not (running.yes or running.dry_run):
            raise UsageError("standard input holds the volumes, so cannot ask: pass --yes")
        is_named = str(file) != "-" and written_as is None
        source = file if is_named else _read_specs(file, written_as)

    async def plan(bulk: Bulk) -> Plan:
        return await bulk.plan_creations(source, tags=add_tag)

    return await run_bulk_command("bulk create", plan, running, given)


def _tags(add_tag: tuple[str, ...]) -> tuple[str, ...]:
    return ("--add-tag",) if add_tag else ()


def _read_specs(file: Path, written: str | None) -> list[VolumeSpec]:
    """Read the volumes to be created, before anything is sent."""
    from ...bulk import parse_specs

    where = "standard input" if str(file) == "-" else str(file)
    try:
        data = read_stdin(_MOST_BYTES) if str(file) == "-" else file.read_bytes()
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{where} is larger than 1 GiB")
    if not text.strip():
        raise UsageError(f"{where} is empty: it is to hold the volumes to create")
    return parse_specs(text, f".{written or _format_of(text)}")


def _format_of(text: str) -> str:
    """Tell CSV, a list of JSON objects and JSON lines apart by their first character."""
    return {"[": "json", "{": "jsonl"}.get(text.lstrip()[0], "csv")


async def inventory(
    *,
    pick: Pick = _PICK,
    no_snapshots: bool = False,
    picture: Picture = _PICTURE,
    table: TableOptions = _TABLE,
) -> int:
    """List volumes with their sizes, ages, snapshots and what they cost in a month.

    Args:
        no_snapshots: leave the snapshots out, which saves their listing.
    """
    from ...bulk import Prices
    from ..commands.targets import check_regions
    from ..pages.picture import drawing
    from ..session import open_session

    prices = Prices()
    with drawing(picture, str(pick.selection()), prices, with_snapshots=not no_snapshots) as draw:
        async with open_session(patient=True) as session:
            found = await session.store.bulk.inventory(
                pick.selection(), snapshots=not no_snapshots, prices=prices
            )
            if pick.region and not found.rows:
                await check_regions(session.store, *pick.region)
        # The page first: whoever reads the table may close the pipe (`| head`).
        draw.write_page(found)
        _show_inventory(found, table, is_filtered=pick != _PICK)
        draw.show_chart(found)
    return 0


def _show_inventory(found: Inventory, table: TableOptions, *, is_filtered: bool) -> None:
    from ..output.columns import inventory_columns
    from ..output.tables import show_rows, write, write_json

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
            is_filtered=is_filtered,
            options=table,
            totals=totals,
        )
