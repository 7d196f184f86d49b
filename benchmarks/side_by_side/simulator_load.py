"""The simulator as a server under load, in a process of its own on the server's core.

It prints its URL, its token and the ids it serves, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys

from .server import pin

__all__: list[str] = []


async def main(volumes: int, latency_s: float) -> None:
    from do_blockstore_async.simulator import Simulator

    async with Simulator(volumes=min(volumes, 1_000), seed=7, limits="none") as simulator:
        told = {
            "url": simulator.url,
            "token": simulator.token,
            "ids": list(simulator.world.volumes)[:1_000],
        }
        print(json.dumps(told), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    pin(1)
    asyncio.run(main(**json.loads(sys.argv[1])))
