"""Errors of this package as HTTP responses: problem details (RFC 9457), for any framework.

The caller of a service is not the holder of the token, so a response says what the caller can act
on and nothing else: no path or host of the API, no header, no scopes, no text of a gateway. The
API's own words are passed on for 404, 409 and 422 only, where they name the caller's mistake, and
even then shortened, on one line, and without anything that looks like a token.

| error | status | why |
| --- | --- | --- |
| QuotaWaitTooLongError | 503, Retry-After | the budget is exhausted, the request is fine |
| RateLimitedError burst, hourly, route | 503, Retry-After | the same, reported by the API |
| RateLimitedError snapshot_cooldown | 429 | this volume had one moments ago; others may go on |
| RateLimitedError capacity | 507 | the account is at its limit; waiting does not help |
| NotFoundError | 404 | |
| ConflictError | 409 | |
| InvalidArgumentError, UnprocessableEntityError | 422 | well formed, not possible |
| RequestTimeoutError, ActionTimeoutError | 504 | upstream did not respond in time |
| ClientClosedError | 503, Retry-After | this process is going away; another may serve |
| ConfigError | 500 | the service is set up wrongly |
| every other one | 502 | upstream failure: 5xx, broken connections, bad responses, bad token |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import attrs

from ... import (
    ActionFailedError,
    ActionTimeoutError,
    APIStatusError,
    BlockStoreError,
    ClientClosedError,
    ConfigError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    QuotaWaitTooLongError,
    RateLimitedError,
    RequestTimeoutError,
    UnprocessableEntityError,
)

__all__ = ["CONTENT_TYPE", "Problem", "only_error", "problem_for", "problem_of"]

CONTENT_TYPE: Final = "application/problem+json"

_TYPE_PREFIX: Final = "urn:do-blockstore-async:problem:"
_LONGEST_DETAIL: Final = 200
_SECRETS: Final = re.compile(r"\bdo[a-z]_v1_\w+|\bbearer\s+\S+|\b[0-9a-f]{64}\b", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class Problem:
    """The response to a request that failed.

    Attributes:
        kind: a short name that does not change, the end of the body's `type`.
        status: the HTTP status.
        title: what the kind means, in words.
        detail: what happened this time.
        retry_after_s: whole seconds after which to come back; None where waiting does not help.
        request_id: the API's id of the failed request, for DigitalOcean's support.
    """

    kind: str
    status: int
    title: str
    detail: str
    retry_after_s: int | None = None
    request_id: str | None = None

    @property
    def content_type(self) -> str:
        """The media type of the body."""
        return CONTENT_TYPE

    @property
    def headers(self) -> dict[str, str]:
        """Retry-After where there is one, and no caching."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        return headers

    @property
    def body(self) -> dict[str, Any]:
        """The members of the JSON object."""
        members: dict[str, Any] = {
            "type": _TYPE_PREFIX + self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.retry_after_s is not None:
            members["retry_after"] = self.retry_after_s
        if self.request_id is not None:
            members["upstream_request_id"] = self.request_id
        return members

    def encode(self) -> bytes:
        """The body as it goes out."""
        return json.dumps(self.body, ensure_ascii=False).encode()


# The first class that fits: kind, status, title.
_KINDS: Final[tuple[tuple[type[BlockStoreError], str, int, str], ...]] = (
    (QuotaWaitTooLongError, "budget", 503, "The request budget is exhausted"),
    (NotFoundError, "not-found", 404, "Not found"),
    (ConflictError, "conflict", 409, "The name is taken, or the volume is in use"),
    (
        UnprocessableEntityError,
        "not-possible",
        422,
        "Valid, but cannot be carried out",
    ),
    (InvalidArgumentError, "invalid-argument", 422, "Invalid value"),
    (OutcomeUnknownError, "outcome-unknown", 502, "The outcome is unknown"),
    (ActionTimeoutError, "action-timeout", 504, "The action did not finish in time"),
    (RequestTimeoutError, "upstream-timeout", 504, "The storage service did not respond in time"),
    (
        ActionFailedError,
        "action-failed",
        502,
        "The storage service could not complete the action",
    ),
    (ClientClosedError, "shutting-down", 503, "This server is shutting down"),
    (ConfigError, "configuration", 500, "This service is not set up correctly"),
    (BlockStoreError, "upstream", 502, "The storage service failed"),
)
_REFUSALS: Final = {
    "burst": ("budget", 503, "The request budget is exhausted"),
    "hourly": ("budget", 503, "The request budget is exhausted"),
    "route": ("budget", 503, "The request budget is exhausted"),
    "snapshot_cooldown": (
        "snapshot-cooldown",
        429,
        "This volume was snapshotted moments ago",
    ),
    "capacity": ("capacity", 507, "The account is at its limit"),
}
_DETAILS: Final = {
    "budget": "Too many requests share one budget at the moment.",
    "outcome-unknown": "The response was lost: check whether it took effect before you retry.",
    "upstream-timeout": "No response came within this request's deadline.",
    "action-timeout": "It may still be running; check its status later.",
    "action-failed": "The action finished with an error.",
    "shutting-down": "Send the request again; another server, or this one restarted, takes it.",
    "configuration": "The operator of this service has to correct its settings.",
    "snapshot-cooldown": "A volume takes one snapshot in ten minutes.",
    "capacity": "No volume or snapshot can be created until others are deleted.",
    "upstream": "The request could not be carried out.",
}
_QUOTED: Final = frozenset({"not-found", "conflict", "not-possible", "invalid-argument"})


def problem_of(error: BlockStoreError, *, retry_after_s: int | None = None) -> Problem:
    """Describe `error` to the caller.

    Args:
        retry_after_s: for errors that waiting cures, when to come back; by default what the error
            says, rounded up.
    """
    if isinstance(error, RateLimitedError):
        kind, status, title = _REFUSALS[error.kind]
    else:
        _, kind, status, title = next(row for row in _KINDS if isinstance(error, row[0]))
    if not is_cured_by_waiting(error):
        retry_after_s = None
    elif retry_after_s is None:
        retry_after_s = whole_seconds(getattr(error, "retry_after", None) or 1.0)
    detail = _cleaned(error.message) if kind in _QUOTED else _DETAILS[kind]
    return Problem(
        kind=kind,
        status=status,
        title=title,
        detail=detail,
        retry_after_s=retry_after_s,
        request_id=_id(error.request_id) if isinstance(error, APIStatusError) else None,
    )


def problem_for(error: Exception, promise: Callable[[float], int] | None) -> Problem:
    """Describe the error of a request handler; re-raise what is not this package's.

    Args:
        error: what the handler raised, perhaps a group.
        promise: from seconds to wait to the seconds of Retry-After, for errors of the budget; None
            where no client is open.
    """
    found = only_error(error) if isinstance(error, BaseExceptionGroup) else error
    if not isinstance(found, BlockStoreError):
        raise error
    retry_after_s = None
    if promise is not None and is_about_budget(found):
        retry_after_s = promise(getattr(found, "retry_after", None) or 0.0)
    return problem_of(found, retry_after_s=retry_after_s)


def is_cured_by_waiting(error: BlockStoreError) -> bool:
    """Whether the same request has a chance later."""
    if isinstance(error, RateLimitedError):
        # Of a cooldown nobody knows the end unless the API said it.
        return error.kind != "capacity" and (
            error.kind != "snapshot_cooldown" or error.retry_after is not None
        )
    return isinstance(error, QuotaWaitTooLongError | ClientClosedError)


def is_about_budget(error: BlockStoreError) -> bool:
    """Whether the token's budget, rather than the request, is the reason."""
    if isinstance(error, RateLimitedError):
        return error.kind in {"burst", "hourly"}
    return isinstance(error, QuotaWaitTooLongError)


def only_error(group: BaseExceptionGroup[Any]) -> BlockStoreError | None:
    """Choose the error to report when a task group failed; None if it holds foreign errors.

    Handlers that make concurrent calls raise groups. Of several errors the one that waiting does
    not cure is reported: a client that retried would meet it again.
    """
    leaves: list[BlockStoreError] = []
    for error in group.exceptions:
        leaf = only_error(error) if isinstance(error, BaseExceptionGroup) else error
        if not isinstance(leaf, BlockStoreError):
            return None
        leaves.append(leaf)
    return min(leaves, key=is_cured_by_waiting)


def whole_seconds(wait_s: float) -> int:
    """For Retry-After: whole seconds, rounded up, at least 1."""
    return max(1, -int(-wait_s // 1))


def _cleaned(message: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    return _SECRETS.sub("[removed]", words)[:_LONGEST_DETAIL]


def _id(request_id: str | None) -> str | None:
    """A request id as DigitalOcean makes them; anything else is not passed on."""
    if request_id is None or not re.fullmatch(r"[0-9A-Za-z-]{1,40}", request_id):
        return None
    return None if _SECRETS.search(request_id) else request_id
