"""Watching a bulk job: a display on a terminal, plain lines elsewhere; both on stderr.

Both show the same: how many items are done, skipped and failed, what is left of the budget, when
it will finish (the throttle's forecast for the requests that remain), and why it waits if it
does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from ..._clock import now_s, wait_for_event
from ..._export import visible
from ..output.terminal import errors, is_live, print_stderr
from ..output.text import bar, budget_left, clock_text, waiting_reason

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ... import BlockStore
    from ...bulk.execution.run import Run
    from ...bulk.model.outcome import Outcome
    from ...bulk.model.plan import Step

__all__ = ["Progress", "watching"]

_REDRAW_S = 0.1
_LINE_EVERY_S = 10.0
_LINES_APART_S = 1.0

_DONE = {
    "create_snapshot": "snapshot taken",
    "delete_snapshot": "snapshot deleted",
    "delete_volume": "volume deleted",
    "create_volume": "volume created",
    "tag_volume": "tagged",
    "untag_volume": "untagged",
}


class Progress:
    """What is known of a running job at this moment."""

    def __init__(self, run: Run, store: BlockStore, title: str) -> None:
        self._run = run
        self._store = store
        self._title = title
        self._last = ""
        self.stopping = False

    def ended(self, outcome: Outcome[Step]) -> None:
        """One more item has an outcome."""
        step = outcome.item
        what = _DONE.get(step.action, step.action) if outcome.status == "done" else outcome.status
        why = f": {outcome.reason}" if outcome.reason else ""
        self._last = visible(f"{step.region} {step.volume_name or step.name}: {what}{why}")

    def counts(self) -> str:
        """How many items ended how."""
        counts = self._run.counts
        parts = [f"{counts['done']:,} done", f"{counts['skipped']:,} skipped"]
        parts.append(f"{counts['failed']:,} failed")
        if counts["unknown"]:
            parts.append(f"{counts['unknown']:,} unknown")
        return ", ".join(parts)

    def eta_s(self) -> float:
        """Seconds until the rest would be done, by the throttle's forecast."""
        left = max(0, self._run.remaining - self._store.quota.waiting_background)
        return self._store.throttle.forecast(left, background=True).total_seconds()

    def reason(self) -> str:
        """Say why nothing progresses, if so."""
        status = self._store.quota
        if self.stopping:
            return f"stopping: waiting for {status.in_flight} in flight; Ctrl-C again to quit now"
        return waiting_reason(status)

    @property
    def ended_count(self) -> int:
        """How many items have an outcome."""
        return self._run.total - self._run.remaining

    def line(self) -> str:
        """Everything on one line."""
        parts = [
            f"{self._title}: {self.ended_count:,} of {self._run.total:,}",
            self.counts(),
            f"budget left {budget_left(self._store.quota)}",
        ]
        if self._run.remaining and not self.stopping:
            parts.append(f"{clock_text(self.eta_s())} to go")
        return "; ".join(part for part in (*parts, self.reason()) if part)

    def view(self, width: int) -> RenderableType:
        """Three lines for a terminal."""
        from rich.console import Group
        from rich.text import Text

        total, ended = self._run.total, self.ended_count
        share = ended / total if total else 1.0
        numbers = f" {ended:,}/{total:,}"
        eta = clock_text(self.eta_s()) + " to go" if ended < total and not self.stopping else ""
        first = Text(f"{self._title} ")
        filled, rest = bar(max(10, min(50, width - len(first) - len(numbers) - 17)), share)
        first.append(filled, style="green" if ended == total else "cyan")
        first.append(rest, style="dim")
        first.append(f"{numbers} {share:4.0%}  {eta}")
        counts = self._run.counts
        bad = counts["failed"] + counts["unknown"]
        second = Text("  ")
        second.append(self.counts(), style="red" if bad else "")
        second.append(f" · left: {budget_left(self._store.quota)}", style="dim")
        reason = self.reason()
        third = Text(f"  {reason or self._last}", style="yellow" if reason else "dim")
        lines = [first, second, third] if ended < total else [first, second]
        for line in lines:
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
        return Group(*lines)


@asynccontextmanager
async def watching(run: Run, store: BlockStore, title: str) -> AsyncIterator[Progress]:
    """Show the progress of a run while the block lasts."""
    progress = Progress(run, store, title)
    show = _draw if is_live(errors()) else _write_lines
    ready: asyncio.Event = asyncio.Event()
    ticker = asyncio.create_task(show(progress, ready), name="progress display")
    try:
        yield progress
    finally:
        ready.set()
        with suppress(asyncio.CancelledError):
            await ticker


async def _draw(progress: Progress, over: asyncio.Event) -> None:
    from rich.live import Live

    console = errors()
    with Live(console=console, auto_refresh=False, redirect_stdout=False) as live:
        while True:
            live.update(progress.view(console.width - 1), refresh=True)
            if over.is_set():
                return
            await wait_for_event(over, _REDRAW_S)


async def _write_lines(progress: Progress, over: asyncio.Event) -> None:
    """A line at every tenth of the way, a second apart; after ten seconds without, one anyway."""
    told_tenth, told_at_s = -1, now_s()
    while not over.is_set():
        run_share = progress.ended_count * 10 // max(1, progress._run.total)
        at_s = now_s()
        gap_s = _LINES_APART_S if run_share != told_tenth and told_tenth >= 0 else _LINE_EVERY_S
        if told_tenth < 0 or at_s - told_at_s >= gap_s:
            told_tenth, told_at_s = run_share, at_s
            print_stderr(progress.line())
        await wait_for_event(over, _REDRAW_S)
    print_stderr(progress.line())
