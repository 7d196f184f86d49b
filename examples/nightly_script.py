"""A plain script for cron: snapshots of the volumes of a region, old ones pruned, a report.

    DIGITALOCEAN_TOKEN=... python examples/nightly_script.py --region nyc3 --keep-daily 7
    python examples/nightly_script.py --journal nightly.db

With a journal, a run that was stopped or killed is finished by the next one, whatever its options;
once nothing of it is left or unknown the journal goes, and the run after that makes a plan of its
own. Everything it sends is background work: with DO_BLOCKSTORE_BUDGET=machine the services and
people who use the token on this machine go first. It ends with 0 when everything was done, 1 when
something failed, 2 when there was nothing it could plan, or the journal is of another account.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from do_blockstore_async import BlockStore, BlockStoreError
from do_blockstore_async.bulk import PlanError, Retention, Run, Selection


async def nightly(options: argparse.Namespace) -> int:
    """Plan, run, report."""
    async with BlockStore.from_env() as store:
        async with await resumed_or_planned(store, options) as run:
            stop_on_signal(run)
            async for outcome in run:
                if outcome.status in {"failed", "unknown"}:
                    print(f"{outcome.item.name}: {outcome.reason}", file=sys.stderr)
        report = run.report()
        print(*(f"{count} {status}" for status, count in sorted(report.counts.items())), sep=", ")
        if options.journal and not (report.remaining or report.counts["unknown"]):
            await store.bulk.remove_journal(options.journal)
        ended = report.counts
        return 1 if ended["failed"] or ended["unknown"] or report.remaining else 0


async def resumed_or_planned(store: BlockStore, options: argparse.Namespace) -> Run:
    """The run that a journal holds, or else a new one."""
    if options.journal and await store.bulk.status(options.journal):
        print(f"going on with {options.journal}")
        return store.bulk.resume(options.journal)
    chosen = Selection(regions=tuple(options.region))
    keep = Retention(last=2, daily=options.keep_daily)
    plan = await store.bulk.plan_snapshots(chosen, job="nightly", keep=keep)
    print(f"{len(plan.steps)} steps, about {plan.duration_s:.0f} s at today's budget")
    return store.bulk.run(plan, journal=options.journal)


def stop_on_signal(run: Run) -> None:
    """The first Ctrl-C, or cron's SIGTERM: what is under way ends, nothing new is begun."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, run.stop)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--region", action="append", default=[], help="may be given several times")
    parser.add_argument("--keep-daily", type=int, default=7)
    parser.add_argument("--journal", type=Path, help="note what was done, to go on after a stop")
    try:
        return asyncio.run(nightly(parser.parse_args()))
    except PlanError as error:
        print(error, file=sys.stderr)
        return 2
    except BlockStoreError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
