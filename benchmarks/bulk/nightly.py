"""The nightly job in virtual time: 5,000 volumes and 20,000 snapshots under the real limits.

    python -m benchmarks.bulk.nightly [--volumes 5000] [--snapshots 20000] [--keep-last 4]

Snapshots every volume of twelve regions and prunes this job's older ones, with the default limits
(250 a minute, 5,000 an hour) and latencies of 50 to 400 ms, while interactive calls are made at a
steady pace. It says how long that took against the shortest time in which the share of the budget
that the reserve leaves to background work allows as many requests, how many 429s there were, and
how long the interactive calls took.
"""

from __future__ import annotations

import argparse

from do_blockstore_async import Config
from do_blockstore_async.bulk import Retention
from do_blockstore_async.simulator import World
from tests.support.nightly_job import nightly
from tests.support.virtual_time import run_virtual


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=5000)
    parser.add_argument("--snapshots", type=int, default=20_000)
    parser.add_argument("--keep-last", type=int, default=4)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two calls")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--minute-model", default="sliding")
    options = parser.parse_args()
    world = World(
        volumes=options.volumes,
        snapshots=options.snapshots,
        minute_model=options.minute_model,
        seed=11,
    )
    keep = Retention(last=options.keep_last)
    print(run_virtual(nightly(world, Config(), keep, options.every, options.concurrency)))


if __name__ == "__main__":
    main()
