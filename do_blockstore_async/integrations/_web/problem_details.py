"""Errors of this package as HTTP answers: problem details (RFC 9457), whatever the framework.

The caller of a service is not the holder of the token, so an answer says what the caller can act
on and nothing else: no path or host of the API, no header, no scopes, no text of a gateway. The
API's own words are passed on for 404, 409 and 422 only, where they name the caller's mistake, and
even then shortened, on one line, and without anything that looks like a token.

| error | status | why |
| --- | --- | --- |
| QuotaWaitTooLongError | 503, Retry-After | the service is out of budget, the request is fine |
| RateLimitedError burst, hourly, route | 503, Retry-After | the same, as the API said it |
| RateLimitedError snapshot_cooldown | 429 | this volume was asked too often; others may go on |
| RateLimitedError capacity | 507 | the account has no room left; waiting does not help |
| NotFoundError | 404 | |
| ConflictError | 409 | |
| InvalidArgumentError, UnprocessableEntityError | 422 | well formed, not possible |
| RequestTimeoutError, ActionTimeoutError | 504 | upstream did not answer in time |
| ClientClosedError | 503, Retry-After | this process is going away; another may serve |
| ConfigError | 500 | the service is set up wrongly |
| every other one | 502 | upstream trouble: 5xx, broken connections, odd answers, bad token |
"""

from __future__ import annotations

import json
import re
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

__all__ = ["CONTENT_TYPE", "Problem", "only_error", "problem_of"]

CONTENT_TYPE: Final = "application/problem+json"

_TYPE_PREFIX: Final = "urn:do-blockstore-async:problem:"
_LONGEST_DETAIL: Final = 200
_SECRETS: Final = re.compile(r"\bdo[a-z]_v1_\w+|\bbearer\s+\S+|\b[0-9a-f]{64}\b", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class Problem:
    """One answer to a request that failed.

    Attributes:
        kind: a short name that does not change, the end of the body's `type`.
        status: the HTTP status.
        title: what the kind means, in words.
        detail: what happened this time.
        retry_after_s: whole seconds after which to come back; None where waiting is no cure.
        request_id: the API's id of the failed request, for DigitalOcean's support.
    """

    kind: str
    status: int
    title: str
    detail: str
    retry_after_s: int | None = None
    request_id: str | None = None

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
    (QuotaWaitTooLongError, "budget", 503, "The request budget is used up"),
    (NotFoundError, "not-found", 404, "There is no such thing"),
    (ConflictError, "conflict", 409, "The name is taken, or the volume is in use"),
    (UnprocessableEntityError, "not-possible", 422, "This cannot be done"),
    (InvalidArgumentError, "invalid-argument", 422, "A value is not usable"),
    (OutcomeUnknownError, "outcome-unknown", 502, "It may have taken effect, or not"),
    (ActionTimeoutError, "action-timeout", 504, "The action did not end in time"),
    (RequestTimeoutError, "upstream-timeout", 504, "The storage service did not answer in time"),
    (ActionFailedError, "action-failed", 502, "The storage service could not carry it out"),
    (ClientClosedError, "shutting-down", 503, "This server is shutting down"),
    (ConfigError, "configuration", 500, "This service is not set up correctly"),
    (BlockStoreError, "upstream", 502, "The storage service is in trouble"),
)
_REFUSALS: Final = {
    "burst": ("budget", 503, "The request budget is used up"),
    "hourly": ("budget", 503, "The request budget is used up"),
    "route": ("budget", 503, "The request budget is used up"),
    "snapshot_cooldown": ("snapshot-cooldown", 429, "This volume had a snapshot just now"),
    "capacity": ("capacity", 507, "The account has no room left"),
}
_DETAILS: Final = {
    "budget": "Too many requests share one budget at the moment.",
    "outcome-unknown": "The answer was lost. Look before you send the request again.",
    "upstream-timeout": "No answer came within the time this request had.",
    "action-timeout": "It may still be running; its status can be asked for later.",
    "action-failed": "The action ended with an error.",
    "shutting-down": "Send the request again; another server, or this one once restarted, has it.",
    "configuration": "The operator has been told.",
    "snapshot-cooldown": "A volume takes one snapshot in ten minutes.",
    "capacity": "No volume or snapshot can be created until others are deleted.",
    "upstream": "The request could not be carried out.",
}
_QUOTED: Final = frozenset({"not-found", "conflict", "not-possible", "invalid-argument"})


def problem_of(error: BlockStoreError, *, retry_after_s: int | None = None) -> Problem:
    """What to tell the caller about `error`.

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
    """The error to answer with when a task group failed; None if others than ours are in it.

    Handlers that make calls side by side raise groups. Of several errors the one that waiting does
    not cure is told: a client that came back would meet it again.
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
