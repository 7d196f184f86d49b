"""Throughput and memory of the simulator, from a small account to a very large one.

    python -m benchmarks.simulator              up to 100,000 volumes with 1,000,000 snapshots
    python -m benchmarks.simulator --volumes 100 --volumes 1000

Each size is measured in a process of its own, in CPU time, so that other programs disturb little.
The exit code is 0 whatever the figures are.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.side_by_side.measure import machine
from do_blockstore_async.simulator import SimRequest, Simulator, World

SNAPSHOTS_EACH = 10
REQUESTS = 2_000
OVER_HTTP = "requests over HTTP in a second of CPU, client and server"
Figures = dict[str, float]
Wanted = tuple[str, str, Any, int]


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Bench:
    """A world and the requests that are timed, each as often as asked."""

    def __init__(self, volumes: int) -> None:
        before = resident_bytes()
        began = time.process_time()
        self.world = World(
            volumes=volumes, snapshots=volumes * SNAPSHOTS_EACH, limits="none", max_snapshots=None
        )
        self.figures: Figures = {"build_s": time.process_time() - began}
        gc.collect()
        self.figures["fresh_mib"] = (resident_bytes() - before) / 2**20
        self.before = before
        self.now = self.world.now
        self.ids = list(self.world.volumes)
        self.snapshot_ids = list(self.world.snapshots)

    def ask(self, method: str, target: str, body: Any = None, status: int = 200) -> None:
        headers = {"authorization": f"Bearer {self.world.token}"}
        data = b"" if body is None else json.dumps(body).encode()
        response = self.world.handle(SimRequest(method, target, headers, data), self.now)
        assert response.status == status, response.body

    def time(self, name: str, requests: Iterable[Wanted]) -> None:
        """Note the microseconds of CPU that one request takes."""
        pending = list(requests)
        began = time.process_time()
        for request in pending:
            self.ask(*request)
        self.figures[name] = (time.process_time() - began) / len(pending) * 1e6

    def spread(self, ids: list[str], count: int = REQUESTS) -> list[str]:
        """Ids from all over the account."""
        return [ids[number * len(ids) // count % len(ids)] for number in range(count)]

    def run(self) -> Figures:
        ask = self.ask
        for path, total in (("volumes", len(self.ids)), ("snapshots", len(self.snapshot_ids))):
            last = -(-total // 200)
            # The first time each object is encoded; the second it is not.
            for name in (f"list 200 {path}, first time", f"list 200 {path}, again"):
                began = time.process_time()
                for page in range(1, last + 1):
                    ask("GET", f"/v2/{path}?per_page=200&page={page}")
                self.figures[name] = (time.process_time() - began) / last * 1e6
        self.figures["read_mib"] = (resident_bytes() - self.before) / 2**20
        found = [self.world.volumes[i] for i in self.spread(self.ids)]
        self.time("get a volume", [("GET", f"/v2/volumes/{v.id}", None, 200) for v in found])
        self.time(
            "find by name and region",
            [("GET", f"/v2/volumes?name={v.name}&region={v.region}", None, 200) for v in found],
        )
        bodies = [
            {"name": f"new-{n}", "region": "nyc3", "size_gigabytes": 1, "tags": ["new"]}
            for n in range(REQUESTS)
        ]
        self.time("create a volume", [("POST", "/v2/volumes", body, 201) for body in bodies])
        here = [f"/v2/volumes?name=new-{n}&region=nyc3" for n in range(REQUESTS)]
        self.time("delete a volume", [("DELETE", target, None, 204) for target in here])
        each = self.spread(self.ids, min(REQUESTS, len(self.ids)))
        new = {"name": "new"}
        self.time(
            "create a snapshot",
            [("POST", f"/v2/volumes/{i}/snapshots", new, 201) for i in each],
        )
        gone = dict.fromkeys(self.spread(self.snapshot_ids))
        self.time("delete a snapshot", [("DELETE", f"/v2/snapshots/{i}", None, 204) for i in gone])
        return self.figures


async def over_http(volumes: int) -> float:
    """Requests over real HTTP, eight at once, that client and server do in a second of CPU."""
    async with Simulator(volumes=volumes, limits="none") as sim:
        ids = list(sim.world.volumes)
        headers = {"Authorization": f"Bearer {sim.token}"}
        async with aiohttp.ClientSession(sim.url, headers=headers) as http:

            async def some(start: int, count: int) -> None:
                for number in range(start, start + count):
                    async with http.get(f"/v2/volumes/{ids[number % len(ids)]}") as response:
                        await response.read()

            await some(0, 100)
            began = time.process_time()
            await asyncio.gather(*(some(n * 250, 250) for n in range(8)))
            return 2_000 / (time.process_time() - began)


def measure_one(volumes: int) -> Figures:
    bench = Bench(volumes)
    figures = bench.run()
    del bench
    figures[OVER_HTTP] = asyncio.run(over_http(volumes))
    return figures


def table(results: dict[int, Figures]) -> str:
    """The figures as Markdown, a column for each size."""

    def row(name: str, cells: Iterable[str]) -> str:
        return f"| {name} | {' | '.join(cells)} |"

    sizes = list(results.items())
    objects = {n: n * (1 + SNAPSHOTS_EACH) for n in results}
    lines = [
        row("volumes, snapshots", (f"{n:,}, {n * SNAPSHOTS_EACH:,}" for n in results)),
        f"| --- |{' ---: |' * len(results)}",
        row("made in, CPU", (f"{f['build_s']:.2f} s" for f in results.values())),
        row("· for each object", (f"{f['build_s'] / objects[n] * 1e6:.1f} µs" for n, f in sizes)),
    ]
    for name, key in (("memory", "fresh_mib"), ("memory, once all was listed", "read_mib")):
        each = (f"{f[key] * 2**20 / objects[n]:,.0f} B" for n, f in sizes)
        lines.append(row(name, (f"{f[key]:,.0f} MiB" for f in results.values())))
        lines.append(row("· for each object", each))
    others = {"build_s", "fresh_mib", "read_mib", OVER_HTTP}
    timed = [name for name in sizes[0][1] if name not in others]
    lines += [row(name, (f"{f[name]:,.0f} µs" for f in results.values())) for name in timed]
    lines.append(row(OVER_HTTP, (f"{f[OVER_HTTP]:,.0f}" for f in results.values())))
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--volumes", type=int, action="append", help="how many; repeatable")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one is not None:
        print(json.dumps(measure_one(options.one)))
        return 0
    results: dict[int, Figures] = {}
    for volumes in options.volumes or (1_000, 10_000, 100_000):
        print(f"{volumes:,} volumes", file=sys.stderr, flush=True)
        done = subprocess.run(  # this very program
            [sys.executable, "-m", "benchmarks.simulator", "--one", str(volumes)],
            check=True,
            capture_output=True,
            text=True,
        )
        results[volumes] = json.loads(done.stdout)
    today = datetime.now().astimezone().date().isoformat()
    print(f"`python -m benchmarks.simulator`, {today}: {machine()}.\n\n{table(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
