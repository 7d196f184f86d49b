"""200 clients of the example service at once, a bulk job beside them, and a budget that binds.

    python -m benchmarks.service_load --clients 200 --windows 25/3,150/30 --timeout 4

Everything is real: uvicorn serves examples/fastapi_service.py, the clients talk HTTP to it, and it
talks HTTP to the simulator, which enforces the same windows strictly. Each client makes one request
and, told to come back, comes back exactly then, until it is served. Shown: what became of every
answer, how long granted ones took, how right the Retry-After were, and what was left over after the
shutdown.

A Retry-After is right when the client that comes back at that time is granted, and within a second:
later would mean that it was told too early. That it was not told too late shows in the budget: all
clients are served in the time that the windows need for so many requests, plus a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from tests.support.service_load import measure, parse_windows


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--windows", default="25/3,150/30")
    parser.add_argument("--timeout", type=float, default=4.0)
    parser.add_argument("--spread", type=float, default=0.0)
    parser.add_argument("--volumes", type=int, default=40)
    options = parser.parse_args()
    figures = asyncio.run(
        measure(
            options.clients,
            parse_windows(options.windows),
            options.timeout,
            volumes=options.volumes,
            spread_s=options.spread,
        )
    )
    json.dump(figures.summary(), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
