"""A server to be put under load, in a process of its own on the server's core.

    python -m benchmarks.side_by_side.loaded_server '{"kind": "project", "volumes": 1000}'

| kind | what answers |
| --- | --- |
| project | the simulator: a whole world, its limits switched off |
| aiohttp-web | aiohttp's server and one prepared answer: the floor of any simulator on it |

It prints its URL, a token and the ids it serves, and ends when its standard input does. The second
answers as fast as `load.py` asks: then it is the load that is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from .answers import volume, volume_id
from .server import pin

__all__: list[str] = []


@contextlib.asynccontextmanager
async def _simulator(volumes: int) -> AsyncIterator[dict[str, Any]]:
    from do_blockstore_async.simulator import Simulator

    async with Simulator(volumes=volumes, seed=7, limits="none") as simulator:
        yield {
            "url": simulator.url,
            "token": simulator.token,
            "ids": list(simulator.world.volumes),
        }


@contextlib.asynccontextmanager
async def _prepared(volumes: int) -> AsyncIterator[dict[str, Any]]:
    from aiohttp import web

    body = json.dumps({"volume": volume(1)}, separators=(",", ":")).encode()
    headers = {
        "x-request-id": "5f3c2f6e-74a3-4b9e-9e0c-000000000000",
        "content-type": "application/json; charset=utf-8",
        "ratelimit-limit": "5000",
        "ratelimit-remaining": "4999",
        "ratelimit-reset": "1800003600",
    }

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(headers=headers, body=body)

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    ids = [volume_id(n) for n in range(volumes)]
    yield {"url": f"http://{host}:{port}", "token": "dop_v1_any", "ids": ids}
    await runner.cleanup()


async def main(kind: str, volumes: int) -> None:
    start = _simulator if kind == "project" else _prepared
    async with start(volumes) as told:
        print(json.dumps(told), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    pin(1)
    asyncio.run(main(**json.loads(sys.argv[1])))
