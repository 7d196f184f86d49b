"""kill -9 at random moments of a bulk run, then resume: nothing twice, nothing forgotten.

    python -m benchmarks.bulk.kill9 --kills 200 --items 300

Each trial snapshots a fresh fleet in a process of its own, over real sockets, with the limits off
and without the snapshot cooldown (which would hide a repetition). The process is killed at a random
moment, then another one resumes the journal; some trials kill the resuming one too. In the end:

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

from tests.support.kill_campaign import campaign


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        result = asyncio.run(campaign(options.kills, options.items, options.seed, Path(directory)))
    print(f"{result}; every check passed; {time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
