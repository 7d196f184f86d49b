"""What tests of several folders use: a server that says exactly what it is told, and settings."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl

from do_blockstore_async import BlockStore, Config

TOKEN = "dop_v1_" + "c0ffee" * 10 + "beef"
UNLIMITED = ((10**6, 60.0), (10**7, 3600.0))
VOLUME_ID = "506f78a4-e098-11e5-ad9f-000f53306ae1"
SNAPSHOT_ID = "8fa70202-873f-11e6-8b68-000f533176b1"
# A test that hangs fails after this; nothing in the tests takes a tenth of it.
PATIENCE_S = 20.0


def quick(**changes: Any) -> Config:
    """Settings without a budget worth mentioning, and with short waits before retries."""
    return Config(
        **{
            "windows": UNLIMITED,
            "backoff_base_s": 0.001,
            "backoff_cap_s": 0.002,
            "attempt_timeout_s": 10.0,
            "cold_start_concurrency": 1000,
            "burst": 100_000,
            "jitter_seed": 1,
            **changes,
        }
    )


@contextmanager
def left_to_the_collector() -> Iterator[list[str]]:
    """After the block the list names what of the client lived on in cycles: objects and frames."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        for thing in gc.garbage:
            is_frame = isinstance(thing, FrameType)
            where = thing.f_code.co_qualname if is_frame else type(thing).__qualname__
            module = thing.f_globals.get("__name__") if is_frame else type(thing).__module__
            if str(module).startswith("do_blockstore_async") and ".simulator" not in str(module):
                found.append(f"{module}: {where}")
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


REGION = {
    "slug": "nyc1",
    "name": "New York 1",
    "available": True,
    "features": ["private_networking", "storage"],
    "sizes": ["s-1vcpu-1gb"],
}
VOLUME = {
    "id": VOLUME_ID,
    "region": REGION,
    "droplet_ids": [],
    "name": "example",
    "description": "Block store for examples",
    "size_gigabytes": 10,
    "created_at": "2016-03-02T17:00:49Z",
    "filesystem_type": "ext4",
    "filesystem_label": "example",
    "tags": ["aninterestingtag"],
}
SNAPSHOT: dict[str, Any] = {
    "id": SNAPSHOT_ID,
    "name": "big-data-snapshot1475261774",
    "regions": ["nyc1"],
    "created_at": "2016-09-30T18:56:14Z",
    "resource_id": VOLUME_ID,
    "resource_type": "volume",
    "min_disk_size": 10,
    "size_gigabytes": 0.5,
    "tags": ["aninterestingtag"],
}
ACTION = {
    "id": 72531856,
    "status": "in-progress",
    "type": "attach_volume",
    "started_at": "2020-11-12T17:51:03Z",
    "completed_at": None,
    "resource_id": None,
    "resource_type": "volume",
    "region": REGION,
    "region_slug": "nyc1",
}


def listing(key: str, *items: Any, total: int | None = None) -> dict[str, Any]:
    """A page that is the whole listing."""
    return {
        key: list(items),
        "links": {},
        "meta": {"total": len(items) if total is None else total},
    }


class Received(NamedTuple):
    """One request as it came off the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


Answer = bytes | Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """What an answer that is a function may do."""

    def __init__(
        self,
        received: Received,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        closing: asyncio.Event,
    ) -> None:
        self.received = received
        self.reader = reader
        self.writer = writer
        self._closing = closing

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()

    async def until_gone(self) -> None:
        """Wait until the client closes the connection, or the test ends."""
        ended = asyncio.ensure_future(self._closing.wait())
        gone = asyncio.ensure_future(self.reader.read())
        await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, gone):
            task.cancel()
        await asyncio.gather(ended, gone, return_exceptions=True)


def http(
    status: int = 200,
    body: Any = b"",
    *,
    headers: dict[str, str] | None = None,
    content_type: str | None = "application/json; charset=utf-8",
    length: int | None = -1,
    reason: str = "Whatever",
) -> bytes:
    """An HTTP answer. `body` is bytes, or data to be encoded as JSON.

    `length`: what content-length claims; -1 for the truth, None for no such header.
    """
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"date": "Mon, 23 Nov 2026 10:00:00 GMT", "x-request-id": "req-from-headers"}
    if content_type is not None:
        lines["content-type"] = content_type
    if length == -1:
        length = len(content)
    if length is not None and status != 204 and status >= 200:
        lines["content-length"] = str(length)
    lines.update(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {reason}\r\n{head}\r\n".encode("latin-1") + content


def error_body(name: str = "the_id", message: str = "the message") -> dict[str, str]:
    return {"id": name, "message": message, "request_id": "req-from-body"}


class ScriptedServer:
    """Answers each request with the next answer of its script, or else with `otherwise`.

    Attributes:
        requests: what it received.
        open: connections that are open now; `connections` counts all there were.
    """

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.script: deque[Answer] = deque()
        self.otherwise: Answer | None = None
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self.url = ""

    def answers(self, *answers: Answer, otherwise: Answer | None = None) -> Self:
        self.script.extend(answers)
        if otherwise is not None:
            self.otherwise = otherwise
        return self

    def store(self, token: str = TOKEN, **changes: Any) -> BlockStore:
        """A client of this server, to be opened; keywords are settings."""
        return BlockStore(token, base_url=self.url, config=quick(**changes))

    @property
    def open(self) -> int:
        return len(self._writers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._closing.set()
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that the server notices has come true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def wait_until_all_closed(self) -> None:
        """Every connection was closed by its client, or the test fails."""
        try:
            async with asyncio.timeout(2.0):
                while self._writers:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{self.open} connections leaked") from None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        self.connections += 1
        try:
            while (received := await self._read(reader)) is not None:
                self.requests.append(received)
                self._changed.set()
                answer = self.script.popleft() if self.script else self.otherwise
                assert answer is not None, f"no answer left for {received.method} {received.target}"
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(Exchange(received, reader, writer, self._closing))
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            if not self._closing.is_set():
                raise
        finally:
            writer.close()
            self._writers.discard(writer)
            self._changed.set()

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> Received | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            if name:
                headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Received(method, target, headers, body)
