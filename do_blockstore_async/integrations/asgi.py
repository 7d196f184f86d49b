"""Any ASGI framework: Litestar, Quart, Django, or none. No framework is needed for it.

    app = BlockStoreASGI(quart_app)          # or get_asgi_application(), a Litestar app, ...

    async def volume(request: Request) -> ...:
        volume = await get_store(request.scope).volumes.get(...)

It opens one client when the server starts the app and closes it at shutdown; gives each request its
deadline, and cancels it when its client disconnects; and answers errors of this package with
problem+json where the framework lets them through. Where it does not, its own error handler asks
`problem_of` for the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from .. import BlockStore, BlockStoreError
from ._web.middleware import ASGIApp, BlockStoreMiddleware, Message, Receive, Scope, Send
from ._web.problem_details import Problem, problem_for
from ._web.retry_after import RetryTimes
from ._web.settings import Timeout, check_factory, seconds_of

__all__ = ["BlockStoreASGI", "get_store", "problem_of"]

_STORE = "do_blockstore_async.store"
_TIMES = "do_blockstore_async.retry_times"


class BlockStoreASGI:
    """An ASGI app around another one, with a client for as long as the server runs it.

    Args:
        app: the framework's app; it may have a lifespan of its own, or none, as Django.
        client_factory: makes the client, not yet opened; by default from the environment.
        grace_s: seconds or a timedelta that calls in flight get to finish at shutdown.
        default_timeout_s: seconds a request's calls have together when it does not say; None for
            no deadline.
        max_timeout_s: a request that asks for more gets this; None for no bound.
        timeout_header: where a request says how many seconds it has.

    Raises:
        ConfigError: `client_factory` is a client, or a time is invalid.
    """

    def __init__(
        self,
        app: ASGIApp,
        client_factory: Callable[[], BlockStore] = BlockStore.from_env,
        *,
        grace_s: float | timedelta = 20.0,
        default_timeout_s: Timeout = 30.0,
        max_timeout_s: Timeout = 300.0,
        timeout_header: str = "x-request-timeout",
    ) -> None:
        check_factory(client_factory, "BlockStoreASGI(app, client_factory)")
        self._app = app
        self._factory = client_factory
        self._grace_s = seconds_of(grace_s, "grace_s")
        self._middleware = BlockStoreMiddleware(
            self._answer_errors,
            default_timeout_s=default_timeout_s,
            max_timeout_s=max_timeout_s,
            timeout_header=timeout_header,
        )
        self._store: BlockStore | None = None
        self._times: RetryTimes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the server's, or the app's lifespan."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        scope[_STORE], scope[_TIMES] = self._store, self._times
        await self._middleware(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        unread: list[Message] = [await receive()]  # lifespan.startup

        async def receive_again() -> Message:
            return unread.pop() if unread else await receive()

        async def sending(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                # The server stops the loop when it is told.
                await store.aclose(grace_s=self._grace_s)
            await send(message)

        try:
            store = self._factory()
            await store.__aenter__()
        except BaseException as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        self._store, self._times = store, RetryTimes(store)
        try:
            try:
                await self._app(scope, receive_again, sending)
            except Exception:
                if not unread:
                    raise
            if unread:
                # It did not even ask: an app without a lifespan, such as Django's.
                await sending({"type": "lifespan.startup.complete"})
                await receive()  # lifespan.shutdown
                await sending({"type": "lifespan.shutdown.complete"})
        finally:
            await store.aclose()

    async def _answer_errors(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_started = False

        async def sending(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except (BlockStoreError, ExceptionGroup) as error:
            if is_started or scope["type"] != "http":
                raise
            problem = problem_of(error, scope)
            headers = {"content-type": problem.content_type, **problem.headers}
            await send(
                {
                    "type": "http.response.start",
                    "status": problem.status,
                    "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
                }
            )
            await send({"type": "http.response.body", "body": problem.encode()})


def get_store(scope: Mapping[str, Any]) -> BlockStore:
    """Return the client of the app that serves a request.

    Args:
        scope: of the request: `request.scope` in most frameworks.

    Raises:
        RuntimeError: the app is not inside of `BlockStoreASGI`, or its server runs no lifespan.
    """
    store: BlockStore | None = scope.get(_STORE)
    if store is None:
        raise RuntimeError("no client: serve BlockStoreASGI(app), by a server with lifespan on")
    return store


def problem_of(error: Exception, scope: Mapping[str, Any]) -> Problem:
    """Return how to answer an error of this package: what it has is `status`, `headers`,
    `content_type` and `encode()`, for the body.

    Args:
        error: what a handler raised, alone or in a group; others are raised again.
        scope: of the request.
    """
    times: RetryTimes | None = scope.get(_TIMES)
    return problem_for(error, None if times is None else times.promise)
