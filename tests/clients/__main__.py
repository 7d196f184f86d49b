"""Run every foreign client and write the page that shows what each of them does.

python -m tests.clients
"""

from __future__ import annotations

import asyncio
import sys

from .foreign import FOREIGN_CLIENTS, judge
from .table import PAGE, write_page


async def main() -> int:
    missing = [client.missing for client in FOREIGN_CLIENTS if client.missing is not None]
    if missing:
        print(*missing, sep="\n", file=sys.stderr)
        return 1
    worked = {}
    for client in FOREIGN_CLIENTS:
        worked[client.name] = await judge(client)
        print(f"{client.name}: {len(worked[client.name])} operations", flush=True)
    write_page(worked)
    print(PAGE)
    return 0


sys.exit(asyncio.run(main()))
