"""What `do-blockstore --help` costs beside `python -c 'import rich, aiohttp'`, in turns.

python -m benchmarks.cli_startup [RUNS]

The programs take turns, so that whatever else the machine does meets all of them; the median of
each counts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

LIMIT = 1.5
PROGRAM = str(Path(sys.executable).with_name("do-blockstore"))
CASES = {
    "import rich, aiohttp": [sys.executable, "-c", "import rich, aiohttp"],
    "do-blockstore --help": [PROGRAM, "--help"],
    "do-blockstore bulk snapshot --help": [PROGRAM, "bulk", "snapshot", "--help"],
    "do-blockstore --version": [PROGRAM, "--version"],
}


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    took_s: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(runs + 1):
        for name, command in CASES.items():
            began_s = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            took_s[name].append(time.perf_counter() - began_s)
    # The first run of each fills the caches of the disk.
    medians = {name: median(times[1:]) for name, times in took_s.items()}
    base_s = medians["import rich, aiohttp"]
    for name, typical_s in medians.items():
        print(f"{name:<36} {1000 * typical_s:6.0f} ms  {typical_s / base_s:.2f}")
    return int(medians["do-blockstore --help"] > LIMIT * base_s)


if __name__ == "__main__":
    sys.exit(main())
