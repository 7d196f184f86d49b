"""Many accounts, a queue and a worker that dies: `python -m benchmarks.job_queue [--quick]`.

Accounts with a strict API each, in this process; PostgreSQL and the workers as real programs, with
the times they have in production. One worker is ended with SIGKILL once a quarter of the snapshots
is taken. Prints a Markdown table of what must hold and what was found; about two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import attrs

from do_blockstore_async.integrations.procrastinate import JobQueue
from do_blockstore_async.jobs import load_jobs
from do_blockstore_async.simulator import Simulator
from tests.support.servers import postgres_server

from .quota.table import Table

# The real windows in a tenth of the time.
WINDOWS = ((25, 6.0), (500, 360.0))
LIMITS = ",".join(f"{requests}/{seconds:g}" for requests, seconds in WINDOWS)
PATIENCE_S = 600.0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@attrs.frozen
class Fleet:
    """The accounts, and the file that names them."""

    simulators: list[Simulator]
    before: list[set[str]]
    path: Path
    env: dict[str, str]

    @classmethod
    async def open(
        cls, stack: AsyncExitStack, folder: Path, database: str, accounts: int, volumes: int
    ) -> Fleet:
        """Start the simulators, and write the jobs file."""
        env = {**os.environ, "DO_BLOCKSTORE_DATABASE": database, "HOME": str(folder)}
        env.pop("DO_BLOCKSTORE_BUDGET", None)
        lines, simulators = [], []
        for number in range(accounts):
            simulator = await stack.enter_async_context(
                Simulator(
                    volumes=volumes,
                    seed=number,
                    token=f"dop_v1_{number:064x}",
                    limits=WINDOWS,
                    latency_s=(0.05, 0.2),
                )
            )
            simulators.append(simulator)
            env[f"TOKEN_{number}"] = simulator.token
            lines += [f"[accounts.a{number}]", f'token_env = "TOKEN_{number}"']
            lines += [f'base_url = "{simulator.url}"']
        path = folder / "fleet.toml"
        path.write_text("\n".join([*lines, "[jobs.nightly]", 'kind = "snapshot"']))
        before = [set(simulator.world.snapshots) for simulator in simulators]
        return cls(simulators, before, path, env)

    def taken(self, number: int) -> Counter[str]:
        """How many snapshots each volume of an account has got since."""
        world = self.simulators[number].world
        new = world.snapshots.keys() - self.before[number]
        return Counter(world.snapshots[each].volume_id for each in new)

    @property
    def progress(self) -> int:
        """How many snapshots were taken in all accounts."""
        return sum(self.taken(number).total() for number in range(len(self.simulators)))

    def start(self) -> subprocess.Popen[bytes]:
        """Start a worker."""
        words = ["-m", "do_blockstore_async.cli", "jobs", "worker", str(self.path)]
        return subprocess.Popen(
            [sys.executable, *words, "--limits", LIMITS], env=self.env, stderr=subprocess.DEVNULL
        )


async def campaign(accounts: int, volumes: int, workers: int) -> Table:
    """Run it, and judge."""
    table = Table()
    with (
        postgres_server() as database,
        tempfile.TemporaryDirectory() as folder,
    ):
        if database is None:
            sys.exit("postgres is not installed")
        async with AsyncExitStack() as stack:
            fleet = await Fleet.open(stack, Path(folder), database, accounts, volumes)
            await JobQueue.migrate(database)
            programs = [fleet.start() for _ in range(workers)]
            try:
                took_s, took_over_s = await _work(fleet, database, programs)
            finally:
                for program in programs:
                    program.terminate()
                for program in programs:
                    await asyncio.to_thread(program.wait)
        name = f"{accounts} accounts x {volumes} volumes, {workers} workers, one killed"
        counts = [fleet.taken(number) for number in range(accounts)]
        done = sum(len(count) == volumes for count in counts)
        table.row(name, "all done", f"{done} of {accounts} accounts", done == accounts)
        most = max(max(count.values(), default=0) for count in counts)
        table.row("snapshots of one volume", "exactly one", f"{most} at most", most == 1)
        worst = max(sum(each.world.refused.values()) for each in fleet.simulators)
        table.row("429s on any token", "0", str(worst), worst == 0)
        held = took_over_s < 60
        table.row("from the kill to the last taking over", "60 s", f"{took_over_s:.0f} s", held)
        table.row("everything", "", f"{took_s:.0f} s", None)
    return table


async def _work(
    fleet: Fleet, database: str, programs: list[subprocess.Popen[bytes]]
) -> tuple[float, float]:
    """Queue all, kill one worker, wait for the end; how long it took, and until the taking over."""
    file = load_jobs(fleet.path)
    async with JobQueue(file, database) as queue, asyncio.timeout(PATIENCE_S):
        started_s = time.monotonic()
        for account in file.accounts:
            await queue.put(account, "nightly")
        total = len(file.accounts) * fleet.simulators[0].world.options.volumes
        while fleet.progress < total // 4:  # noqa: ASYNC110 -- the simulators signal nothing
            await asyncio.sleep(0.1)
        programs[0].kill()
        killed_s = time.monotonic()
        named = f":{programs[0].pid}"
        mine = {
            run.account
            for run in await queue.results(limit=1000)
            if run.worker.endswith(named) and run.conclusion is None
        }
        _say(f"killed a worker with {len(mine)} runs, {fleet.progress} of {total} taken")
        took_over_s = 0.0
        while True:
            runs = await queue.results(limit=1000)
            if not took_over_s and not any(
                run.account in mine and run.worker.endswith(named) for run in runs
            ):
                took_over_s = time.monotonic() - killed_s
                _say(f"taken over after {took_over_s:.0f} s")
            if len([run for run in runs if run.conclusion == "done"]) == len(file.accounts):
                return time.monotonic() - started_s, took_over_s
            await asyncio.sleep(0.25)


def main() -> None:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 accounts x 10 volumes, 2 workers")
    arguments = parser.parse_args()
    size = (4, 10, 2) if arguments.quick else (20, 50, 4)
    table = asyncio.run(campaign(*size))
    print("\n".join(table.lines))
    sys.exit(1 if table.missed else 0)


if __name__ == "__main__":
    main()
