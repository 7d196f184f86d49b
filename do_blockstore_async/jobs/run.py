"""Run one job of a jobs file for one account: plan it, run it or go on with its journal, report.

The same whether a person, cron or a worker asks for it. Only the public methods of `store.bulk` are
used, so a job of a file does what a program would that calls them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

import attrs

from .._export import aligned_text
from ..bulk.errors import NothingSelectedError
from ..bulk.model.inventory import Inventory
from ..bulk.model.plan import Plan
from ..bulk.model.report import Report
from ..client import BlockStore
from ..config import Config
from ..errors import ConfigError
from .model import Account, Job, JobsFile
from .schedule import zone_named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..bulk.execution.run import Run

__all__ = [
    "JobConclusion",
    "JobResult",
    "job_config",
    "report_text",
    "run_job",
    "save_report",
]

T = TypeVar("T")

JobConclusion: TypeAlias = Literal["done", "partial", "failed", "stopped"]
_ON_MACHINE: Final = "machine"


@attrs.frozen(kw_only=True)
class JobResult:
    """What one job did in one account.

    Attributes:
        conclusion: `done`; `partial` and `failed` as `Report.conclusion`; `stopped`: it goes on
            when its journal is resumed.
        report: of a job that changes something; None if it was stopped before it had a plan, or
            had nothing to do.
        inventory: of an inventory.
    """

    account: str
    job: str
    kind: str
    conclusion: JobConclusion
    report: Report | None = None
    inventory: Inventory | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to resume: its journal has served."""
        if self.report is None:
            return self.conclusion != "stopped"
        return not self.report.remaining and not self.report.counts["unknown"]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many items were done, skipped, failed, are unknown, remain."""
        if self.report is None:
            return dict.fromkeys(("done", "skipped", "failed", "unknown", "remaining"), 0)
        counts: dict[str, int] = {**self.report.counts}  # type: ignore[dict-item]
        return {**counts, "remaining": self.report.remaining}

    def to_json(self) -> str:
        """Return the report or inventory as JSON; an empty object without."""
        found = self.report or self.inventory
        return "{}" if found is None else found.to_json()


def job_config(file: JobsFile, config: Config | None = None) -> Config:
    """Return the settings of the clients that jobs use: the budget is shared, see `JobsFile`."""
    shared = file.budget or file.database or _ON_MACHINE
    return attrs.evolve(config or Config(trust_env=True), budget=shared)


async def run_job(
    file: JobsFile,
    job: Job,
    account: Account,
    token: str,
    *,
    journal: str | None = None,
    config: Config | None = None,
    stopping: asyncio.Event | None = None,
) -> JobResult:
    """Run a job of a jobs file for one account, to its end.

    If the journal exists, the run in it goes on; if not, the job is planned and begins one. Keep
    the result first, and `remove_journal` then if the result `is_over`.

    Args:
        file: the jobs file.
        job: one of its jobs.
        account: one of the job's accounts.
        token: of the account.
        journal: a path or the URL of a journal; None for none.
        config: settings of the client; its budget is replaced by the file's.
        stopping: once it is set, nothing new starts; what was sent is waited for.

    Raises:
        BlockStoreError: the job could not be planned or run; see `Bulk.run`.
    """
    stopping = asyncio.Event() if stopping is None else stopping
    # Error reporters show local variables, so the token is to be in none of this frame.
    store = BlockStore(token, base_url=account.base_url, config=job_config(file, config))
    del token
    empty = JobResult(account=account.name, job=job.name, kind=job.kind, conclusion="stopped")
    async with store:
        if job.kind == "inventory":
            found = await _unless(
                stopping,
                store.bulk.inventory(job.select, snapshots=job.snapshots, job=job.name),
            )
            if found is None:
                return empty
            return attrs.evolve(empty, conclusion="done", inventory=found)
        if journal is not None and await store.bulk.status(journal) is not None:
            run = store.bulk.resume(journal, **_run_options(job))
        else:
            try:
                plan = await _unless(stopping, _plan(store, job))
            except NothingSelectedError:
                if job.kind == "snapshot":
                    raise  # Who backs up nothing wants to know.
                return attrs.evolve(empty, conclusion="done")
            if plan is None:
                return empty
            run = store.bulk.run(plan, journal=journal, **_run_options(job))
        async with run, _stopped_by(stopping, run):
            async for _ in run:
                pass
        report = run.report()
        return attrs.evolve(empty, conclusion=report.conclusion, report=report)


async def _plan(store: BlockStore, job: Job) -> Plan:
    bulk = store.bulk
    named: dict[str, Any] = {
        "job": job.name,
        "name_template": job.name_template,
        "time_zone": job.time_zone,
    }
    if job.kind in {"snapshot", "prune"}:
        named |= {"match_by": job.match_by, "max_pruned_share": job.max_pruned_share}
    if job.kind == "snapshot":
        return await bulk.plan_snapshots(job.select, tags=job.tags, keep=job.keep, **named)
    if job.kind == "prune":
        if job.keep is None:
            raise ConfigError(f"job {job.name} does not say what to keep")
        named["job"] = job.snapshots_of or job.name
        return await bulk.plan_prune(job.keep, selection=job.select, **named)
    if job.kind == "delete":
        if job.select is None:
            raise ConfigError(f"job {job.name} has no selection")
        return await bulk.plan_deletions(
            job.select, snapshot_first=job.snapshot_first, tags=job.tags, **named
        )
    prefix: dict[str, Any] = {} if job.prefix is None else {"prefix": job.prefix}
    if job.kind == "orphan-tags":
        return await bulk.plan_orphan_tags(job.select, job=job.name, **prefix)
    return await bulk.plan_orphan_deletions(
        timedelta(days=job.grace_days),
        selection=job.select,
        snapshot_first=job.snapshot_first,
        tags=job.tags,
        **named,
        **prefix,
    )


def _run_options(job: Job) -> dict[str, Any]:
    names = ("max_failures", "max_items", "max_share", "concurrency", "per_region")
    return {name: getattr(job, name) for name in names}


async def _unless(stopping: asyncio.Event, work: Awaitable[T]) -> T | None:
    """Wait for `work`, which may wait for the budget for long; give it up and return None at once
    when `stopping` is set: it changes nothing.
    """
    task = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        stop.cancel()
        task.cancel()
        with suppress(BaseException):
            await task


@asynccontextmanager
async def _stopped_by(stopping: asyncio.Event, run: Run) -> AsyncIterator[None]:
    async def stop() -> None:
        await stopping.wait()
        run.stop()

    task = asyncio.ensure_future(stop())
    try:
        yield
    finally:
        task.cancel()


def report_text(found: Report | Inventory, suffix: str) -> str:
    """Return a report as a file of that suffix holds it: `.json`, `.csv`, or else aligned text."""
    if suffix == ".json":
        text = found.to_json()
    elif suffix == ".csv":
        text = found.to_csv()
    else:
        rows = found.table("item") if isinstance(found, Report) else found.table()
        text = aligned_text(*rows)
    return text if text.endswith("\n") else f"{text}\n"


def save_report(file: JobsFile, job: Job, result: JobResult, at: datetime) -> Path | None:
    """Write the result to the job's `report`, whose folder is made. Blocks for a moment.

    Args:
        at: the run's time, with a time zone; the path may name it.

    Returns:
        The path; None where the job names none, or there is nothing to report.

    Raises:
        OSError: it cannot be written.
    """
    found = result.report or result.inventory
    if job.report is None or found is None:
        return None
    local = at.astimezone(zone_named(job.time_zone))
    named = job.report.format(
        account=result.account,
        job=job.name,
        date=f"{local:%Y-%m-%d}",
        time=f"{local:%H%M%S}",
    )
    path = file.path.parent / Path(named).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report_text(found, path.suffix.lower()), encoding="utf-8")
    return path
