"""The dates of HTTP headers, read by one rule. Pure.

All HTTP dates are in UTC (RFC 9110, 5.6.7). The standard library returns a date whose zone is
`-0000`, or is missing, without a time zone; taken as local time it would be off by hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["date_header_s", "http_date_s"]


def http_date_s(text: str) -> float | None:
    """Return an HTTP date in seconds since the epoch, or None if it is not one."""
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def date_header_s(headers: Mapping[str, str]) -> float | None:
    """Return the `Date` of a response in seconds since the epoch, or None if it has no valid one.

    Args:
        headers: a case-insensitive mapping, or a dict with lower-case names.
    """
    text = headers.get("date")
    return http_date_s(str(text)) if text else None
