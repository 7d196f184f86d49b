"""Large fleets: `python -m benchmarks.scale [--sizes 1000,10000,100000] [--case night]`.

Each case runs in a process of its own for each size: volumes with ten snapshots each, made up while
they are read, and no limits. Prints a Markdown table for each size, the exponent of the growth from
size to size, and what had to be shown. Stops of the event loop and all costs are in CPU time, so
that others may use the machine meanwhile; memory is resident memory of the process. The cases
`floors` and `models` measure what others are judged by: leave them in if you choose.

    --python PATH    with another interpreter; --uvloop: with uvloop
    --rounds 3       all of it three times, and the medians: of the growth too, round by round
    --freeze         what is imported is hidden from the garbage collector, by `gc.freeze()`
    --plot FILE      a picture too; --json FILE: the figures
    --quick          a trial of 20 and 50 volumes, in one process, each piece once; the exit code
                     judges nothing
    --case service   a million calls of a service: memory, from one tenth of them to the next
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs

from .cases import CASES, run_case
from .judgement import BySize, judged, over_rounds, tables
from .probe import Figures
from .service import serve


def _measure(case: str, volumes: int, options: argparse.Namespace) -> list[Figures]:
    print(f"{case}, {volumes:,} volumes", file=sys.stderr, flush=True)
    if options.quick:
        return run_case(case, volumes, enough_s=0, uvloop=options.uvloop, freeze=options.freeze)
    command = [options.python, "-m", "benchmarks.scale", "--inside", case, str(volumes)]
    command += [f"--{word}" for word in ("uvloop", "freeze") if getattr(options, word)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-4_000:])
    return [Figures(**one) for one in json.loads(done.stdout)]


def _plain(rounds: list[BySize]) -> list[dict[str, Any]]:
    return [
        {str(size): [attrs.asdict(one) for one in found] for size, found in each.items()}
        for each in rounds
    ]


def main(arguments: list[str]) -> int:
    """Measure; the exit code tells whether every bar was met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", help="numbers of volumes")
    parser.add_argument("--case", action="append", choices=[*CASES, "service"])
    parser.add_argument("--calls", type=int, default=1_000_000, help="of the case `service`")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        name, volumes = options.inside
        found = run_case(name, int(volumes), uvloop=options.uvloop, freeze=options.freeze)
        print(json.dumps([attrs.asdict(one) for one in found]))
        return 0
    is_flat = True
    chosen: list[str] = options.case or [*CASES]
    if "service" in chosen:
        chosen.remove("service")
        lines, is_flat = serve(options.calls)
        print("\n".join(lines), flush=True)
        if not chosen:
            return 0 if is_flat else 1
    sizes = options.sizes or ("20,50" if options.quick else "1000,10000,100000")
    rounds: list[BySize] = []
    for _ in range(options.rounds):
        rounds.append({size: [] for size in map(int, sizes.split(","))})
        for case in chosen:
            for size, found in rounds[-1].items():
                found += _measure(case, size, options)
        if options.json is not None:  # as far as it is
            options.json.write_text(json.dumps(_plain(rounds), indent=1) + "\n")
    by_size = over_rounds(rounds)
    print("\n".join(tables(by_size)))
    table = judged(*rounds)
    print("\n".join(table.lines))
    if options.plot is not None:
        from .plot import draw

        draw(options.plot, by_size)
    is_met = is_flat and (options.quick or not table.missed)
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
