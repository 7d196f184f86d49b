"""A picture of the comparison: requests in each sliding minute against the limit, side by side.

Each panel is one way to send 1,000 requests to a strict sliding log. The line counts what reached
the server in the last 60 seconds, accepted or not; what lies above the limit was refused.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

from .rivals import NestedLimiters, RetryOnly, SmoothedLimiter
from .scenarios import Case, Outcome, ours, run_case

__all__ = ["draw"]

LIMIT, WINDOW_S = 250, 60.0
SHOWN_S = 250.0
INK, GRID, FINE, BAD = "#1f2933", "#d9dee3", "#0b7285", "#c92a2a"

PANELS = {
    "This throttle": ours,
    "429 and retry, ten workers": RetryOnly,
    "Smoothed AsyncLimiter(1, 0.24)": SmoothedLimiter,
    "Nested AsyncLimiters": NestedLimiters,
}


def _arrivals(outcome: Outcome) -> list[float]:
    refused = [time for time, who, _ in outcome.judge.refusals if who == "us"]
    return sorted([*outcome.judge.times["us"], *refused])


def _in_last_minute(arrivals: list[float], times: list[float]) -> list[int]:
    return [
        bisect_right(arrivals, time) - bisect_right(arrivals, time - WINDOW_S) for time in times
    ]


def draw(path: Path) -> None:
    """Write the picture to `path` as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(PANELS), figsize=(12, 3.4), sharex=True, sharey=True)
    times = [step / 4 for step in range(int(SHOWN_S * 4))]
    for axis, (name, make) in zip(axes, PANELS.items(), strict=True):
        outcome = run_case(Case(requests=1000), make)
        counts = _in_last_minute(_arrivals(outcome), times)
        shown = [n if t <= outcome.seconds else None for n, t in zip(counts, times, strict=True)]
        values = [float("nan") if n is None else n for n in shown]
        axis.fill_between(times, 0, [min(n, LIMIT) for n in values], color=FINE, alpha=0.18, lw=0)
        over = [n > LIMIT for n in values]
        axis.fill_between(times, LIMIT, values, where=over, color=BAD, alpha=0.35, lw=0)
        axis.plot(times, values, color=FINE, lw=1.4)
        axis.axhline(LIMIT, color=INK, lw=1, ls=(0, (4, 3)))
        axis.set_title(name, fontsize=10.5, color=INK, loc="left", fontweight="bold", pad=20)
        verdict = "none refused" if outcome.refused == 0 else f"{outcome.refused:,} refused"
        axis.text(
            0, 1.035, f"{verdict}, done in {outcome.seconds:.0f} s", transform=axis.transAxes,
            fontsize=9.5, color=FINE if outcome.refused == 0 else BAD,
        )  # fmt: skip
        axis.axvline(outcome.seconds, color=INK, lw=0.8, alpha=0.5)
        axis.set_xlim(0, SHOWN_S)
        axis.set_ylim(0, 540)
        axis.set_xticks(range(0, 241, 60))
        axis.set_yticks(range(0, 501, 125))
        axis.grid(color=GRID, lw=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8.5, colors=INK, length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    axes[0].text(4, LIMIT + 10, "limit: 250", fontsize=8.5, color=INK)
    axes[0].set_ylabel("requests in the last 60 s", fontsize=9.5, color=INK)
    figure.supxlabel(
        "seconds · 1,000 requests, strict sliding log, latency 50 to 400 ms; best possible: 180 s",
        fontsize=9.5, color=INK,
    )  # fmt: skip
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
