"""FastAPI: one client for the life of the app, 503 with Retry-After when the budget is short.

    app = FastAPI(lifespan=blockstore_lifespan())
    add_blockstore(app)

    @app.get("/volumes/{volume_id}")
    async def volume(volume_id: str, store: BlockStoreDep) -> Volume:
        return await store.volumes.get(volume_id)

The lifespan opens and closes the client. `add_blockstore` adds the middleware, which gives each
request its deadline and cancels it when its client disconnects, and the error handlers, which turn
this package's errors into problem+json. Works for Starlette as well, without `BlockStoreDep`.

The client lives in the lifespan's state, one for each running app; nothing is global.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, TypeAlias

from .._lazy import missing_module

try:
    from fastapi import APIRouter, Depends, Request
    from fastapi.params import Depends as DependsParam
    from starlette.applications import Starlette
    from starlette.requests import HTTPConnection
    from starlette.responses import JSONResponse, Response
except ModuleNotFoundError as error:
    raise missing_module(__name__, "fastapi", error) from None

from .. import BlockStore, BlockStoreError
from ._web.health import budget_report
from ._web.middleware import BlockStoreMiddleware
from ._web.problem_details import CONTENT_TYPE, problem_for
from ._web.retry_after import RetryTimes
from ._web.settings import Timeout, check_factory, seconds_of

__all__ = [
    "BlockStoreDep",
    "BlockStoreMiddleware",
    "add_blockstore",
    "blockstore_lifespan",
    "budget_router",
    "get_store",
    "handle_error",
    "request_deadline",
]

# Starlette knows two kinds of lifespan, with state and without, and takes no union of them.
Lifespan: TypeAlias = (
    Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]
    | Callable[[Any], AbstractAsyncContextManager[None]]
)

_STORE = "blockstore"
_TIMES = "blockstore_retry_times"


def blockstore_lifespan(
    client_factory: Callable[[], BlockStore] = BlockStore.from_env,
    *,
    inner: Lifespan | None = None,
    grace_s: float | timedelta = 20.0,
) -> Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """Make a lifespan that opens one client with the app and closes it at shutdown.

    It composes both ways: with `inner`, which runs inside it; or inside a lifespan of yours, as
    `async with blockstore_lifespan()(app) as state: ... yield {**state, ...}`, which then has the
    client as `state["blockstore"]`, for a background job, say.

    Args:
        client_factory: makes the client, not yet opened; by default from the environment.
        inner: another lifespan; what it yields is merged into the state.
        grace_s: seconds that calls in flight get to finish at shutdown. The server has usually
            waited for its requests before; this is for those it stopped waiting for, and for
            background work.

    Raises:
        ConfigError: `client_factory` is an app or a client.
    """
    check_factory(client_factory, "lifespan=blockstore_lifespan()")
    limit_s = seconds_of(grace_s, "grace_s")

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            store = client_factory()
            await store.__aenter__()
            stack.push_async_callback(store.aclose, grace_s=limit_s)
            state: dict[str, Any] = {_STORE: store, _TIMES: RetryTimes(store)}
            if inner is not None:
                more = await stack.enter_async_context(inner(app))
                state.update({} if more is None else more)
            yield state

    return lifespan


def get_store(request: HTTPConnection) -> BlockStore:
    """Return the app's client, for a request or a WebSocket; what `BlockStoreDep` calls.

    Raises:
        RuntimeError: the app's lifespan did not open one.
    """
    store: BlockStore | None = getattr(request.state, _STORE, None)
    if store is None:
        raise RuntimeError("no client: give FastAPI lifespan=blockstore_lifespan()")
    return store


BlockStoreDep: TypeAlias = Annotated[BlockStore, Depends(get_store)]
"""A parameter of this type is the app's client."""


def request_deadline(timeout_s: float | timedelta) -> DependsParam:
    """Make a dependency that bounds a route's calls by `timeout_s` seconds, or a timedelta.

    @app.get("/volumes", dependencies=[request_deadline(2.5)])
    """
    limit_s = seconds_of(timeout_s, "timeout_s")

    async def deadline() -> AsyncIterator[None]:
        with BlockStore.deadline(limit_s):
            yield

    dependency: DependsParam = Depends(deadline)
    return dependency


def add_blockstore(
    app: Starlette,
    *,
    default_timeout_s: Timeout = 30.0,
    max_timeout_s: Timeout = 300.0,
    timeout_header: str = "x-request-timeout",
) -> None:
    """Add the middleware and the error handlers to `app`, before it starts.

    Args:
        default_timeout_s: seconds a request's calls have together when it does not say; None for
            no deadline.
        max_timeout_s: a request that asks for more gets this; None for no bound.
        timeout_header: where a request says how many seconds it has.
    """
    app.add_middleware(
        BlockStoreMiddleware,
        default_timeout_s=default_timeout_s,
        max_timeout_s=max_timeout_s,
        timeout_header=timeout_header,
    )
    app.add_exception_handler(BlockStoreError, handle_error)
    app.add_exception_handler(ExceptionGroup, handle_error)


async def handle_error(request: Request, error: Exception) -> Response:
    """Answer an error of this package, alone or in a group, as problem+json; re-raise others."""
    times: RetryTimes | None = getattr(request.state, _TIMES, None)
    problem = problem_for(error, None if times is None else times.promise)
    return Response(problem.encode(), problem.status, problem.headers, CONTENT_TYPE)


def budget_router(path: str = "/health/budget") -> APIRouter:
    """Make a router with one route that reports the budget; it sends no request to the API."""
    router = APIRouter()

    @router.get(path, tags=["health"])
    async def budget(store: BlockStoreDep) -> JSONResponse:
        """The request budget as this process knows it."""
        return JSONResponse(budget_report(store), headers={"Cache-Control": "no-store"})

    return router
