"""Asyncio SDK for DigitalOcean Block Storage that keeps every token inside its request budget.

    async with BlockStore(token) as store:
        async for volume in store.volumes.list(region="nyc3"):
            print(volume.name)

Everything public is importable from here; `do_blockstore_async.simulator` holds the simulator of
the API, `do_blockstore_async.integrations` the ways into web frameworks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .client import BlockStore
from .config import Config
from .errors import (
    ActionFailedError,
    ActionTimeoutError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BlockStoreError,
    ClientClosedError,
    ConfigError,
    ConflictError,
    DecodeError,
    InvalidArgumentError,
    ListingChangedError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QuotaWaitTooLongError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    UnprocessableEntityError,
)
from .models import Action, Page, RateLimit, Region, Response, Volume, VolumeSnapshot
from .quota.status import QuotaStatus
from .quota.throttle import Throttle

if TYPE_CHECKING:
    from .simulator.server import Simulator
    from .wire.converter import make_converter

__all__ = [
    "APIStatusError",
    "Action",
    "ActionFailedError",
    "ActionTimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BlockStore",
    "BlockStoreError",
    "ClientClosedError",
    "Config",
    "ConfigError",
    "ConflictError",
    "DecodeError",
    "InvalidArgumentError",
    "ListingChangedError",
    "NotFoundError",
    "OutcomeUnknownError",
    "Page",
    "PermissionDeniedError",
    "QuotaStatus",
    "QuotaWaitTooLongError",
    "RateLimit",
    "RateLimitedError",
    "Region",
    "RequestTimeoutError",
    "Response",
    "ServerError",
    "Simulator",
    "Throttle",
    "TransportError",
    "UnprocessableEntityError",
    "Volume",
    "VolumeSnapshot",
    "make_converter",
]

__version__ = "0.1.0"

# Imported when first used: a program that only calls the API needs neither a web server nor cattrs.
_LAZY = {
    "Simulator": ".simulator.server",
    "make_converter": ".wire.converter",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
