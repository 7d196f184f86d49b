"""The program `do-blockstore jobs ...` in a hurry: a dead worker is noticed within two seconds."""

from __future__ import annotations

import sys

from do_blockstore_async import Config
from do_blockstore_async.cli.jobs import commands
from do_blockstore_async.cli.main import run
from do_blockstore_async.cli.options import current
from do_blockstore_async.cli.session import windows_of
from do_blockstore_async.integrations import procrastinate as queue


def main() -> int:
    queue._HEARTBEAT_S = 0.3  # type: ignore[misc]
    queue._DEAD_S = 1.5  # type: ignore[misc]
    queue._LOOK_S = 0.2  # type: ignore[misc]
    queue._SCHEDULER_S = 0.3  # type: ignore[misc]
    commands._config = lambda: Config(
        windows=windows_of(current()),
        late_arrival_s=0.5,
        burst=10,
        window_margin_s=0.1,
    )
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
