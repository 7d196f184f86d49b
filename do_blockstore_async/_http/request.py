"""What travels between the layers of one call: its description, an attempt, the raw response.

These are not API, and every call makes several: they are msgspec structs, which cost a
fifth of a frozen attrs class to make, and next to nothing to import.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from .._context import Gate
from .._deadline import NEVER, Deadline
from ..errors import BlockStoreError, DecodeError, Refusal

__all__ = [
    "Attempt",
    "Call",
    "Dated",
    "Evidence",
    "Finding",
    "Listing",
    "RawResponse",
    "Reconciliation",
    "Request",
    "Resolution",
    "encode_json",
    "is_answer",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Resolution: TypeAlias = Literal["adopted", "not_found", "conflict", "unknown"]

encode_json: Callable[[Any], bytes] = msgspec.json.Encoder().encode


class RawResponse(msgspec.Struct, frozen=True):
    """A response as it came off the wire: whole, within the caps, not yet parsed.

    `headers` looks names up without regard to case, or holds them in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Listing(msgspec.Struct, Generic[T_co], frozen=True):
    """One response of a paginated route.

    Attributes:
        items: in the server's order.
        total: what `meta.total` said, or None where the route sends none.
        last_page: number of the last page as far as the links tell, else None.
        date_s: the response's `Date` in seconds since the epoch, whole seconds; None if absent.
    """

    items: tuple[T_co, ...]
    total: int | None
    last_page: int | None
    date_s: float | None


L = TypeVar("L", bound=Listing[Any])


class Evidence(msgspec.Struct, frozen=True):
    """What is known when a query is classified.

    Attributes:
        earliest_sent_s: when the request was sent at the earliest, by the server's clock, in
            seconds since the epoch; None if that clock is unknown or was seen to step.
        known: ids of what this client has made before.
        concurrent_duplicate: another call of this client asks for the same at this moment, or
            did so shortly before and ended without knowing what became of it.
        clocks_agree: an earlier response has shown that the server's clock runs as ours does.
    """

    earliest_sent_s: float | None
    known: Collection[Hashable]
    concurrent_duplicate: bool = False
    clocks_agree: bool = True


class Finding(msgspec.Struct, Generic[T], frozen=True):
    """What became of a request, with the adopted result or the candidate that was found."""

    resolution: Resolution
    value: T | None = None
    candidate: Any = None


class Reconciliation(msgspec.Struct, Generic[T, L], kw_only=True, frozen=True):
    """How to find out what became of one request whose response was lost.

    Attributes:
        query: fetches what may have come of it, with the date of the response, by the deadline.
        classify: what the query means; pure.
        server_rejects_duplicates: the server itself refuses a second one, so that the request may
            be sent again as soon as a query finds nothing.
        hint: for people: where to look if it cannot be resolved here.
        key: names what is asked for, to notice that two calls ask for it at once.
        replacement: makes the request to send again out of the candidate that was found untouched,
            so that the second attempt cannot affect a resource that took the name since.
    """

    query: Callable[[Deadline], Awaitable[L]]
    classify: Callable[[L, Evidence], Finding[T]]
    server_rejects_duplicates: bool
    hint: str
    key: Hashable
    replacement: Callable[[Any], Request[T]] | None = None


class Request(msgspec.Struct, Generic[T], kw_only=True, frozen=True):
    """A call, described: everything the engine needs, and nothing about time or tokens.

    Attributes:
        path: absolute, already checked and escaped.
        route: the path with ids replaced by their names; fit for metric labels.
        decode: makes the result out of a 2xx response, or raises DecodeError.
        params: query names and values, not yet escaped.
        json: the body to be encoded, or None.
        idempotent: sending it twice does what sending it once does.
        scopes: any one of these lets a token do it (API reference, "Required scopes").
        reconciliation: how to find out what became of it when its response was lost.
        identifies: whether a result is of this request and no other one.
        explain: finds out why it was refused with a 409 or 422, if it can be told.
    """

    method: str
    path: str
    route: str
    decode: Callable[[RawResponse], T]
    params: tuple[tuple[str, str], ...] = ()
    json: Any = None
    idempotent: bool = False
    scopes: tuple[str, ...] = ()
    reconciliation: Reconciliation[T, Any] | None = None
    identifies: Callable[[T], bool] | None = None
    explain: Callable[[Deadline], Awaitable[Refusal | None]] | None = None


class Attempt(msgspec.Struct):
    """One transmission: the time it has, and what it leaves behind for the engine.

    Attributes:
        deadline: by when the whole response must be here, the wait for quota included.
        waits: whether it waits for its lease, and has not got it.
        sent_at: loop time at which the first byte may have left; None while none can have.
        on_sent: called with that time, directly before the first byte is written. It does not hold
            the attempt itself: a cycle for each call would keep the garbage collector busy.
        result: what `is_answer` has decoded.
        generation: of the token that it carries; see `Credentials`.
        gate: awaited with the lease in hand. What it raises says that the request may not be sent,
            and nothing was; what it returns becomes `is_late`. None for none.
        is_late: tells whether the gate's consent is too old for the first byte; None for never.
    """

    deadline: Deadline = NEVER
    waits: bool = False
    sent_at: float | None = None
    on_sent: Callable[[float], None] | None = None
    result: Any = msgspec.UNSET
    generation: int = 0
    gate: Gate | None = None
    is_late: Callable[[], bool] | None = None

    def begin(self, now: float) -> None:
        """The lease is granted: from `now` on the request may arrive."""
        self.sent_at = now
        if self.on_sent is not None:
            self.on_sent(now)


def is_answer(request: Request[Any], attempt: Attempt, raw: RawResponse) -> bool:
    """Whether a response answers this request, as far as it tells.

    If not, its connection is out of step: a stray response on an idle connection becomes the next
    request's, and so on.
    Its result is kept in the attempt, so that nothing is decoded twice.
    """
    if request.identifies is None or attempt.result is not msgspec.UNSET:
        return True
    if not 200 <= raw.status < 300:
        return True
    try:
        result = request.decode(raw)
    except DecodeError:
        return True  # which says so itself
    if not request.identifies(result):
        return False
    attempt.result = result
    return True


# A response's headers and the loop time at which it came: two of them compare two clocks.
Dated: TypeAlias = tuple[Mapping[str, str], float]


class Call:
    """What one call has gone through so far: mutable, and the engine's own.

    Attributes:
        number: of the call, from 1.
        deadline: when it ends at the latest.
        answered_before: the last response of any call when this one began.
        attempts: transmissions so far.
        sent_at: loop time at which the first of them left that was not provably refused.
        unknown: what the last attempt ended with whose outcome is not known.
        generation: of the token that the last attempt carried.
        is_renewed: whether it was sent again with another token.
        hooks: who receives the events of this call: the client's hooks and the observers around it.
    """

    __slots__ = (
        "answered_before",
        "attempts",
        "deadline",
        "generation",
        "hooks",
        "is_renewed",
        "number",
        "sent_at",
        "unknown",
    )

    def __init__(
        self,
        number: int,
        deadline: Deadline,
        answered_before: Dated | None,
        hooks: tuple[Callable[[Any], object], ...] = (),
    ) -> None:
        self.number = number
        self.deadline = deadline
        self.hooks = hooks
        self.answered_before = answered_before
        self.attempts = 0
        self.sent_at: float | None = None
        self.unknown: BlockStoreError | None = None
        self.generation = 0
        self.is_renewed = False
