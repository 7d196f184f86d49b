"""Request limits as text, such as `250/60,5000/3600`. Pure.

The command line and the simulator read them alike: what one of them prints the other accepts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

__all__ = ["DEFAULT_LIMITS", "parse_limits"]

DEFAULT_LIMITS: Final = "250/60,5000/3600"


def parse_limits(limits: str | Iterable[tuple[int, float]] | None) -> tuple[tuple[int, float], ...]:
    """Return the windows of a request budget as (requests, seconds) pairs.

    Args:
        limits: REQUESTS/SECONDS pairs separated by commas, the shortest window first; or the pairs
            themselves; or `none` or None for no limits at all.

    Returns:
        The pairs, shortest window first; none of them without limits.

    Raises:
        ValueError: it is none of these.
    """
    if limits is None or (isinstance(limits, str) and limits.strip().lower() == "none"):
        return ()
    try:
        pairs: Iterable[Iterable[str | float]] = (
            [part.split("/") for part in limits.split(",")] if isinstance(limits, str) else limits
        )
        windows = tuple((int(requests), float(seconds)) for requests, seconds in pairs)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            "limits must be REQUESTS/SECONDS, the shortest window first, such as "
            f"{DEFAULT_LIMITS}, or none; not {limits!r}"
        ) from None
    lengths = [seconds for _, seconds in windows]
    if (
        not windows
        or any(requests < 1 or not 0 < seconds < math.inf for requests, seconds in windows)
        or lengths != sorted(lengths)
    ):
        raise ValueError(
            f"limits need at least one request in more than 0 seconds, shortest first: {limits!r}"
        )
    return windows
