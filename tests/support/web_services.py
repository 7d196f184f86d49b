"""Real servers in the test's own event loop, clients that leave, and conditions to wait for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import attrs
from aiohttp import web

from do_blockstore_async import BlockStore, Config
from do_blockstore_async.simulator import Simulator

PATIENCE_S = 20.0
ROOMY = Config(
    windows=((10**6, 60.0), (10**7, 3600.0)),
    cold_start_concurrency=1000,
    burst=100_000,
    max_attempts=1,
    jitter_seed=1,
)
# Two requests, then nothing for a minute.
DRY = Config(
    windows=((2, 60.0), (1000, 3600.0)), reserve=(0.0, 0.0), window_margin_s=0.0, jitter_seed=1
)


@attrs.define
class Opened:
    """A factory of clients that remembers what it made."""

    simulator: Simulator
    config: Config = ROOMY
    stores: list[BlockStore] = attrs.Factory(list)

    def __call__(self) -> BlockStore:
        store = BlockStore(self.simulator.token, base_url=self.simulator.url, config=self.config)
        self.stores.append(store)
        return store

    @property
    def store(self) -> BlockStore:
        return self.stores[-1]

    async def use_up(self) -> None:
        """Spend the two requests of DRY."""
        for _ in range(2):
            async for _region in self.store.regions.list():
                pass


async def until(condition: Callable[[], Any], what: str = "") -> None:
    """Wait until `condition()` holds; fail if it never does."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 -- conditions of others, which signal nothing
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving_aiohttp(app: web.Application, **options: Any) -> AsyncIterator[str]:
    """Run `app` with aiohttp's runner in this event loop."""
    runner = web.AppRunner(app, access_log=None, **options)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Visitor:
    """A client that can leave in the middle: one request over a bare connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def ask(
        cls, url: str, method: str = "GET", body: Any = None, headers: tuple[str, ...] = ()
    ) -> Visitor:
        """Connect and send the request whole."""
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        content = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {parts.path or '/'} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *headers,
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        await writer.drain()
        return cls(reader, writer)

    async def answer(self) -> tuple[int, bytes]:
        """Wait for the whole answer."""
        async with asyncio.timeout(PATIENCE_S):
            raw = await self._reader.read()
        await self.leave()
        head, _, body = raw.partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0, body

    async def leave(self) -> None:
        """Hang up."""
        self._writer.close()
        await self._writer.wait_closed()
