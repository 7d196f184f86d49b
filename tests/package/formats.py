"""Write a file of each format, as this version writes it.

    python -m tests.package.formats FOLDER

    plan.json     a plan to snapshot twelve volumes
    journal.db    the journal of its run, whose worker was killed
    state.json    the simulator's account after that
    budget.db     what two clients of that token told each other about its budget

What lies in tests/data/formats was written by this program, from the version that first had the
format, and is never written anew: every later version has to read it, or refuse it in words.
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from do_blockstore_async import BlockStore, Config
from do_blockstore_async.simulator import Simulator

TOKEN = "dop_v1_" + "0" * 64
"""Of nobody: the simulator's own."""
PORT = 18080
"""The log of a budget is named after token and host."""
JOB = "formats"


def _on_no_machine() -> None:
    """Leave this machine's name out of what is written."""
    platform.node = socket.gethostname = lambda: "host"


def config() -> Config:
    return Config(budget="machine", late_arrival_s=1.0)


async def work(folder: Path) -> None:
    """Take a part of the snapshots and end as if killed, with requests in flight."""
    _on_no_machine()
    url = f"http://127.0.0.1:{PORT}"
    async with BlockStore(TOKEN, base_url=url, config=config()) as store:
        plan = store.bulk.load_plan(folder / "plan.json")
        done = 0
        async with store.bulk.run(plan, journal=folder / "journal.db", concurrency=3) as run:
            async for _ in run:
                done += 1
                if done == 5:
                    os._exit(9)


async def write(folder: Path) -> None:
    _on_no_machine()
    os.environ["XDG_STATE_HOME"] = str(folder / "machine")
    state = folder / "state.json"
    async with (
        Simulator(
            volumes=12, seed=7, token=TOKEN, port=PORT, state=state, latency_s=0.2
        ) as simulator,
        BlockStore(TOKEN, base_url=simulator.url, config=config()) as store,
    ):
        plan = await store.bulk.plan_snapshots(job=JOB)
        store.bulk.save_plan(plan, folder / "plan.json")
        command = [sys.executable, "-m", "tests.package.formats", "--work", str(folder)]
        await asyncio.to_thread(subprocess.run, command, check=False)
    (budget,) = (folder / "machine").rglob("*.db")
    budget.rename(folder / "budget.db")
    for path in (folder / "journal.db", folder / "budget.db"):
        with closing(sqlite3.connect(path)) as database:
            if path.name == "journal.db":
                database.execute("update boot set id = ?", ("0" * 32,))
                database.commit()
            # What lies beside the file comes into it.
            database.execute("pragma wal_checkpoint(truncate)")


def main() -> None:
    folder = Path(sys.argv[-1])
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(work(folder) if "--work" in sys.argv else write(folder))


if __name__ == "__main__":
    main()
