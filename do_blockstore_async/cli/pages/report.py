"""The report of an inventory: one page for a browser, and the same picture for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..output.terminal import results
from ..output.text import bar
from .rendering import render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from .figures import Bar, Figures

__all__ = ["report_page", "show_chart"]

_BAR_WIDTH = 40


def report_page(figures: Figures) -> str:
    """Return the report as one HTML page, which a later report can read."""
    return render("report", figures=figures, inventory=figures.inventory)


def show_chart(figures: Figures, width: int) -> None:
    """Write cost by region and age of snapshots to stdout, as bars.

    Args:
        figures: what the report would show.
        width: columns of the terminal.
    """
    from rich.text import Text

    console = results()
    currency = figures.inventory.currency
    blocks = []
    if len(figures.regions) > 1:
        blocks.append((f"Cost by region, {currency} a month", figures.regions))
    if figures.with_snapshots:
        blocks.append(("Snapshots by age, GiB", figures.ages))
        blocks.append(("Volumes by the age of their newest snapshot", figures.newest))
    for title, bars in blocks:
        if not any(sum(each.parts) for each in bars):
            continue  # such as snapshots that take no space yet
        # What the report's table says in several columns is one figure here.
        shown = [each.cells[1] if bars is figures.ages else each.cells[-1] for each in bars]
        for line in ("", Text(title, style="bold"), *_bar_lines(bars, shown, width)):
            console.print(line, no_wrap=True, crop=False)


def _bar_lines(bars: Sequence[Bar], amounts: Sequence[str], width: int) -> Iterator[Text]:
    from rich.text import Text

    labels = max((len(each.label) for each in bars), default=0)
    numbers = max(map(len, amounts), default=0)
    room = max(10, min(_BAR_WIDTH, width - labels - numbers - 6))
    for each, amount in zip(bars, amounts, strict=True):
        filled, rest = bar(room, sum(each.parts) / 100)
        line = Text(f"  {each.label:<{labels}}  ")
        line.append(filled, style="cyan")
        line.append(rest, style="dim")
        yield line.append(f"  {amount:>{numbers}}")
