"""A bulk run in a process that is killed at random moments, then resumed and checked.

Each trial snapshots a fresh fleet in a process of its own, over real sockets, with the limits off
and without the snapshot cooldown (which would hide a repetition). The process is killed at a random
moment, then another one resumes the journal; some trials kill the resuming one too. Or three of
them work on the plan at once, and one is killed, or stopped for a while. The processes are forked
from ones that have imported everything, so that a kill at a random moment hits the run and not the
start of the interpreter.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from do_blockstore_async.bulk.execution.journal_reader import remove_journal
from do_blockstore_async.bulk.execution.watch import read_status
from do_blockstore_async.simulator import Simulator
from tests.support.journals import read_journal

ZYGOTE = """
import asyncio, os, signal, sys
from do_blockstore_async import BlockStore, Config
from do_blockstore_async.bulk.service import Bulk
from do_blockstore_async.bulk.execution.run import Run

# As late as a request can be on a machine that is busy: what arrives later may be asked for again.
CONFIG = Config(windows=((10**7, 60.0),), late_arrival_s=1.5, reserve=(0.0,))

async def work(url, token, journal, plan):
    async with BlockStore(token, base_url=url, config=CONFIG) as store:
        if plan == "-":
            run = store.bulk.resume(journal)
        else:
            run = store.bulk.run(store.bulk.load_plan(plan), journal=journal)
        async with run:
            async for outcome in run:
                assert outcome.status == "done", outcome

for line in sys.stdin:
    url, token, journal, plan = line.split()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            asyncio.run(work(url, token, journal, plan))
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print("began", child, flush=True)
    status = os.waitpid(child, 0)[1]
    print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""


class Workers:
    """Starts runs in processes of their own, and kills them."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self.kills = 0

    async def __aenter__(self) -> Workers:
        self._zygote = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ZYGOTE, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._in, self._out = self._zygote.stdin, self._zygote.stdout
        return self

    async def __aexit__(self, *_: object) -> None:
        self._in.close()
        await self._zygote.wait()

    async def run(
        self,
        journal: Path | str,
        plan: str,
        kill_after_s: float | None,
        stop_for_s: float | None = None,
    ) -> bool:
        """One process from its begin to its end; True if it came to its own end.

        With `stop_for_s` it is not killed, but stopped for so long.
        """
        line = f"{self._sim.url} {self._sim.token} {journal} {plan}\n"
        self._in.write(line.encode())
        child = int((await self._out.readline()).split()[1])
        ended = asyncio.ensure_future(self._out.readline())
        if kill_after_s is not None:
            await asyncio.wait([ended], timeout=min(kill_after_s, 600.0))
            if not ended.done():
                # It may have come to its end, and been waited for, in this very moment.
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL if stop_for_s is None else signal.SIGSTOP)
                    if stop_for_s is not None:
                        await asyncio.sleep(stop_for_s)
                        os.kill(child, signal.SIGCONT)
        code = int((await ended).split()[1])
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"a run failed with exit code {code}")
        self.kills += code != 0
        return code == 0


async def save_plan(sim: Simulator, path: Path) -> None:
    """Plan snapshots of the whole fleet."""
    from do_blockstore_async import BlockStore, Config

    config = Config(windows=((10**7, 60.0),))
    async with BlockStore(sim.token, base_url=sim.url, config=config) as store:
        plan = await store.bulk.plan_snapshots()
        store.bulk.save_plan(plan, path)


async def trial(
    sim: Simulator, workers: Workers, directory: Path, draw: random.Random, whole_s: float
) -> int:
    """One fleet: killed at a random moment, resumed, perhaps killed again, checked.

    Returns how many snapshots were there when it was first killed.
    """
    sim.reset()
    sim.world.snapshot_cooldown_s = 0.0
    plan, journal = directory / "plan.json", directory / "journal.db"
    await remove_journal(journal)
    await save_plan(sim, plan)
    whole = await workers.run(journal, str(plan), draw.uniform(0, whole_s))
    made = len(sim.world.snapshots)
    # Where the journal was not even made, the plan is run anew.
    while not whole:
        how = "-" if await read_status(journal) else str(plan)
        again_s = draw.uniform(0, whole_s + 0.5) if draw.random() < 0.2 else None
        whole = await workers.run(journal, how, again_s)
    await check(sim, journal)
    return made


async def shared_trial(
    sim: Simulator,
    workers: Sequence[Workers],
    directory: Path,
    journal: Path | str,
    kill_after_s: float,
    stop_for_s: float | None = None,
) -> float:
    """One fleet and several workers, the first of which is killed or stopped; checked.

    Returns how many seconds the others took.
    """
    sim.reset()
    sim.world.snapshot_cooldown_s = 0.0
    plan = directory / "plan.json"
    await remove_journal(journal)
    await save_plan(sim, plan)
    first, *others = workers
    victim = asyncio.ensure_future(first.run(journal, str(plan), kill_after_s, stop_for_s))
    began = time.perf_counter()
    ended = await asyncio.gather(*(each.run(journal, str(plan), None) for each in others))
    took_s = time.perf_counter() - began
    assert all(ended), "the others came to their own end"
    await victim
    await check(sim, journal)
    return took_s


async def shared_campaign(
    kills: int,
    items: int,
    seed: int,
    directory: Path,
    journal: Path | str,
    *,
    workers: int = 3,
    stop_for_s: float | None = None,
) -> dict[str, object]:
    """Several workers on each plan, until so many were killed; then one that is stopped."""
    draw = random.Random(seed)
    took: list[float] = []
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(
            Simulator(volumes=items, snapshots=0, seed=seed, limits="none", latency_s=(0.001, 0.02))
        )
        crew = [await stack.enter_async_context(Workers(sim)) for _ in range(workers)]
        for _ in range(2):  # the first one warms up
            whole_s = await shared_trial(sim, crew, directory, journal, math.inf)
        while crew[0].kills < kills:
            after_s = draw.uniform(0, whole_s)
            took.append(await shared_trial(sim, crew, directory, journal, after_s))
        found: dict[str, object] = {
            "items": items,
            "trials": len(took),
            "kills": crew[0].kills,
            "undisturbed_s": round(whole_s, 2),
            "longest_s": round(max(took), 2),
        }
        if stop_for_s is not None:
            stopped_s = await shared_trial(sim, crew, directory, journal, whole_s / 2, stop_for_s)
            found["beside_a_stopped_one_s"] = round(stopped_s, 2)
        return found


async def check(sim: Simulator, journal: Path | str) -> None:
    """Exactly one snapshot of each volume, never asked for twice, an outcome for each."""
    shots = Counter(snapshot.volume_id for snapshot in sim.world.snapshots.values())
    assert set(shots) == set(sim.world.volumes), "a volume was forgotten"
    assert set(shots.values()) == {1}, "a volume has two"
    refused = [r for r in sim.requests if r.method == "POST" and r.status != 201]
    assert not refused, f"asked for again: {refused[:3]}"
    state = await read_journal(journal)
    outcomes = Counter(ended.status for ended in state.finished.values())
    assert outcomes == {"done": len(sim.world.volumes)}, outcomes


async def campaign(kills: int, items: int, seed: int, directory: Path) -> dict[str, object]:
    """Trials until so many processes were killed."""
    draw = random.Random(seed)
    made: list[int] = []
    async with (
        Simulator(
            volumes=items, snapshots=0, seed=seed, limits="none", latency_s=(0.001, 0.02)
        ) as sim,
        Workers(sim) as workers,
    ):
        plan = directory / "whole.json"
        await save_plan(sim, plan)
        whole_s = 0.0
        for number in range(2):  # the first one warms up
            sim.reset()
            began = time.perf_counter()
            assert await workers.run(directory / f"whole{number}.db", str(plan), None)
            whole_s = time.perf_counter() - began
        trials = 0
        while workers.kills < kills:
            made.append(await trial(sim, workers, directory, draw, whole_s))
            trials += 1
        await asyncio.sleep(0)
        return {
            "items": items,
            "trials": trials,
            "kills": workers.kills,
            "whole_run_s": round(whole_s, 3),
            "made_when_killed": f"{min(made)} to {max(made)}, median {statistics.median(made)}",
        }
