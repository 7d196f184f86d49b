"""What a jobs file says, and what became of its jobs, for people and programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..._clock import Clock
from ..._export import json_text
from ...jobs import Job, JobResult, JobsFile
from ..options import Output
from ..output.tables import Column, show_rows, write_json

__all__ = ["count_text", "show_jobs", "show_results"]

_WORDS = {
    "snapshot": "take snapshots",
    "prune": "prune snapshots",
    "delete": "delete volumes",
    "orphan-tags": "tag unattached volumes",
    "orphan-delete": "delete volumes tagged as unattached",
    "inventory": "take an inventory",
}


def _purpose(job: Job) -> str:
    """What a job does, in words."""
    words = [_WORDS[job.kind], f"of {job.select}" if job.select else "of all volumes"]
    if job.kind == "orphan-delete":
        words.append(f"for {job.grace_days} days")
    if job.snapshot_first:
        words.append("after a last snapshot")
    if job.keep:
        words.append(f"({job.keep})")
    return " ".join(words)


def show_jobs(output: Output, file: JobsFile) -> None:
    """Show each job of a file, and when it is due next."""
    now = Clock().utc_now()
    columns: list[Column[Job]] = [
        Column("job", lambda job: job.name),
        Column("does", _purpose, priority=3),
        Column("accounts", lambda job: job.accounts, priority=2),
        Column("schedule", lambda job: str(job.schedule or ""), priority=1),
        Column("next", lambda job: job.schedule and job.schedule.next_after(now), priority=1),
    ]
    jobs = list(file.jobs.values())
    if output == "json":
        rows = [{column.name: column.value(job) for column in columns} for job in jobs]
        write_json(json_text(rows))
    else:
        show_rows(output, columns, jobs)


def count_text(result: JobResult) -> str:
    """How a run ended, in a few words."""
    if result.inventory is not None:
        return f"{result.conclusion}: {result.inventory.total.volumes:,} volumes"
    counts = ", ".join(f"{number:,} {name}" for name, number in result.counts.items() if number)
    return f"{result.conclusion}: {counts or 'nothing to do'}"


def show_results(output: Output, results: Sequence[JobResult]) -> None:
    """Show what became of each job in each account; as JSON, with every item."""
    if output == "json":
        rows = [
            {
                "account": result.account,
                "job": result.job,
                "kind": result.kind,
                "conclusion": result.conclusion,
                "report": json.loads(result.to_json()),
            }
            for result in results
        ]
        write_json(json_text(rows))
        return
    columns: list[Column[JobResult]] = [
        Column("account", lambda result: result.account),
        Column("job", lambda result: result.job),
        Column("conclusion", lambda result: result.conclusion),
        *(
            Column(name, lambda result, name=name: result.counts[name], right=True)  # type: ignore[misc]
            for name in ("done", "skipped", "failed", "unknown", "remaining")
        ),
    ]
    show_rows(output, columns, results)
