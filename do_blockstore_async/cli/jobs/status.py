"""How far runs are, by their journals, and by the queue's own notes once these are gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from ..._export import json_text
from ...bulk import read_status, watch_status
from ...bulk.model.run_status import RunStatus
from ...jobs import JobsFile
from ..exit_codes import CommandError, ExitCode
from ..options import Output
from ..output.tables import Column, show_rows, write_json
from ..output.terminal import print_stderr
from ..output.text import clock_text
from .here import journals_left

if TYPE_CHECKING:
    from ...integrations.procrastinate import QueuedRun

__all__ = ["runs_here", "runs_of_queue", "show_journal", "show_runs", "watch_journal"]

_COUNTS = ("done", "skipped", "failed", "unknown", "remaining")


@attrs.frozen(kw_only=True)
class _Shown:
    """One run.

    Attributes:
        due_at: when it was due, or its plan made.
        state: `done`, `partial`, `failed`, `stopped`; `running`; `waiting`: nobody works on it.
        ends_in_s: seconds until it is done, at the pace of the last minute.
        journal: where it is recorded; empty once that is gone.
    """

    account: str = ""
    job: str
    due_at: datetime
    state: str
    counts: Mapping[str, int] | None
    workers: tuple[str, ...] = ()
    ends_in_s: float | None = None
    journal: str = ""
    error: str = ""


def _of_journal(status: RunStatus, journal: str, **known: Any) -> _Shown:
    values: dict[str, Any] = {"job": status.job, "due_at": status.made_at, **known}
    state = "done" if status.is_finished else "running" if status.workers else "waiting"
    return _Shown(
        state=state,
        counts={name: getattr(status, name) for name in _COUNTS},
        workers=tuple(worker.name for worker in status.workers),
        ends_in_s=status.ends_in_s,
        journal=journal,
        **values,
    )


async def runs_here(file: JobsFile) -> list[_Shown]:
    """Return the runs of a file, here and now, that are under way or were cut off."""
    found = []
    for account, job, path in journals_left(file):
        status = await read_status(path)
        if status is not None:
            found.append(_of_journal(status, str(path), account=account.name, job=job.name))
    return found


async def runs_of_queue(database: str, runs: Sequence[QueuedRun]) -> list[_Shown]:
    """Return the runs of a queue; of those that are not over, what their journals say."""
    found = []
    for run in runs:
        known: dict[str, Any] = {"account": run.account, "job": run.job, "due_at": run.due_at}
        known["error"] = run.error or ""
        if run.conclusion is None:
            name = f"{database}#{run.journal}"
            status = await read_status(name)
            if status is not None:
                found.append(_of_journal(status, run.journal, **known))
                continue
        state = run.conclusion or "waiting"
        found.append(_Shown(state=state, counts=run.counts, **known))
    return found


def show_runs(output: Output, runs: Sequence[_Shown]) -> None:
    """Show runs, one below the other."""
    if not runs:
        print_stderr("no run is under way")
    columns: list[Column[_Shown]] = [
        Column("account", lambda run: run.account),
        Column("job", lambda run: run.job),
        Column("due", lambda run: run.due_at, priority=1),
        Column("state", lambda run: run.state),
        *(
            Column(
                name,
                lambda run, name=name: (run.counts or {}).get(name),  # type: ignore[misc]
                right=True,
                priority=1,
            )
            for name in _COUNTS
        ),
        Column("workers", lambda run: run.workers, priority=4),
        Column(
            "to go",
            lambda run: None if run.ends_in_s is None else clock_text(run.ends_in_s),
            priority=2,
        ),
        Column("journal", lambda run: run.journal, priority=5),
        Column("error", lambda run: run.error, priority=3),
    ]
    if output == "json":
        write_json(json_text([attrs.asdict(run) for run in runs]))
    else:
        show_rows(output, columns, runs)


async def show_journal(output: Output, journal: str) -> int:
    """Show the run of a journal."""
    status = await read_status(journal)
    if status is None:
        raise CommandError("there is no such journal, or nothing in it yet", ExitCode.USAGE)
    if output == "json":
        write_json(json_text({**attrs.asdict(status), "remaining": status.remaining}))
    else:
        show_runs(output, [_of_journal(status, "")])
    return ExitCode.DONE


async def watch_journal(output: Output, journal: str) -> int:
    """Print a line for each change, until every step has an outcome."""
    async for status in watch_status(journal, 1.0):
        if output == "json":
            write_json(json_text({**attrs.asdict(status), "remaining": status.remaining}))
        else:
            print_stderr(_line(status))
    return ExitCode.DONE


def _line(status: RunStatus) -> str:
    counts = ", ".join(f"{getattr(status, name):,} {name}" for name in _COUNTS[:-1])
    parts = [f"{status.job}: {status.total - status.remaining:,} of {status.total:,}", counts]
    if status.in_doubt:
        parts.append(f"{status.in_doubt} in doubt")
    names = ", ".join(worker.name for worker in status.workers)
    parts.append(f"at work: {names}" if names else "nobody works on it")
    if status.ends_in_s is not None and status.remaining:
        parts.append(f"{clock_text(status.ends_in_s)} to go")
    return "; ".join(parts)
