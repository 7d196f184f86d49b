"""Side by side with the clients people use today.

    python -m benchmarks                          everything; about a quarter of an hour
    python -m benchmarks --case list --case get-32 --repeats 15
    python -m benchmarks --quick                  shows that everything runs, and no more
    python -m benchmarks --plot charts            PNGs too

The peers come with the dependency group `bench`; one that is not installed says so in its row.
What each of them does and does not do stands in `benchmarks/side_by_side/peers.py`. Progress goes
to stderr, each case's table to stdout as Markdown once it is measured, at the end the bars with
what was found. The exit code is 0 whatever the figures are.

The case `budget` compares throttles in virtual time; `python -m benchmarks.quota` shows more of it.
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path

from .side_by_side.cases import BARS, CASES, Case, Scale
from .side_by_side.measure import machine, run_case
from .side_by_side.report import Results, bars_table, case_table, plot

_BUDGET = "budget"


def _progress(case: Case, client: str, repeat: int) -> None:
    print(f"{case.name}: {client} {repeat + 1}", file=sys.stderr, flush=True)


def _show(text: str) -> None:
    print(f"{text}\n", flush=True)


def main(arguments: list[str]) -> int:
    names = [*(case.name for case in CASES), _BUDGET]
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
    command = " ".join(["python -m benchmarks", *arguments])
    today = datetime.now().astimezone().date().isoformat()
    _show(f"`{command}`, {today}, up to {repeats} processes of each client: {where}.")
    results: Results = {}
    for case in CASES:
        if not options.case or case.name in options.case:
            results[case.name] = case, run_case(case, scale, repeats, _progress)
            _show(case_table(*results[case.name]))
    with_budget = not options.case or _BUDGET in options.case
    if with_budget:
        from .quota.comparison import comparison

        print(f"{_BUDGET}: in virtual time", file=sys.stderr, flush=True)
        _show(comparison((1000,) if options.quick else (1000, 6000)))
    if any(bar.case in results for bar in BARS):
        _show(bars_table(results))
    if options.plot:
        pictures = plot(results, options.plot)
        if with_budget:
            from .quota.plot import draw

            pictures.append(options.plot / f"{_BUDGET}.svg")
            draw(pictures[-1])
        for path in pictures:
            print(path, file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
