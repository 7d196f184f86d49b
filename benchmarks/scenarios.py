"""What the comparison runs: crowds of requests, strangers and restarts, in virtual time.

Latencies are drawn evenly from 50 to 400 ms, half of it on the way to the server (by a random
share), so that a request is counted at a time the client does not know.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import attrs

from do_blockstore_async.config import Config
from do_blockstore_async.quota.throttle import Throttle

from .judges import Judge

__all__ = ["Outcome", "Runner", "Server", "crowd", "stranger"]

LATENCY_S = (0.05, 0.4)


class Server:
    """A judge behind a network with latency."""

    def __init__(self, judge: Judge, seed: int) -> None:
        self.judge = judge
        self.random = random.Random(seed)
        self.in_flight = 0
        self.most_in_flight = 0

    async def send(self, who: str = "us") -> tuple[int, dict[str, str]]:
        latency_s = self.random.uniform(*LATENCY_S)
        way_s = latency_s * self.random.random()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(way_s)
            answer = self.judge.ask(asyncio.get_running_loop().time(), who)
            await asyncio.sleep(latency_s - way_s)
        finally:
            self.in_flight -= 1
        return answer


class Runner(Protocol):
    """A client's way of keeping to the limits: sends one request until it is accepted."""

    async def call(self, server: Server) -> None: ...


class OurThrottle:
    """This package's throttle."""

    def __init__(self, config: Config) -> None:
        self.throttle = Throttle(config)

    async def call(self, server: Server) -> None:
        while True:
            async with self.throttle.permit() as ticket:
                status, headers = await server.send()
                ticket.done(headers, status)
            if status == 200:
                return


@attrs.frozen
class Outcome:
    refused: int
    seconds: float
    stranger_refused: int
    stranger_accepted: int
    times: list[float]


async def crowd(
    runner: Runner, server: Server, requests: int, others: Awaitable[None] | None = None
) -> Outcome:
    """`requests` calls at once; returns when the last is answered."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    neighbour = asyncio.ensure_future(others) if others is not None else None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(requests):
                group.create_task(runner.call(server))
    finally:
        if neighbour is not None:
            neighbour.cancel()
    judge = server.judge
    return Outcome(
        judge.refused["us"],
        loop.time() - start,
        judge.refused["stranger"],
        judge.accepted["stranger"],
        judge.times.get("us", []),
    )


async def stranger(judge: Judge, rate: float, seed: int) -> None:
    """Somebody else's requests at `rate` a second (Poisson), never repeated when refused."""
    draw = random.Random(seed)
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(draw.expovariate(rate))
        judge.ask(loop.time(), "stranger")


Make = Callable[[], Runner]
Headers = Mapping[str, str]
