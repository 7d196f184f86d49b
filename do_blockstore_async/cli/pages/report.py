"""The report of an inventory: one page for a browser, and the same picture for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..output.tables import write
from ..output.text import bar
from .rendering import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .figures import Bar, Figures

__all__ = ["chart_text", "report_page", "show_chart"]

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
    write(chart_text(figures, width))


def chart_text(figures: Figures, width: int) -> str:
    """Return what `show_chart` writes."""
    currency = figures.inventory.currency
    blocks = [(f"Cost by region, {currency} a month", figures.regions)]
    if figures.with_snapshots:
        blocks.append(("Snapshots by age, GiB", figures.ages))
        blocks.append(("Volumes by the age of their newest snapshot", figures.newest))
    lines: list[str] = []
    for title, bars in blocks:
        # What the report's table says in several columns is one figure here.
        shown = [each.cells[1] if bars is figures.ages else each.cells[-1] for each in bars]
        lines += ["", title, *_bar_lines(bars, shown, width)]
    return "\n".join(lines) + "\n"


def _bar_lines(bars: Sequence[Bar], amounts: Sequence[str], width: int) -> list[str]:
    labels = max((len(each.label) for each in bars), default=0)
    numbers = max(map(len, amounts), default=0)
    room = max(10, min(_BAR_WIDTH, width - labels - numbers - 6))
    lines = []
    for each, amount in zip(bars, amounts, strict=True):
        filled, rest = bar(room, sum(each.parts) / 100)
        lines.append(f"  {each.label:<{labels}}  {filled}{rest}  {amount:>{numbers}}")
    return lines
