"""What a grant costs: in one process, and shared through a file of this machine.

Run as a program it prints µs of CPU for one grant, as JSON: `python cost.py process|machine`; with
another checkout in PYTHONPATH it measures that one.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from typing import Any

from do_blockstore_async._ratelimit.throttle import Throttle
from do_blockstore_async.config import Config

GRANTS = 5_000
HEADERS = {
    "ratelimit-limit": "10000000",
    "ratelimit-remaining": "9999999",
    "ratelimit-reset": "1800003600",
}


async def measure(budget: str) -> dict[str, float]:
    """Grants one after the other on a quiet machine, each answered at once."""
    windows = ((10**6, 60.0), (10**7, 3600.0))
    options: dict[str, Any] = {"windows": windows, "burst": 10**5, "reserve": (0.0, 0.0)}
    if budget == "process":
        throttle = Throttle(Config(**options))
    else:
        from do_blockstore_async._ratelimit.shared.opening import open_budget

        config = Config(budget=budget, **options)
        throttle = Throttle(config, budget=open_budget(config, "token", "http://api"))
        throttle._join()
        await throttle._open_budget()
    costs: list[float] = []
    stops = [0.0]
    beat = asyncio.create_task(_beat(stops))
    for _ in range(5):
        began = time.process_time()
        for _ in range(GRANTS):
            async with throttle.acquire() as lease:
                lease.complete(HEADERS, 200)
        costs.append((time.process_time() - began) / GRANTS * 1e6)
    beat.cancel()
    await throttle.aclose()
    return {"cpu_us": statistics.median(costs), "longest_stop_ms": max(stops) * 1e3}


async def _beat(stops: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.005
        await asyncio.sleep(0.005)
        stops.append(loop.time() - due)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        json.dump(asyncio.run(measure(sys.argv[1])), sys.stdout)
