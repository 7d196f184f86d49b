"""How far a bulk job is: a display on a terminal, plain lines or events elsewhere; all on stderr.

All show the same: how many items are done, skipped and failed, what is left of the budget, when it
will finish (what is queued, in flight and waiting to be sent again included), and why it waits if
it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from ..._clock import now_s, wait_for_event
from ..._export import visible
from ..output.terminal import errors, print_stderr
from ..output.text import (
    ShownWait,
    bar,
    budget_left,
    budget_wait,
    clock_text,
    folded,
    span_text,
    whole_seconds,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ... import BlockStore
    from ...bulk.execution.run import Run
    from ...bulk.model.outcome import Outcome
    from ...bulk.model.plan import Step
    from ...bulk.model.run_status import RunActivity

__all__ = ["Display", "Progress", "draw", "show_nothing", "tell_events", "watching", "write_lines"]

_REDRAW_S = 0.1
_LINE_EVERY_S = 10.0
_LINES_APART_S = 1.0
_SHORTEST_BAR, _LONGEST_BAR = 5, 50
# As wide as `1:02:03 to go`, so that the bar keeps its length.
_ETA_WIDTH = 13
_WORTH_TELLING_S = 1.0

_DONE = {
    "create_snapshot": "snapshot taken",
    "delete_snapshot": "snapshot deleted",
    "delete_volume": "volume deleted",
    "create_volume": "volume created",
    "tag_volume": "tagged",
    "untag_volume": "untagged",
}


class Progress:
    """What is known of a running job at this moment.

    Attributes:
        stopping: whether the user has asked to stop.
    """

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

    def wait(self, activity: RunActivity | None = None) -> ShownWait | None:
        """Say what the job waits for; None while requests leave."""
        now = activity or self._run.activity
        budget = budget_wait(self._store.quota) if now.waiting else None
        if budget is not None:
            return budget
        if now.retrying and now.retry_in_s >= _WORTH_TELLING_S:
            why = f" ({now.retry_status})" if now.retry_status else ""
            text = f"{_several(now.retrying, 'request')} rejected{why}: next retry in "
            return ShownWait("retry", now.retry_in_s, text + whole_seconds(now.retry_in_s))
        if now.waiting or now.in_flight:
            return None
        if now.looking_up:
            what = _several(now.looking_up, "lost response")
            return ShownWait("looking_up", 0.0, f"checking what became of {what}")
        if now.in_doubt:
            text = f"{_several(now.in_doubt, 'step')} of a worker that died: looked up in "
            return ShownWait("in_doubt", now.look_up_in_s, text + whole_seconds(now.look_up_in_s))
        if now.elsewhere:
            return ShownWait(
                "elsewhere", 0.0, f"another worker has {_several(now.elsewhere, 'step')}"
            )
        return None

    def reason(self, activity: RunActivity | None = None) -> str:
        """Say why nothing progresses, if so."""
        now = activity or self._run.activity
        if not self.stopping:
            found = self.wait(now)
            return "" if found is None else found.text
        sent, again = now.in_flight + now.looking_up, now.waiting + now.retrying
        text = "stopping: nothing is in flight any more"
        if sent or again:
            what = f"{_several(sent or again, 'request')} {'in flight' if sent else 'to be resent'}"
            text = f"stopping: waiting for {what}; press Ctrl-C again to quit now"
        return f"{text} ({now.given_up:,} given up)" if now.given_up else text

    @property
    def ended_count(self) -> int:
        """How many items have an outcome."""
        return self._run.total - self._run.remaining

    @property
    def tenth(self) -> int:
        """How many tenths of the items have an outcome."""
        return self.ended_count * 10 // max(1, self._run.total)

    def figures(self) -> dict[str, Any]:
        """All of it, for programs."""
        run, now = self._run, self._run.activity
        counts = run.counts
        windows = self._store.quota.windows
        return {
            "total": run.total,
            **{status: counts[status] for status in ("done", "skipped", "failed", "unknown")},
            "remaining": run.remaining,
            "waiting": now.waiting,
            "in_flight": now.in_flight,
            "retrying": now.retrying,
            "looking_up": now.looking_up,
            "in_doubt": now.in_doubt,
            "elsewhere": now.elsewhere,
            "ends_in_s": None if self.stopping else round(now.ends_in_s, 3),
            "budget": [
                {"length_s": each.length_s, "limit": each.limit, "remaining": each.remaining}
                for each in windows
            ],
        }

    def line(self) -> str:
        """Everything on one line."""
        now = self._run.activity
        parts = [
            f"{self._title}: {self.ended_count:,} of {self._run.total:,}",
            self.counts(),
            f"budget left {budget_left(self._store.quota)}",
        ]
        if self._run.remaining and not self.stopping:
            parts.append(f"{span_text(now.ends_in_s)} to go")
        return "; ".join(part for part in (*parts, self.reason(now)) if part)

    def view(self, width: int) -> RenderableType:
        """A few lines for a terminal of that width: times and reasons are never cut."""
        from rich.console import Group
        from rich.text import Text

        now = self._run.activity
        counts = self._run.counts
        lines = [self._headline(now, width)]
        bad = counts["failed"] + counts["unknown"]
        done, left = f"  {self.counts()}", f"left: {budget_left(self._store.quota)}"
        is_one = len(done) + len(left) + 3 <= width
        second = Text(done, style="red" if bad else "")
        second.append(f" · {left}" if is_one else "", style="dim")
        lines.append(second)
        if not is_one:
            # A line for each window; its figures have commas, too.
            for number, window in enumerate(left.split(", ")):
                lines.append(Text(f"{'        ' if number else '  '}{window}", style="dim"))
        if self._run.remaining:
            reason = self.reason(now)
            lines += [Text(each, style="yellow") for each in folded(f"  {reason}", width)]
            if not reason:
                lines[-1] = Text(f"  {self._last}", style="dim")
        for line in lines:
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
        return Group(*lines)

    def _headline(self, now: RunActivity, width: int) -> Any:
        """Title, bar, numbers and time to go; on a narrow terminal first the bar is left out."""
        from rich.text import Text

        total, ended = self._run.total, self.ended_count
        share = ended / total if total else 1.0
        numbers, percent, eta = f"{ended:,}/{total:,}", f"{share:4.0%}", ""
        if ended < total and not self.stopping:
            eta = clock_text(now.ends_in_s) if now.ends_in_s >= 1 else "<1 s"
            eta = f"{eta} to go"
        line = Text(f"{self._title} ")
        room = width - len(line) - len(numbers) - len(percent) - max(_ETA_WIDTH, len(eta)) - 4
        if room >= _SHORTEST_BAR:
            filled, rest = bar(min(_LONGEST_BAR, room), share)
            line.append(filled, style="green" if ended == total else "cyan")
            line.append(rest, style="dim")
            line.append(f" {numbers} {percent}  {eta}".rstrip())
            return line
        for parts in ((self._title, numbers, percent, eta), (self._title, numbers, eta)):
            text = "  ".join(part for part in parts if part)
            if len(text) <= width:
                return Text(text)
        return Text(f"{numbers}  {eta}")


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


Display: TypeAlias = Callable[[Progress, asyncio.Event], Coroutine[Any, Any, None]]
"""Shows the progress of a job until the event is set."""


@asynccontextmanager
async def watching(
    run: Run, store: BlockStore, title: str, display: Display
) -> AsyncIterator[Progress]:
    """Show the progress of a run while the block lasts."""
    progress = Progress(run, store, title)
    ready: asyncio.Event = asyncio.Event()
    ticker = asyncio.create_task(display(progress, ready), name="progress display")
    try:
        yield progress
    finally:
        ready.set()
        with suppress(asyncio.CancelledError):
            await ticker


async def draw(progress: Progress, over: asyncio.Event) -> None:
    """Redraw in place."""
    from rich.live import Live

    console = errors()
    with Live(console=console, auto_refresh=False, redirect_stdout=False) as live:
        while True:
            live.update(progress.view(console.width - 1), refresh=True)
            if over.is_set():
                return
            await wait_for_event(over, _REDRAW_S)


async def write_lines(progress: Progress, over: asyncio.Event) -> None:
    """A line at every tenth of the way, a second apart; after ten seconds without, one anyway."""
    async for _ in _moments(progress, over):
        print_stderr(progress.line())


def tell_events(write: Callable[[str, dict[str, Any]], None]) -> Display:
    """Return a display of events: the figures as often as lines, each wait as it begins."""

    async def display(progress: Progress, over: asyncio.Event) -> None:
        async def waits() -> None:
            kind = ""
            while True:
                found = None if progress.stopping else progress.wait()
                if found is not None and found.kind != kind:
                    fields = {"kind": found.kind, "in_s": round(found.in_s, 3), "text": found.text}
                    write("wait", fields)
                kind = "" if found is None else found.kind
                await wait_for_event(over, _REDRAW_S)
                if over.is_set():
                    return

        watcher = asyncio.create_task(waits(), name="progress waits")
        try:
            async for _ in _moments(progress, over):
                write("progress", progress.figures())
        finally:
            watcher.cancel()

    return display


async def show_nothing(progress: Progress, over: asyncio.Event) -> None:
    """ShownWait for the end."""
    await over.wait()


async def _moments(progress: Progress, over: asyncio.Event) -> AsyncIterator[None]:
    """Yield when it is time for a line; the last time at the end."""
    told_tenth, told_at_s = -1, now_s()
    while not over.is_set():
        tenth, at_s = progress.tenth, now_s()
        gap_s = _LINES_APART_S if tenth != told_tenth and told_tenth >= 0 else _LINE_EVERY_S
        if told_tenth < 0 or at_s - told_at_s >= gap_s:
            told_tenth, told_at_s = tenth, at_s
            yield
        await wait_for_event(over, _REDRAW_S)
    yield
