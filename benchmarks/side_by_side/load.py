"""A client that costs as little as can be, so that it is the server that is measured.

It writes requests made in advance, looks for the end of each answer and for nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

__all__ = ["Load"]


class _Connection(asyncio.Protocol):
    """One request after the other; each answer is counted, and its status checked."""

    def __init__(self) -> None:
        self._buffer = b""
        self._requests: Iterator[bytes] = iter(())
        self._ended: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def run(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._ended = asyncio.get_running_loop().create_future()
        self._next()
        await self._ended

    def _next(self) -> None:
        if self._transport is None:
            raise ConnectionError("the server closed the connection")
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
        elif self._ended is not None:
            self._ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = buffer[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(buffer) < end + 4 + length:
            return
        assert head.startswith(b"http/1.1 200 "), buffer
        self._buffer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(exc or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Load:
    """`concurrency` connections to one server that share a list of requests."""

    def __init__(self, connections: list[_Connection], requests: list[bytes]) -> None:
        self._connections = connections
        self._requests = requests

    @classmethod
    async def open(cls, url: str, token: str, ids: list[str], concurrency: int) -> Load:
        """Connect, and make the requests: a GET for each id."""
        host = urlsplit(url).netloc
        loop = asyncio.get_running_loop()
        name, port = host.rsplit(":", 1)
        requests = [
            f"GET /v2/volumes/{one} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
            f"Authorization: Bearer {token}\r\nUser-Agent: load\r\n\r\n".encode()
            for one in ids
        ]
        made = [
            await loop.create_connection(_Connection, name, int(port)) for _ in range(concurrency)
        ]
        return cls([connection for _, connection in made], requests)

    async def run(self) -> None:
        """Send every request once and see it answered."""
        requests = iter(self._requests)
        await asyncio.gather(*(connection.run(requests) for connection in self._connections))

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
