"""From status, headers and body to a result or an error; and what goes into a request's head.

Pure. The five kinds of 429 are told apart here and nowhere else:

| kind | how it is recognized | sure? |
| --- | --- | --- |
| snapshot_cooldown | `this operation is rate-limited` / `create snapshot` in the message | seen |
| capacity | `capacity limit exceeded` in the message | seen |
| burst | `ratelimit-remaining: 0` with `retry-after` | seen |
| hourly | `ratelimit-remaining: 0` without `retry-after` | documented |
| route | something remains: it is not the budget | a guess: other routes have limits of their own |
| burst, hourly | no usable budget headers, with or without `retry-after` | the cautious reading |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from .._ratelimit.pure.headers import read_sample, refusal_kind, retry_after_s
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
from ..models import RateLimit
from .request import RawResponse, Request, encode_json

__all__ = ["parse_response", "rate_limit", "rate_limit_kind"]

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
_FULL: Final = "capacity limit exceeded"
# One event at a time for each Droplet and volume (csi-digitalocean): it has no effect and passes.
_BUSY: Final = "pending event"


class _Error(msgspec.Struct):
    # An error's message has been seen as an object (packer#6384).
    id: Any = ""
    message: Any = ""
    request_id: Any = None


_decode_error = msgspec.json.Decoder(_Error).decode


def parse_response(request: Request[T], raw: RawResponse) -> T:
    """Return the result of a 2xx response; raise for any other.

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
        said = _Error(message=_plain(text)[:200])
    request_id = _text(said.request_id) or raw.headers.get("x-request-id", "")
    name, words = _text(said.id), _text(said.message)
    values: dict[str, Any] = {
        "status": raw.status,
        "id": _plain(name),
        "request_id": _plain(request_id) or None,
        "body": text,
        "method": request.method,
        "path": request.path,
    }
    message = _plain(words or name) or "the response gives no reason"
    cls = _ERROR_OF.get(raw.status, ServerError if raw.status >= 500 else APIStatusError)
    if cls is RateLimitedError:
        values["kind"] = rate_limit_kind(message, raw.headers)
        values["retry_after"] = retry_after_s(raw.headers)
    elif cls is PermissionDeniedError:
        values["scopes"] = request.scopes
        if request.scopes and _FULL not in message:
            message += f" (the token needs one of the scopes {', '.join(request.scopes)})"
    elif _BUSY in message.lower() and raw.status in {409, 422}:
        values["refusal"] = "busy"
    elif 300 <= raw.status < 400:
        message = "a redirect, which is never followed"
    return cls(message, **values)


def _text(value: Any) -> str:
    """Return a field of an error as text, whatever it is."""
    if value is None or isinstance(value, str):
        return value or ""
    return encode_json(value).decode()


def _plain(text: str) -> str:
    """Return a server's message as one short printable line, fit for logs and terminals."""
    words = " ".join(text[: 4 * _QUOTED_BODY].split())[:_QUOTED_BODY]
    return "".join(letter if letter.isprintable() else "?" for letter in words)


def rate_limit_kind(message: str, headers: Mapping[str, str]) -> RateLimitKind:
    """Tell which of the five kinds a 429 is: by its message first, then by its headers."""
    words = message.lower()
    if _FULL in words:
        return "capacity"
    if "this operation is rate-limited" in words or "create snapshot" in words:
        return "snapshot_cooldown"
    kind = refusal_kind(headers)
    if kind is not None:
        return kind
    if read_sample(headers, []) is not None:
        return "route"
    return "hourly" if retry_after_s(headers) is None else "burst"


def rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """The budget headers as a value, or None unless all three are there and make sense."""
    sample = read_sample(headers, [])
    reset = headers.get("ratelimit-reset", "")
    if sample is None or sample.limit is None or not (reset.isascii() and reset.isdigit()):
        return None
    try:
        reset_at = datetime.fromtimestamp(int(reset[:12]), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return RateLimit(sample.limit, sample.remaining, reset_at)
