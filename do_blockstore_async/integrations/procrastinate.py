"""Jobs of a file on many machines, with procrastinate (PostgreSQL) as the queue.

    async with JobQueue(load_jobs("fleet.toml"), database_url, os.environ) as queue:
        await queue.work(stopping)          # a worker; as many as you like, anywhere
        await queue.schedule(stopping)      # a scheduler; one is enough, two do no harm

A task of the queue is a whole run: one job, for one account, at one time. One token allows four
requests a second, so more workers do not make a run faster: they make it certain, and they make
many accounts possible.

Invariants:
1. No two workers run one job of one account at once, by procrastinate's lock `account/job`.
2. A run has one journal, named after account, job and time in the same database. Whoever works on
   it next (a worker that died is noticed within 40 s, a stopped one hands back at once) goes on
   where the journal ends.
3. The queue holds names only: account, job, time. Tokens are read where they are used, by the
   worker, from where the file says they stand.
4. A run that failed for the network's sake, or the API's, is repeated, later each time; one that
   is wrong in itself, or left items undone, is not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from .._lazy import missing_module

try:
    import procrastinate
    import psycopg
    from procrastinate import exceptions
    from psycopg_pool import PoolTimeout
except ModuleNotFoundError as error:
    raise missing_module(__name__, "procrastinate", error) from None

from .._clock import new_name, pause, wait_for_event, wall_s
from ..bulk import JournalError, remove_journal
from ..config import Config
from ..errors import (
    BlockStoreError,
    ConfigError,
    QuotaWaitTooLongError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from ..jobs import JobResult, JobsFile, read_token, run_job, save_report
from ._queue import results, schedules
from ._queue.database import JobQueueError, check_tables, connect, explained, migrate, with_schema
from ._queue.results import QueuedRun

if TYPE_CHECKING:
    from procrastinate.jobs import Job as QueuedTask

__all__ = ["JobIncompleteError", "JobQueue", "JobQueueError", "QueuedRun"]

_log = logging.getLogger("do_blockstore_async.jobs")

_TASK: Final = "do_blockstore.run_job"
_HEARTBEAT_S: Final = 10.0
_DEAD_S: Final = 30.0
_LOOK_S: Final = 5.0
_RECONNECT_S: Final = 5.0
_SCHEDULER_S: Final = 15.0
_MAX_ATTEMPTS: Final = 20
_RETRY_S: Final = 30
_LONGEST_RETRY_S: Final = 900
_TAKE_OVER_LOCK: Final = 0x646F_7461_6B65


class JobIncompleteError(BlockStoreError):
    """A run ended and has left items undone; its report says which."""


class _HandedBackError(Exception):
    """The worker stops; another one goes on with the run."""


class _Retries(procrastinate.BaseRetryStrategy):
    """Invariant 4: whether and when a run is repeated."""

    def get_retry_decision(
        self, *, exception: BaseException, job: QueuedTask
    ) -> procrastinate.RetryDecision | None:
        if isinstance(exception, _HandedBackError | asyncio.CancelledError):
            return procrastinate.RetryDecision(retry_in={"seconds": 0})
        if job.attempts + 1 < _MAX_ATTEMPTS and _may_pass(exception):
            delay_s = min(_RETRY_S * 2**job.attempts, _LONGEST_RETRY_S)
            return procrastinate.RetryDecision(retry_in={"seconds": delay_s})
        return None


def _may_pass(error: BaseException) -> bool:
    """Whether a failure may be over later. A journal may be in use, or its database away."""
    if isinstance(error, RateLimitedError):
        return error.kind != "capacity"
    return isinstance(
        error,
        TransportError
        | ServerError
        | QuotaWaitTooLongError
        | JobQueueError
        | JournalError
        | exceptions.ConnectorException,
    )


def _check_done(account: str, job: str, conclusion: str) -> None:
    if conclusion != "done":
        raise JobIncompleteError(f"{job} of {account} is {conclusion}: see its report")


def _lock(account: str, job: str) -> str:
    return f"{account}/{job}"


class JobQueue:
    """The queue of a jobs file in a database, and the worker and scheduler that serve it.

    Args:
        file: the jobs file; workers and schedulers of one queue need the same.
        database: URL of the PostgreSQL; None for the file's own.
        environ: where variables named by `token_env` are looked up.
        config: settings of the clients that run jobs; their budget is the file's.

    Raises:
        ConfigError: there is no database, or its URL is not valid.
    """

    def __init__(
        self,
        file: JobsFile,
        database: str | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        config: Config | None = None,
    ) -> None:
        found = database or file.database
        if found is None:
            raise ConfigError(
                'a queue needs a database: write database = "postgresql://user@host/name" into the '
                "jobs file, or set DO_BLOCKSTORE_DATABASE"
            )
        # Without a store of its own, the budget is shared here.
        self._file = attrs.evolve(file, database=found)
        self._url = found
        self._environ = {} if environ is None else environ
        self._config = config
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._stopping = asyncio.Event()
        connector = procrastinate.PsycopgConnector(
            conninfo=with_schema(found), min_size=1, max_size=8, timeout=_DEAD_S
        )
        self._app = procrastinate.App(connector=connector)
        self._connector = connector
        self._task = self._app.task(
            name=_TASK, queue=file.name, retry=_Retries(), pass_context=False
        )(self._run)

    @staticmethod
    async def migrate(database: str) -> bool:
        """Make the tables in a database, or bring them to this version.

        Returns:
            Whether anything had to be done.

        Raises:
            ConfigError: they are newer, or the user may not do it.
            JobQueueError: the database does not answer.
        """
        done = await migrate(database)
        # This makes the tables of journals, so that workers need no right to.
        await remove_journal(f"{database}#none")
        return done

    async def __aenter__(self) -> Self:
        # By itself first: a pool would try for long, and say less.
        async with connect(self._url) as connection:
            await check_tables(connection)
        async with explained():
            await self._app.open_async()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._app.close_async()

    # Queueing.

    async def put(self, account: str, job: str) -> datetime | None:
        """Queue a job of an account now.

        Returns:
            The time that names its run; None where one waits in the queue already.

        Raises:
            JobQueueError: the database does not answer.
        """
        due = datetime.fromtimestamp(int(wall_s()), UTC)
        async with explained(), self._connector.pool.connection() as connection:
            is_new = await self._queue(connection, account, job, due)
        return due if is_new else None

    async def _queue(
        self, connection: psycopg.AsyncConnection[Any], account: str, job: str, due: datetime
    ) -> bool:
        """Queue a run on this connection, unless one of its job waits already (C3)."""
        lock = _lock(account, job)
        waiting = await self._app.job_manager.list_jobs_async(lock=lock, status="todo")
        if list(waiting):
            _log.info("%s of %s waits in the queue already", job, account)
            return False
        # With the time in it, the lock of a run that is taken over never meets the next one's.
        deferred = self._task.configure(
            lock=lock, queueing_lock=f"{lock}@{due.isoformat()}", connection=connection
        )
        await deferred.defer_async(account=account, job=job, due=due.isoformat())
        _log.info("queued %s of %s", job, account)
        return True

    async def _queue_due(
        self, connection: psycopg.AsyncConnection[Any], account: str, job: str, due: datetime
    ) -> None:
        await self._queue(connection, account, job, due)

    async def schedule(self, stopping: asyncio.Event) -> None:
        """Queue each job when it is due, until `stopping` is set.

        Any number of schedulers of one file do no harm. While the database is away, it waits.

        Raises:
            ConfigError: a living scheduler of another file schedules one of the jobs.
        """
        scheduler = f"{self._name}:{new_name()}"
        try:
            while not stopping.is_set():
                wait_s = _SCHEDULER_S
                try:
                    async with explained(), self._connector.pool.connection() as connection:
                        now = await schedules.take_due(
                            connection, self._file, scheduler, self._queue_due
                        )
                    wait_s = self._until_next_s(now)
                except (JobQueueError, exceptions.ConnectorException) as error:
                    _log.warning("%s; waiting for it", error)
                await wait_for_event(stopping, wait_s)
        finally:
            with suppress(psycopg.Error, OSError):
                async with self._connector.pool.connection() as connection:
                    await schedules.release(connection, scheduler)

    def _until_next_s(self, now: datetime | None) -> float:
        if now is None:
            return _SCHEDULER_S
        due = [job.schedule.next_after(now) for job in self._file.jobs.values() if job.schedule]
        return min([_SCHEDULER_S, *((each - now).total_seconds() for each in due)])

    # Working.

    async def work(self, stopping: asyncio.Event, *, concurrency: int = 8) -> None:
        """Serve the queue until `stopping` is set.

        Then nothing new starts; what was sent is waited for, and each run is handed back for
        another worker to go on with. While the database is away, it waits.

        Args:
            stopping: when set, the worker ends in order.
            concurrency: runs at once at most, 1 or more.
        """
        self._stopping = stopping
        stop = asyncio.ensure_future(stopping.wait())
        others = asyncio.ensure_future(self._take_over())
        try:
            while not stopping.is_set():
                worker = asyncio.ensure_future(
                    self._app.run_worker_async(
                        queues=[self._file.name],
                        name=self._name,
                        concurrency=concurrency,
                        install_signal_handlers=False,
                        update_heartbeat_interval=_HEARTBEAT_S,
                        stalled_worker_timeout=_DEAD_S,
                        fetch_job_polling_interval=_LOOK_S,
                    )
                )
                try:
                    await asyncio.wait((worker, stop), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    worker.cancel()  # It then ends in order.
                    (ended,) = await asyncio.gather(worker, return_exceptions=True)
                if not stopping.is_set():
                    # Its database is away, or others took it for dead and struck it off.
                    reason = f" ({type(ended).__name__})" if ended is not None else ""
                    _log.warning("the worker has lost its queue%s; trying again", reason)
                    await wait_for_event(stopping, _RECONNECT_S)
        finally:
            stop.cancel()
            others.cancel()
            await asyncio.gather(stop, others, return_exceptions=True)

    async def _take_over(self) -> None:
        """Queue again what dead workers had begun (invariant 2)."""
        while True:
            with suppress(psycopg.Error, PoolTimeout, exceptions.ProcrastinateException, OSError):
                async with self._connector.pool.connection() as connection:
                    # One at a time: who looked before another's retry would repeat it.
                    row = await (
                        await connection.execute(
                            "select pg_try_advisory_xact_lock(%s)", (_TAKE_OVER_LOCK,)
                        )
                    ).fetchone()
                    if row is not None and row[0]:
                        await self._retry_stalled()
            await pause(_LOOK_S)

    async def _retry_stalled(self) -> None:
        manager = self._app.job_manager
        for stalled in await manager.get_stalled_jobs(
            queue=self._file.name, seconds_since_heartbeat=_DEAD_S
        ):
            await manager.retry_job(stalled)
            _log.warning(
                "the worker of %s is gone: its run is taken over", stalled.lock or stalled.id
            )

    async def _run(self, account: str, job: str, due: str) -> None:
        """One run: the task of the queue."""
        found, owner = self._file.jobs.get(job), self._file.accounts.get(account)
        if found is None or owner is None:
            raise ConfigError(
                f"{self._file.path} has no job {job} or no account {account}: give all workers and "
                "schedulers the same file"
            )
        key = (account, job, datetime.fromisoformat(due))
        attempt, over = await self._note(
            results.started, key, self._file.name, found.kind, self._name
        )
        if over is not None:
            # Its worker died between noting the result and telling the queue.
            await remove_journal(self._journal(key))
            _check_done(account, job, over)
            return
        _log.info("%s of %s: begun", job, account)
        try:
            result = await run_job(
                self._file,
                found,
                owner,
                read_token(owner, self._environ),
                journal=self._journal(key),
                config=self._config,
                stopping=self._stopping,
            )
            if result.conclusion == "stopped" and self._stopping.is_set():
                _log.info("%s of %s: handed back", job, account)
                raise _HandedBackError
            await self._conclude(key, attempt, result)
        except (BlockStoreError, OSError) as error:
            if isinstance(error, JobIncompleteError):
                raise
            _log.error("%s of %s: %s", job, account, error)
            if _may_pass(error):
                await self._note(results.failed, key, attempt, str(error))
            else:
                await self._note(results.finished, key, attempt, "failed", None, str(error))
            raise

    async def _conclude(self, key: results.Key, attempt: int, result: JobResult) -> None:
        job = self._file.jobs[result.job]
        counts = ", ".join(f"{number} {name}" for name, number in result.counts.items() if number)
        _log.info("%s of %s: %s (%s)", result.job, result.account, result.conclusion, counts or "-")
        await self._note(results.finished, key, attempt, result.conclusion, result, None)
        try:
            await asyncio.to_thread(save_report, self._file, job, result, key[2])
        except OSError as error:
            # The database has it.
            unsaved = f"its report could not be written: {error}"
            _log.error("%s of %s: %s", result.job, result.account, unsaved)
            await self._note(results.failed, key, attempt, unsaved)
        if result.is_over:
            await remove_journal(self._journal(key))
        await self._forget_old(result.account, result.job)
        _check_done(result.account, result.job, result.conclusion)

    async def _forget_old(self, account: str, job: str) -> None:
        async with explained(), self._connector.pool.connection() as connection:
            for due in await results.older_than(connection, account, job, self._file.keep_days):
                with suppress(JournalError):
                    await remove_journal(self._journal((account, job, due)))
                await results.forget(connection, (account, job, due))

    async def _note(self, note: Any, key: results.Key, *values: Any) -> Any:
        async with explained(), self._connector.pool.connection() as connection:
            return await note(connection, key, *values)

    def _journal(self, key: results.Key) -> str:
        return f"{self._url}#{results.journal_name(key)}"

    # Results.

    async def results(self, limit: int = 100) -> list[QueuedRun]:
        """Return what became of the newest runs, newest first.

        Raises:
            JobQueueError: the database does not answer.
        """
        async with explained(), self._connector.pool.connection() as connection:
            return await results.recent(connection, self._file.name, limit)
