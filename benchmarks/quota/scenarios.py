"""What the comparison runs: crowds of requests, strangers and restarts, in virtual time.

Latencies are drawn evenly from 50 to 400 ms, of which a random share passes before the server
counts the request: at a time, then, that the client does not know.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from do_blockstore_async._ratelimit.throttle import Throttle
from do_blockstore_async.config import Config
from tests.support.strict_servers import Judge, Model
from tests.support.virtual_time import run_virtual

__all__ = [
    "NO_RESERVE",
    "Case",
    "OurThrottle",
    "Outcome",
    "Runner",
    "Server",
    "crowd",
    "ours",
    "predecessor_burst",
    "predecessor_hour",
    "run_case",
]

LATENCY_S = (0.05, 0.4)
NO_RESERVE = Config(reserve=(0.0, 0.0))


class Server:
    """A judge behind a network with latency."""

    def __init__(self, judge: Judge, seed: int) -> None:
        self.judge = judge
        self._random = random.Random(seed)

    async def send(self, who: str = "us") -> tuple[int, dict[str, str]]:
        """One request: its status and headers."""
        latency_s = self._random.uniform(*LATENCY_S)
        way_s = latency_s * self._random.random()
        await asyncio.sleep(way_s)
        answer = self.judge.ask(asyncio.get_running_loop().time(), who)
        await asyncio.sleep(latency_s - way_s)
        return answer


class Runner(Protocol):
    """A client's way of keeping to the limits: sends one request until it is accepted."""

    async def call(self, server: Server) -> None: ...


class Unthrottled:
    """No throttle at all."""

    async def call(self, server: Server) -> None:
        await server.send()


class OurThrottle:
    """This package's throttle; `waits` gets the time each interactive call waited for a lease."""

    def __init__(self, config: Config) -> None:
        self.throttle = Throttle(config)
        self.waits: list[float] = []

    async def call(self, server: Server) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asked = loop.time()
            async with self.throttle.acquire() as lease:
                self.waits.append(loop.time() - asked)
                status, headers = await server.send()
                lease.complete(headers, status)
            if status == 200:
                return


def ours() -> Runner:
    """This package's throttle, with all of the budget to itself."""
    return OurThrottle(NO_RESERVE)


@attrs.frozen
class Outcome:
    """What one run came to; `judge` has the books."""

    refused: int
    seconds: float
    other_clients_refused: int
    judge: Judge


async def crowd(runner: Runner, server: Server, requests: int) -> float:
    """`requests` calls at once; returns the seconds until the last is answered."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as group:
        for _ in range(requests):
            group.create_task(runner.call(server))
    return loop.time() - start


async def _stranger(judge: Judge, rate: float, draw: random.Random) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(draw.expovariate(rate))
        judge.ask(loop.time(), "stranger")


@attrs.frozen(kw_only=True)
class Case:
    """One run of the comparison.

    Attributes:
        stranger_rate: requests a second somebody else makes (Poisson, never repeated).
        stranger_since_s: for how long already when the run begins.
        before: times (negative) of requests a predecessor made with the token.
    """

    requests: int
    model: Model = "sliding"
    seed: int = 0
    stranger_rate: float = 0.0
    stranger_since_s: float = 0.0
    before: Iterable[float] = ()


def run_case(case: Case, make: Callable[[], Runner]) -> Outcome:
    """Run `case` in virtual time."""

    async def main() -> Outcome:
        judge = Judge(case.model)
        draw = random.Random(f"stranger {case.seed}")
        judge.use(0.0, list(case.before), "predecessor")
        neighbour = None
        if case.stranger_rate:
            times, time = [], -case.stranger_since_s
            while (time := time + draw.expovariate(case.stranger_rate)) < 0:
                times.append(time)
            judge.use(0.0, times, "stranger")
            neighbour = asyncio.create_task(_stranger(judge, case.stranger_rate, draw))
        seconds = await crowd(make(), Server(judge, case.seed), case.requests)
        if neighbour is not None:
            neighbour.cancel()
        return Outcome(judge.refused["us"], seconds, judge.refused["stranger"], judge)

    return run_virtual(main())


def predecessor_burst(requests: int, ended_s: float) -> list[float]:
    """A burst of 50 requests a second that ended `ended_s` ago."""
    return [-ended_s - (requests - 1 - i) / 50 for i in range(requests)]


def predecessor_hour(lasted_s: float, requests: int = 5000) -> list[float]:
    """A whole hour's budget, spent evenly over the last `lasted_s` until a moment ago."""
    return [-lasted_s + 1 + i * (lasted_s - 2) / requests for i in range(requests)]
