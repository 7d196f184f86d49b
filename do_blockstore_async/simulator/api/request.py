"""One request taken apart: its path, query, body and token. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import attrs
import msgspec

from .._errors import api_error
from .._messages import SimRequest
from ..state.account import Grant

__all__ = ["Call", "read_body", "read_query"]


@attrs.frozen
class Call:
    """An authenticated request.

    Attributes:
        values: what stood in the path.
        query, body: decoded; the last of repeated query names counts.
        now: the steady time, in seconds since the epoch; `shown_s` is what the server's clock
            shows, which may have stepped.
    """

    method: str
    path: str
    values: tuple[Any, ...]
    query: dict[str, str]
    body: dict[str, Any]
    now: float
    shown_s: float
    grant: Grant

    def text(self, name: str) -> str:
        """Return a string of the body; empty where missing or null, an error if it is none."""
        value = self.body.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise api_error("body")  # GUESS: what does not unmarshal is a parsing error
        return value

    def number(self, name: str) -> int | None:
        """Return a whole number of the body; None where missing or null."""
        value = self.body.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise api_error("body")  # GUESS
        return value

    def number_or_digits(self, name: str) -> int | None:
        """Return a whole number that may stand in a text (godo#102; libcloud sends one)."""
        value = self.body.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            return int(value)
        return self.number(name)

    def texts(self, name: str) -> list[str]:
        """Return a list of strings of the body; empty where missing or null."""
        value = self.body.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise api_error("body")  # GUESS
        return value


def read_query(target: str) -> dict[str, str]:
    """The decoded query of a target."""
    query = target.partition("?")[2]
    return dict(parse_qsl(query, keep_blank_values=True)) if query else {}


def read_body(request: SimRequest) -> dict[str, Any]:
    """Return the JSON object in a body; an error for other media types (GUESS)."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("", "application/json"):
        raise api_error("media_type")
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise api_error("body") from None
    if not isinstance(body, dict):
        raise api_error("body")
    return body
