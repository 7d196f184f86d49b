"""Which jobs are due: a row for each account and job, which remembers up to when it was looked at.

C1. Every time a job is due is queued at most once, whatever number of schedulers run: it is found,
    queued and noted in one transaction, which holds the row.
C2. Times missed while no scheduler ran are made up for by one run, as soon as one runs again. A
    new job, or one whose cron expression or time zone has changed, has missed nothing.
C3. A job still waiting in the queue is not queued again: nights without a worker do not pile up.
C4. A row belongs to the file, and the wording of its job, whose scheduler wrote it last, for as
    long as that one lives (`_ALIVE`). A scheduler that says otherwise is refused.
C5. What time it is, the database says: schedulers need not agree on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import psycopg

from ...errors import ConfigError
from ...jobs import Job, JobsFile, Schedule

__all__ = ["release", "take_due"]

_ALIVE: Final = timedelta(seconds=60)
_NOW: Final = "select clock_timestamp()"
_NEW: Final = """
insert into schedules (account, job, file, version, scheduler, seen_at, cron, due_at)
values (%(account)s, %(job)s, %(file)s, %(version)s, %(scheduler)s, %(now)s, %(cron)s, %(now)s)
on conflict do nothing
"""
_HELD: Final = """
select file, version, scheduler, seen_at, cron, due_at from schedules
where account = %(account)s and job = %(job)s for update
"""
_NOTE: Final = """
update schedules set file = %(file)s, version = %(version)s, scheduler = %(scheduler)s,
    seen_at = %(now)s, cron = %(cron)s, due_at = %(due)s
where account = %(account)s and job = %(job)s
"""
_RELEASE: Final = "update schedules set seen_at = 'epoch' where scheduler = %s"

QueueJob: TypeAlias = Callable[[psycopg.AsyncConnection[Any], str, str, datetime], Awaitable[None]]


def _version(job: Job) -> str:
    return hashlib.blake2b(repr(job).encode(), digest_size=8).hexdigest()


async def take_due(
    connection: psycopg.AsyncConnection[Any], file: JobsFile, scheduler: str, queue: QueueJob
) -> datetime | None:
    """Queue what is due; return how the database's clock stands, and None without any schedule.

    Args:
        scheduler: names this scheduler, differently from every other.
        queue: queues a job of an account for a time, in the transaction of the connection.

    Raises:
        ConfigError: a living scheduler of another file schedules one of its jobs (C4).
    """
    planned = sorted(
        (account, job.name, job, job.schedule)
        for job in file.jobs.values()
        if job.schedule is not None
        for account in job.accounts
    )
    taken: list[str] = []
    async with connection.transaction():
        row = await (await connection.execute(_NOW)).fetchone()
        now: datetime | None = None if row is None else row[0]
        if not planned or now is None:
            return None
        for account, name, job, schedule in planned:
            values = {
                "account": account,
                "job": name,
                "file": file.name,
                "version": _version(job),
                "scheduler": scheduler,
                "cron": str(schedule),
                "now": now,
            }
            other = await _take(connection, values, schedule, queue)
            if other:
                taken.append(other)
        if taken:
            # Nothing of this pass counts: half a file would be scheduled.
            raise ConfigError("\n".join(taken))
    return now


async def _take(
    connection: psycopg.AsyncConnection[Any],
    row: dict[str, Any],
    schedule: Schedule,
    queue: QueueJob,
) -> str | None:
    """Look at one row; return why it is another scheduler's, if it is."""
    now: datetime = row["now"]
    await connection.execute(_NEW, row)
    found = await (await connection.execute(_HELD, row)).fetchone()
    if found is None:
        return None
    file, version, scheduler, seen_at, cron, due_at = found
    is_other = (file, version) != (row["file"], row["version"])
    if is_other and scheduler != row["scheduler"] and _is_alive(seen_at, now):
        return (
            f"{row['job']} of {row['account']} is scheduled by {scheduler} from "
            + (f"the file {file}" if file != row["file"] else "another version of this file")
            + ": one file schedules a job; rename the job here, or stop that scheduler"
        )
    since = due_at if cron == row["cron"] else now
    due = schedule.last_between(since, now)
    if due is not None:
        await queue(connection, row["account"], row["job"], due)
    await connection.execute(_NOTE, {**row, "due": due or since})
    return None


def _is_alive(seen_at: datetime, now: datetime) -> bool:
    return now - seen_at < _ALIVE


async def release(connection: psycopg.AsyncConnection[Any], scheduler: str) -> None:
    """Give the rows of a scheduler that ends to the next one at once."""
    await connection.execute(_RELEASE, (scheduler,))
