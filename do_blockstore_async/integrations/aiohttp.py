"""aiohttp: one client for the life of the application, 503 when the budget is short.

    app = web.Application(middlewares=[blockstore_middleware()])
    app.cleanup_ctx.append(blockstore_cleanup_ctx())
    app.router.add_get("/health/budget", budget_handler)

    async def volume(request: web.Request) -> web.Response:
        volume = await request.config_dict[BLOCKSTORE].volumes.get(request.match_info["id"])
        return web.json_response(volume, dumps=dumps)

    web.run_app(app, handler_cancellation=True)

With `handler_cancellation` the server cancels a request whose client has disconnected; the
middleware then lets a write that was sent finish. Without it such requests run to their deadline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from .. import BlockStore, BlockStoreError
from ._web.health import budget_report
from ._web.problem_details import CONTENT_TYPE, problem_for
from ._web.request_scope import RequestScope, timeout_from
from ._web.retry_after import RetryTimes
from ._web.settings import Timeout, check_factory, optional_seconds, seconds_of

__all__ = [
    "BLOCKSTORE",
    "blockstore_cleanup_ctx",
    "blockstore_middleware",
    "budget_handler",
    "dumps",
    "handle_error",
]

BLOCKSTORE: Final = web.AppKey("do_blockstore_async", BlockStore)
"""`app[BLOCKSTORE]`, in a subapplication `request.config_dict[BLOCKSTORE]`: the client."""

_TIMES: Final = web.AppKey("do_blockstore_async.retry_times", RetryTimes)


def dumps(value: Any) -> str:
    """Write JSON in which models stand: `web.json_response(volume, dumps=dumps)`.

    Args:
        value: a model, or lists, dicts and the like of models and other values.

    Raises:
        TypeError: there is something in it that JSON cannot hold.
    """
    return msgspec.json.encode(value).decode()


def blockstore_cleanup_ctx(
    client_factory: Callable[[], BlockStore] = BlockStore.from_env,
    *,
    grace_s: float | timedelta = 20.0,
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Make a cleanup context that opens one client as `app[BLOCKSTORE]` and closes it.

    Args:
        client_factory: makes the client, not yet opened; by default from the environment.
        grace_s: seconds that calls in flight get to finish at shutdown. The runner has waited its
            `shutdown_timeout` for the requests before; this is for those it stopped waiting for.

    Raises:
        ConfigError: `client_factory` is an app or a client.
    """
    check_factory(client_factory, "app.cleanup_ctx.append(blockstore_cleanup_ctx())")
    limit_s = seconds_of(grace_s, "grace_s")

    async def context(app: web.Application) -> AsyncIterator[None]:
        store = client_factory()
        await store.__aenter__()
        app[BLOCKSTORE] = store
        app[_TIMES] = RetryTimes(store)
        try:
            yield
        finally:
            await store.aclose(grace_s=limit_s)

    return context


def blockstore_middleware(
    *,
    default_timeout_s: Timeout = 30.0,
    max_timeout_s: Timeout = 300.0,
    timeout_header: str = "X-Request-Timeout",
) -> Middleware:
    """Make the middleware: a deadline for each request, safe cancellation, errors as problem+json.

    Put it last in the list, next to the handlers, so that other middlewares see its responses.

    Args:
        default_timeout_s: seconds a request's calls have together when it does not say; None for
            no deadline.
        max_timeout_s: a request that asks for more gets this; None for no bound.
        timeout_header: where a request says how many seconds it has.
    """
    default_s = optional_seconds(default_timeout_s, "default_timeout_s")
    longest_s = optional_seconds(max_timeout_s, "max_timeout_s")

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        timeout_s = timeout_from(request.headers.get(timeout_header), default_s, longest_s)
        try:
            return await RequestScope().run(_handle(handler, request), timeout_s)
        except (BlockStoreError, ExceptionGroup) as error:
            return handle_error(request, error)

    return middleware


async def _handle(handler: Handler, request: web.Request) -> web.StreamResponse:
    return await handler(request)


def handle_error(request: web.Request, error: Exception) -> web.Response:
    """Answer an error of this package, alone or in a group, as problem+json; re-raise others."""
    times = request.config_dict.get(_TIMES)
    problem = problem_for(error, None if times is None else times.promise)
    return web.Response(
        body=problem.encode(),
        status=problem.status,
        headers=problem.headers,
        content_type=CONTENT_TYPE,
    )


async def budget_handler(request: web.Request) -> web.Response:
    """Report the budget as JSON; sends no request to the API."""
    report = budget_report(request.config_dict[BLOCKSTORE])
    return web.json_response(report, headers={"Cache-Control": "no-store"})
