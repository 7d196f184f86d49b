"""A server behind TLS with an authority of its own, and a proxy that tunnels to it by CONNECT."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trustme
from aiohttp import web


@asynccontextmanager
async def serving_tls(app: web.Application, folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """Serve `app` at an https URL; with it comes the PEM file of the authority to trust."""
    import ssl

    authority = trustme.CA()
    ca_file = folder / "authority.pem"
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "api.example").configure_cert(context)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://api.example:{runner.addresses[0][1]}", ca_file
    finally:
        await runner.cleanup()


class ConnectProxy:
    """An HTTP proxy that knows CONNECT only, and resolves every name to this machine.

    Attributes:
        requests: the head of each request.
    """

    def __init__(self, user: str | None = None) -> None:
        self._asked_for = user and "Basic " + base64.b64encode(user.encode()).decode()
        self.requests: list[str] = []
        self.url = ""

    async def __aenter__(self) -> ConnectProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            method, target, _ = head.splitlines()[0].split()
            if method != "CONNECT" or (self._asked_for and self._asked_for not in head):
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            else:
                port = int(target.rpartition(":")[2])
                there = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()
