"""One permit for each transmission of an aiohttp session.

aiohttp sends an idempotent request once more, silently, when a kept-alive connection turns out to
be dead. A client middleware runs for each of these transmissions (measured with aiohttp 3.14), so
taking the permit there makes tickets equal to requests on the wire (I12).

Nothing of aiohttp is imported: the throttle must work without it. The errors that prove that
nothing was written are known by name.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from .permit import Ticket

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

__all__ = ["never_written", "send_with_permit"]

# Raised while a connection is being made, so before the first byte of a request.
_BEFORE_WRITING = frozenset(
    {"ClientConnectorError", "ConnectionTimeoutError", "InvalidURL", "InvalidUrlClientError"}
)


def never_written(error: BaseException) -> bool:
    """Whether `error` of aiohttp proves that nothing of the request reached the wire."""
    return any(
        kind.__name__ in _BEFORE_WRITING and kind.__module__.startswith("aiohttp")
        for kind in type(error).__mro__
    )


async def send_with_permit(
    permit: AbstractAsyncContextManager[Ticket], request: ClientRequest, handler: ClientHandlerType
) -> ClientResponse:
    """Wait for the permit, send, and close the ticket with what came of it."""
    async with permit as ticket:
        try:
            response = await handler(request)
        except Exception as error:
            if never_written(error):
                ticket.unused()
            raise
        ticket.done(response.headers, response.status)
        return response
