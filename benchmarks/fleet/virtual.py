"""Fleets in virtual time: how fast, how fair, and what disturbs them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from do_blockstore_async.config import Config
from tests.support.fleet import Fleet, Process, alone_s, judge_for, now, together_s
from tests.support.strict_servers import MODELS, Model
from tests.support.virtual_time import run_virtual

__all__ = ["DISTURBANCES", "disturbed", "equal_jobs", "forecast_error", "interactive", "speed"]

NO_RESERVE = Config(reserve=(0.0, 0.0))


def speed(processes: int, requests: int, every_s: float) -> tuple[int, float]:
    """429s and the time of one shared throttle's, the worst of three strict servers."""
    refused, ratio = 0, 0.0
    for model in MODELS:
        alone = run_virtual(alone_s(NO_RESERVE, requests, model, every_s, processes))
        made: list[Fleet] = []
        took_s = run_virtual(_together(made, model, requests, processes, every_s))
        refused += made[0].refused
        ratio = max(ratio, took_s / alone)
    return refused, ratio


async def _together(
    made: list[Fleet], model: Model, requests: int, processes: int, every_s: float
) -> float:
    made.append(Fleet(NO_RESERVE, judge_for(NO_RESERVE, model), seed=processes))
    return await together_s(made[0], requests, processes, every_s)


def interactive(requests: int) -> tuple[int, float]:
    """429s, and the wait that 99 of 100 interactive calls stay below, beside bulk elsewhere."""

    async def play() -> tuple[int, float]:
        fleet = Fleet(Config(), judge_for(Config(), "sliding"))
        web, *workers = [fleet.process() for _ in range(4)]
        for worker in workers:
            worker.start(requests // 3, background=True)
        await asyncio.sleep(3.0)
        draw = random.Random(1)
        while any(not task.done() for worker in workers for task in worker.tasks):
            await asyncio.sleep(draw.expovariate(1 / 20))
            await web.call()
        waits = sorted(waited for _, waited in web.waits)
        await fleet.finish()
        return fleet.refused, waits[int(len(waits) * 0.99)]

    return run_virtual(play())


def equal_jobs() -> tuple[int, float]:
    """429s, and by how much the last of four equal bulk jobs ended after the first."""

    async def play() -> tuple[int, float]:
        fleet = Fleet(Config(), judge_for(Config(), "sliding"))
        for _ in range(4):
            fleet.process().start(250, background=True)
        await fleet.finish()
        ends = [process.ended_at for process in fleet.processes]
        return fleet.refused, max(ends) / min(ends) - 1

    return run_virtual(play())


def forecast_error(requests: int) -> float:
    """By how much the forecasts of four processes miss the end, the worst of them."""

    async def play() -> float:
        fleet = Fleet(NO_RESERVE, judge_for(NO_RESERVE, "sliding"))
        for _ in range(4):
            fleet.process()
        each = [requests // 4] * 3 + [requests - 3 * (requests // 4) - 1]
        for process, count in zip(fleet.processes, each, strict=True):
            process.start(count)
        await asyncio.sleep(2.0)
        foretold = [now() + p.throttle.forecast(1).total_seconds() for p in fleet.processes]
        await fleet.processes[-1].call()
        await fleet.finish()
        end = max(process.ended_at for process in fleet.processes)
        return max(abs(at / end - 1) for at in foretold)

    return run_virtual(play())


# What is done to a fleet of three, 5 s after it began 1,200 requests.


async def _kill(fleet: Fleet, victim: Process) -> None:
    del fleet
    await victim.kill()


async def _stop(fleet: Fleet, victim: Process) -> None:
    del fleet
    victim.way.stopped_until = now() + 60.0


async def _restart(fleet: Fleet, victim: Process) -> None:
    del victim
    await _cut(fleet.processes, 3.0)


async def _empty(fleet: Fleet, victim: Process) -> None:
    del victim
    fleet.empty_log()


async def _set_back(fleet: Fleet, victim: Process) -> None:
    del victim
    fleet.set_back(fleet.log.last - 30)


async def _cut_one(fleet: Fleet, victim: Process) -> None:
    del fleet
    await _cut([victim], 300.0)


async def _cut_all(fleet: Fleet, victim: Process) -> None:
    del victim
    await _cut(fleet.processes, 300.0)


async def _forward(fleet: Fleet, victim: Process) -> None:
    del victim
    fleet.clock_step_s += 3_600.0


async def _back(fleet: Fleet, victim: Process) -> None:
    del victim
    fleet.clock_step_s -= 3_600.0


async def _cut(processes: list[Process], for_s: float) -> None:
    for process in processes:
        process.way.is_away = True
    await asyncio.sleep(for_s)
    for process in processes:
        process.way.is_away = False


DISTURBANCES: dict[str, Callable[[Fleet, Process], Awaitable[None]]] = {
    "one of three is killed": _kill,
    "one of three is stopped for 60 s": _stop,
    "the store restarts, 3 s": _restart,
    "the store is emptied": _empty,
    "the store is set back by 30 facts": _set_back,
    "one is cut off for 5 minutes": _cut_one,
    "all are cut off for 5 minutes": _cut_all,
    "the store's clock is set forward by an hour": _forward,
    "the store's clock is set back by an hour": _back,
}


class Disturbed(NamedTuple):
    """What became of a fleet that was disturbed.

    Attributes:
        stall_s: the longest time without a grant while requests waited, beyond the longest that
            an undisturbed fleet has.
    """

    refused: int
    took_s: float
    stall_s: float


def disturbed(name: str | None, seeds: int) -> Disturbed:
    """The worst of some fleets that are disturbed so; None for one that is not."""
    worst = [run_virtual(_disturbed(name, seed)) for seed in range(seeds)]
    return Disturbed(*(max(column) for column in zip(*worst, strict=True)))


async def _disturbed(name: str | None, seed: int) -> Disturbed:
    fleet = Fleet(NO_RESERVE, judge_for(NO_RESERVE, MODELS[seed % 3]), seed=seed)
    grants: list[float] = []
    for _ in range(3):
        process = fleet.process()
        process.start(400)
    watch = asyncio.ensure_future(_watch(fleet, grants))
    draw = random.Random(seed)
    await asyncio.sleep(5.0 + draw.random())
    if name is not None:
        await DISTURBANCES[name](fleet, fleet.processes[0])
    await asyncio.gather(*(p.finish() for p in fleet.processes), return_exceptions=True)
    watch.cancel()
    ends = max(process.ended_at for process in fleet.processes)
    stall_s = max(after - before for before, after in itertools.pairwise(grants))
    await fleet.aclose()
    return Disturbed(fleet.refused, ends, stall_s)


async def _watch(fleet: Fleet, grants: list[float]) -> None:
    seen = 0
    while True:
        await asyncio.sleep(0.05)
        sent: Any = sum(len(process.waits) for process in fleet.processes)
        if sent > seen:
            seen = sent
            grants.append(now())
