"""What travels between the layers of one call: its description, an attempt, the raw answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

if TYPE_CHECKING:
    from .settle import Settlement

__all__ = ["Attempt", "Listing", "RawResponse", "Request"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class RawResponse:
    """An answer as it came off the wire: whole, within the caps, not yet understood.

    `headers` looks names up without regard to case, or holds them in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@attrs.frozen(kw_only=True)
class Request(Generic[T]):
    """A call, described: everything the engine needs, and nothing about time or tokens.

    Attributes:
        path: absolute, already checked and escaped.
        route: the path with ids replaced by their names; fit for metric labels.
        decode: makes the result out of a 2xx answer, or raises DecodeError.
        params: query names and values, not yet escaped.
        json: the body to be encoded, or None.
        repeatable: sending it twice does what sending it once does.
        scopes: any one of these lets a token do it (API reference, "Required scopes").
        settle: how to find out what became of it when its answer was lost.
    """

    method: str
    path: str
    route: str
    decode: Callable[[RawResponse], T]
    params: tuple[tuple[str, str], ...] = ()
    json: Any = None
    repeatable: bool = False
    scopes: tuple[str, ...] = ()
    settle: Settlement[T] | None = None


@attrs.define
class Attempt:
    """One transmission: the time it has, and what it leaves behind for the engine.

    Attributes:
        deadline: loop time by which the whole answer must be here, the wait for quota included.
        sent_at: loop time at which the first byte may have left; None while none can have.
    """

    deadline: float | None = None
    sent_at: float | None = None


@attrs.frozen
class Listing(Generic[T_co]):
    """One answer of a paginated route.

    Attributes:
        items: in the server's order.
        total: what `meta.total` said, or None where the route sends none.
        last_page: number of the last page as far as the links tell, else None.
        date_s: the answer's `Date` in seconds since the epoch, whole seconds; None if absent.
    """

    items: tuple[T_co, ...]
    total: int | None
    last_page: int | None
    date_s: float | None
