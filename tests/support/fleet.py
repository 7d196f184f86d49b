"""A fleet in virtual time: processes that share one token through a log in memory.

Each process has a throttle, a shared budget and a way to the log of its own, which is slow, loses
replies or is cut; it can be killed, or stopped for a while. All of them face one strict server.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from do_blockstore_async._context import current_job
from do_blockstore_async._log.memory import MemoryLog, MemoryStore
from do_blockstore_async._log.store import LogStoreError, Reply
from do_blockstore_async._ratelimit.shared.budget import SharedBudget
from do_blockstore_async._ratelimit.throttle import Throttle
from do_blockstore_async.config import Config
from do_blockstore_async.events import Event
from tests.support.strict_servers import Judge, Model

__all__ = ["Fleet", "Process", "alone_s", "judge_for", "together_s"]

LATENCY_S = (0.05, 0.4)


def now() -> float:
    return asyncio.get_running_loop().time()


def judge_for(config: Config, model: Model, phase_s: float = 0.0) -> Judge:
    """A strict server of the windows in `config`."""
    short, long = config.windows
    return Judge(model, short, long, phase_s=phase_s)


class Way(MemoryStore):
    """A process's way to the log.

    Attributes:
        round_trip_s: how long an exchange takes.
        lost_share: of the replies, after the exchange has taken effect.
        stopped_until: exchanges wait until then, as those of a stopped process do.
    """

    def __init__(self, log: MemoryLog, draw: random.Random, round_trip_s: float) -> None:
        super().__init__(log, now)
        self.draw = draw
        self.round_trip_s = round_trip_s
        self.lost_share = 0.0
        self.exchanges = 0
        self.stopped_until = 0.0
        self.is_dead = False

    async def exchange(
        self,
        after: int,
        facts: Sequence[bytes] = (),
        *,
        only_if: int | None = None,
        trim_before: int = 0,
    ) -> Reply:
        self.exchanges += 1
        await asyncio.sleep(max(0.0, self.stopped_until - now()))
        way_s = self.round_trip_s * self.draw.random()
        await asyncio.sleep(way_s)
        if self.is_dead:
            await asyncio.get_running_loop().create_future()
        reply = await super().exchange(after, facts, only_if=only_if, trim_before=trim_before)
        await asyncio.sleep(self.round_trip_s - way_s)
        if self.draw.random() < self.lost_share:
            raise LogStoreError("the reply was lost")
        return reply


class Process:
    """One process of the fleet.

    Attributes:
        waits: (background, seconds waited) of every lease.
        ended_at: when its last response came.
        events: what its hooks saw.
    """

    def __init__(
        self, fleet: Fleet, config: Config, name: str, round_trip_s: float, grace_s: float
    ) -> None:
        self.fleet = fleet
        self.name = name
        self.draw = random.Random(f"{fleet.seed} {name}")
        self.way = Way(fleet.log, self.draw, round_trip_s)
        self.events: list[Event] = []
        config = Config(**{**_settings(config), "hooks": (self.events.append,)})
        writers = itertools.count(1)
        budget = SharedBudget(
            config,
            self.way,
            grace_s=grace_s,
            name=name,
            clock=now,
            new_writer=lambda: f"{name}.{next(writers)}",
        )
        self.budget = budget
        self.throttle = Throttle(config, budget=budget)
        self.late_s = config.late_arrival_s
        self.waits: list[tuple[bool, float]] = []
        self.ended_at = 0.0
        self.done = 0
        self.sent = 0
        self.tasks: set[asyncio.Task[Any]] = set()

    async def call(self, *, timeout: float | None = None, background: bool | None = None) -> None:
        """One request; a refused one counts at the server and is not repeated."""
        asked = now()
        is_bulk = current_job() is not None if background is None else background
        async with self.throttle.acquire(timeout=timeout, background=background) as lease:
            self.waits.append((is_bulk, now() - asked))
            if self.budget.is_stale(lease):
                lease.cancel()
                return
            self.sent += 1
            latency_s = self.draw.uniform(*LATENCY_S)
            way_s = latency_s * self.draw.random()
            if self.draw.random() < self.fleet.lost_share:
                # No response, and the request arrives as late as it may.
                self.fleet.arrive_later(latency_s + self.draw.random() * self.late_s, self.name)
                await asyncio.sleep(latency_s)
                return
            try:
                await asyncio.sleep(way_s)
            except asyncio.CancelledError:
                self.fleet.arrive_later(self.draw.random() * self.late_s, self.name)
                raise
            status, headers = self.fleet.server.ask(now(), self.name)
            await asyncio.sleep(latency_s - way_s)
            lease.complete(headers, status)
            self.done += 1
            self.ended_at = now()

    def start(self, count: int, *, background: bool = False, job: str = "job") -> None:
        """Begin `count` requests at once; bulk ones as one job."""

        async def many() -> None:
            with self.throttle.background(job) if background else nullcontext():
                await asyncio.gather(*(self.call() for _ in range(count)))

        self.tasks.add(asyncio.ensure_future(many()))

    async def finish(self) -> None:
        await asyncio.gather(*self.tasks)

    async def kill(self) -> None:
        """End as kill -9 does: nothing more is written, requests under way still arrive."""
        self.way.is_dead = True
        for task in self.tasks:
            task.cancel()
        self.budget._session._closed = True
        for task in self.budget._session._tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, *self.budget._session._tasks, return_exceptions=True)

    async def aclose(self) -> None:
        await self.throttle.aclose()


def _settings(config: Config) -> dict[str, Any]:
    names = ("windows", "window_margin_s", "late_arrival_s", "reserve", "burst")
    return {name: getattr(config, name) for name in names}


class Fleet:
    """Processes of one token.

    Args:
        config: of all of them.
        server: what they face.
        round_trip_s: of an exchange.
        grace_s: see `SharedSettings`.
        lost_share: of the requests, whose response never comes.
    """

    def __init__(
        self,
        config: Config,
        server: Judge,
        *,
        seed: int = 0,
        round_trip_s: float = 0.002,
        grace_s: float = 180.0,
        lost_share: float = 0.0,
    ) -> None:
        self.config = config
        self.server = server
        self.seed = seed
        self.round_trip_s = round_trip_s
        self.grace_s = grace_s
        self.lost_share = lost_share
        self._arriving: set[asyncio.Task[None]] = set()
        self.clock_step_s = 0.0
        self.log = MemoryLog(lambda: now() + self.clock_step_s)
        self._logs = itertools.count(2)
        self.processes: list[Process] = []

    def process(self) -> Process:
        name = f"p{len(self.processes)}"
        made = Process(self, self.config, name, self.round_trip_s, self.grace_s)
        self.processes.append(made)
        return made

    def arrive_later(self, delay_s: float, who: str) -> None:
        """A request whose sender is gone reaches the server after `delay_s`."""

        async def arrive() -> None:
            await asyncio.sleep(delay_s)
            self.server.ask(now(), who)

        self._arriving.add(asyncio.ensure_future(arrive()))

    def empty_log(self) -> None:
        """The store loses everything, as after FLUSHALL; its clock may have been set before."""
        self.set_back(0, log_id=f"memory-{next(self._logs)}")

    def set_back(self, facts: int, log_id: str | None = None) -> None:
        """The store is restored from a copy that holds the first `facts` only."""
        log = self.log
        log.facts = [fact for fact in log.facts if fact.position <= facts]
        log.last = facts
        log.now_s = log.facts[-1].at_s if log.facts else 0.0
        log._shift_s = 0.0
        log.log_id = log_id or log.log_id

    @property
    def refused(self) -> int:
        return sum(self.server.refused.values())

    async def finish(self) -> None:
        """Wait until every process is done, then close them."""
        for process in self.processes:
            await process.finish()
        await self.aclose()

    async def aclose(self) -> None:
        for process in self.processes:
            if not process.way.is_dead:
                await process.aclose()
        await asyncio.gather(*self._arriving)


async def alone_s(
    config: Config, requests: int, model: Model, every_s: float, starts: int
) -> float:
    """When one throttle of one process has done the same, begun at the same times."""
    throttle, server = Throttle(config), judge_for(config, model)
    draw = random.Random(0)

    async def call(after_s: float) -> None:
        await asyncio.sleep(after_s)
        async with throttle.acquire() as lease:
            latency_s = draw.uniform(*LATENCY_S)
            await asyncio.sleep(latency_s / 2)
            status, headers = server.ask(now())
            await asyncio.sleep(latency_s / 2)
            lease.complete(headers, status)

    each = requests // starts
    await asyncio.gather(*(call(n * every_s) for n in range(starts) for _ in range(each)))
    return now()


async def together_s(fleet: Fleet, requests: int, processes: int, every_s: float) -> float:
    for _ in range(processes):
        fleet.process().start(requests // processes)
        await asyncio.sleep(every_s)
    await fleet.finish()
    return max(process.ended_at for process in fleet.processes)
