"""A picture of the scale: cost of an item, longest stop of the loop and memory, by size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .probe import Figures

__all__ = ["draw"]

INK, GRID, BAD = "#1f2933", "#d9dee3", "#c92a2a"

# A color for each group of pieces: there are too many pieces for a name on each line.
_GROUPS: dict[str, tuple[str, str]] = {
    "models": ("listed whole, as models", "#e8590c"),
    "listing": ("listed by pages", "#f2b705"),
    "inventory": ("inventory", "#5c940d"),
    "rules": ("plans, nine ways to keep", "#0b7285"),
    "plans": ("other plans", "#66c2d4"),
    "night": ("a night: plan to report", "#364fc7"),
    "large": ("a plan of most snapshots", "#9775fa"),
    "command-line": ("the command line", "#868e96"),
    "floors": ("floors: Python itself", INK),
}

_PANELS: tuple[tuple[str, Callable[[Figures], float | None], float | None], ...] = (
    ("CPU of an item, µs", lambda one: one.cpu_s / max(1, one.items) * 1e6, None),
    ("longest stop of the loop, ms", lambda one: one.stop_ms, 25.0),
    ("peak memory, MiB", lambda one: one.peak_mib, 1.2 * 1024),
)


def draw(path: Path, by_size: dict[int, list[Figures]]) -> None:
    """Write the picture to `path` as a PNG: a panel for each figure, a line for each piece."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    sizes = sorted(by_size)
    groups = {one.case: one.group for one in by_size[sizes[-1]] if one.items > 1}
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(12, 4.9))
    for axis, (title, value, bar) in zip(axes, _PANELS, strict=True):
        for case, group in groups.items():
            found = [
                next((value(one) for one in by_size[size] if one.case == case), None)
                for size in sizes
            ]
            values = [float("nan") if one is None else one for one in found]
            style = (0, (1, 1.5)) if group == "floors" else "-"
            axis.plot(sizes, values, color=_GROUPS[group][1], lw=1.2, alpha=0.8, ls=style)
            for size, one in zip(sizes, values, strict=True):
                is_over = bar is not None and one > bar
                axis.plot(size, one, marker=".", color=BAD if is_over else _GROUPS[group][1])
        if bar is not None:
            axis.axhline(bar, color=INK, lw=1, ls=(0, (4, 3)))
        _dress(axis, title, sizes)
    drawn = [(label, color) for name, (label, color) in _GROUPS.items() if name in groups.values()]
    names = [Line2D([], [], color=color, lw=2, label=label) for label, color in drawn]
    names.append(Line2D([], [], color=BAD, marker=".", ls="", label="over the bar"))
    figure.legend(handles=names, ncols=5, loc="lower center", fontsize=8.5, frameon=False)
    figure.supxlabel(
        "volumes, each with ten snapshots; a line for each piece of work", fontsize=9.5, y=0.14
    )
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _dress(axis: Any, title: str, sizes: list[int]) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.minorticks_off()
    axis.set_title(title, fontsize=10.5, color=INK, loc="left", fontweight="bold")
    axis.grid(color=GRID, lw=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8.5, colors=INK, length=0)
    for side in axis.spines.values():
        side.set_visible(False)
