"""Read the budget headers of one response, which may be missing, broken or hostile.

    ratelimit-limit       requests allowed in the longest window (an hour)
    ratelimit-remaining   of these, how many are left
    ratelimit-reset       unix time at which the oldest counted request expires
    retry-after           on a burst 429: seconds to wait (or an HTTP date)

(API reference, "Rate Limit".) Two rules shape this module.

1. Times are compared with the `Date` of the same response only, never with a local clock: the
   difference of two of the server's own times is right even when both clocks are wrong.
2. A value that makes no sense is left out and reported in `ignored`; it is never repaired into
   something that looks plausible. Callers must cope without it.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from ..._dates import http_date_s
from ...errors import RateLimitKind

__all__ = ["LONGEST_WAIT_S", "Sample", "read_sample", "refusal_kind", "reset_in_s", "retry_after_s"]

LONGEST_WAIT_S = 3600.0
"""No header makes a request wait longer than this at once."""

_LARGEST_COUNT = 1_000_000_000
_LARGEST_TIME_S = 100_000_000_000
_CLOCK_SLACK_S = 5.0

Ignored = list[tuple[str, str]]


class Sample(msgspec.Struct, frozen=True):
    """What one response said about the token.

    Attributes:
        limit: requests allowed in the longest window, at least 1; None when it was not usable.
        remaining: requests left of it, 0 to `limit`.
    """

    limit: int | None
    remaining: int


def _count(
    headers: Mapping[str, str], name: str, ignored: Ignored, largest: int = _LARGEST_COUNT
) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    if len(text) < 10 and text.isascii() and text.isdigit():
        return int(text)
    text = str(text).strip()
    if not (text.isascii() and text.isdigit()):
        negative = text[:1] == "-" and text[1:].isascii() and text[1:].isdigit()
        ignored.append((name, "negative" if negative else "not a whole number"))
        return None
    if len(text) > 18 or (value := int(text)) > largest:
        ignored.append((name, "implausibly large"))
        return None
    return value


def read_sample(headers: Mapping[str, str], ignored: Ignored) -> Sample | None:
    """Read limit and remaining from `headers`.

    Args:
        headers: of one response; a case-insensitive mapping or a dict with lower-case names.
        ignored: gets a (header, reason) pair for each value that made no sense.

    Returns:
        The sample, or None when `ratelimit-remaining` is missing or unusable.
    """
    remaining = _count(headers, "ratelimit-remaining", ignored)
    limit = _count(headers, "ratelimit-limit", ignored)
    if limit == 0:
        ignored.append(("ratelimit-limit", "zero"))
        limit = None
    if remaining is None:
        return None
    if limit is not None and remaining > limit:
        ignored.append(("ratelimit-remaining", "more than the limit"))
        return None
    return Sample(limit, remaining)


def _date_s(headers: Mapping[str, str], ignored: Ignored) -> float | None:
    text = headers.get("date")
    if text is None:
        return None
    date_s = http_date_s(str(text))
    if date_s is None:
        ignored.append(("date", "not an HTTP date"))
    return date_s


def reset_in_s(headers: Mapping[str, str], longest_s: float, ignored: Ignored) -> float | None:
    """How long until the oldest counted request expires: `ratelimit-reset` minus `Date`.

    Args:
        longest_s: length of the longest window, seconds. No request can expire later than that.

    Returns:
        Seconds in [0, `longest_s`], or None when it is missing or impossible (resets in the
        past have been seen: DNSControl/dnscontrol#636).
    """
    reset = _count(headers, "ratelimit-reset", ignored, _LARGEST_TIME_S)
    if reset is None:
        return None
    date_s = _date_s(headers, ignored)
    if date_s is None:
        return None
    wait_s = reset - date_s
    if wait_s < -_CLOCK_SLACK_S:
        ignored.append(("ratelimit-reset", "in the past"))
        return None
    if wait_s > longest_s + _CLOCK_SLACK_S:
        ignored.append(("ratelimit-reset", "later than any request can expire"))
        return None
    return min(max(wait_s, 0.0), longest_s, LONGEST_WAIT_S)


def retry_after_s(headers: Mapping[str, str], ignored: Ignored | None = None) -> float | None:
    """The `retry-after` of a response in seconds, clamped to [0, 3600]; None without a usable one.

    It may be a number or an HTTP date (RFC 9110, 10.2.3); a date counts from the response's `Date`.
    """
    ignored = [] if ignored is None else ignored
    text = headers.get("retry-after")
    if text is None:
        return None
    text = str(text).strip()
    try:
        wait_s = float(text)
    except ValueError:
        then_s = http_date_s(text)
        date_s = _date_s(headers, ignored)
        if then_s is None or date_s is None:
            ignored.append(("retry-after", "neither seconds nor a date to compare with `date`"))
            return None
        wait_s = max(0.0, then_s - date_s)
    if not math.isfinite(wait_s) or wait_s < 0:
        ignored.append(("retry-after", "not a number of seconds to wait"))
        return None
    return min(wait_s, LONGEST_WAIT_S)


def refusal_kind(headers: Mapping[str, str]) -> RateLimitKind | None:
    """Classify a 429 by its headers alone.

    Returns:
        `burst` when nothing remains and there is a retry-after, `hourly` when nothing remains and
        there is none, None when the headers do not speak of the budget: a snapshot cooldown, the
        account's capacity or a limit of that route.
    """
    sample = read_sample(headers, [])
    if sample is None or sample.remaining > 0:
        return None
    return "hourly" if headers.get("retry-after") is None else "burst"
