"""Asyncio SDK for DigitalOcean Block Storage that keeps every token inside its request budget.

    async with BlockStore(token) as store:
        async for volume in store.volumes.list(region="nyc3"):
            print(volume.name)

Everything public is importable from here; `do_blockstore_async.simulator` holds the simulator of
the API, `do_blockstore_async.bulk` what bulk jobs are made of, `do_blockstore_async.jobs` the jobs
of a file, `do_blockstore_async.events` what happens inside a client, and
`do_blockstore_async.integrations` the ways into web frameworks.

Each name is imported when it is first used (PEP 562): a pytest run that merely has the package
installed, or `do-blockstore --help`, need not pay for an HTTP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy_names
from ._version import __version__ as __version__

if TYPE_CHECKING:
    from . import accounts as accounts
    from . import bulk as bulk
    from . import errors as errors
    from . import events as events
    from . import jobs as jobs
    from . import models as models
    from . import simulator as simulator
    from ._interop.model import json_default
    from ._ratelimit.lease import Lease
    from ._ratelimit.status import ProcessStatus, QuotaStatus, WaitReason, WindowStatus
    from ._ratelimit.throttle import Throttle
    from ._schema.cattrs_hooks import make_converter
    from .accounts.accounts import AccountOutcome, Accounts
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
        StoreUnusableError,
        TransportError,
        UnprocessableEntityError,
    )
    from .models import (
        Action,
        Page,
        RateLimit,
        Region,
        Response,
        Volume,
        VolumeSnapshot,
    )
    from .resources._listing import AsyncListing
    from .simulator.server import Simulator

__all__ = [
    "APIStatusError",
    "AccountOutcome",
    "Accounts",
    "Action",
    "ActionFailedError",
    "ActionTimeoutError",
    "AsyncListing",
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
    "Lease",
    "ListingChangedError",
    "NotFoundError",
    "OutcomeUnknownError",
    "Page",
    "PermissionDeniedError",
    "ProcessStatus",
    "QuotaStatus",
    "QuotaWaitTooLongError",
    "RateLimit",
    "RateLimitedError",
    "Region",
    "RequestTimeoutError",
    "Response",
    "ServerError",
    "Simulator",
    "StoreUnusableError",
    "Throttle",
    "TransportError",
    "UnprocessableEntityError",
    "Volume",
    "VolumeSnapshot",
    "WaitReason",
    "WindowStatus",
    "json_default",
    "make_converter",
]


__getattr__, __dir__ = lazy_names(
    globals(),
    {
        "APIStatusError": ".errors",
        "AccountOutcome": ".accounts.accounts",
        "Accounts": ".accounts.accounts",
        "Action": ".models",
        "ActionFailedError": ".errors",
        "ActionTimeoutError": ".errors",
        "AsyncListing": ".resources._listing",
        "AuthenticationError": ".errors",
        "BadRequestError": ".errors",
        "BlockStore": ".client",
        "BlockStoreError": ".errors",
        "ClientClosedError": ".errors",
        "Config": ".config",
        "ConfigError": ".errors",
        "ConflictError": ".errors",
        "DecodeError": ".errors",
        "InvalidArgumentError": ".errors",
        "Lease": "._ratelimit.lease",
        "ListingChangedError": ".errors",
        "NotFoundError": ".errors",
        "OutcomeUnknownError": ".errors",
        "Page": ".models",
        "PermissionDeniedError": ".errors",
        "ProcessStatus": "._ratelimit.status",
        "QuotaStatus": "._ratelimit.status",
        "QuotaWaitTooLongError": ".errors",
        "RateLimit": ".models",
        "RateLimitedError": ".errors",
        "Region": ".models",
        "RequestTimeoutError": ".errors",
        "Response": ".models",
        "ServerError": ".errors",
        "Simulator": ".simulator.server",
        "StoreUnusableError": ".errors",
        "Throttle": "._ratelimit.throttle",
        "TransportError": ".errors",
        "UnprocessableEntityError": ".errors",
        "Volume": ".models",
        "VolumeSnapshot": ".models",
        "WaitReason": "._ratelimit.status",
        "WindowStatus": "._ratelimit.status",
        "json_default": "._interop.model",
        "make_converter": "._schema.cattrs_hooks",
    },
    modules=("accounts", "bulk", "errors", "events", "jobs", "models", "simulator"),
)
