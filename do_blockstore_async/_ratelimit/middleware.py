"""One lease for each transmission of an aiohttp session.

aiohttp sends an idempotent request once more, silently, when a kept-alive connection turns out to
be dead. A client middleware runs for each of these transmissions (measured with aiohttp 3.14), so
taking the lease there makes leases equal to requests on the wire (I12).

Nothing of aiohttp is imported: the throttle must work without it. The errors that prove that
nothing was written are known by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from .lease import Lease

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

__all__ = ["StaleLeaseError", "fence", "never_written", "send_with_lease"]

# Raised while a connection is being made, also by a proxy that refuses to make it: so before the
# first byte of a request.
_BEFORE_WRITING = frozenset(
    {
        "ClientConnectorError",
        "ClientHttpProxyError",
        "ConnectionTimeoutError",
        "InvalidURL",
        "InvalidUrlClientError",
    }
)


def never_written(error: BaseException) -> bool:
    """Whether `error` of aiohttp proves that nothing of the request reached the wire."""
    return any(
        kind.__name__ in _BEFORE_WRITING and kind.__module__.startswith("aiohttp")
        for kind in type(error).__mro__
    )


class StaleLeaseError(Exception):
    """The lease grew too old before its request was written: nothing was sent."""


class LeaseSource(Protocol):
    """What of the throttle a transmission needs."""

    def acquire(self) -> AbstractAsyncContextManager[Lease]:
        """See `Throttle.acquire`."""

    def _fence(self, request: ClientRequest, lease: Lease) -> AbstractContextManager[None]:
        """See `Throttle._fence`."""


@contextmanager
def fence(request: ClientRequest, is_stale: Callable[[], bool]) -> Iterator[None]:
    """Make `request` raise `StaleLeaseError` instead of being written with a stale lease (R6).

    A connection is made between the middleware and the writing, and a process may be stopped or its
    machine suspended at any moment: so the last look is directly before the first byte. Afterwards
    the request is as it was: it may be sent again, with another lease.
    """
    send: Any = request.send

    async def send_if_fresh(*args: Any, **options: Any) -> Any:
        if is_stale():
            raise StaleLeaseError
        return await send(*args, **options)

    # aiohttp has no hook this late; `send` is a public method of the request.
    request.send = send_if_fresh  # type: ignore[method-assign]
    try:
        yield
    finally:
        request.send = send  # type: ignore[method-assign]


async def send_with_lease(
    throttle: LeaseSource, request: ClientRequest, handler: ClientHandlerType
) -> ClientResponse:
    """Wait for a lease, send, and close the lease with what came of it."""
    while True:
        async with throttle.acquire() as lease:
            try:
                with throttle._fence(request, lease):
                    response = await handler(request)
            except StaleLeaseError:
                lease.cancel()
                continue
            except Exception as error:
                if never_written(error):
                    lease.cancel()
                raise
            lease.complete(response.headers, response.status)
            return response
