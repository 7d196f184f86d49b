"""From status, headers and body to a result or an error; and what goes into a request's head.

Pure. The five kinds of 429 are told apart here and nowhere else:

| kind | how it is recognised | sure? |
| --- | --- | --- |
| snapshot_cooldown | `this operation is rate-limited` / `create snapshot` in the message | seen |
| capacity | `capacity limit exceeded` in the message | seen |
| burst | `ratelimit-remaining: 0` with `retry-after` | seen |
| hourly | `ratelimit-remaining: 0` without `retry-after` | documented |
| route | anything else | a guess: other routes have limits of their own |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import msgspec

from ..errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    DecodeError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RateLimitKind,
    ServerError,
    UnprocessableEntityError,
)
from ..quota.headers import refusal_kind
from .codec import date_s
from .messages import RawResponse, Request

__all__ = ["decipher", "rate_limit_kind", "retry_after_s"]

T = TypeVar("T")

_ERROR_OF: Final[dict[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitedError,
}
_QUOTED_BODY: Final = 500
# No wait the API asks for is longer than its longest window.
_LONGEST_WAIT_S: Final = 3600.0


class _Error(msgspec.Struct):
    id: str = ""
    message: str = ""
    request_id: str | None = None


_decode_error = msgspec.json.Decoder(_Error).decode


def decipher(request: Request[T], raw: RawResponse) -> T:
    """The result of a 2xx answer; anything else raises.

    Raises:
        APIStatusError: the class for the status (see `errors`).
        DecodeError: a 2xx whose body does not have the documented form.
    """
    if 200 <= raw.status < 300:
        try:
            return request.decode(raw)
        except DecodeError as error:
            error.method, error.path = request.method, request.path
            error.request_id = raw.headers.get("x-request-id")
            raise
    raise _status_error(request, raw)


def _status_error(request: Request[Any], raw: RawResponse) -> APIStatusError:
    text = raw.body[: 4 * _QUOTED_BODY].decode("utf-8", "replace").strip()[:_QUOTED_BODY]
    try:
        said = _decode_error(raw.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        # A gateway's HTML page, or nothing at all.
        said = _Error(message=" ".join(text.split())[:200])
    values: dict[str, Any] = {
        "status": raw.status,
        "id": said.id,
        "request_id": said.request_id or raw.headers.get("x-request-id"),
        "body": text,
        "method": request.method,
        "path": request.path,
    }
    message = said.message or said.id or "the answer says nothing about why"
    cls = _ERROR_OF.get(raw.status, ServerError if raw.status >= 500 else APIStatusError)
    if cls is RateLimitedError:
        values["kind"] = rate_limit_kind(message, raw.headers)
        values["retry_after"] = retry_after_s(raw.headers)
    elif cls is PermissionDeniedError:
        values["scopes"] = request.scopes
        if request.scopes:
            message += f" (the token needs one of the scopes {', '.join(request.scopes)})"
    elif 300 <= raw.status < 400:
        message = "a redirect, which is never followed"
    return cls(message, **values)


def rate_limit_kind(message: str, headers: Mapping[str, str]) -> RateLimitKind:
    """Which of the five kinds a 429 is: by its message first, then by its headers."""
    words = message.lower()
    if "capacity limit exceeded" in words:
        return "capacity"
    if "this operation is rate-limited" in words or "create snapshot" in words:
        return "snapshot_cooldown"
    return refusal_kind(headers) or "route"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from a retry-after in seconds or as a date, within [0, 3600]; None if unusable.

    A date is read against the same answer's `Date`, never against the clock of this machine.
    """
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        wait_s = float(value) if value.strip().isascii() else float("nan")
    except ValueError:
        now_s = date_s(headers)
        if now_s is None:
            return None
        try:
            until: datetime = parsedate_to_datetime(value)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        wait_s = until.replace(tzinfo=until.tzinfo or UTC).timestamp() - now_s
    return min(max(wait_s, 0.0), _LONGEST_WAIT_S) if wait_s == wait_s else None
