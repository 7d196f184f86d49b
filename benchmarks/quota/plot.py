"""A picture of the comparison: requests in each sliding minute against the limit, side by side.

Each panel is one way to send 1,000 requests to a strict sliding log. The line counts what reached
the server in the last 60 seconds, accepted or not; what lies above the limit was refused.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

from tests.support.svg import Drawing

from .rivals import NestedLimiters, RetryOnly, SmoothedLimiter
from .scenarios import Case, Outcome, ours, run_case

__all__ = ["draw"]

LIMIT, WINDOW_S = 250, 60.0
SHOWN_S = 250.0
# Of a panel, in pixels, and what the axes reach.
WIDTH, HEIGHT, MOST = 330.0, 150.0, 540

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


def _panel(drawing: Drawing, left: float, top: float, name: str, outcome: Outcome) -> None:
    """Draw one way to send them, with its verdict."""

    def at(time: float, count: float) -> tuple[float, float]:
        return left + time / SHOWN_S * WIDTH, top + HEIGHT - count / MOST * HEIGHT

    for time in range(0, 241, 60):
        drawing.line([at(time, 0), at(time, MOST)], "grid")
        drawing.text(at(time, 0)[0], top + HEIGHT + 17, str(time), "quiet", 12, "middle")
    for count in range(0, 501, 125):
        drawing.line([at(0, count), at(SHOWN_S, count)], "grid")
        drawing.text(left - 6, at(0, count)[1] + 4, str(count), "quiet", 12, "end")
    times = [float(second) for second in range(int(outcome.seconds) + 1)]
    counts = _in_last_minute(_arrivals(outcome), times)
    held = [at(time, min(count, LIMIT)) for time, count in zip(times, counts, strict=True)]
    drawing.area([at(0, 0), *held, at(times[-1], 0)])
    over = [at(time, max(count, LIMIT)) for time, count in zip(times, counts, strict=True)]
    drawing.area([at(0, LIMIT), *over, at(times[-1], LIMIT)], "over")
    drawing.line([at(time, n) for time, n in zip(times, counts, strict=True)], "curve", 1.6)
    drawing.line([at(0, LIMIT), at(SHOWN_S, LIMIT)], "ink dashed")
    drawing.text(left, top - 24, name, "bold", 14)
    refused = f"{outcome.refused:,} rejected" if outcome.refused else "none rejected"
    style = "bad" if outcome.refused else "fine"
    drawing.text(left, top - 7, f"{refused}, done in {outcome.seconds:.0f} s", style, 13)


def draw(path: Path) -> None:
    """Write the picture to `path` as an SVG."""
    drawing = Drawing(780, 500, "Requests in each sliding minute, four ways to keep the limit")
    for index, (name, make) in enumerate(PANELS.items()):
        row, column = divmod(index, 2)
        outcome = run_case(Case(requests=1000), make)
        _panel(drawing, 46 + column * 385, 50 + row * 222, name, outcome)
    drawing.text(
        16, 468, "Up: requests in the last 60 s; the limit is 250. Across: seconds.", size=13
    )
    drawing.text(
        16,
        487,
        "1,000 requests, strict sliding log, latency 50 to 400 ms; best possible: 180 s.",
        "quiet",
        13,
    )
    drawing.write(path)
