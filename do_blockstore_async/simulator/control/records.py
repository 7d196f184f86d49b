"""The request log as a user's test sees it, in any language. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from .._messages import RequestRecord, iso

__all__ = ["readable", "record_json"]


def readable(target: str) -> str:
    """A target that JSON can hold: bytes that are no UTF-8 are marked."""
    return target.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def record_json(record: RequestRecord) -> dict[str, Any]:
    """One request of the log for JSON; the body decoded where it is JSON, else as text."""
    body: Any = None
    if record.body:
        try:
            body = msgspec.json.decode(record.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = record.body.decode("utf-8", "replace")
    return {
        "at": iso(record.at),
        "at_s": record.at,
        "method": record.method,
        "target": readable(record.target),
        "path": readable(record.path),
        "status": record.status,
        "token": record.token,
        "refused": record.refused,
        "body": body,
    }
