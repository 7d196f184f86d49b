"""Growth by instructions: `python -m benchmarks.scale.instructions [--piece "load a plan"]`.

An item of a large fleet takes more time than one of a small fleet even where the program does the
same for each: memory that no cache holds is slow, and memory that is touched for the first time
costs the kernel. Neither changes the number of instructions, which valgrind counts, the same to a
hundredth each time. So where the instructions of a piece grow in proportion, its algorithm does,
and where its time grows by more, that is the machine.

A piece is done once in one process and twice in another; the difference is what it takes. What
listings read was made before, and is only handed out. Takes twenty times as long as the work.

    --sizes 10000,100000   the exponent is from the smallest to the largest
    --json FILE            the counts
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from do_blockstore_async import BlockStore
from do_blockstore_async._http.request import Request
from do_blockstore_async.bulk import Retention, Run, Selection

from ..quota.table import Table
from .cases import RULES, TEMPLATE
from .command_line import EVERYWHERE, serving
from .fleet import Fleet, open_store

__all__ = ["COMMANDS", "PIECES", "count", "growth", "main"]

_VALGRIND: Final = (
    "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"
)  # fmt: skip
_COUNT: Final = re.compile(r"I\s+refs:\s+([\d,]+)")
_MOST_EXPONENT: Final = 1.05
_STEPS: Final = "steps of a run"
_FREE: Final = Selection(attached=False)


class _Remembered(Fleet):
    """A fleet that makes each page once."""

    def __init__(self, volumes: int) -> None:
        super().__init__(volumes)
        self._pages: dict[tuple[str, Any], tuple[int, bytes]] = {}

    def answer(self, request: Request[Any]) -> tuple[int, bytes]:
        if request.method != "GET":
            return super().answer(request)
        key = (request.path, request.params)
        if (found := self._pages.get(key)) is None:
            found = self._pages[key] = super().answer(request)
        return found


async def _repeated(
    make: Callable[[BlockStore], Awaitable[Any]], store: BlockStore, times: int
) -> None:
    # The first time makes the pages.
    for _ in range(1 + times):
        await make(store)


async def _pages(store: BlockStore) -> None:
    async for _page in store.snapshots.list().pages():
        pass


async def _inventory_json(store: BlockStore, times: int) -> None:
    inventory = await store.bulk.inventory()
    for _ in range(times):
        inventory.to_json()


async def _load(store: BlockStore, times: int) -> None:
    plan = await store.bulk.plan_snapshots(keep=Retention(last=10))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        store.bulk.save_plan(plan, path)
        for _ in range(times):
            store.bulk.load_plan(path)


async def _large_run(store: BlockStore) -> Run:
    plan = await store.bulk.plan_snapshots(keep=Retention(last=4))
    return store.bulk.run(plan, max_items=math.inf, max_failures=None, max_plan_age_s=math.inf)


async def _enter(store: BlockStore, times: int) -> None:
    run = await _large_run(store)
    if times:
        async with run:
            run.stop()


def _steps_of(volumes: int) -> int:
    """How many steps are run: creations, which come first, one for each volume."""
    return min(1_000, volumes)


async def _steps(store: BlockStore, times: int) -> None:
    async with await _large_run(store) as run:
        for _ in range(times * _steps_of(run.total // 8)):
            await anext(run)
        run.stop()


Piece: TypeAlias = Callable[[BlockStore, int], Awaitable[None]]


def _planning(**words: Any) -> Piece:
    return partial(_repeated, lambda store: store.bulk.plan_snapshots(**words))


PIECES: Final[dict[str, Piece]] = {
    "snapshots by pages": partial(_repeated, _pages),
    "plan snapshots, keep last": _planning(keep=Retention(last=10)),
    "plan snapshots, keep all": _planning(
        keep=Retention(**RULES["all"]), name_template=TEMPLATE, max_pruned_share=1.0
    ),
    "plan deletions": partial(_repeated, lambda store: store.bulk.plan_deletions(_FREE)),
    "inventory as JSON": _inventory_json,
    "load a plan": _load,
    "enter a run": _enter,
    _STEPS: _steps,
}
"""What is counted in a process of its own."""

COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    f"command line: {' '.join(words)}": words
    for words in (
        ("volumes", "list", "-o", "table"),
        ("volumes", "list", "-o", "csv"),
        ("snapshots", "list", "-o", "csv"),
    )
}
"""Commands; what `volumes get` takes is left out."""


def _counted(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Return how many instructions a program takes."""
    done = subprocess.run(
        [*_VALGRIND, sys.executable, *words],
        # Without random hashes, sets and mappings have one order.
        env={**os.environ, "PYTHONHASHSEED": "0", **environ},
        capture_output=True,
        check=False,
        text=True,
    )
    found = _COUNT.search(done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(done.stderr[-4_000:])
    return int(found[1].replace(",", ""))


def _count_piece(name: str, volumes: int) -> int:
    words = ("-m", "benchmarks.scale.instructions", "--inside", name, str(volumes))
    without, once = (_counted((*words, str(times)), {}) for times in (0, 1))
    return once - without


def _count_command(name: str, volumes: int) -> int:
    with tempfile.TemporaryDirectory() as home, serving(volumes) as url:
        environ = {
            "HOME": home,
            "DIGITALOCEAN_API_URL": url,
            "DIGITALOCEAN_TOKEN": "dop_v1_" + 64 * "0",
        }
        one = ("volumes", "get", f"{0:08x}-1111-4222-8333-{0:012x}")
        program = ("-m", "do_blockstore_async.cli")
        without, whole = (
            _counted((*program, *words, *EVERYWHERE), environ) for words in (one, COMMANDS[name])
        )
        return whole - without


def count(name: str, volumes: int) -> int:
    """Return the instructions of a piece in a fleet of so many volumes.

    Raises:
        RuntimeError: it failed, or was too short to tell.
    """
    print(f"{name}, {volumes:,} volumes", file=sys.stderr, flush=True)
    counted = (_count_piece if name in PIECES else _count_command)(name, volumes)
    if counted <= 0:
        raise RuntimeError(f"{name}, {volumes:,} volumes: too short to tell")
    return counted


def growth(name: str, counts: Mapping[int, int]) -> float:
    """Return the exponent from the smallest fleet to the largest: 1 is in proportion."""
    small, large = min(counts), max(counts)
    items = _steps_of if name == _STEPS else int
    each = (counts[large] / items(large)) / (counts[small] / items(small))
    return 1 + math.log(each) / math.log(large / small)


def _inside(name: str, volumes: int, times: int) -> None:
    async def work(volumes: int, times: int) -> None:
        store, _ = open_store(_Remembered(volumes))
        async with store:
            await PIECES[name](store, times)

    # Once in small: what is imported late is no cost of the piece.
    asyncio.run(work(400, 1))
    asyncio.run(work(volumes, times))


def main(arguments: list[str]) -> int:
    """Count; the exit code tells whether every piece grows in proportion."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale.instructions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--piece", action="append", choices=[*PIECES, *COMMANDS])
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        name, volumes, times = options.inside
        _inside(name, int(volumes), int(times))
        return 0
    names: list[str] = options.piece or [*PIECES, *COMMANDS]
    sizes = sorted({int(size) for size in options.sizes.split(",")})
    if len(sizes) < 2:
        parser.error("give two sizes, such as --sizes 10000,100000")
    if shutil.which("valgrind") is None:
        parser.error("there is no valgrind: install it, as `apt-get install valgrind` does")
    table = Table()
    found: dict[str, dict[int, int]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        counting = {name: [threads.submit(count, name, size) for size in sizes] for name in names}
        for name, counts in counting.items():
            try:
                found[name] = dict(zip(sizes, [each.result() for each in counts], strict=True))
            except RuntimeError as error:
                table.row(name, f"exponent {_MOST_EXPONENT}", str(error)[-200:], False)
            if options.json is not None:  # as far as it is
                options.json.write_text(json.dumps(found, indent=1) + "\n")
    for name, counted in found.items():
        grows = growth(name, counted)
        millions = " and ".join(f"{counted[size] / 1e6:,.1f}" for size in sizes)
        table.row(
            f"{name}: {millions} million instructions",
            f"exponent {_MOST_EXPONENT}",
            f"{grows:.3f}",
            grows <= _MOST_EXPONENT,
        )
    print("\n".join(table.lines))
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
