"""One bulk job at the terminal: plan, question, run, report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...jobs import report_text
from ..exit_codes import CommandError, ExitCode
from ..options import Settings, current
from ..output.prompts import check_can_ask, confirm
from ..output.terminal import errors, is_live, print_stderr
from ..session import open_session
from ..signals import Interrupts, interruptible
from .options import RunFlags, shown_journal, tell_no_journal
from .progress import watching
from .view import (
    TITLES,
    print_failures,
    show_plan,
    show_report,
    show_steps,
    summary_line,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ...bulk.execution.run import Run
    from ...bulk.model.plan import Plan
    from ...bulk.model.report import Report
    from ...bulk.service import Bulk
    from ..session import Session

__all__ = ["run_bulk_command"]

_CODES = {"done": ExitCode.DONE, "partial": ExitCode.PARTIAL, "failed": ExitCode.FAILED}


async def run_bulk_command(
    command: str, make_plan: Callable[[Bulk], Awaitable[Plan]], running: RunFlags
) -> int:
    """Make a plan, show it, ask, run it and report; or go on with a journal."""
    running.check()
    check_can_ask(yes=running.yes or running.dry_run or running.resume)
    settings = current()
    settings.check_no_names()
    async with open_session(patient=True) as session:
        if running.resume and running.journal is not None:
            run = running.resumed(session.store.bulk, running.journal)
            return await _run(session, run, None, running, command, running.journal)
        if running.journal is not None and await session.store.bulk.status(running.journal):
            raise running.exists()
        async with _busy("Listing volumes and snapshots"):
            plan = await make_plan(session.store.bulk)
        if running.dry_run:
            show_steps(settings.output, plan)
            show_plan(plan)
            running.guards().check(plan)
            print_stderr("dry run: nothing was changed")
            return ExitCode.DONE
        show_plan(plan)
        if plan.steps:
            # Do not ask for consent to something that is rejected afterwards.
            running.guards().check(plan)
            confirm("Go ahead?", yes=running.yes)
        journal, ours = running.journal_path(settings, plan.job, f"{plan.made_at:%Y%m%dT%H%M%SZ}")
        run = running.started(session.store.bulk, plan, journal)
        # The user's own journal must work; ours is a convenience.
        unrecorded = running.started(session.store.bulk, plan, None) if ours else None
        return await _run(session, run, unrecorded, running, command, journal)


@asynccontextmanager
async def _busy(what: str) -> AsyncIterator[None]:
    """Say what is in progress before there is anything to count."""
    console = errors()
    if is_live(console):
        with console.status(what):
            yield
    else:
        print_stderr(f"{what} ...")
        yield


async def _run(
    session: Session,
    run: Run,
    unrecorded: Run | None,
    running: RunFlags,
    command: str,
    journal: str | None,
) -> int:
    """Run to the end; without a journal, as `unrecorded`, where ours cannot be used."""
    ours = unrecorded is not None
    again = _how_to_resume(command, journal)
    stopping: list[Callable[[], None]] = []

    def first() -> None:
        for act in stopping:
            act()

    with interruptible(first, f"quit at once; {again}") as interrupts:
        async with _enter_run(run, unrecorded, running) as entered:
            if entered is not run:
                run, journal = entered, None
                again = _how_to_resume(command, journal)
            title = TITLES[run.plan.kind]
            if run.remaining:
                async with watching(run, session.store, title) as progress:

                    def stop() -> None:
                        progress.stopping = True
                        run.stop()

                    stopping.append(stop)
                    if interrupts.happened:
                        stop()
                    async for outcome in run:
                        progress.ended(outcome)
            else:
                async for _ in run:
                    pass
        report = run.report()
        if ours and journal is not None and report.conclusion == "done":
            await session.store.bulk.remove_journal(journal)
        return _concluded(report, running, interrupts, journal, again)


@asynccontextmanager
async def _enter_run(run: Run, unrecorded: Run | None, running: RunFlags) -> AsyncIterator[Run]:
    """Enter a run; one that resumes may first have to wait and read the account."""
    from ...bulk import JournalError

    if running.resume:
        async with _busy("Checking what the earlier run finished"):
            await run.__aenter__()
    else:
        try:
            await run.__aenter__()
        except JournalError as error:
            if unrecorded is None:
                raise
            tell_no_journal(str(error))
            run = await unrecorded.__aenter__()
    try:
        yield run
    except BaseException as error:
        await run.__aexit__(type(error), error, error.__traceback__)
        raise
    await run.__aexit__(None, None, None)


def _concluded(
    report: Report,
    running: RunFlags,
    interrupts: Interrupts,
    journal: str | None,
    again: str,
) -> int:
    settings: Settings = current()
    show_report(settings.output, report)
    print_failures(report)
    print_stderr(summary_line(report))
    if interrupts.happened or report.stopped or report.remaining:
        print_stderr(again)
    elif report.conclusion != "done" and journal is not None:
        print_stderr(f"to retry the failures: {again.split(': ', 1)[-1]} --retry-failed")
    code = _code(report, interrupts)
    if running.report is not None:
        _save(report, running.report, code)
    return code


def _code(report: Report, interrupts: Interrupts) -> int:
    if interrupts.happened and report.conclusion == "stopped":
        return ExitCode.INTERRUPTED
    if report.stopped == "max_failures":
        return ExitCode.GUARD
    return _CODES.get(report.conclusion, ExitCode.PARTIAL)


def _save(report: Report, path: Path, code: int) -> None:
    try:
        path.write_text(report_text(report, path.suffix.lower()), encoding="utf-8")
    except OSError as error:
        # The job is over; that its report is lost must not look like success.
        raise CommandError(
            f"the job finished as shown, but its report could not be written to {path}: "
            f"{error.strerror}",
            code or ExitCode.FAILED,
        ) from None
    print_stderr(f"report: {path}")


def _how_to_resume(command: str, journal: str | None) -> str:
    if journal is None:
        return "nothing to resume (no journal): run the command again; finished items are skipped"
    return f"to continue: do-blockstore bulk {command} --journal {shown_journal(journal)} --resume"
