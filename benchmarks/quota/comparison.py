"""How this throttle and others fare with the same work, under each of the three server models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.support.strict_servers import MODELS

from .rivals import NestedLimiters, RetryOnly, SendTimeLog, SmoothedLimiter
from .scenarios import Case, Runner, ours, run_case

__all__ = ["BEST_S", "comparison"]

BEST_S = {1000: 180.0, 6000: 3780.0}

THROTTLES: dict[str, Callable[[], Runner]] = {
    "429 and retry, no throttle": RetryOnly,
    "nested `AsyncLimiter(250, 60)`, `(5000, 3600)`": NestedLimiters,
    "smoothed `AsyncLimiter(1, 0.24)`, `(5000, 3600)`": SmoothedLimiter,
    "sliding log, counted at send time": SendTimeLog,
    "**this throttle**": ours,
}


def comparison(sizes: Sequence[int] = (1000, 6000)) -> str:
    """429s and seconds of every throttle, for jobs of these sizes, under every model."""
    lines = [
        "429s · seconds to finish, alone on the token, nothing reserved (best possible: "
        + ", ".join(f"{BEST_S[n]:,.0f} s for {n:,} requests" for n in sizes)
        + "); ten workers in the first row, everything at once in the others",
        "",
        "| throttle | " + " | ".join(f"{n:,}, {m}" for n in sizes for m in MODELS) + " |",
        "| --- |" + " --- |" * (len(sizes) * len(MODELS)),
    ]
    for name, make in THROTTLES.items():
        cells = []
        for requests in sizes:
            for model in MODELS:
                outcome = run_case(Case(requests=requests, model=model), make)
                cells.append(f"{outcome.refused:,} · {outcome.seconds:,.0f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
