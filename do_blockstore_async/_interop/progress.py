"""rich: a progress view of a bulk run, in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["shown"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Watched(Protocol[T_co]):
    """What of a run is shown."""

    @property
    def total(self) -> int:
        """How many items there are."""

    @property
    def remaining(self) -> int:
        """How many of them have no outcome yet."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many have finished in each status."""

    def __aiter__(self) -> AsyncIterator[T_co]: ...


async def shown(
    run: Watched[T], title: str, waits_for: Callable[[], str], console: Console | None
) -> AsyncGenerator[T, None]:
    """Iterate a run, and show how far it has come.

    Args:
        run: the run.
        title: what it is.
        waits_for: says what it waits for; empty for nothing.
        console: where to draw; by default standard output, or the cell of the notebook.
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
        task = bars.add_task(title, total=total, told="")
        async for outcome in run:
            bars.update(task, completed=total - run.remaining, told=_told(run, waits_for()))
            yield outcome
        bars.update(task, completed=total - run.remaining, told=_told(run, ""))


def _told(run: Watched[object], waits_for: str) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in run.counts.items() if count)
    return f"{counts}; waits: {waits_for}" if waits_for else counts
