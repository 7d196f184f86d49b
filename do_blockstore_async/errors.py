"""Every error of a call; those of bulk jobs derive from the same root (`bulk.errors`).

    BlockStoreError
    ├── TransportError               no usable response arrived
    │   └── RequestTimeoutError      ... in time
    ├── APIStatusError               the API answered with an error status
    │   ├── BadRequestError          400
    │   ├── AuthenticationError      401
    │   ├── PermissionDeniedError    403
    │   ├── NotFoundError            404
    │   ├── ConflictError            409
    │   ├── UnprocessableEntityError 422
    │   ├── RateLimitedError         429
    │   └── ServerError              5xx
    ├── InvalidArgumentError         invalid argument, nothing was sent (also a ValueError)
    ├── DecodeError                  a response does not have the documented form
    ├── QuotaWaitTooLongError        the budget cannot serve the call before its deadline
    ├── OutcomeUnknownError          whether the request took effect could not be found out
    ├── ListingChangedError          a listing kept changing while it was read
    ├── ActionFailedError            the action ended with status `errored`
    ├── ActionTimeoutError           the action did not end in time
    ├── ClientClosedError            the client is not open (also a RuntimeError)
    └── ConfigError                  a setting or a token is invalid
        └── StoreUnusableError       the place that a setting names cannot be used

Status errors are described in the API reference, "Responses"; which kinds of 429 exist is
described at `RateLimitedError`.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ._lazy import ModuleLater

if TYPE_CHECKING:
    from . import models
else:
    # Found where somebody resolves the annotations, and imported only then.
    models = ModuleLater("do_blockstore_async.models")

__all__ = [
    "APIStatusError",
    "ActionFailedError",
    "ActionTimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BlockStoreError",
    "ClientClosedError",
    "ConfigError",
    "ConflictError",
    "DecodeError",
    "InvalidArgumentError",
    "ListingChangedError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "QuotaWaitTooLongError",
    "RateLimitKind",
    "RateLimitedError",
    "Refusal",
    "RequestTimeoutError",
    "ServerError",
    "StoreUnusableError",
    "TransportError",
    "UnprocessableEntityError",
]

Refusal: TypeAlias = Literal["busy", "already"]
RateLimitKind: TypeAlias = Literal["burst", "hourly", "snapshot_cooldown", "capacity", "route"]


class BlockStoreError(Exception):
    """Base of every error of this package.

    Attributes:
        message: what happened, in words; free of tokens.
        method, path: the request, where there was one. Never the host, query or body.
        attempts: how many times the request was sent; 0 when it never left.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str | None = None,
        path: str | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.method = method
        self.path = path
        self.attempts = attempts

    def __str__(self) -> str:
        if self.method is None:
            return self.message
        tries = "" if self.attempts <= 1 else f", {self.attempts} attempts"
        return f"{self.message} ({self.method} {self.path}{tries})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call __init__ with args alone and lose the keyword-only values.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(
    cls: type[BlockStoreError], args: tuple[Any, ...], state: dict[str, Any]
) -> BlockStoreError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class TransportError(BlockStoreError):
    """No usable response arrived: connection refused, reset, cut short, or not HTTP.

    Attributes:
        sent: False when the request provably never left this machine.
    """

    def __init__(self, message: str, *, sent: bool = True, **request: Any) -> None:
        super().__init__(message, **request)
        self.sent = sent


class RequestTimeoutError(TransportError):
    """No response within the call's `timeout=` or `Config.attempt_timeout_s`."""


class APIStatusError(BlockStoreError):
    """The API answered with an error status, or with one that is not documented.

    Attributes:
        status: the HTTP status.
        id: the API's short identifier, such as `not_found`; empty when the body had none.
        request_id: what DigitalOcean's support needs, where the response carried one.
        body: the start of the body, at most 500 characters.
        refusal: `busy`: without effect, because another action on the volume or Droplet is under
            way; it passes within seconds. `already`: things are as they were asked to be: attached
            to that very Droplet, not attached to it, of that size. None: anything else.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        id: str = "",  # noqa: A002 -- the API's own name for it
        request_id: str | None = None,
        body: str = "",
        refusal: Refusal | None = None,
        **request: Any,
    ) -> None:
        super().__init__(message, **request)
        self.status = status
        self.refusal: Refusal | None = refusal
        self.id = id
        self.request_id = request_id
        self.body = body

    def __str__(self) -> str:
        request_id = f" [request id {self.request_id}]" if self.request_id else ""
        return f"{self.status} {super().__str__()}{request_id}"


class BadRequestError(APIStatusError):
    """400: the request body could not be parsed."""


class AuthenticationError(APIStatusError):
    """401: the token is missing, wrong or revoked."""


class PermissionDeniedError(APIStatusError):
    """403: the token may not do this, or a limit of the account is reached.

    Attributes:
        scopes: the scopes of which the operation needs one; the token may lack it.
    """

    def __init__(self, message: str, *, scopes: tuple[str, ...] = (), **rest: Any) -> None:
        super().__init__(message, **rest)
        self.scopes = scopes


class NotFoundError(APIStatusError):
    """404: no such resource (or not one of this account)."""


class ConflictError(APIStatusError):
    """409: the name is taken, or the volume is attached or busy."""


class UnprocessableEntityError(APIStatusError):
    """422: the request is well formed but not possible; `message` says why."""


class RateLimitedError(APIStatusError):
    """429: rejected for now.

    Attributes:
        kind: `burst` (more than 250 in a minute), `hourly` (more than 5,000 in an hour),
            `snapshot_cooldown` (a volume takes one snapshot in ten minutes), `capacity` (the
            account's storage limit; waiting does not help), `route` (a limit of that endpoint).
        retry_after: seconds after which the server would accept it, where it says so.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: RateLimitKind = "route",
        retry_after: float | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(message, **rest)
        self.kind = kind
        self.retry_after = retry_after


class ServerError(APIStatusError):
    """5xx: the API or a gateway before it failed."""


class InvalidArgumentError(BlockStoreError, ValueError):
    """An argument is invalid; nothing was sent."""


class DecodeError(BlockStoreError):
    """A response does not have the documented form, or is larger than the caps allow.

    Attributes:
        field: the path of the offending field, such as `volumes[3].size_gigabytes`; may be empty.
        status, request_id: of the response.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        status: int | None = None,
        request_id: str | None = None,
        **request: Any,
    ) -> None:
        super().__init__(message, **request)
        self.field = field
        self.status = status
        self.request_id = request_id


class QuotaWaitTooLongError(BlockStoreError):
    """The token's budget cannot serve the call before its deadline; raised without waiting.

    Nothing was sent where `attempts` is 0; otherwise an earlier attempt had failed.

    Attributes:
        retry_after: seconds after which the same call would have been served.
    """

    def __init__(self, message: str, *, retry_after: float, **request: Any) -> None:
        super().__init__(message, **request)
        self.retry_after = retry_after


class OutcomeUnknownError(BlockStoreError):
    """The response was lost, and whether the request took effect could not be found out.

    Check before you send it again: nothing in this API makes a repeated create harmless.

    Attributes:
        candidate: what was found under the same name, or None.
        __cause__: the failure that lost the response.
    """

    def __init__(self, message: str, *, candidate: Any = None, **request: Any) -> None:
        super().__init__(message, **request)
        self.candidate = candidate


class ListingChangedError(BlockStoreError):
    """A listing changed under its reader in every one of three passes; it may lack items."""


class ActionFailedError(BlockStoreError):
    """The action ended with status `errored`.

    Attributes:
        action: the action as last seen.
    """

    def __init__(self, message: str, *, action: models.Action, **request: Any) -> None:
        super().__init__(message, **request)
        self.action = action


class ActionTimeoutError(BlockStoreError):
    """The action did not end within `timeout=`; it may still be running.

    Attributes:
        action: the action as last seen.
    """

    def __init__(self, message: str, *, action: models.Action, **request: Any) -> None:
        super().__init__(message, **request)
        self.action = action


class ClientClosedError(BlockStoreError, RuntimeError):
    """The client was used before `async with`, after `aclose()`, or from another event loop."""


class ConfigError(BlockStoreError):
    """A setting or a token is invalid."""


class StoreUnusableError(ConfigError):
    """The store that a setting names, of a shared budget say, cannot be used, now or later."""
