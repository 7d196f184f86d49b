"""Many clients of the example service at once, a bulk job beside them, and a budget that binds.

Each client makes one request and, told to come back, comes back exactly then, until it is served.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import uvicorn
from fastapi import FastAPI

from do_blockstore_async import BlockStore, Config
from do_blockstore_async.simulator import Simulator

Windows = tuple[tuple[int, float], ...]
FDS = Path("/proc/self/fd")
OWNER = "owner"


@attrs.define
class Answer:
    """One answer, as its client saw it."""

    client: int
    visit: int
    status: int
    asked_at: float
    took_s: float
    retry_after_s: int | None
    body: Any


@attrs.define
class Figures:
    """What a run showed."""

    answers: list[Answer]
    timeout_s: float
    elapsed_s: float = 0.0
    lag_s: float = 0.0
    refused_upstream: int = 0
    upstream: int = 0
    bulk_done: int = 0
    bulk: Any = None
    left_tasks: list[str] = attrs.Factory(list)
    left_files: int = 0

    @property
    def statuses(self) -> dict[int, int]:
        """Answers by status."""
        return dict(sorted(Counter(answer.status for answer in self.answers).items()))

    def quantile(self, share: float) -> float:
        """Of the seconds that granted requests took."""
        taken = sorted(answer.took_s for answer in self.answers if answer.status < 400)
        return taken[min(len(taken) - 1, int(share * len(taken)))]

    def returns(self) -> list[Answer]:
        """The answers to those who came back when they were told."""
        return [answer for answer in self.answers if answer.visit > 1]

    def wrong(self, tolerance_s: float = 1.0) -> list[Answer]:
        """Of these the ones that were refused again, or granted later than promised."""
        return [a for a in self.returns() if a.status == 503 or a.took_s > tolerance_s]

    def summary(self) -> dict[str, Any]:
        """For people."""
        returned = self.returns()
        took = sorted(answer.took_s for answer in returned)
        return {
            "answers": self.statuses,
            "clients": len({answer.client for answer in self.answers}),
            "visits at most": max(answer.visit for answer in self.answers),
            "elapsed s": round(self.elapsed_s, 1),
            "granted p50 s": round(self.quantile(0.5), 3),
            "granted p99 s": round(self.quantile(0.99), 3),
            "deadline s": self.timeout_s,
            "event loop late at most s": round(self.lag_s, 3),
            "came back": len(returned),
            "not right within 1 s": len(self.wrong()),
            "came back, p50/p99/max s": [
                round(took[int(q * (len(took) - 1))], 3) for q in (0.5, 0.99, 1.0)
            ]
            if took
            else [],
            "requests upstream": self.upstream,
            "429 upstream": self.refused_upstream,
            "bulk": self.bulk,
            "left tasks": self.left_tasks,
            "left files": self.left_files,
        }


@asynccontextmanager
async def serving(app: FastAPI, **options: Any) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """Run `app` under uvicorn in this event loop; yields its URL and the server."""
    config = uvicorn.Config(
        app, port=0, log_level="error", access_log=False, lifespan="on", **options
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if task.done():
                task.result()
                raise RuntimeError("the server did not start")
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.should_exit = True
        await task


def parse_windows(text: str) -> Windows:
    """`25/3,150/30`."""
    pairs = (window.split("/") for window in text.split(","))
    return tuple((int(requests), float(seconds)) for requests, seconds in pairs)


def files() -> int:
    """How many files and sockets this process has open."""
    return sum(1 for _ in FDS.iterdir())


async def pulse(figures: Figures) -> None:
    """Note by how much the event loop is late: a busy machine makes every answer later by that."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.02
        await asyncio.sleep(0.02)
        figures.lag_s = max(figures.lag_s, loop.time() - due)


async def visit(
    session: aiohttp.ClientSession, url: str, client: int, volume: str, timeout_s: float
) -> list[Answer]:
    """One client: asks, comes back when told to, until it is served."""
    loop = asyncio.get_running_loop()
    answers: list[Answer] = []
    tenant = OWNER if client % 4 > 1 else f"t{client % 7}"
    path = f"{url}/tenants/{tenant}/volumes"
    while len(answers) < 20:
        asked_at = loop.time()
        headers = {"X-Request-Timeout": f"{timeout_s}"}
        kind = client % 4
        if kind == 0:
            new = {"name": f"v{client}", "size_gigabytes": 1}
            call = session.post(path, json=new, headers=headers)
        elif kind == 1:
            call = session.get(path, headers=headers)
        else:
            call = session.get(f"{path}/{volume}", headers=headers)
        async with call as response:
            body = await response.json(content_type=None)
            told = response.headers.get("Retry-After")
            answers.append(
                Answer(
                    client,
                    len(answers) + 1,
                    response.status,
                    asked_at,
                    loop.time() - asked_at,
                    None if told is None else int(told),
                    body,
                )
            )
        if response.status != 503 or told is None:
            break
        await asyncio.sleep(int(told))
    return answers


async def measure(
    clients: int,
    windows: Windows,
    timeout_s: float,
    *,
    volumes: int = 40,
    latency_s: tuple[float, float] = (0.02, 0.08),
    spread_s: float = 0.0,
) -> Figures:
    """One run of the whole thing.

    Args:
        spread_s: the clients come evenly over so many seconds; 0 for all at once.
    """
    from examples.fastapi_service import create_app

    limits = ",".join(f"{requests}/{seconds:g}" for requests, seconds in windows)
    tasks_before, files_before = asyncio.all_tasks(), files()
    loop = asyncio.get_running_loop()
    config = Config(windows=windows, window_margin_s=0.1, late_arrival_s=1.0)
    async with Simulator(volumes=volumes, seed=3, limits=limits, latency_s=latency_s) as simulator:
        owned = next(iter(simulator.world.volumes.values()))
        simulator.world.volumes[owned.id].tags = (f"tenant:{OWNER}",)

        def make_store(metrics: Any) -> BlockStore:
            return BlockStore(
                simulator.token,
                base_url=simulator.url,
                config=attrs.evolve(config, hooks=(metrics,)),
            )

        async with (
            serving(create_app(make_store)) as (url, _),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True)
            ) as session,
        ):
            async with session.post(f"{url}/jobs/nightly") as response:
                response.raise_for_status()
            figures = Figures([], timeout_s)
            beating = asyncio.create_task(pulse(figures))
            began = loop.time()

            async def come(client: int) -> list[Answer]:
                await asyncio.sleep(spread_s * client / clients)
                return await visit(session, url, client, owned.id, timeout_s)

            visits = await asyncio.gather(*(come(client) for client in range(clients)))
            figures.elapsed_s = loop.time() - began
            beating.cancel()
            figures.answers.extend(answer for answers in visits for answer in answers)
            async with session.get(f"{url}/jobs/nightly") as response:
                progress = await response.json()
        requests = list(simulator.requests)
    figures.upstream = len(requests)
    figures.refused_upstream = sum(request.status == 429 for request in requests)
    figures.bulk = progress
    figures.bulk_done = progress.get("counts", {}).get("done", 0)
    await asyncio.sleep(0)
    figures.left_tasks = [repr(t) for t in asyncio.all_tasks() - tasks_before]
    figures.left_files = files() - files_before
    return figures
