"""A map over a million trivial items: how much memory it takes above its start.

python -m benchmarks.bulk.memory [--items 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

from do_blockstore_async.simulator import World, connect_in_process


def resident_mib() -> float:
    """What the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def million(items: int, regions: int, lazily: bool) -> str:
    async def nothing(item: int) -> int:
        return item

    async def source() -> AsyncIterator[int]:
        for item in range(items):
            yield item

    async with connect_in_process(World(limits="none")) as store:
        async for _ in store.bulk.map(nothing, range(1000)):
            pass
        start_mib = most_mib = resident_mib()
        count = 0
        began = time.perf_counter()
        fan = store.bulk.map(
            nothing,
            source() if lazily else range(items),
            per_region=4 if regions else None,
            region_of=lambda item: str(item % max(1, regions)),
        )
        async for outcome in fan:
            count += outcome.status == "done"
            if count % 10_000 == 0:
                most_mib = max(most_mib, resident_mib())
        took_s = time.perf_counter() - began
    assert count == items
    return (
        f"{items} items{', async source' if lazily else ''}, {regions or 'no'} regions: at most "
        f"{most_mib - start_mib:.1f} MiB above the start; {took_s:.0f} s, "
        f"{took_s / items * 1e6:.1f} us each"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    options = parser.parse_args()
    for regions, lazily in ((0, False), (12, False), (0, True)):
        print(asyncio.run(million(options.items, regions, lazily)))


if __name__ == "__main__":
    main()
