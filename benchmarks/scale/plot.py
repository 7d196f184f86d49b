"""A picture of the scale: cost of an item, longest stop of the loop and memory, by size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .probe import Figures

__all__ = ["draw"]

INK, GRID, FINE, BAD = "#1f2933", "#d9dee3", "#0b7285", "#c92a2a"

_PANELS: tuple[tuple[str, Callable[[Figures], float], float | None], ...] = (
    ("CPU of an item, µs", lambda one: one.cpu_s / max(1, one.items) * 1e6, None),
    ("longest stop of the loop, ms", lambda one: one.stop_ms, 25.0),
    ("peak memory, MiB", lambda one: one.peak_mib, 1.2 * 1024),
)


def draw(path: Path, by_size: dict[int, list[Figures]]) -> None:
    """Write the picture to `path` as a PNG: a panel for each figure, a line for each case."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    sizes = sorted(by_size)
    cases = [one.case for one in by_size[sizes[0]] if one.items > 1]
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(12, 4.2))
    for axis, (title, value, bar) in zip(axes, _PANELS, strict=True):
        for case in cases:
            values = [
                next((value(one) for one in by_size[size] if one.case == case), float("nan"))
                for size in sizes
            ]
            is_over = bar is not None and values[-1] > bar
            axis.plot(sizes, values, color=BAD if is_over else FINE, lw=1.2, alpha=0.7, marker=".")
        if bar is not None:
            axis.axhline(bar, color=INK, lw=1, ls=(0, (4, 3)))
        _dress(axis, title)
    figure.supxlabel("volumes, each with ten snapshots; a line for each case", fontsize=9.5)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _dress(axis: Any, title: str) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_title(title, fontsize=10.5, color=INK, loc="left", fontweight="bold")
    axis.grid(color=GRID, lw=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8.5, colors=INK, length=0)
    for side in axis.spines.values():
        side.set_visible(False)
