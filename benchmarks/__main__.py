"""Side by side with the clients people use today.

    python -m benchmarks                          everything; about a quarter of an hour
    python -m benchmarks --case list --case get-32 --repeats 15
    python -m benchmarks --quick                  shows that everything runs, and no more
    python -m benchmarks --plot charts            PNGs too

The peers come with the extra `bench`; one that is not installed says so in its row. What each of
them does and does not do stands in `benchmarks/side_by_side/peers.py`. Progress goes to stderr, the
tables to stdout as Markdown. The exit code is 0 whatever the figures are.

The budget is compared in virtual time, by `python -m benchmarks.quota`.
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path

from .side_by_side.cases import CASES, Case, Scale
from .side_by_side.measure import machine, run_case
from .side_by_side.report import Results, bars_table, case_table, plot


def _progress(case: Case, client: str, repeat: int) -> None:
    print(f"{case.name}: {client} {repeat + 1}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", action="append", choices=names, help="only this; repeatable")
    parser.add_argument("--quick", action="store_true", help="little work, once, few peers")
    parser.add_argument("--repeats", type=int, help="processes of each client (default 7)")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="write a PNG for each case")
    options = parser.parse_args(arguments)
    scale = Scale(options.quick)
    repeats = options.repeats or scale.of(7, 1)
    where = machine()
    results: Results = {}
    for case in CASES:
        if not options.case or case.name in options.case:
            results[case.name] = case, run_case(case, scale, repeats, _progress)
    command = " ".join(["python -m benchmarks", *arguments])
    today = datetime.now().astimezone().date().isoformat()
    print(f"`{command}`, {today}, {repeats} processes of each client: {where}.\n")
    print(bars_table(results))
    for case, measured in results.values():
        print(f"\n{case_table(case, measured)}")
    if options.plot:
        for path in plot(results, options.plot):
            print(path, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
