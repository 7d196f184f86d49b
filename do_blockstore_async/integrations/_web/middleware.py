"""The middleware of ASGI apps: a deadline for each request, and its cancellation.

Invariants:
1. It reads at most one message of the body ahead of the app, and only once the handler has made a
   call.
2. A request leaves no task behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from .request_scope import ClientGoneError, RequestScope, timeout_from
from .settings import Timeout, optional_seconds

__all__ = ["ASGIApp", "BlockStoreMiddleware", "Message", "Receive", "Scope", "Send"]

# As the frameworks have them.
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
# Each framework types the messages more narrowly, and differently.
ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


class BlockStoreMiddleware:
    """Give each request its deadline, and cancel it when its client disconnects.

    A plain ASGI middleware, so context variables reach the handler. Arguments: `add_blockstore`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        default_timeout_s: Timeout = 30.0,
        max_timeout_s: Timeout = 300.0,
        timeout_header: str = "x-request-timeout",
    ) -> None:
        self._app = app
        self._default_s = optional_seconds(default_timeout_s, "default_timeout_s")
        self._longest_s = optional_seconds(max_timeout_s, "max_timeout_s")
        self._header = timeout_header.lower().encode("latin-1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the server's; only HTTP requests are touched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = next((v for name, v in scope["headers"] if name.lower() == self._header), None)
        timeout_s = timeout_from(
            None if asked is None else asked.decode("latin-1"), self._default_s, self._longest_s
        )
        request = RequestScope(lambda: inbox.watch())
        inbox = _Inbox(receive, request.client_gone)

        is_started = False

        async def sending(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                request.answered()

        try:
            await request.run(_as_coroutine(self._app, scope, inbox.receive, sending), timeout_s)
        except ClientGoneError:
            # Nobody reads it, but middlewares around this one expect some response.
            if not is_started:
                await send({"type": "http.response.start", "status": 499, "headers": []})
                await send({"type": "http.response.body", "body": b""})
        finally:
            await inbox.aclose()


BlockStoreMiddleware.__module__ = "do_blockstore_async.integrations.fastapi"


async def _as_coroutine(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    # An ASGI app is any callable that returns an awaitable; a task wants a coroutine.
    await app(scope, receive, send)


class _Inbox:
    """The request's messages. Once watched, it reads one ahead to notice the client disconnect.

    The server's `receive` is called by one task at a time, by the app's or by the watcher.
    """

    def __init__(self, receive: Receive, on_gone: Callable[[], None]) -> None:
        self._receive = receive
        self._on_gone = on_gone
        self._one_reader = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._ahead: deque[Message] = deque()
        self._gone = False
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Begin to read ahead."""
        self._watcher = asyncio.get_running_loop().create_task(self._watch(), name="client gone?")

    async def aclose(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait((self._watcher,))
            if not self._watcher.cancelled():
                self._watcher.exception()

    async def receive(self) -> Message:
        """The next message, for the app."""
        if self._watcher is None:
            async with self._one_reader:
                return self._noted(await self._receive())
        async with self._changed:
            await self._changed.wait_for(lambda: self._ahead or self._gone)
            if not self._ahead:
                return {"type": "http.disconnect"}
            message = self._ahead.popleft()
            self._changed.notify_all()
            return message

    def _noted(self, message: Message) -> Message:
        if message["type"] == "http.disconnect":
            self._gone = True
            self._on_gone()
        return message

    async def _watch(self) -> None:
        while not self._gone:
            async with self._one_reader:
                message = self._noted(await self._receive())
            async with self._changed:
                if not self._gone:
                    self._ahead.append(message)
                self._changed.notify_all()
                if message.get("more_body", False):
                    await self._changed.wait_for(lambda: not self._ahead)
