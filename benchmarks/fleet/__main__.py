"""One token in many processes: `python -m benchmarks.fleet [--quick] [--before CHECKOUT]`.

Prints a Markdown table of the cases that a shared budget must pass, each with its bar and figure.
First in virtual time, then with real processes, real stores (Redis and PostgreSQL where they are
installed) and a strict server over TCP; about half an hour. `--before` names a checkout of an
earlier version, whose grant in one process is measured beside this one's. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tests.support.fleet_fuzz import fuzz
from tests.support.real_fleet import real_fleet
from tests.support.servers import postgres_server, redis_server
from tests.support.worker_service import visit_workers

from ..quota.table import Table
from . import cost
from .virtual import DISTURBANCES, disturbed, equal_jobs, forecast_error, interactive, speed

# The real windows in a tenth of the time.
WINDOWS = ((25, 6.0), (1500, 60.0))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def in_virtual_time(table: Table, quick: bool) -> None:
    """Speed, fairness, forecasts."""
    for requests in (1_000,) if quick else (1_000, 6_000):
        for processes in (2, 4, 8):
            for every_s in (0.0, 20.0):
                how = "together" if every_s == 0 else "20 s apart"
                name = f"{processes} processes, {requests:,} requests, started {how}"
                _say(name)
                refused, ratio = speed(processes, requests, every_s)
                must = "0 429s, at most 1.01 x one shared throttle"
                is_met = refused == 0 and ratio <= 1.01
                table.row(name, must, f"{refused} 429s, {ratio:.3f} x", is_met)
    _say("interactive")
    bulk = 600 if quick else 6_000
    refused, wait_s = interactive(bulk)
    name = f"interactive calls beside {bulk:,} bulk requests of three other processes"
    figure = f"{refused} 429s, p99 {wait_s:.3f} s"
    table.row(name, "p99 wait at most 1 s", figure, refused == 0 and wait_s <= 1)
    refused, spread = equal_jobs()
    figure = f"{refused} 429s, {spread:.1%}"
    is_met = refused == 0 and spread <= 0.02
    table.row("four equal bulk jobs of 250", "end within 2 %", figure, is_met)
    for requests, within in ((400, 0.05), (1_000, 0.01), (2_000, 0.01)):
        error = forecast_error(requests)
        name = f"forecast of the end, 4 processes, {requests:,} requests"
        table.row(name, f"within {within:.0%}", f"{error:.2%}", error <= within)


def under_disturbance(table: Table, quick: bool) -> None:
    """Kills, stops, outages, clocks, and all of them at random."""
    seeds = 2 if quick else 6
    quiet = disturbed(None, seeds)
    figure = f"{quiet.took_s:.0f} s, longest stall {quiet.stall_s:.1f} s"
    table.row("1,200 requests of three processes, undisturbed", "0 429s", figure, not quiet.refused)
    for name in DISTURBANCES:
        _say(name)
        found = disturbed(name, seeds)
        figure = f"{found.refused} 429s, {found.took_s:.0f} s, longest stall {found.stall_s:.1f} s"
        table.row(f"the same, {name}", "0 429s", figure, not found.refused)
    count = 20 if quick else 2_000
    _say(f"{count} random fleets")
    with ProcessPoolExecutor() as pool:
        faults = [fault for found in pool.map(fuzz, range(count), chunksize=10) for fault in found]
    table.row(f"{count:,} random fleets", "0 faults", f"{len(faults)} faults", not faults)


async def in_real_processes(table: Table, quick: bool) -> None:
    """Real stores, a strict server over TCP, uvicorn's workers."""
    processes, requests = 4, 25 if quick else 100
    with ExitStack() as stack:
        stores = {
            "SQLite": "machine",
            "Redis": stack.enter_context(redis_server()),
            "PostgreSQL": stack.enter_context(postgres_server()),
        }
        for name, budget in stores.items():
            case = f"{processes} real processes, {processes * requests} requests, {name}"
            if budget is None:
                table.row(case, "", "not installed", None)
                continue
            _say(case)
            with tempfile.TemporaryDirectory() as folder:
                async with real_fleet(budget, Path(folder), WINDOWS, margin_s=1.0) as fleet:
                    started = await fleet.begin(processes, requests)
                    began = time.monotonic()
                    seen = await asyncio.gather(*(p.result(300) for p in started))
                    took_s = time.monotonic() - began
                    refused, ideal_s = fleet.refused, fleet.ideal_s(processes * requests)
            stop_ms = max(found["longest_stop_s"] for found in seen) * 1e3
            figure = (
                f"{refused} 429s, {took_s / ideal_s:.3f} x ({took_s:.1f} s), "
                f"event loop stopped at most {stop_ms:.0f} ms"
            )
            is_met = refused == 0 and took_s <= 1.10 * ideal_s
            table.row(case, "0 429s, at most 1.10 x ideal", figure, is_met)
    await of_a_service(table, "uvicorn")
    if find_spec("gunicorn") is None or find_spec("uvicorn_worker") is None:
        table.row("`gunicorn --workers 4`", "", "not installed", None)
    else:
        await of_a_service(table, "gunicorn")


async def of_a_service(table: Table, server: Literal["uvicorn", "gunicorn"]) -> None:
    """The example service with four workers."""
    _say(server)
    with tempfile.TemporaryDirectory() as folder:
        statuses, refused = await visit_workers(Path(folder), server=server)
    figure = f"{', '.join(f'{n} x {s}' for s, n in sorted(statuses.items()))}; {refused} 429s"
    is_met = refused == 0 and set(statuses) <= {200, 201, 503}
    name = f"`{server} --workers 4` with the example service, 200 clients"
    table.row(name, "200, 201, 503 only; 0 429s upstream", figure, is_met)


def of_grants(table: Table, before: Path | None, quick: bool) -> None:
    """CPU of a grant."""
    repeats = 1 if quick else 5
    here = Path(__file__).parents[2]
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(repeats):
        ours.append(_grant("process", here)["cpu_us"])
        if before is not None:
            theirs.append(_grant("process", before)["cpu_us"])
    own_us = statistics.median(ours)
    if theirs:
        ratio = own_us / statistics.median(theirs)
        figure = f"{ratio:.2f} x ({own_us:.1f} µs)"
        table.row("a grant in one process", "1.05 x the version before", figure, ratio <= 1.05)
    else:
        table.row("a grant in one process", "", f"{own_us:.1f} µs of CPU", None)
    found = [_grant("machine", here) for _ in range(repeats)]
    cpu_us = statistics.median(one["cpu_us"] for one in found)
    stop_ms = max(one["longest_stop_ms"] for one in found)
    figure = f"{cpu_us:.0f} µs, event loop stopped at most {stop_ms:.0f} ms"
    is_met = cpu_us <= 250 and stop_ms <= 20
    must = "at most 250 µs of CPU for lease and response; no stop over 20 ms"
    table.row("a grant on SQLite, nobody else writing", must, figure, is_met)


def _grant(budget: str, checkout: Path) -> dict[str, float]:
    _say(f"grants: {budget}, {checkout}")
    done = subprocess.run(
        [sys.executable, cost.__file__, budget],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(arguments: list[str]) -> int:
    """Measure; the exit code tells whether every bar was met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="of an earlier version")
    options = parser.parse_args(arguments)
    table = Table()
    of_grants(table, options.before, options.quick)
    asyncio.run(in_real_processes(table, options.quick))
    in_virtual_time(table, options.quick)
    under_disturbance(table, options.quick)
    print("\n".join(table.lines))
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
