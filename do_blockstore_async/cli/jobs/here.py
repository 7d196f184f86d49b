"""Run jobs of a file here and now, without a database: cron's friend.

The journal of each run lies in the state folder until nothing of it remains; the next call goes on
with one that is left. Accounts are worked on side by side, each has its own budget; the jobs of one
account follow each other.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs

from ..._clock import Clock
from ..._log.places import state_folder
from ...bulk import remove_journal
from ...config import Config
from ...errors import BlockStoreError
from ...jobs import (
    Account,
    Job,
    JobResult,
    JobsFile,
    read_tokens,
    run_job,
    save_report,
)
from ..exit_codes import CommandError, ExitCode, UsageError
from ..hints import did_you_mean
from ..options import current
from ..output.errors import describe, exit_code
from ..output.prompts import check_can_ask, confirm
from ..output.terminal import print_stderr
from ..signals import Interrupts, interruptible
from .view import count_text, show_results

__all__ = ["chosen_runs", "journals_left", "run_here"]

_DESTRUCTIVE = ("prune", "delete", "orphan-delete")
_AT_ONCE = 16
_STAMP = "%Y%m%dT%H%M%SZ"
_CODES = {
    "done": ExitCode.DONE,
    "partial": ExitCode.PARTIAL,
    "failed": ExitCode.FAILED,
    "stopped": ExitCode.GUARD,
}


def chosen_runs(
    file: JobsFile, name: str | None, accounts: Sequence[str], *, yes: bool
) -> list[tuple[Job, Account]]:
    """Return the jobs and accounts that the arguments ask for.

    Raises:
        UsageError: there are none of that name, or a deletion was not confirmed.
    """
    for each, known in ((name, file.jobs), *((each, file.accounts) for each in accounts)):
        if each is not None and each not in known:
            what = "job" if known is file.jobs else "account"
            hint = did_you_mean(each, known) or f"; it has {', '.join(known)}"
            raise UsageError(f"{file.path} has no {what} {each!r}{hint}")
    jobs = list(file.jobs.values()) if name is None else [file.jobs[name]]
    deleting = [job.name for job in jobs if job.kind in _DESTRUCTIVE]
    if name is None and deleting:
        check_can_ask(yes=yes)
        confirm(f"Run all jobs, including those that delete ({', '.join(deleting)})?", yes=yes)
    chosen = [
        (job, file.accounts[account])
        for job in jobs
        for account in job.accounts
        if not accounts or account in accounts
    ]
    if not chosen:
        raise UsageError(f"job {name} is not for {', '.join(accounts)}")
    return chosen


async def run_here(file: JobsFile, chosen: Sequence[tuple[Job, Account]], config: Config) -> int:
    """Run them, show what became of them, and return the exit code."""
    stopping = asyncio.Event()
    results: list[JobResult] = []
    codes: list[int] = []
    farewell = "quit at once; to continue, run the command again"
    async with AsyncExitStack() as stack:
        if current().simulate:
            file, tokens = await _simulated(stack, file)
            chosen = [(job, file.accounts[account.name]) for job, account in chosen]
        else:
            names = tuple(dict.fromkeys(account.name for _, account in chosen))
            tokens = read_tokens(file, os.environ, names)
        with interruptible(stopping.set, farewell) as interrupts:
            places = asyncio.Semaphore(_AT_ONCE)

            async def of_account(account: str) -> None:
                async with places:
                    for job, owner in chosen:
                        if owner.name == account and not stopping.is_set():
                            code = await _run_one(
                                file, job, owner, tokens[account], config, stopping, results
                            )
                            codes.append(code)

            async with asyncio.TaskGroup() as tasks:
                for account in dict.fromkeys(owner.name for _, owner in chosen):
                    tasks.create_task(of_account(account))
    show_results(current().output, results)
    return _code(codes, interrupts)


async def _simulated(stack: AsyncExitStack, file: JobsFile) -> tuple[JobsFile, dict[str, str]]:
    """Give each account a simulator of its own."""
    from ...simulator import Simulator

    accounts, tokens = {}, {}
    for name, account in file.accounts.items():
        simulator = await stack.enter_async_context(Simulator(volumes=20, seed=7))
        accounts[name] = attrs.evolve(account, base_url=simulator.url)
        tokens[name] = simulator.token
    return attrs.evolve(file, accounts=accounts, budget="process"), tokens


async def _run_one(
    file: JobsFile,
    job: Job,
    account: Account,
    token: str,
    config: Config,
    stopping: asyncio.Event,
    results: list[JobResult],
) -> int:
    """Run one job of one account; its failure is told, and does not end the others."""
    now = Clock().utc_now()
    try:
        with _journals(file, job, account) as (left, fresh):
            for journal in _due_journals(job, left, fresh, now):
                print_stderr(
                    f"{job.name} of {account.name}: "
                    + ("resuming an earlier run" if journal in left else "started")
                )
                result = await run_job(
                    file,
                    job,
                    account,
                    token,
                    journal=None if journal is None else str(journal),
                    config=config,
                    stopping=stopping,
                )
                print_stderr(f"{job.name} of {account.name}: {count_text(result)}")
                results.append(result)
                save_report(file, job, result, now)
                if journal is not None and result.is_over:
                    await remove_journal(str(journal))
                if result.conclusion == "stopped":
                    break
            return int(_CODES[result.conclusion])
    except (BlockStoreError, CommandError, OSError) as error:
        print_stderr(f"{job.name} of {account.name}: {describe(error, current())}")
        return exit_code(error)


def journals_left(file: JobsFile) -> list[tuple[Account, Job, Path]]:
    """Return the journals of runs that are under way, or were cut off."""
    try:
        folder = state_folder() / "jobs"
    except OSError:
        return []
    return [
        (account, job, path)
        for job in file.jobs.values()
        for account in map(file.accounts.__getitem__, job.accounts)
        for path in sorted(folder.glob(f"{_run_name(file, job, account)}-2*Z.db"))
    ]


def _run_name(file: JobsFile, job: Job, account: Account) -> str:
    """Name the journals of a job in an account: two files of one name are not the same."""
    place = hashlib.blake2b(str(file.path.resolve()).encode(), digest_size=4).hexdigest()
    return f"{file.name}-{place}-{account.name}-{job.name}"


@contextmanager
def _journals(
    file: JobsFile, job: Job, account: Account
) -> Iterator[tuple[list[Path], Path | None]]:
    """Yield the journals that earlier calls have left, and the path for a new one, for this process
    alone.
    """
    if current().simulate:
        yield [], None
        return
    try:
        folder = state_folder() / "jobs"
        folder.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        print_stderr(
            f"no journal ({error.strerror}): a run that dies cannot be resumed; set XDG_STATE_HOME"
        )
        yield [], None
        return
    name = _run_name(file, job, account)
    with _alone(folder / f"{name}.lock", f"{job.name} of {account.name}"):
        left = sorted(folder.glob(f"{name}-2*Z.db"))
        yield left, folder / f"{name}-{Clock().utc_now():{_STAMP}}.db"


@contextmanager
def _alone(path: Path, what: str) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends, on every system."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as lock:
        try:
            lock.execute("begin exclusive")
        except sqlite3.OperationalError:
            raise CommandError(
                f"{what} is already running in another process", ExitCode.USAGE
            ) from None
        yield


def _due_journals(
    job: Job, left: list[Path], fresh: Path | None, now: datetime
) -> Iterator[Path | None]:
    """Yield what to run: the runs that are left, and a new one unless that was the same night's."""
    yield from left
    if left:
        stamp = left[-1].stem.rpartition("-")[2]
        begun = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        if job.schedule is None or job.schedule.last_between(begun, now) is None:
            return
    yield fresh


def _code(codes: Sequence[int], interrupts: Interrupts) -> int:
    if interrupts.happened:
        return interrupts.code
    found = set(codes)
    if len(found) == 1:
        return found.pop()
    for code in (ExitCode.GUARD, ExitCode.QUOTA):
        if code in found:
            return code
    return ExitCode.PARTIAL
