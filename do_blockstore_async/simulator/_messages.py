"""What goes into the simulated world and what comes out: requests, responses, errors.

Pure values. The simulator shares no code with the client's codec or protocol, so that a mistake in
one of them cannot agree with itself in the other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, NamedTuple

import attrs
import msgspec

__all__ = [
    "ApiError",
    "RequestRecord",
    "SimRequest",
    "SimResponse",
    "encode",
    "http_date",
    "iso",
    "path_of",
    "uuid_text",
]

encode = msgspec.json.Encoder().encode


@attrs.frozen
class SimRequest:
    """One request as it arrives.

    Args:
        method: in upper case.
        target: path and query exactly as they stood on the wire.
        headers: names in lower case.
        body: the bytes of the body; empty when there is none.
    """

    method: str
    target: str
    headers: dict[str, str] = attrs.field(factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query and without one trailing slash."""
        return path_of(self.target)


SimRequest.__module__ = "do_blockstore_async.simulator"


@attrs.frozen
class SimResponse:
    """One response: status, headers with names in lower case, and the bytes of the body."""

    status: int
    headers: dict[str, str] = attrs.field(factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The decoded body, for tests; None where there is none."""
        return msgspec.json.decode(self.body) if self.body else None


SimResponse.__module__ = "do_blockstore_async.simulator"


class RequestRecord(NamedTuple):
    """One line of the request log. It never holds a token, only the name the token was given.

    `refused` is the kind of a 429 (`burst`, `hourly`, `snapshot_cooldown`, `capacity`, `route`),
    else None. `at` is in seconds since the epoch; `body` is what was sent.
    """

    at: float
    method: str
    target: str
    status: int
    token: str
    refused: str | None
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query and without one trailing slash."""
        return path_of(self.target)


RequestRecord.__module__ = "do_blockstore_async.simulator"


class ApiError(Exception):
    """Ends an operation with an error response; nothing was changed.

    Args:
        name: what the table of errors calls it.
        status: the HTTP status.
        id: the API's short identifier, such as `not_found`.
        message: what the API says.
        kind: for a 429, which kind it is (see `RequestRecord`).
        headers: more headers of the response, such as `retry-after` and `allow`.
    """

    def __init__(
        self,
        name: str,
        status: int,
        id: str,  # noqa: A002 -- the API's own name for it
        message: str,
        *,
        kind: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.status = status
        self.id = id
        self.message = message
        self.kind = kind
        self.headers = headers or {}


def path_of(target: str) -> str:
    """The path of a target. python-digitalocean and do-wrapper end theirs with a slash."""
    path = target.partition("?")[0]
    return path[:-1] if path.endswith("/") and len(path) > 1 else path


def iso(at_s: float) -> str:
    """Seconds since the epoch as the API writes times: ISO 8601, whole seconds, Z."""
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(at_s: float) -> str:
    """Seconds since the epoch as HTTP writes dates."""
    return formatdate(int(at_s), usegmt=True)


def uuid_text(number: int) -> str:
    """The low 128 bits of a number in the form of a uuid."""
    text = f"{number & (1 << 128) - 1:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
