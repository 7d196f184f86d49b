"""Budgets and times in words, and bars of any width."""

from __future__ import annotations

import sys
import textwrap

import attrs

from ... import QuotaStatus

__all__ = [
    "ShownWait",
    "bar",
    "budget_left",
    "budget_wait",
    "clock_text",
    "folded",
    "span_text",
    "whole_seconds",
    "window_name",
]

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


@attrs.frozen
class ShownWait:
    """Why nothing is sent at the moment.

    Attributes:
        kind: as in `store.explain().kind`, or what a run waits for: `retry`, `looking_up`,
            `in_doubt`, `elsewhere`.
        in_s: seconds until it goes on, as far as is known.
        text: for people.
    """

    kind: str
    in_s: float
    text: str


def budget_wait(status: QuotaStatus) -> ShownWait | None:
    """Say why no bulk request is sent at the moment; None if they are sent."""
    if not status.waiting:
        return None
    if status.paused_for_s > 0:
        pause_s = status.paused_for_s
        return ShownWait("pause", pause_s, f"the API asked for a pause: {_next(pause_s)}")
    next_s = status.background_available_in_s
    if status.store_away_s >= _WORTH_TELLING_S:
        return ShownWait("store", next_s, "the store of the shared budget does not answer")
    if status.probing:
        told = f"the API reports that nothing is left of the hour: {_next(next_s)}"
        return ShownWait("probe", next_s, told)
    if next_s < _WORTH_TELLING_S:
        return None
    # The longest window without a slot for bulk requests is what holds them back.
    for window in reversed(status.windows):
        if window.remaining <= window.reserved:
            name = window_name(window.length_s)
            name = _ADJECTIVES.get(name, name)
            others = window.used_by_others > window.used
            kind = "others" if others else "hour" if window is status.windows[-1] else "minute"
            whose = " (mostly used by other clients)" if others else ""
            return ShownWait(kind, next_s, f"{name} budget{whose}: {_next(next_s)}")
    return ShownWait(status.background_reason, next_s, _next(next_s))


def _next(in_s: float) -> str:
    return f"next request in {whole_seconds(in_s)}"


def whole_seconds(seconds: float) -> str:
    """A wait as `12 s`, or from two minutes on as a clock shows it."""
    return f"{max(1, round(seconds))} s" if seconds < 120 else clock_text(seconds)


def clock_text(seconds: float) -> str:
    """A span as `0:07`, `12:30` or `1:02:03`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def span_text(seconds: float) -> str:
    """A span as `clock_text`, but never as `0:00`."""
    return clock_text(seconds) if seconds >= 1 else "less than a second"


def folded(text: str, width: int, indent: str = "") -> list[str]:
    """Fold a text between its words; a longer word, such as a name, stays whole.

    Args:
        text: one line.
        width: columns; 0 for one line of any length.
        indent: in front of all lines but the first.
    """
    if not width or len(text) <= width:
        return [text]
    first = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(
        text.strip(),
        width,
        initial_indent=first,
        subsequent_indent=first + indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def bar(width: int, share: float) -> tuple[str, str]:
    """A bar in two parts, the filled one and the rest, `width` characters together."""
    full, empty = ("━", "─") if _draws_lines() else ("#", "-")
    filled = round(width * min(1.0, max(0.0, share)))
    return full * filled, empty * (width - filled)


def _draws_lines() -> bool:
    # Not sys.stderr: while a live display lasts it is a stand-in without an encoding.
    encoding = getattr(sys.__stderr__, "encoding", None) or ""
    return encoding.lower().replace("-", "") == "utf8"
