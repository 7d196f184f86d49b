"""The command line: the real program, in whole processes, against a fleet behind a socket.

The fleet answers from a process of its own, so that the program's CPU is told from the server's.
Memory is the largest resident set of the process. An event loop of its own cannot stand in the way
of anyone, so its stops are not measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from .fleet import SNAPSHOTS_EACH
from .probe import Figures

__all__ = ["EVERYWHERE", "run_commands", "serving"]

_LAUNCH: Final = Path(__file__).with_name("launch.py")
# As good as no limits, shared with nobody; and the guards let everything through.
EVERYWHERE: Final = ("--limits", "100000000/60,1000000000/3600", "--budget-store", "process")
_KEEP: Final = ("bulk", "snapshot", "--keep-last", "10")
_GUARDS: Final = ("--max-items", "100000000", "--max-share", "1")
# Of a short command most is the start of the program, which is subtracted: both medians have to be
# good ones.
_REPETITIONS: Final = 9
_SHORT_S: Final = 1.0
# Nothing is gained by repeating what takes so long.
_LONG_S: Final = 2.0
# A hundred of them, or all.
_SOME: Final = "volume-0000*"


@contextmanager
def serving(volumes: int) -> Iterator[str]:
    """Serve a fleet inside of `with`, which gets its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.scale.server", str(volumes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            url = process.stdout.readline().strip()
            assert url, "the server did not start"
            yield url
        finally:
            process.stdin.close()


class _Invocations:
    """The commands, one after the other.

    Args:
        volumes: of the fleet.
        url: where it is served.
        folder: for what the commands write; also their home.
    """

    def __init__(self, volumes: int, url: str, folder: Path) -> None:
        self._volumes = volumes
        self._url = url
        self._folder = folder
        self._fixed_s = self._fixed_mib = 0.0

    def _requests(self) -> int:
        url = f"{self._url}/requests"
        with urllib.request.urlopen(url) as response:  # noqa: S310 -- this file's own server
            return int(response.read())

    def invoke(self, title: str, items: int, words: tuple[str, ...]) -> Figures:
        """Run a command, and return what it has cost.

        Raises:
            RuntimeError: it did not succeed.
        """
        before = self._requests()
        told = subprocess.run(
            [sys.executable, "-S", str(_LAUNCH), str(self._folder),
             sys.executable, "-m", "do_blockstore_async.cli", *words, *EVERYWHERE],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                 "HOME": str(self._folder), "LANG": "C.UTF-8",
                 "DIGITALOCEAN_API_URL": self._url, "DIGITALOCEAN_TOKEN": "dop_v1_" + 64 * "0"},
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        cost: dict[str, Any] = json.loads(told.stdout)
        if code := cost.pop("code"):
            errors = (self._folder / "errors").read_text()[-4_000:]
            raise RuntimeError(f"{' '.join(words)} ended with {code}: {errors}")
        return Figures(
            f"command line: {title}",
            self._volumes,
            items,
            **cost,
            fixed_s=self._fixed_s,
            above_mib=cost["peak_mib"] - self._fixed_mib,
            stop_ms=None,
            stop_wall_ms=None,
            collector_ms=None,
            requests=self._requests() - before,
        )

    def one_call(self) -> Figures:
        """Get one volume: what every other command costs too, in a fleet of any size."""
        words = ("volumes", "get", f"{0:08x}-1111-4222-8333-{0:012x}")
        self._fixed_s = self._fixed_mib = 0.0
        figures = self.invoke("volumes get", 1, words)
        self._fixed_s, self._fixed_mib = figures.cpu_s, figures.peak_mib
        return figures

    def listings(self) -> Iterator[tuple[str, int, tuple[str, ...]]]:
        """Return what changes nothing: title, items, words."""
        volumes, snapshots = self._volumes, self._volumes * SNAPSHOTS_EACH
        for form in ("json", "csv", "table"):
            yield f"volumes list, {form}", volumes, ("volumes", "list", "-o", form)
        yield "snapshots list, csv", snapshots, ("snapshots", "list", "-o", "csv")
        both = volumes + snapshots
        yield "bulk inventory, json", both, ("bulk", "inventory", "-o", "json")
        yield "bulk snapshot, the plan", both, (*_KEEP, "--dry-run", *_GUARDS, "-o", "json")
        yield "bulk snapshot, the plan as a table", both, (*_KEEP, "--dry-run", *_GUARDS)

    def check(self, title: str) -> None:
        """Look at what the command has written: all of it is there.

        Raises:
            AssertionError: something is missing.
        """
        output, volumes = self._folder / "output", self._volumes
        if title.endswith(("csv", "table")):
            with output.open() as lines:
                count = sum(1 for _ in lines) - 1
            assert count >= (10 * volumes if title.startswith("snapshots") else volumes), title
        else:
            found = json.loads(output.read_text())
            if "inventory" in title:
                assert found["total"]["volumes"] == volumes
            elif "plan" in title:
                assert len(found["plan"]["steps"]) >= volumes
            else:
                assert len(found) == volumes

    def run(self) -> Figures:
        """Snapshot a hundred volumes, prune theirs, and keep a journal, in a fleet of any size."""
        title, items = "bulk snapshot, run for 100 volumes", self._volumes * (SNAPSHOTS_EACH + 1)
        journal = self._folder / "night.db"
        words = (*_KEEP, "--name", _SOME, "--yes", "--journal", str(journal), *_GUARDS)
        return self.invoke(title, items, words)


def _repetitions(several: Sequence[Figures]) -> int:
    """How often a command is run, as long as it has been so far."""
    most_s = max((one.cpu_s for one in several), default=0.0)
    return 1 if most_s > _LONG_S else _REPETITIONS if most_s < _SHORT_S else 3


def run_commands(volumes: int, *, is_trial: bool = False) -> Iterator[list[Figures]]:
    """Run every command, the short ones that change nothing nine times; yield the figures of each.

    Args:
        volumes: of the fleet.
        is_trial: only the last of them.
    """
    with tempfile.TemporaryDirectory() as folder, serving(volumes) as url:
        commands = _Invocations(volumes, url, Path(folder))
        if not is_trial:
            yield [commands.one_call() for _ in range(_REPETITIONS)]
            for title, items, words in commands.listings():
                several: list[Figures] = []
                while len(several) < _repetitions(several):
                    several.append(commands.invoke(title, items, words))
                    commands.check(title)
                yield several
        yield [commands.run()]
