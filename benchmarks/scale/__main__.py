"""Large fleets: `python -m benchmarks.scale [--sizes 1000,10000,100000] [--case night]`.

Each case runs in a process of its own for each size: volumes with ten snapshots each, made up while
they are read, and no limits. Prints a Markdown table for each size, the exponent of the growth from
size to size, and what had to be shown. Stops of the event loop and all costs are in CPU time, so
that others may use the machine meanwhile; memory is resident memory of the process.

    --python PATH    with another interpreter; --uvloop: with uvloop
    --plot FILE      a picture too; --json FILE: the figures
    --case service   a million calls of a service: memory, at 1, 10, 50 and 100 %
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs

from ..quota.table import Table
from .cases import CASES, run_case
from .probe import Figures
from .service import serve

_MOST_EXPONENT = 1.05
_LEAST_S = 0.2
_MOST_STOP_MS = 25.0
_MOST_PEAK_MIB = 1.2 * 1024


def _measure(case: str, volumes: int, options: argparse.Namespace) -> list[Figures]:
    print(f"{case}, {volumes:,} volumes", file=sys.stderr, flush=True)
    command = [options.python, "-m", "benchmarks.scale", "--inside", case, str(volumes)]
    if options.uvloop:
        command.append("--uvloop")
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-4_000:])
    return [Figures(**one) for one in json.loads(done.stdout)]


def exponent(small: Figures, large: Figures) -> float:
    """How the CPU grows from one size to the other: 1 is in proportion."""
    if small.items == large.items:
        # Of the same number of steps in a larger plan: in proportion if a step costs the same.
        cost = (large.cpu_s * large.volumes) / (small.cpu_s * small.volumes)
    else:
        cost = large.cpu_s / small.cpu_s
    return math.log(cost) / math.log(large.volumes / small.volumes)


def tables(by_size: dict[int, list[Figures]]) -> list[str]:
    """Return a table for each size."""
    lines: list[str] = []
    for volumes, found in by_size.items():
        lines += [
            f"{volumes:,} volumes, {volumes * 10:,} snapshots",
            "",
            "| case | items | CPU | for each | memory: peak | above the start | for each "
            "| longest stop | by the wall clock | collector | requests |",
            "| --- |" + 10 * " ---: |",
        ]
        for one in found:
            items = max(1, one.items)
            lines.append(
                f"| {one.case}{f' ({one.note})' if one.note else ''} | {one.items:,} "
                f"| {one.cpu_s:.2f} s | {one.cpu_s / items * 1e6:.1f} µs | {one.peak_mib:.0f} MiB "
                f"| {one.above_mib:.0f} MiB | {one.above_mib * 2**20 / items:.0f} B "
                f"| {one.stop_ms:.1f} ms | {one.stop_wall_ms:.1f} ms | {one.collector_ms:.1f} ms "
                f"| {one.requests:,} |"
            )
        lines.append("")
    return lines


def judged(by_size: dict[int, list[Figures]]) -> Table:
    """Return what must be shown, and whether it is."""
    table = Table()
    sizes = sorted(by_size)
    if len(sizes) > 1:
        small, large = by_size[sizes[-2]], by_size[sizes[-1]]
        for before, after in zip(small, large, strict=True):
            if after.cpu_s < _LEAST_S:
                continue  # what is measured of so little is the clock
            grows = exponent(before, after)
            name = f"growth from {sizes[-2]:,} to {sizes[-1]:,}: {after.case}"
            is_met = grows <= _MOST_EXPONENT
            table.row(name, f"exponent {_MOST_EXPONENT}", f"{grows:.2f}", is_met)
    for one in by_size[sizes[-1]]:
        name = f"{one.volumes:,}: {one.case}"
        if one.case.startswith(("plan snapshots", "night: plan")):
            each_us = one.cpu_s / one.items * 1e6
            table.row(name, "20 µs an item", f"{each_us:.1f} µs", each_us <= 20)
        is_met = one.stop_ms <= _MOST_STOP_MS
        table.row(name, f"no stop over {_MOST_STOP_MS:.0f} ms", f"{one.stop_ms:.1f} ms", is_met)
        if one.case.startswith(("night", "large")):
            is_met = one.peak_mib <= _MOST_PEAK_MIB
            table.row(name, "1.2 GiB at most", f"{one.peak_mib:.0f} MiB", is_met)
    return table


def main(arguments: list[str]) -> int:
    """Measure; the exit code tells whether every bar was met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", default="1000,10000,100000", help="numbers of volumes")
    parser.add_argument("--case", action="append", choices=[*CASES, "service"])
    parser.add_argument("--calls", type=int, default=1_000_000, help="of the case `service`")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        name, volumes = options.inside
        found = run_case(name, int(volumes), uvloop=options.uvloop)
        print(json.dumps([attrs.asdict(one) for one in found]))
        return 0
    chosen: list[str] = options.case or [*CASES]
    if "service" in chosen:
        chosen.remove("service")
        print("\n".join(serve(options.calls)), flush=True)
        if not chosen:
            return 0
    by_size: dict[int, list[Figures]] = {}
    for size in map(int, options.sizes.split(",")):
        by_size[size] = [one for case in chosen for one in _measure(case, size, options)]
    print("\n".join(tables(by_size)))
    table = judged(by_size)
    print("\n".join(table.lines))
    if options.json is not None:
        figures: dict[str, Any] = {
            str(size): [attrs.asdict(one) for one in found] for size, found in by_size.items()
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.plot is not None:
        from .plot import draw

        draw(options.plot, by_size)
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
