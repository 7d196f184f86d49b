"""A fleet of real processes on one token, with a real store, before a strict server over TCP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from do_blockstore_async.simulator import Simulator
from tests.support.web_services import until

__all__ = ["RealFleet", "RealProcess", "real_fleet"]

ROOT = Path(__file__).parents[2]
_PATIENCE_S = 60.0


@attrs.define
class RealProcess:
    """One process; it waits to be told to go."""

    child: asyncio.subprocess.Process

    async def go(self) -> None:
        """Let it begin its requests."""
        assert self.child.stdin is not None
        self.child.stdin.write(b"\n")
        await self.child.stdin.drain()

    async def result(self, patience_s: float = _PATIENCE_S) -> dict[str, Any]:
        """What it saw, once it is done."""
        assert self.child.stdout is not None
        async with asyncio.timeout(patience_s):
            line = await self.child.stdout.readline()
        assert line, f"it ended with {await self.child.wait()}"
        found: dict[str, Any] = json.loads(line)
        return found

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.child.send_signal(number)


@attrs.define
class RealFleet:
    """Processes that share the token of `simulator`.

    Attributes:
        windows: of the token, which the simulator enforces.
        margin_s, late_arrival_s: settings of every process.
        is_quick: whether they take each other for dead after 5 s of silence, and not 15.
    """

    simulator: Simulator
    windows: tuple[tuple[int, float], ...]
    budget: str
    folder: Path
    margin_s: float = 0.2
    late_arrival_s: float = 1.0
    is_quick: bool = False
    processes: list[RealProcess] = attrs.Factory(list)

    async def start(self, requests: int, *, is_bulk: bool = False) -> RealProcess:
        """Start a process that has joined, and will make so many requests at once."""
        options = {
            "url": self.simulator.url,
            "budget": self.budget,
            "windows": self.windows,
            "margin_s": self.margin_s,
            "late_arrival_s": self.late_arrival_s,
            "requests": requests,
            "is_bulk": is_bulk,
            "is_quick": self.is_quick,
        }
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.fleet_worker",
            json.dumps(options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={
                **os.environ,
                "DIGITALOCEAN_TOKEN": self.simulator.token,
                "XDG_STATE_HOME": str(self.folder),
            },
        )
        process = RealProcess(child)
        self.processes.append(process)
        assert child.stdout is not None
        async with asyncio.timeout(_PATIENCE_S):
            assert await child.stdout.readline() == b"ready\n"
        return process

    async def begin(self, processes: int, requests: int) -> list[RealProcess]:
        """Start several and let them go together."""
        started = await asyncio.gather(*(self.start(requests) for _ in range(processes)))
        await asyncio.gather(*(process.go() for process in started))
        return started

    @property
    def refused(self) -> int:
        """The 429s so far."""
        return sum(request.status == 429 for request in self.simulator.requests)

    async def until_served(self, requests: int) -> None:
        """Wait until the server has seen so many requests."""
        await until(lambda: len(self.simulator.requests) >= requests)

    def ideal_s(self, requests: int) -> float:
        """How long one throttle alone needs for so many, but for latency."""
        limit, length_s = self.windows[0]
        return (-(-requests // limit) - 1) * (length_s + self.margin_s)


@asynccontextmanager
async def real_fleet(
    budget: str, folder: Path, windows: tuple[tuple[int, float], ...], **options: Any
) -> AsyncIterator[RealFleet]:
    """A fleet without processes yet, which all end with the block."""
    limits = ",".join(f"{limit}/{length_s:g}" for limit, length_s in windows)
    async with Simulator(volumes=0, limits=limits, latency_s=(0.005, 0.02), seed=5) as simulator:
        fleet = RealFleet(simulator, windows, budget, folder, **options)
        try:
            yield fleet
        finally:
            for process in fleet.processes:
                if process.child.returncode is None:
                    process.child.kill()
                await process.child.wait()
