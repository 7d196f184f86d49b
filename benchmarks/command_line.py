"""The command line as a whole process: how soon it is there, and long listings.

    python -m benchmarks.command_line           20,000 volumes and nine runs of each; half a minute
    python -m benchmarks.command_line --quick   shows that everything runs

`start` lists ten volumes, beside `python -c "import aiohttp, rich.console, rich.table"`. The others
list many volumes into a pipe; `first row` is when the first two lines could be read.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from statistics import median

_PROGRAM = (sys.executable, "-m", "do_blockstore_async.cli")
_IMPORTS = (sys.executable, "-c", "import aiohttp, rich.console, rich.table")
_FORMS = ("table", "csv", "json", "name")


def _timed(words: tuple[str, ...], env: dict[str, str]) -> tuple[float, float, float, float]:
    """Wall seconds, seconds to the first two lines, CPU seconds, MB at most."""
    began = time.perf_counter()
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        first = time.perf_counter() - began
        while process.stdout.read(1 << 16):
            pass
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    wall = time.perf_counter() - began
    return wall, first, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _compare(
    cases: Mapping[str, tuple[str, ...]], env: dict[str, str], runs: int
) -> dict[str, tuple[float, ...]]:
    """Medians of the runs, which take turns, so that a busy machine is busy for all of them."""
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in cases}
    for words in cases.values():
        _timed(words, env)  # once for the bytecode, which pip writes for everybody else
    for _ in range(runs):
        for name, words in cases.items():
            found[name].append(_timed(words, env))
    return {name: tuple(map(median, zip(*rows, strict=True))) for name, rows in found.items()}


def _show(rows: dict[str, tuple[float, ...]], peer: str) -> None:
    print(f"| case | wall | first row | CPU | memory | wall, of {peer} |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, (wall, first, cpu, memory) in rows.items():
        ratio = wall / rows[peer][0]
        print(f"| {name} | {wall:.2f} s | {first:.2f} s | {cpu:.2f} s | {memory:.0f} MB "
              f"| {ratio:.2f} |")  # fmt: skip
    print(flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.command_line",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="little work, once")
    quick = parser.parse_args(arguments).quick
    runs = 1 if quick else 9
    with tempfile.TemporaryDirectory() as home:
        for volumes in (10, 400 if quick else 20_000):
            words = [*_PROGRAM, "simulator", "--port", "0", "--volumes", str(volumes),
                     "--limits", "none"]  # fmt: skip
            env = {**os.environ, "HOME": home, "DO_BLOCKSTORE_BUDGET": "process"}
            env.pop("PYTHONDONTWRITEBYTECODE", None)
            with subprocess.Popen(
                words, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ) as server:
                assert server.stdout is not None
                for _ in range(2):
                    name, _, value = server.stdout.readline().strip().partition("=")
                    env[name.removeprefix("export ")] = value
                listing = (*_PROGRAM, "volumes", "list")
                if volumes == 10:
                    imports = {"imports": _IMPORTS, "start": listing}
                    _show(_compare(imports, env, runs), "imports")
                else:
                    forms = {form: (*listing, "-o", form) for form in _FORMS}
                    _show(_compare(forms, env, runs), "csv")
                server.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
