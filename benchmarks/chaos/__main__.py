"""What callers were told against what happened, with a fifth of all requests going wrong.

    python -m benchmarks.chaos --operations 10000 --seeds 20 --fault-rate 0.2

Each run is random operations by concurrent tasks of one client of one simulated account, in virtual
time: answers lost after the commit and before it, stalls, drips, broken bodies, gateways' pages,
duplicated deliveries, nonsense in headers, operations cancelled at any moment, the client closed in
the middle and begun anew. The same is run with a client that repeats every request blindly, POSTs
included, as other SDKs do. The table counts:

- took effect twice: one operation that made two things that were there together, or deleted two;
- lost: told that it is there, and it never was;
- wrong deletes: a delete by name, sent again, that hit what was made after its first attempt;
- unexplained: told that nothing is there although it made it, or that it made what others made;
- leaked: tasks, connections or leases left behind;
- over budget: requests that the server refused as too many in a minute or an hour.

"outcome unknown" is no failure: `OutcomeUnknownError`, or the note on a
cancellation. A run is replayed by its seed: `--first-seed 7 --seeds 1`.
"""

from __future__ import annotations

import argparse
from collections import Counter

from tests.support.chaos.books import Options
from tests.support.chaos.judging import COLUMNS, findings, judge
from tests.support.chaos.run import run

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run, print Markdown; 1 if anything of this client's is not 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos", description="Chaos: what was told against what happened."
    )
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--fault-rate", type=float, default=0.2)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--explain", action="store_true", help="print each finding")
    asked = parser.parse_args(arguments)
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    totals: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    for blindly in (False, True):
        for seed in seeds:
            options = Options(
                operations=asked.operations,
                seed=seed,
                fault_rate=asked.fault_rate,
                workers=asked.workers,
                blindly=blindly,
            )
            outcome = run(options)
            totals[blindly].update(judge(outcome))
            if asked.explain and not blindly:
                for column, intent in findings(outcome):
                    print(f"seed {seed}: {column}: {intent}")
    print(
        f"Seeds {seeds.start} to {seeds.stop - 1}, {asked.operations:,} operations each, "
        f"faults on {asked.fault_rate:.0%} of the requests, {asked.workers} tasks at a time.\n"
    )
    print("| | this client | the same, repeating blindly |")
    print("| --- | ---: | ---: |")
    for row in ("operations", "requests", "faults", "outcome unknown", *COLUMNS):
        mark = "**" if row in COLUMNS else ""
        print(f"| {row} | {mark}{totals[False][row]:,}{mark} | {totals[True][row]:,} |")
    return int(any(totals[False][column] for column in COLUMNS))


if __name__ == "__main__":
    raise SystemExit(main())
