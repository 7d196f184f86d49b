"""`do-blockstore jobs ...`: jobs of a file, here and now or by workers on many machines."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
from cyclopts import Parameter

from ..._lazy import needs_extra
from ...config import Config
from ...jobs import JobsFile, JobsFileError, load_jobs, read_tokens
from ..exit_codes import CommandError, ExitCode, UsageError
from ..options import current
from ..output.terminal import print_error, print_stderr
from ..session import settled
from ..signals import interruptible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ...integrations.procrastinate import JobQueue

__all__ = ["check", "migrate", "run", "schedule", "status", "worker"]

_DATABASE = "DO_BLOCKSTORE_DATABASE"


def _load(file: Path) -> JobsFile:
    """Read the jobs file; its mistakes go to stderr, a line for each."""
    given = current()
    given.check_no_names()
    for option, value, said in (
        ("--token-file", given.token_file, "token_file or token_env for each account"),
        ("--context", given.context, "token_file or token_env for each account"),
        ("--api-url", given.api_url, "base_url for each account"),
        ("--budget-store", given.budget, "budget at its top"),
    ):
        if value is not None:
            raise UsageError(f"{option} does not go with a jobs file: write {said}")
    try:
        return load_jobs(file)
    except JobsFileError as error:
        for line in error.lines():
            print_error(line)
        number = len(error.problems)
        mistakes = "1 mistake" if number == 1 else f"{number} mistakes"
        raise UsageError(f"{file} has {mistakes}; nothing was done") from None


def _database(file: JobsFile) -> str | None:
    return os.environ.get(_DATABASE) or file.database


def _config() -> Config:
    return attrs.evolve(settled(current()), timeout_s=None)


async def check(file: Path, /) -> int:
    """Check a jobs file: every mistake with its line, or what each job does and when it is due.

    Nothing is sent, and the database is not asked. Tokens are looked for, not shown.

    Args:
        file: a TOML file with accounts and jobs.
    """
    from .view import show_jobs

    found = _load(file)
    show_jobs(current().output, found)
    read_tokens(found, os.environ)
    return ExitCode.DONE


async def run(
    file: Path,
    name: str | None = None,
    /,
    *,
    account: tuple[str, ...] = (),
    here: bool = False,
    yes: Annotated[bool, Parameter(alias="-y")] = False,
) -> int:
    """Run a job, in all its accounts: without a database here and now, else through its queue.

    Here and now, a run that died is gone on with where it ended; give cron the job's name.

    Args:
        file: a TOML file with accounts and jobs.
        name: the job; all jobs of the file without it, which asks before anything is deleted.
        account: in this account only; repeat it for more.
        here: here and now although there is a database.
        yes: do not ask.
    """
    from .here import chosen_runs, run_here

    found = _load(file)
    chosen = chosen_runs(found, name, account, yes=yes)
    database = _database(found)
    if database is None or here or current().simulate:
        return await run_here(found, chosen, _config())
    async with _queue(found) as queue:
        for job, owner in chosen:
            queued = await queue.put(owner.name, job.name)
            state = "queued" if queued else "in the queue already"
            print_stderr(f"{job.name} of {owner.name}: {state}")
    return ExitCode.DONE


async def worker(file: Path, /, *, concurrency: int = 8) -> int:
    """Work on the queue of a jobs file, until Ctrl-C or SIGTERM.

    Then nothing new starts, and other workers go on with what is in progress.

    Args:
        file: a TOML file with accounts and jobs; all workers and schedulers need the same.
        concurrency: runs at once (default 8).
    """
    if concurrency < 1:
        raise UsageError(f"--concurrency must be 1 or more, not {concurrency}")
    found = _load(file)
    read_tokens(found, os.environ)
    return await _serve(
        found, "worker", lambda queue, stop: queue.work(stop, concurrency=concurrency)
    )


async def schedule(file: Path, /) -> int:
    """Queue the jobs of a file when they are due, until Ctrl-C or SIGTERM.

    Any number of schedulers of one file may run. What was missed while none ran is made up for
    once.

    Args:
        file: a TOML file with accounts and jobs.
    """
    found = _load(file)
    if not any(job.schedule for job in found.jobs.values()):
        raise UsageError(f'no job of {file} has a schedule: write cron = "30 2 * * *" into one')
    return await _serve(found, "scheduler", lambda queue, stop: queue.schedule(stop))


async def status(
    place: str, /, *, watch: Annotated[bool, Parameter(alias="-w")] = False, limit: int = 20
) -> int:
    """Show how far runs are: done, failed, unknown, who works on them, when they will end.

    Args:
        place: a jobs file: its newest runs; or a journal: a file, or postgresql://HOST/DB#NAME.
        watch: with a journal: show each change, until every step has an outcome.
        limit: show N runs of the queue (default 20).
    """
    from .status import runs_here, runs_of_queue, show_journal, show_runs, watch_journal

    if not place.endswith(".toml"):
        return await (watch_journal if watch else show_journal)(current().output, place)
    if watch:
        raise UsageError("--watch follows one run: name its journal, as `jobs status` shows it")
    found = _load(Path(place))
    database = _database(found)
    if database is None:
        runs = await runs_here(found)
    else:
        async with _queue(found) as queue:
            runs = await runs_of_queue(database, await queue.results(limit))
    show_runs(current().output, runs)
    return ExitCode.DONE


async def migrate(file: Path, /) -> int:
    """Make the tables of the queue in the database, or bring them to this version.

    Args:
        file: a TOML file with accounts and jobs.
    """
    database = _database(_load(file))
    if database is None:
        raise UsageError(_no_database(file))
    done = await _queue_class().migrate(database)
    print_stderr("the tables were created or upgraded" if done else "the tables are up to date")
    return ExitCode.DONE


def _no_database(file: Path) -> str:
    return (
        f'{file} names no database: write database = "postgresql://user@host/name" at its top, or '
        f"set {_DATABASE}"
    )


@asynccontextmanager
async def _queue(file: JobsFile) -> AsyncIterator[JobQueue]:
    if current().simulate:
        raise UsageError("--simulate has no database: use it with `jobs run`")
    database = _database(file)
    if database is None:
        raise UsageError(_no_database(file.path))
    async with _queue_class()(file, database, os.environ, config=_config()) as queue:
        yield queue


def _queue_class() -> type[JobQueue]:
    try:
        from ...integrations.procrastinate import JobQueue
    except ImportError:
        raise CommandError(needs_extra("a queue needs", "procrastinate")) from None
    return JobQueue


async def _serve(
    file: JobsFile, what: str, work: Callable[[JobQueue, asyncio.Event], Awaitable[None]]
) -> int:
    stopping = asyncio.Event()
    with (
        _log_to_stderr(),
        interruptible(stopping.set, "quit at once; another worker takes over the runs"),
    ):
        async with _queue(file) as queue:
            print_stderr(f"{what} of {file.name} is ready")
            await work(queue, stopping)
    print_stderr(f"{what} of {file.name} has stopped")
    return ExitCode.DONE


class _ToStderr(logging.Handler):
    """Messages as lines; procrastinate's about single tasks are said better by ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if not str(getattr(record, "action", "")).startswith("job_"):
            print_stderr(record.getMessage())


def _log_to_stderr() -> _Logging:
    return _Logging()


class _Logging:
    """Show what the queue says on stderr, for the length of a block."""

    def __enter__(self) -> None:
        self._handler = _ToStderr()
        for name, level in (
            ("do_blockstore_async.jobs", logging.INFO),
            ("procrastinate", logging.WARNING),
        ):
            logger = logging.getLogger(name)
            logger.setLevel(level)
            logger.propagate = False
            logger.addHandler(self._handler)

    def __exit__(self, *_: object) -> None:
        for name in ("do_blockstore_async.jobs", "procrastinate"):
            logging.getLogger(name).removeHandler(self._handler)
