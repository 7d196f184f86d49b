"""One lease for each transmission of an aiohttp session.

aiohttp sends an idempotent request once more, silently, when a kept-alive connection turns out to
be dead. A client middleware runs for each of these transmissions (measured with aiohttp 3.14), so
taking the lease there makes leases equal to requests on the wire (I12).

Nothing of aiohttp is imported: the throttle must work without it. The errors that prove that
nothing was written are known by name.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from .lease import Lease

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

__all__ = ["never_written", "send_with_lease"]

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


async def send_with_lease(
    waiting: AbstractAsyncContextManager[Lease], request: ClientRequest, handler: ClientHandlerType
) -> ClientResponse:
    """Wait for the lease, send, and close the lease with what came of it."""
    async with waiting as lease:
        try:
            response = await handler(request)
        except Exception as error:
            if never_written(error):
                lease.cancel()
            raise
        lease.complete(response.headers, response.status)
        return response
