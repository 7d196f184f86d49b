"""What a bulk job says on stderr: in words for people, or as lines of JSON for programs.

The events and their fields are API; `docs/reference/progress-events.md` has them.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from ..._clock import Clock
from ..._export import builtins_of, iso_time
from ..output.terminal import errors, is_live, print_error, print_stderr, redact
from .progress import Display, draw, show_nothing, tell_events, write_lines
from .view import plan_lines, print_failures, print_plan, summary_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from ...bulk.model.outcome import Outcome
    from ...bulk.model.plan import Plan, Step
    from ...bulk.model.report import Report
    from ...bulk.model.run_status import RunDetails
    from .options import ProgressStyle

__all__ = ["Notes", "notes_in"]


class Notes(Protocol):
    """How a job talks.

    Attributes:
        display: how its progress is shown.
    """

    display: Display

    def say(self, text: str) -> None:
        """Say something that has no event of its own."""

    def busy(self, what: str) -> AbstractAsyncContextManager[None]:
        """Say what is in progress before there is anything to count."""

    def plan(self, plan: Plan, journal: str | None, earlier: RunDetails | None) -> None:
        """Show a plan, or what is left of an earlier one."""

    def step(self, outcome: Outcome[Step]) -> None:
        """A step has ended."""

    def stopping(self) -> None:
        """The user has asked to stop."""

    def done(self, report: Report, code: int, again: str, journal: str | None) -> None:
        """The job has ended.

        Args:
            report: what became of it.
            code: the exit code.
            again: how to go on with it; empty where nothing is left to do.
            journal: where it is recorded.
        """

    def failed(self, text: str, code: int) -> bool:
        """Say that it could not be done; False to leave that to the program."""

    def farewell(self, text: str, code: int) -> str:
        """Return the last line of a job that does not wait for what is in flight."""


def notes_in(style: ProgressStyle) -> Notes:
    """Return the notes that `--progress` asks for."""
    if style == "json":
        return _JsonNotes()
    if style == "none":
        return _PlainNotes(show_nothing)
    is_bar = style != "lines" and is_live(errors())
    return _PlainNotes(draw if is_bar else write_lines)


class _PlainNotes:
    """Words."""

    def __init__(self, display: Display) -> None:
        self.display = display

    def say(self, text: str) -> None:
        print_stderr(text)

    @asynccontextmanager
    async def busy(self, what: str) -> AsyncIterator[None]:
        console = errors()
        if self.display is draw:
            with console.status(what):
                yield
        else:
            if self.display is not show_nothing:
                print_stderr(f"{what} ...")
            yield

    def plan(self, plan: Plan, journal: str | None, earlier: RunDetails | None) -> None:
        print_plan(plan_lines(plan, earlier), is_deleting=plan.deletion_count > 0)

    def step(self, outcome: Outcome[Step]) -> None:
        pass

    def stopping(self) -> None:
        if self.display is show_nothing:
            print_stderr("stopping: waiting for what is in flight; press Ctrl-C again to quit now")

    def done(self, report: Report, code: int, again: str, journal: str | None) -> None:
        print_failures(report)
        print_stderr(summary_line(report))
        if again:
            # How to go on after a stop or a failure is part of the error.
            print_error(again)

    def failed(self, text: str, code: int) -> bool:
        return False

    def farewell(self, text: str, code: int) -> str:
        return text


class _JsonNotes:
    """An object of JSON on each line."""

    def __init__(self) -> None:
        self.display = tell_events(self._write)

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        sys.stderr.write(self._line(event, fields) + "\n")
        sys.stderr.flush()

    def _line(self, event: str, fields: dict[str, Any]) -> str:
        values = {"time": iso_time(Clock().utc_now()), "event": event, **fields}
        # ASCII: whatever a name holds, a line stays one line.
        return redact(json.dumps(builtins_of(values)))

    def say(self, text: str) -> None:
        self._write("message", {"text": text})

    @asynccontextmanager
    async def busy(self, what: str) -> AsyncIterator[None]:
        self.say(what)
        yield

    def plan(self, plan: Plan, journal: str | None, earlier: RunDetails | None) -> None:
        fields = {
            "kind": plan.kind,
            "job": plan.job,
            "made_at": plan.made_at,
            "selection": str(plan.selection),
            "resumed": earlier is not None,
            "journal": journal,
            "total": len(plan.steps),
            "steps": dict(plan.counts),
            "deletions": plan.deletion_count,
            "skipped": dict(Counter(skip.code for skip in plan.skips)),
            "requests": plan.requests,
            "duration_s": round(plan.duration_s, 3),
            "monthly_change": round(plan.monthly_change, 4),
            "currency": plan.currency,
            "warnings": plan.warnings,
        }
        self._write("plan", fields)

    def step(self, outcome: Outcome[Step]) -> None:
        step = outcome.item
        fields = {
            "key": step.key,
            "action": step.action,
            "region": step.region,
            "volume": step.volume_name or step.volume_id,
            "name": step.name,
            "status": outcome.status,
            "code": outcome.code,
            "reason": outcome.reason,
            "duration_s": round(outcome.duration_s, 3),
        }
        self._write("step", fields)

    def stopping(self) -> None:
        self._write("stopping", {})

    def done(self, report: Report, code: int, again: str, journal: str | None) -> None:
        kept = ("kind", "job", "conclusion", "stopped", "warning", "counts", "remaining",
                "by_action", "requests", "rate_limited", "duration_s", "monthly_change",
                "currency")  # fmt: skip
        summary = report.summary()
        fields = {name: summary[name] for name in kept}
        self._write("done", {**fields, "exit_code": code, "journal": journal, "resume": again})

    def failed(self, text: str, code: int) -> bool:
        self._write("error", {"text": text, "exit_code": code})
        return True

    def farewell(self, text: str, code: int) -> str:
        return self._line("error", {"text": text, "exit_code": code})
