"""A warning for each request that the simulator does not know: a test of a user may rest on it."""

from __future__ import annotations

import logging

from ._messages import SimRequest, SimResponse

__all__ = ["warn_if_unknown"]

_logger = logging.getLogger("do_blockstore_async.simulator")


def warn_if_unknown(request: SimRequest, response: SimResponse) -> None:
    """Log a request that was answered with 501: its method and path, never its headers."""
    if response.status == 501:
        _logger.warning(
            "the simulator does not know %s %s, and answered 501", request.method, request.path
        )
