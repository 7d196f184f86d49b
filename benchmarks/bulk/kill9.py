"""kill -9 at random moments of a bulk run, then resume: nothing twice, nothing forgotten.

    python -m benchmarks.bulk.kill9 --kills 200 --items 300
    python -m benchmarks.bulk.kill9 --kills 100 --items 300 --workers 3 --stop-for 60
    python -m benchmarks.bulk.kill9 --kills 100 --workers 3 --journal 'postgresql://host/db#kill9'

Each trial snapshots a fresh fleet in processes of its own, over real sockets, with the limits off
and without the snapshot cooldown (which would hide a repetition). With one worker, the process is
killed at a random moment, then another one resumes the journal; some trials kill the resuming one
too. With more, all of them work on the plan at once and one is killed; in a last trial one is
stopped with SIGSTOP for a while instead. In the end:

- every volume has exactly one snapshot of the job;
- the server was never asked a second time for one that it had made (no 409 in its log);
- the journal holds an outcome for every item.

The processes are forked from one that has imported everything, so that a kill at a random moment
hits the run and not the start of the interpreter.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.support.kill_campaign import campaign, shared_campaign


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--journal", help="with several workers: of a database")
    parser.add_argument("--stop-for", type=float, help="seconds; with several workers")
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if options.workers == 1:
            work = campaign(options.kills, options.items, options.seed, directory)
        else:
            work = shared_campaign(
                options.kills,
                options.items,
                options.seed,
                directory,
                options.journal or directory / "shared.db",
                workers=options.workers,
                stop_for_s=options.stop_for,
            )
        result = asyncio.run(work)
    print(f"{result}; every check passed; {time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
