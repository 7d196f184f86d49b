"""The example service with several workers, and 200 clients of a budget that binds."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Literal

import aiohttp

from do_blockstore_async.simulator import Simulator

__all__ = ["visit_workers"]

ROOT = Path(__file__).parents[2]
LIMITS = "75/2,600/30"
_OPTIONS = {
    "uvicorn": (
        *("--factory", "examples.fastapi_service:create_app", "--port", "0"),
        *("--no-access-log", "--log-level", "info"),
    ),
    # The client is made in each worker, though the application is made before they are forked.
    "gunicorn": (
        *("examples.fastapi_service:create_app()", "--preload", "--bind", "127.0.0.1:0"),
        *("--worker-class", "uvicorn_worker.UvicornWorker"),
    ),
}


async def visit_workers(
    folder: Path,
    *,
    server: Literal["uvicorn", "gunicorn"] = "uvicorn",
    workers: int = 4,
    clients: int = 200,
) -> tuple[Counter[int], int]:
    """Let each client come once and, told to come back, come back exactly then, until served.

    Returns:
        The statuses of all responses, and how many 429s the workers met.
    """
    async with (
        Simulator(volumes=20, limits=LIMITS, latency_s=(0.02, 0.08), seed=3) as simulator,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session,
    ):
        service = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", server, *_OPTIONS[server], "--workers", str(workers)),
            cwd=ROOT,
            env={
                **os.environ,
                "DIGITALOCEAN_TOKEN": simulator.token,
                "DIGITALOCEAN_API_URL": simulator.url,
                "DO_BLOCKSTORE_BUDGET": "machine",
                "BLOCKSTORE_WINDOWS": LIMITS,
                "REQUEST_TIMEOUT_S": "2",
                "XDG_STATE_HOME": str(folder),
            },
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            url = await _started(service, workers)
            visits = await asyncio.gather(*(_visit(session, url, n) for n in range(clients)))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(service.pid, signal.SIGTERM)
            async with asyncio.timeout(30):
                await service.communicate()
        refused = [request.status for request in simulator.requests].count(429)
        return Counter(status for statuses in visits for status in statuses), refused


async def _started(service: asyncio.subprocess.Process, workers: int) -> str:
    assert service.stderr is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while sum("Application startup complete" in line for line in lines) < workers:
            line = (await service.stderr.readline()).decode()
            assert line, "".join(lines)
            lines.append(line)
    (url,) = re.findall(r"(?:running on|Listening at:) (http://\S+)", "".join(lines))
    return str(url)


async def _visit(session: aiohttp.ClientSession, url: str, client: int) -> list[int]:
    statuses: list[int] = []
    while not statuses or statuses[-1] == 503:
        path = f"{url}/tenants/t{client % 7}/volumes"
        call = (
            session.post(path, json={"name": f"v{client}", "size_gigabytes": 1})
            if client % 2
            else session.get(path)
        )
        async with call as response:
            statuses.append(response.status)
            if response.status == 503:
                await asyncio.sleep(int(response.headers["Retry-After"]))
    return statuses
