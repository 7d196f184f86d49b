"""What became of each run: a row for each account, job and time, with its report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import attrs
import psycopg
from psycopg.types.json import Jsonb

from ...jobs import JobResult

__all__ = [
    "QueuedRun",
    "failed",
    "finished",
    "forget",
    "journal_name",
    "older_than",
    "recent",
    "started",
]

_STARTED: Final = """
insert into runs (account, job, due_at, file, kind, worker, started_at)
values (%s, %s, %s, %s, %s, %s, clock_timestamp())
on conflict (account, job, due_at) do update set worker = excluded.worker,
    attempts = runs.attempts + 1, error = null
where runs.conclusion is null or runs.counts is null
    or (runs.counts->>'remaining')::bigint > 0 or (runs.counts->>'unknown')::bigint > 0
returning attempts
"""
_CONCLUSION: Final = "select conclusion from runs where account = %s and job = %s and due_at = %s"
# A worker that was taken for dead may come back, when another has begun a later attempt.
_FINISHED: Final = """
update runs set finished_at = clock_timestamp(), conclusion = %s, counts = %s, error = %s,
    report = %s::json
where account = %s and job = %s and due_at = %s and attempts = %s
"""
_ERROR: Final = """
update runs set error = %s where account = %s and job = %s and due_at = %s and attempts = %s
"""
_RECENT: Final = """
select account, job, due_at, kind, worker, attempts, started_at, finished_at, conclusion, counts,
    error
from runs where file = %s order by due_at desc, account, job limit %s
"""
_OLD: Final = """
select due_at from runs
where account = %s and job = %s and due_at < clock_timestamp() - make_interval(days => %s)
order by due_at
"""
_FORGET: Final = "delete from runs where account = %s and job = %s and due_at = %s"


@attrs.frozen(kw_only=True)
class QueuedRun:
    """A run of a job that a worker has begun.

    Attributes:
        due_at: when it was due, which tells it from other runs.
        worker: who works on it, or did last.
        attempts: how often a worker has begun or taken it over.
        conclusion: as `JobResult.conclusion`; None while it runs or will be tried again.
        counts: items by what became of them.
        error: why the last attempt failed, if it did.
    """

    account: str
    job: str
    due_at: datetime
    kind: str
    worker: str
    attempts: int
    started_at: datetime
    finished_at: datetime | None
    conclusion: str | None
    counts: dict[str, int] | None
    error: str | None

    @property
    def journal(self) -> str:
        """The name of its journal: the fragment behind the database's URL."""
        return journal_name((self.account, self.job, self.due_at))


Connection = psycopg.AsyncConnection[Any]
Key = tuple[str, str, datetime]


def journal_name(key: Key) -> str:
    """Name the journal of a run."""
    account, job, due = key
    return f"{account}/{job}/{due.astimezone(UTC):%Y%m%dT%H%M%SZ}"


async def started(
    connection: Connection, key: Key, file: str, kind: str, worker: str
) -> tuple[int, str | None]:
    """Note that a worker works on a run; return the attempt's number, from 1.

    Or 0, and the conclusion of a run that is over.
    """
    found = await connection.execute(_STARTED, (*key, file, kind, worker))
    if (row := await found.fetchone()) is not None:
        return row[0], None
    row = await (await connection.execute(_CONCLUSION, key)).fetchone()
    return 0, None if row is None else row[0]


async def finished(
    connection: Connection,
    key: Key,
    attempt: int,
    conclusion: str,
    result: JobResult | None,
    error: str | None,
) -> None:
    """Note how a run ended, with its report, unless a later attempt was begun."""
    counts = None if result is None else Jsonb(dict(result.counts))
    # PostgreSQL has no zero characters, which JSON escapes.
    report = None if result is None else result.to_json()
    await connection.execute(_FINISHED, (conclusion, counts, error, report, *key, attempt))


async def failed(connection: Connection, key: Key, attempt: int, error: str) -> None:
    """Note what failed in an attempt, unless a later one was begun."""
    await connection.execute(_ERROR, (error, *key, attempt))


async def recent(connection: Connection, file: str, limit: int) -> list[QueuedRun]:
    """Return the newest runs of a file, newest first."""
    names = [field.name for field in attrs.fields(QueuedRun)]
    rows = await (await connection.execute(_RECENT, (file, limit))).fetchall()
    return [QueuedRun(**dict(zip(names, row, strict=True))) for row in rows]


async def older_than(connection: Connection, account: str, job: str, days: int) -> list[datetime]:
    """Return when the old runs of a job were due."""
    rows = await (await connection.execute(_OLD, (account, job, days))).fetchall()
    return [due for (due,) in rows]


async def forget(connection: Connection, key: Key) -> None:
    """Remove a run."""
    await connection.execute(_FORGET, key)
