"""What an exchange with each log store costs: `python -m benchmarks.quota.stores [--exchanges N]`.

An exchange appends one fact if nobody else has written since, as a grant of a shared budget does.
Servers are started for it, each on a socket of its own; one that is not installed is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from do_blockstore_async._log.memory import MemoryLog, MemoryStore
from do_blockstore_async._log.postgres import PostgresStore
from do_blockstore_async._log.redis import RedisStore
from do_blockstore_async._log.sqlite import SqliteStore
from do_blockstore_async._log.store import LogStore
from tests.support.servers import postgres_server, redis_server

_FACT = b"x" * 100  # about what a grant or an answer takes
_WARM_UP = 50


async def _measure(make: Callable[[], LogStore], exchanges: int) -> list[float]:
    """Return the microseconds of each exchange, sorted."""
    store = make()
    seen = 0
    took: list[float] = []
    for _ in range(exchanges + _WARM_UP):
        began = time.perf_counter()
        reply = await store.exchange(seen, [_FACT], only_if=seen)
        took.append((time.perf_counter() - began) * 1e6)
        seen = reply.last
    await store.aclose()
    return sorted(took[_WARM_UP:])


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=2_000)
    exchanges = max(10, parser.parse_args().exchanges)
    options: dict[str, Any] = {"clock": time.monotonic, "new_id": lambda: "id"}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis_url = stack.enter_context(redis_server())
        postgres_url = stack.enter_context(postgres_server())
        stores: dict[str, Callable[[], LogStore]] = {
            "memory": lambda: MemoryStore(MemoryLog(time.monotonic)),
            "SQLite": lambda: SqliteStore(folder / "a" / "log.db", **options),
            "SQLite, durable": lambda: SqliteStore(
                folder / "b" / "log.db", synchronous="full", **options
            ),
        }
        if redis_url is not None:
            stores["Redis"] = lambda: RedisStore(redis_url, "key", **options)
        if postgres_url is not None:
            stores["PostgreSQL"] = lambda: PostgresStore(postgres_url, "key", **options)
        print(f"{exchanges:,} exchanges of one fact each; µs\n")
        print("| store | median | p99 |\n| --- | ---: | ---: |")
        for name, make in stores.items():
            took = asyncio.run(_measure(make, exchanges))
            p99 = took[len(took) * 99 // 100]
            print(f"| {name} | {statistics.median(took):,.0f} | {p99:,.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
