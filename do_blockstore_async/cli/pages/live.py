"""The live page: a small server on loopback, whose one page listens to a stream of events.

It tells what an account does, so it is for this machine's user alone: it listens on 127.0.0.1, at a
path that nobody can guess, answers to a name of this machine only (a page from elsewhere may make
its own name lead here), allows no other origin, and changes nothing. It never holds a token.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from ..._clock import new_name, now_s, pause
from ..exit_codes import CommandError
from .rendering import check_extra, render

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["LiveSource", "serve_page"]

_HOST: Final = "127.0.0.1"
_FLUSH_S: Final = 0.1
_STATE_S: Final = 0.5
_SHOWN: Final = 200
# A browser that reads none of these is gone, or as good as.
_UNREAD: Final = 100
_HEADERS: Final = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class LiveSource(Protocol):
    """Where a live page takes from what it shows.

    Attributes:
        title: of the page.
        happened: what has happened since it was last taken away: a row each.
        is_watched: whether anybody looks; set by the page.
    """

    title: str
    happened: deque[dict[str, Any]]
    is_watched: bool

    async def state(self) -> dict[str, Any]:
        """Return what is so at the moment."""


class _Page:
    def __init__(self, source: LiveSource) -> None:
        self._source = source
        self._recent: deque[dict[str, Any]] = deque(maxlen=_SHOWN)
        self._readers: set[asyncio.Queue[bytes | None]] = set()
        self.secret = new_name() + new_name()
        self.port = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        from aiohttp import web

        names = {f"{name}:{self.port}" for name in (_HOST, "localhost")}
        if self.port == 80:
            names |= {_HOST, "localhost"}
        is_foreign = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if request.host.lower() not in names or "origin" in request.headers:
            return web.Response(status=403, text="this page is for this machine only\n")
        if request.method != "GET":
            return web.Response(status=405, headers={"allow": "GET"})
        if request.path == f"/{self.secret}/":
            html = render("live", connects=True, title=self._source.title)
            return web.Response(text=html, content_type="text/html", headers=_HEADERS)
        if request.path == f"/{self.secret}/events" and not is_foreign:
            return await self._stream(request)
        return web.Response(status=404, text="use the whole address that was printed\n")

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        stream = web.StreamResponse(headers={**_HEADERS, "content-type": "text/event-stream"})
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_UNREAD)
        await stream.prepare(request)
        # From here on nothing is missed: what it gets first and what follows fit together.
        queue.put_nowait(_event("happened", list(self._recent)))
        self._readers.add(queue)
        self._source.is_watched = True
        try:
            while (message := await queue.get()) is not None:
                await stream.write(message)
        except ConnectionError:
            pass
        finally:
            self._readers.discard(queue)
            self._source.is_watched = bool(self._readers)
        return stream

    async def keep_telling(self) -> None:
        """Send what happens to everybody who reads, until cancelled."""
        told_at_s = 0.0
        while True:
            rows = []
            while self._source.happened:
                rows.append(self._source.happened.popleft())
            self._recent.extend(rows)
            if self._readers:
                if rows:
                    self._tell(_event("happened", rows[-_SHOWN:]))
                if rows or now_s() - told_at_s >= _STATE_S:
                    told_at_s = now_s()
                    self._tell(_event("state", await self._source.state()))
            await pause(_FLUSH_S)

    def _tell(self, message: bytes) -> None:
        for queue in list(self._readers):
            if queue.full():
                self._readers.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(message)

    def end(self) -> None:
        """Let every stream end."""
        for queue in self._readers:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)


def _event(kind: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(data))


@asynccontextmanager
async def serve_page(source: LiveSource, *, port: int = 0) -> AsyncIterator[str]:
    """Serve the live page of `source` while the block lasts; gives its address.

    Args:
        source: what it shows.
        port: where to listen; 0 takes a free one.

    Raises:
        CommandError: the port is taken, or the extra for pages is missing.
    """
    from aiohttp import web

    check_extra()
    page = _Page(source)
    # A request may not wait for the end of a stream: those end first, the rest is cancelled.
    runner = web.ServerRunner(web.Server(page.handle, access_log=None), shutdown_timeout=0.5)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, _HOST, port).start()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CommandError(f"cannot serve the page at port {port}: {reason}") from None
        page.port = int(runner.addresses[0][1])
        telling = asyncio.create_task(page.keep_telling(), name="live page")
        try:
            yield f"http://{_HOST}:{page.port}/{page.secret}/"
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
            page.end()
    finally:
        await runner.cleanup()
