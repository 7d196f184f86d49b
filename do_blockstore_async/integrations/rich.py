"""rich: a progress view of a bulk run, in a terminal and in a notebook.

    async with store.bulk.run(plan) as run:
        async for outcome in progress(run, store):
            ...

One bar with what is done, failed and skipped, how long it will take, and what the run waits for
where it waits. In a pipe or a log file nothing is drawn. Extra `cli`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .. import BlockStore
from .._export import visible
from ..bulk import Outcome, Run, Step

__all__ = ["progress"]


async def progress(
    run: Run, store: BlockStore | None = None, *, console: Console | None = None
) -> AsyncGenerator[Outcome[Step], None]:
    """Iterate a run, entered already, and show how far it has come.

    Args:
        run: what `store.bulk.run(plan)` gave, inside of its `async with`.
        store: the client, to show what the run waits for.
        console: where to draw; by default standard output, or the cell of the notebook.

    Returns:
        An async iterator of the outcomes, as of the run itself.
    """
    console = Console() if console is None else console
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    is_shown = console.is_terminal or console.is_jupyter
    with Progress(*columns, console=console, disable=not is_shown) as bars:
        total = run.total
        task = bars.add_task(visible(run.plan.job), total=total, told="")
        async for outcome in run:
            bars.update(task, completed=total - run.remaining, told=_told(run, store))
            yield outcome
        bars.update(task, completed=total - run.remaining, told=_told(run, None))


def _told(run: Run, store: BlockStore | None) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in run.counts.items() if count)
    if store is None:
        return counts
    reason = store.explain(background=True)
    return counts if reason.kind == "ready" else f"{counts}; waits: {reason.kind}"
