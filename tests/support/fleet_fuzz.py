"""Random fleets: processes come and go, are killed, stopped and cut off, and nothing goes wrong.

`fuzz(seed)` plays one and returns what was wrong with it; the same seed plays the same. Windows are
scaled (25 requests in 6 s, 100 in 60 s), the constants of the shared budget are not.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

from do_blockstore_async._ratelimit.shared.checkpoint import state_of
from do_blockstore_async._ratelimit.shared.facts import Grant, decode
from do_blockstore_async._ratelimit.shared.replica import Replica
from do_blockstore_async.errors import BlockStoreError, QuotaWaitTooLongError
from tests.support.fleet import Fleet, Process, now
from tests.support.strict_servers import MODELS
from tests.support.throttle_traffic import judge, scaled
from tests.support.virtual_time import run_virtual

__all__ = ["fuzz"]

_LONGEST_S = 1_200.0
"""A fleet that has not ended by then stands still: its requests take 250 s at most."""


def fuzz(seed: int) -> list[str]:
    """Play the random fleet of this seed; returns its faults, none if all is well."""
    return run_virtual(_Play(seed).play())


class _Play:
    def __init__(self, seed: int) -> None:
        self.draw = draw = random.Random(seed)
        self.fleet = Fleet(
            scaled(late_arrival_s=2.0, reserve=draw.choice([(0.0, 0.0), (0.1, 0.05)])),
            judge(draw.choice(MODELS), phase_s=draw.uniform(0, 6)),
            seed=seed,
            round_trip_s=draw.choice([0.001, 0.01, 0.08]),
            grace_s=draw.choice([0.0, 60.0]),
            lost_share=draw.choice([0.0, 0.05]),
        )
        self.log_is_whole = True
        self.callers: list[asyncio.Task[None]] = []

    async def play(self) -> list[str]:
        fleet, draw = self.fleet, self.draw
        for _ in range(draw.randint(2, 5)):
            self.begin(fleet.process(), draw.uniform(0, 5))
        disturbing = asyncio.ensure_future(self.disturb())
        faults: list[str] = []
        try:
            async with asyncio.timeout(_LONGEST_S):
                await disturbing
                await asyncio.gather(*self.callers)
        except TimeoutError:
            faults.append(f"still waiting at {now():.0f} s")
        faults += [f"429 at {at:.1f} s for {who}" for at, who, _ in fleet.server.refusals]
        faults += await self.disagreements()
        if self.log_is_whole:
            faults += self.bulk_before_interactive()
        await fleet.aclose()
        return faults

    def begin(self, process: Process, after_s: float) -> None:
        lost = self.draw.choice([0.0, 0.0, 0.03])
        process.way.lost_share = lost
        for _ in range(self.draw.randint(10, 60)):
            self.callers.append(asyncio.ensure_future(self.caller(process, after_s)))

    async def caller(self, process: Process, after_s: float) -> None:
        draw = self.draw
        await asyncio.sleep(after_s + draw.choice([0.0, draw.expovariate(1 / 20)]))
        if process.way.is_dead:
            return
        timeout = draw.choice([None, None, None, draw.uniform(1, 30)])
        is_bulk = draw.random() < 0.6
        task = asyncio.ensure_future(process.call(timeout=timeout, background=is_bulk))
        process.tasks.add(task)
        if draw.random() < 0.1:
            await asyncio.sleep(draw.expovariate(1 / 5))
            task.cancel()
        with suppress(asyncio.CancelledError, QuotaWaitTooLongError):
            await task

    async def disturb(self) -> None:
        fleet, draw = self.fleet, self.draw
        for _ in range(draw.randint(0, 5)):
            await asyncio.sleep(draw.expovariate(1 / 15))
            process = draw.choice(fleet.processes)
            match draw.randrange(7):
                case 0:
                    await process.kill()
                case 1:
                    process.way.is_away = True
                    await asyncio.sleep(draw.choice([2.0, 20.0, 100.0]))
                    process.way.is_away = False
                case 2:
                    process.way.stopped_until = now() + draw.choice([3.0, 12.0, 60.0])
                case 3:
                    self.begin(fleet.process(), 0.0)
                case 4 if now() > 6:  # who joins in that very moment takes it for the right time
                    fleet.clock_step_s += draw.choice([-3600.0, -30.0, 30.0, 3600.0])
                    await asyncio.sleep(6)
                case 5 if not fleet.grace_s:
                    pass  # Of a file on this machine nothing is lost.
                case 5:
                    self.log_is_whole = False
                    fleet.empty_log()
                case 6:
                    everybody = list(fleet.processes)
                    for one in everybody:
                        one.way.is_away = True
                    await asyncio.sleep(draw.choice([2.0, 20.0, 100.0]))
                    for one in everybody:
                        one.way.is_away = False

    async def disagreements(self) -> list[str]:
        """R1: whoever has read the same has the same state."""
        living = [
            (process.name, process.budget._session)
            for process in self.fleet.processes
            if not process.way.is_dead and process.budget._session.writer is not None
        ]
        for _, session in living:
            with suppress(BlockStoreError):
                await session._exchange([])
        newest = max((session._position for _, session in living), default=0)
        at_s = max((session.replica.at_s for _, session in living), default=0.0)
        same = {
            name: _state(session.replica, at_s)
            for name, session in living
            if session._position == newest
        }
        first = next(iter(same.values()), None)
        return [f"{name} has another state" for name, state in same.items() if state != first]

    def bulk_before_interactive(self) -> list[str]:
        """R4, from the log alone."""
        replica: Replica | None = None
        faults: list[str] = []
        for found in self.fleet.log.facts:
            fact = decode(found.data)
            if replica is None:
                replica = Replica(self.fleet.processes[0].budget._session.settings)
            if isinstance(fact, Grant) and fact.background:
                replica.advance(found.at_s)
                faults += [
                    f"bulk before interactive of {name} at {found.at_s:.1f} s"
                    for name, peer in replica.peers.items()
                    if name not in {fact.writer, *fact.passed}
                    and peer.waiting.interactive
                    and not peer.is_passed
                ]
            replica.apply(found.at_s, fact)
        return faults


def _state(replica: Replica, at_s: float) -> object:
    """What readers agree on: not when each of them last looked, nor what has expired since."""
    replica.advance(at_s)
    ledger = replica.ledger
    return (
        ledger.in_flight,
        ledger.opened,
        ledger.done,
        ledger.lost,
        ledger.unused,
        [sorted(t for t in (*w.answered, *w.lost) if t > at_s) for w in ledger.windows],
        {name: state_of(peer) for name, peer in replica.peers.items()},
        {name: state_of(away) for name, away in replica.away.items()},
    )
