"""Budgets and times in words, and bars of any width."""

from __future__ import annotations

import sys

from ... import QuotaStatus

__all__ = ["bar", "budget_left", "clock_text", "waiting_reason", "window_name"]

_NAMES = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86_400.0: "day"}
_ADJECTIVES = {"hour": "hourly", "day": "daily"}
# Shorter waits are pacing; naming each would only flicker.
_WORTH_TELLING_S = 1.0


def window_name(length_s: float) -> str:
    """A window by its length: `minute`, `hour`, or `30 s`."""
    return _NAMES.get(length_s, f"{length_s:g} s")


def budget_left(status: QuotaStatus) -> str:
    """What is left of each window: `66/250 a minute, 4,816/5,000 an hour`."""
    parts = []
    for window in status.windows:
        name = window_name(window.length_s)
        article = "in" if name[0].isdigit() else "an" if name == "hour" else "a"
        parts.append(f"{window.remaining:,}/{window.limit:,} {article} {name}")
    return ", ".join(parts)


def waiting_reason(status: QuotaStatus) -> str:
    """Say why no bulk request is sent at the moment; empty if they are sent."""
    if not status.waiting:
        return ""
    if status.paused_for_s > 0:
        return f"the API asked for a pause: next request in {_whole(status.paused_for_s)}"
    next_s = status.background_available_in_s
    when = f": next request in {_whole(next_s)}"
    if status.probing:
        return f"the API reports that nothing is left of the hour{when}"
    if next_s < _WORTH_TELLING_S:
        return ""
    # The longest window without a slot for bulk requests is what holds them back.
    for window in reversed(status.windows):
        if window.remaining <= window.reserved:
            name = window_name(window.length_s)
            name = _ADJECTIVES.get(name, name)
            return f"{name} budget{when}"
    return ""


def _whole(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 120 else clock_text(seconds)


def clock_text(seconds: float) -> str:
    """A span as `0:07`, `12:30` or `1:02:03`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def bar(width: int, share: float) -> tuple[str, str]:
    """A bar in two parts, the filled one and the rest, `width` characters together."""
    full, empty = ("━", "─") if _draws_lines() else ("#", "-")
    filled = round(width * min(1.0, max(0.0, share)))
    return full * filled, empty * (width - filled)


def _draws_lines() -> bool:
    # Not sys.stderr: while a live display lasts it is a stand-in without an encoding.
    encoding = getattr(sys.__stderr__, "encoding", None) or ""
    return encoding.lower().replace("-", "") == "utf8"
