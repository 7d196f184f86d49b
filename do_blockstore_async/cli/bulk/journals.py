"""`do-blockstore journals ...`: recorded runs, how far they are, and how to resume them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

from ..._log.places import state_folder
from ..exit_codes import ExitCode, UsageError
from ..options import current
from ..output.terminal import print_stderr

if TYPE_CHECKING:
    from ...bulk import RunStatus

__all__ = ["list_", "show"]

_JOBS = "jobs"

State = Literal["done", "skipped", "failed", "unknown", "in_flight", "in_doubt", "not_started"]


@attrs.frozen(kw_only=True)
class _ShownJournal:
    """One journal.

    Attributes:
        command: what made it.
        state: `done`; `running`; `stopped`: something remains, and nobody works on it.
        resume: the command line that goes on with it; empty once nothing remains.
    """

    journal: str
    command: str
    job: str
    made_at: datetime
    state: str
    total: int
    done: int
    skipped: int
    failed: int
    unknown: int
    remaining: int
    workers: tuple[str, ...]
    resume: str


@attrs.frozen(kw_only=True)
class _ShownStep:
    """One step of a journal's plan."""

    state: str
    action: str
    region: str
    volume: str
    name: str
    reason: str
    code: str
    duration_s: float
    worker: str
    key: str


async def list_(*places: str) -> int:
    """List the journals of the state directory: whose they are, how far, and how to resume them.

    Nothing is sent to the API, and no journal is changed.

    Args:
        places: these instead: files, directories with journals, or postgresql://HOST/DB#NAME.
    """
    from ...bulk import JournalError, read_status
    from ..output.tables import Column, show_rows

    found: list[_ShownJournal] = []
    for journal in _journals(places):
        try:
            status = await read_status(journal)
        except JournalError as error:
            if journal in places:
                raise
            print_stderr(str(error))
            continue
        if status is not None:
            found.append(_shown(journal, status))
        elif journal in places:
            raise _missing(journal)
    if not found:
        print_stderr("no journals: every recorded run is done" if not places else "no journals")
    found.sort(key=lambda each: each.made_at)
    columns: list[Column[_ShownJournal]] = [
        Column("journal", lambda each: each.journal),
        Column("command", lambda each: each.command, priority=4),
        Column("job", lambda each: each.job, priority=3),
        Column("made_at", lambda each: each.made_at, priority=5),
        Column("state", lambda each: each.state),
        Column("done", lambda each: f"{each.total - each.remaining:,}/{each.total:,}", right=True),
        Column("failed", lambda each: each.failed + each.unknown, right=True, priority=2),
        Column("workers", lambda each: each.workers, priority=6),
    ]
    show_rows(current().output, columns, found)
    if current().output == "table":
        for each in found:
            if each.resume:
                print_stderr(f"to continue: {each.resume}")
    return ExitCode.DONE


async def show(journal: str, /, *, state: tuple[State, ...] = ()) -> int:
    """Show each step of a journal's plan and what became of it.

    Nothing is sent to the API, and the journal is not changed.

    Args:
        journal: a file, or postgresql://HOST/DB#NAME.
        state: only steps in this state; repeat it for more.
    """
    from ...bulk import read_details
    from ..output.tables import Column, show_rows
    from .view import plan_lines, print_plan

    details = await read_details(journal)
    if details is None:
        raise _missing(journal)
    rows = [
        _ShownStep(
            state=each.state,
            action=each.step.action,
            region=each.step.region,
            volume=each.step.volume_name or each.step.volume_id,
            name=each.step.name,
            reason=each.reason,
            code=each.code,
            duration_s=round(each.duration_s, 3),
            worker=each.worker,
            key=each.step.key,
        )
        for each in details.steps
        if not state or each.state in state
    ]
    columns: list[Column[_ShownStep]] = [
        Column("state", lambda each: each.state),
        Column("action", lambda each: each.action),
        Column("region", lambda each: each.region, priority=3),
        Column("volume", lambda each: each.volume, priority=4),
        Column("name", lambda each: each.name),
        Column("reason", lambda each: each.reason, priority=5),
    ]
    show_rows(current().output, columns, rows)
    print_plan(plan_lines(details.remainder(), details), is_deleting=False)
    shown = _shown(journal, details.status)
    if shown.resume:
        print_stderr(f"to continue: {shown.resume}")
    return ExitCode.DONE


def _journals(places: tuple[str, ...]) -> Iterator[str]:
    if not places:
        try:
            folder = state_folder()
        except OSError as error:
            raise UsageError(f"no state directory ({error.strerror}): name the journals") from None
        for each in (folder, folder / _JOBS):
            yield from map(str, sorted(each.glob("*.db")))
    for place in places:
        if "://" not in place and Path(place).is_dir():
            yield from map(str, sorted(Path(place).glob("*.db")))
        else:
            yield place


def _missing(journal: str) -> UsageError:
    from .options import shown_journal

    return UsageError(f"there is no journal {shown_journal(journal)}, or nothing in it yet")


def _shown(journal: str, status: RunStatus) -> _ShownJournal:
    from .options import shown_journal
    from .run import COMMANDS, how_to_resume

    command = COMMANDS.get(status.kind, "jobs run")
    resume = how_to_resume(command, journal)
    if Path(journal).parent.name == _JOBS or command == "jobs run":
        command, resume = "jobs run", f"do-blockstore jobs run FILE {status.job}"
    state = "done" if status.is_finished else "running" if status.workers else "stopped"
    return _ShownJournal(
        journal=shown_journal(journal),
        command=command,
        job=status.job,
        made_at=status.made_at,
        state=state,
        total=status.total,
        done=status.done,
        skipped=status.skipped,
        failed=status.failed,
        unknown=status.unknown,
        remaining=status.remaining,
        workers=tuple(worker.name for worker in status.workers),
        resume="" if status.is_finished and not status.unknown else resume,
    )
