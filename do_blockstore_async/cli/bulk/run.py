"""One bulk job at the terminal: plan, question, run, report."""

from __future__ import annotations

import errno
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from ...jobs import report_text
from ..exit_codes import CommandError, ExitCode, UsageError
from ..options import Settings, current
from ..output.errors import describe, exit_code
from ..output.prompts import check_can_ask
from ..session import open_session
from ..signals import Interrupts, interruptible
from .notes import Notes, notes_in
from .options import RunFlags, no_journal, quoted_journal, shown_journal
from .progress import watching
from .view import TITLES, confirm_plan, show_report, show_steps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ...bulk.execution.run import Run
    from ...bulk.model.plan import Plan
    from ...bulk.model.report import Report
    from ...bulk.model.run_status import RunDetails
    from ...bulk.service import Bulk
    from ..session import Session

__all__ = ["COMMANDS", "how_to_resume", "run_bulk_command"]

_NOTHING_DONE = "nothing was done"
_CODES = {"done": ExitCode.DONE, "partial": ExitCode.PARTIAL, "failed": ExitCode.FAILED}

COMMANDS = {
    "snapshots": "bulk snapshot",
    "prune": "bulk prune",
    "deletions": "bulk delete",
    "creations": "bulk create",
}
"""The command that resumes a journal, by the kind of its plan."""


def how_to_resume(command: str, journal: str) -> str:
    """Return the command line that goes on with a journal."""
    return f"do-blockstore {command} --journal {quoted_journal(journal)} --resume"


async def run_bulk_command(
    command: str,
    make_plan: Callable[[Bulk], Awaitable[Plan]],
    running: RunFlags,
    given: tuple[str, ...] = (),
) -> int:
    """Make a plan, show it, ask, run it and report; or go on with a journal.

    Args:
        command: its words.
        make_plan: makes the plan.
        running: how it runs.
        given: the options typed that say what is planned.
    """
    running.check(given)
    current().check_no_names()
    check_can_ask(yes=running.yes or running.dry_run)
    job = _Job(command, running, notes_in(running.progress))
    try:
        async with open_session(patient=True) as session:
            if running.resume and running.journal is not None:
                return await job.resume(session, running.journal)
            return await job.begin(session, make_plan)
    except Exception as error:
        settings, code = current(), exit_code(error)
        if settings.verbose or not job.notes.failed(describe(error, settings), code):
            raise
        return code


@attrs.frozen
class _Job:
    """One job: its command, how it runs, and how it talks."""

    command: str
    running: RunFlags
    notes: Notes

    async def begin(self, session: Session, make_plan: Callable[[Bulk], Awaitable[Plan]]) -> int:
        """Plan, ask and run."""
        running, settings, bulk = self.running, current(), session.store.bulk
        if running.journal is not None and await bulk.status(running.journal):
            raise running.exists()
        with (
            self._interruptible(_NOTHING_DONE) as interrupts,
            interrupts.cancelling(lambda: f"interrupted; {_NOTHING_DONE}"),
        ):
            async with self.notes.busy("Listing volumes and snapshots"):
                plan = await make_plan(bulk)
        if running.dry_run:
            return self._show_only(plan, None)
        stamp = f"{plan.made_at:%Y%m%dT%H%M%SZ}"
        journal, ours = running.journal_path(settings, plan.job, stamp, self.notes.say)
        self.notes.plan(plan, _shown_or_none(journal), None)
        if plan.steps:
            # Do not ask for consent to something that is rejected afterwards.
            running.guards().check(plan)
            confirm_plan(plan, yes=running.yes)
        run = running.started(bulk, plan, journal)
        # The user's own journal must work; ours is a convenience.
        unrecorded = running.started(bulk, plan, None) if ours else None
        return await self._run(session, run, unrecorded, journal)

    async def resume(self, session: Session, journal: str) -> int:
        """Show what is left of an earlier run, ask, and do it."""
        running, bulk = self.running, session.store.bulk
        details = await bulk.details(journal)
        if details is None:
            raise UsageError(f"there is no journal {shown_journal(journal)}, or nothing in it yet")
        self._check_command(details, journal)
        if running.retry_failed and details.status.remaining == details.status.total:
            raise UsageError("no step in this journal has an outcome yet: leave --retry-failed out")
        left = details.remainder(retry_failed=running.retry_failed)
        left = attrs.evolve(left, duration_s=bulk.forecast(left).total_seconds())
        if running.dry_run:
            return self._show_only(left, details)
        self.notes.plan(left, shown_journal(journal), details)
        if left.steps:
            running.guards().check(details.plan)
            confirm_plan(left, yes=running.yes)
        return await self._run(session, running.resumed(bulk, journal), None, journal)

    def _check_command(self, details: RunDetails, journal: str) -> None:
        command = COMMANDS.get(details.plan.kind)
        if command == self.command:
            return
        if command is None:
            raise UsageError(
                f"the journal {shown_journal(journal)} is of job {details.plan.job} "
                f"({details.plan.kind}), which no `bulk` command resumes: run it again with "
                "`do-blockstore jobs run`"
            )
        raise UsageError(
            f"the journal {shown_journal(journal)} is of `{command}`, not of `{self.command}`; "
            f"to continue: {how_to_resume(command, journal)}"
        )

    def _show_only(self, plan: Plan, earlier: RunDetails | None) -> int:
        show_steps(current().output, plan)
        self.notes.plan(plan, _shown_or_none(self.running.journal), earlier)
        self.running.guards().check(plan if earlier is None else earlier.plan)
        self.notes.say("dry run: nothing was changed")
        return ExitCode.DONE

    async def _run(
        self, session: Session, run: Run, unrecorded: Run | None, journal: str | None
    ) -> int:
        """Run to the end; without a journal, as `unrecorded`, where ours cannot be used."""
        ours = unrecorded is not None

        def again() -> str:
            return self._how_to_continue(journal)

        with self._interruptible(again) as interrupts:
            async with self._enter(run, unrecorded, interrupts, again) as entered:
                if entered is not run:
                    run, journal = entered, None
                if run.remaining:
                    await self._watch(session, run, interrupts)
                else:
                    async for _ in run:
                        pass
            report = run.report()
            if ours and journal is not None and not _can_continue(report):
                await session.store.bulk.remove_journal(journal)
                journal = None
        # Outside: a pager that takes no more of the report must not keep Ctrl-C from ending it.
        return self._concluded(report, interrupts, journal)

    async def _watch(
        self,
        session: Session,
        run: Run,
        interrupts: Interrupts,
    ) -> None:
        title = TITLES[run.plan.kind]
        async with watching(run, session.store, title, self.notes.display) as progress:

            def stop() -> None:
                progress.stopping = True
                run.stop()
                self.notes.stopping()

            interrupts.first = stop
            if interrupts.happened:
                stop()
            async for outcome in run:
                progress.ended(outcome)
                self.notes.step(outcome)

    @asynccontextmanager
    async def _enter(
        self,
        run: Run,
        unrecorded: Run | None,
        interrupts: Interrupts,
        again: Callable[[], str],
    ) -> AsyncIterator[Run]:
        """Enter a run; one that resumes may first have to wait and read the account."""
        from ...bulk import JournalError

        with interrupts.cancelling(lambda: f"interrupted; {again()}"):
            if self.running.resume:
                async with self.notes.busy("Checking what the earlier run finished"):
                    await run.__aenter__()
            else:
                try:
                    await run.__aenter__()
                except JournalError as error:
                    if unrecorded is None:
                        raise
                    self.notes.say(no_journal(str(error)))
                    run = await unrecorded.__aenter__()
        try:
            yield run
        except BaseException as error:
            await run.__aexit__(type(error), error, error.__traceback__)
            raise
        await run.__aexit__(None, None, None)

    def _concluded(self, report: Report, interrupts: Interrupts, journal: str | None) -> int:
        settings: Settings = current()
        code = _code(report, interrupts)
        unwritten: OSError | None = None
        try:
            show_report(settings.output, report)
            sys.stdout.flush()
        except OSError as error:
            # Whoever reads the table may have gone (`| head`): what is kept elsewhere is kept.
            unwritten = error
        again = ""
        if report.stopped or report.remaining:
            again = self._how_to_continue(journal)
        elif _can_continue(report) and journal is not None:
            again = f"to retry the failures: {how_to_resume(self.command, journal)} --retry-failed"
        self.notes.done(report, code, again, _shown_or_none(journal))
        if self.running.report is not None:
            self._save(report, self.running.report, code)
        if unwritten is not None and (code == ExitCode.DONE or unwritten.errno != errno.EPIPE):
            raise unwritten
        return code

    def _save(self, report: Report, path: Path, code: int) -> None:
        try:
            path.write_text(report_text(report, path.suffix.lower()), encoding="utf-8")
        except OSError as error:
            # The job is over; that its report is lost must not look like success.
            raise CommandError(
                f"the job finished as shown, but its report could not be written to {path}: "
                f"{error.strerror}",
                code or ExitCode.FAILED,
            ) from None
        self.notes.say(f"report: {path}")

    @contextmanager
    def _interruptible(self, again: str | Callable[[], str]) -> Iterator[Interrupts]:
        """Handle interrupts in the block; `again` says how to go on after a second one."""

        def farewell(code: int) -> str:
            how = again if isinstance(again, str) else again()
            return self.notes.farewell(f"quit at once; {how}", code)

        with interruptible(lambda: None, farewell) as interrupts:
            yield interrupts

    def _how_to_continue(self, journal: str | None) -> str:
        if journal is None:
            return (
                "nothing to resume (no journal): run the command again; finished items are skipped"
            )
        return f"to continue: {how_to_resume(self.command, journal)}"


def _can_continue(report: Report) -> bool:
    """Whether its journal is of use: something remains, or can be retried."""
    counts = report.counts
    is_unfinished = report.stopped is not None or report.remaining
    return bool(is_unfinished or counts["failed"] or counts["unknown"])


def _code(report: Report, interrupts: Interrupts) -> int:
    if interrupts.happened and report.conclusion == "stopped":
        return interrupts.code
    if report.stopped == "max_failures":
        return ExitCode.GUARD
    return _CODES.get(report.conclusion, ExitCode.PARTIAL)


def _shown_or_none(journal: str | None) -> str | None:
    return None if journal is None else shown_journal(journal)
