"""What a journal costs: a bulk of snapshots with and without one, here and in another checkout.

    python -m benchmarks.bulk.journal_cost --before CHECKOUT --items 2000 --rounds 5

Each run is a process of its own, against one simulator over real sockets, with the limits off. The
runs of the two checkouts take turns; medians are printed, and their ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from do_blockstore_async.simulator import Simulator

WORK = """
import asyncio, sys, time
from do_blockstore_async import BlockStore, Config

async def main(url, token, journal):
    config = Config(windows=((10**7, 60.0),))
    async with BlockStore(token, base_url=url, config=config) as store:
        plan = await store.bulk.plan_snapshots()
        began = time.perf_counter()
        async with store.bulk.run(plan, journal=journal or None) as run:
            async for outcome in run:
                assert outcome.status == "done", outcome
        print(time.perf_counter() - began)

asyncio.run(main(*sys.argv[1:]))
"""


async def took_s(sim: Simulator, checkout: Path, journal: str) -> float:
    sim.reset()
    sim.world.snapshot_cooldown_s = 0.0
    words = [sys.executable, "-c", WORK, sim.url, sim.token, journal]
    env = {**os.environ, "PYTHONPATH": str(checkout)}
    done = await asyncio.create_subprocess_exec(*words, env=env, stdout=subprocess.PIPE)
    out, _ = await done.communicate()
    assert done.returncode == 0
    return float(out)


async def measure(checkouts: list[Path], items: int, rounds: int) -> list[list[list[float]]]:
    """Seconds, by checkout, without and with a journal, of each round."""
    found: list[list[list[float]]] = [[[], []] for _ in checkouts]
    with tempfile.TemporaryDirectory() as folder:
        async with Simulator(volumes=items, snapshots=0, limits="none", latency_s=0.0) as sim:
            for number in range(rounds + 1):
                for of_checkout, checkout in zip(found, checkouts, strict=True):
                    for with_one in (0, 1):
                        journal = f"{folder}/{number}-{checkouts.index(checkout)}.db"
                        seconds = await took_s(sim, checkout, journal if with_one else "")
                        if number:  # the first round warms up
                            of_checkout[with_one].append(seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout")
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    here = Path(__file__).parents[2]
    checkouts = [here, *([options.before] if options.before else [])]
    found = asyncio.run(measure(checkouts, options.items, options.rounds))
    medians = [[statistics.median(seconds) for seconds in each] for each in found]
    for checkout, (without, with_one) in zip(("here", "before"), medians, strict=False):
        print(f"{checkout}: {without:.2f} s without a journal, {with_one:.2f} s with one")
    if options.before:
        print(f"with a journal: {medians[0][1] / medians[1][1]:.2f} x the time of before")


if __name__ == "__main__":
    main()
