"""One process of a fleet: `python -m tests.support.fleet_worker OPTIONS`, options as JSON.

It opens a client, says `ready`, waits for a line, makes its requests and prints what it saw as
JSON. The token comes from `DIGITALOCEAN_TOKEN`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import nullcontext
from typing import Any

from do_blockstore_async import BlockStore, Config
from do_blockstore_async._ratelimit.shared import outage, peer, replica, session

__all__ = ["main"]


async def _beat(stops: list[float]) -> None:
    """Note by how much the event loop is late."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.002
        await asyncio.sleep(0.002)
        stops.append(loop.time() - due)


def _be_quick() -> None:
    """Take who is silent for 5 s for dead, not for 15, and be heard as much oftener."""
    for module in (outage, peer, replica):
        vars(module)["DEAD_S"] = 5.0
    vars(session)["HEARTBEAT_S"] = 5.0 / 3


async def work(options: dict[str, Any]) -> None:
    if options["is_quick"]:
        _be_quick()
    events: dict[str, int] = {}

    def count(event: object) -> None:
        name = type(event).__name__
        events[name] = events.get(name, 0) + 1

    config = Config(
        windows=tuple((int(limit), float(length_s)) for limit, length_s in options["windows"]),
        window_margin_s=options["margin_s"],
        late_arrival_s=options["late_arrival_s"],
        reserve=(0.0, 0.0),
        budget=options["budget"],
        hooks=(count,),
    )
    token = os.environ["DIGITALOCEAN_TOKEN"]
    async with BlockStore(token, base_url=options["url"], config=config) as store:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        stops: list[float] = []
        beat = asyncio.create_task(_beat(stops))
        began, cpu = time.monotonic(), time.process_time()
        waits: list[float] = []

        async def call() -> None:
            asked = time.monotonic()
            await store.request("GET", "/v2/regions")
            waits.append(time.monotonic() - asked)

        with store.background("bulk") if options["is_bulk"] else nullcontext():
            await asyncio.gather(*(call() for _ in range(options["requests"])))
        took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
        beat.cancel()
        seen = {
            "done": len(waits),
            "ended_at": time.monotonic(),
            "took_s": took_s,
            "cpu_s": cpu_s,
            "longest_stop_s": max(stops, default=0.0),
            "processes": len(store.quota.processes),
            "events": events,
        }
        print(json.dumps(seen), flush=True)


def main() -> None:
    """Work as the first argument says."""
    asyncio.run(work(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
