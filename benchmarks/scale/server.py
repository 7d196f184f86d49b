"""A fleet behind a real socket, in a process of its own: what `do-blockstore` talks to.

    python -m benchmarks.scale.server VOLUMES

It prints its URL, ends when its standard input does, and tells at `/requests` how many it has had.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from aiohttp import web

from do_blockstore_async._http.request import Request

from .fleet import Fleet

__all__: list[str] = []


async def main(volumes: int) -> None:
    fleet, requests = Fleet(volumes), 0

    async def answer(request: web.BaseRequest) -> web.Response:
        nonlocal requests
        if request.path == "/requests":
            return web.json_response(requests)
        requests += 1
        body = await request.json() if request.can_read_body else None
        # Of the request only these are looked at.
        asked: Request[Any] = Request(
            method=request.method,
            path=request.rel_url.raw_path,
            route="",
            decode=lambda response: response,
            params=tuple(request.query.items()),
            json=body,
        )
        status, content = fleet.answer(asked)
        return web.Response(status=status, body=content, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
