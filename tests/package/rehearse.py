"""Rehearse a release: two versions into an index of this machine, and the upgrade between them.

    python -m tests.package.rehearse [--old REF]

Both versions are built from this tree, the version patched, or the older one from a commit of git.
They are uploaded with twine to an index on loopback and installed from there with pip, as users do.
With the older one a bulk job is begun against a simulator and killed; after the upgrade the newer
one goes on: with the journal, so that each volume has one snapshot, and with the budget of this
machine, so that what the older one spent counts. Needs the dependency group `package`, and an index
for the other packages.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.package.check import environment, run
from tests.support.documentation import ROOT

OLD, NEW = "0.1.0+rehearsal", "0.2.0+rehearsal"
"""No index but this one has them."""
VOLUMES = 40
JOB = "rehearsal"
_PATIENCE_S = 120.0
_IMPORT = "import do_blockstore_async as d"


def until(holds: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < until_s, what
        time.sleep(0.05)


def build(tree: Path, version: str, dist: Path) -> None:
    """Build the wheel and sdist of a tree, as this version."""
    place = tree / "do_blockstore_async" / "_version.py"
    text, count = re.subn(r'"\d+\.\d+\.\d+.*"', f'"{version}"', place.read_text())
    assert count == 1, place
    place.write_text(text)
    # In an sdist the version stands here too, and counts before the other.
    (tree / "PKG-INFO").unlink(missing_ok=True)
    run(sys.executable, "-m", "build", "--outdir", dist, cwd=tree)


def tree_of(folder: Path, ref: str | None) -> Path:
    """Put the files of a release into a folder: of a commit, or of this tree's sdist."""
    folder.mkdir()
    if ref is not None:
        run("git", "archive", "--output", folder / "tree.tar", "--prefix", "tree/", ref)
        archive = folder / "tree.tar"
    else:
        run(sys.executable, "-m", "build", "--sdist", "--outdir", folder)
        (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (tree,) = (path for path in folder.iterdir() if path.is_dir())
    return tree


@contextmanager
def running(*command: str | Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program for the length of a block."""
    with subprocess.Popen([str(word) for word in command], text=True, **options) as process:  # noqa: S603
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_PATIENCE_S)


@contextmanager
def index(folder: Path) -> Iterator[str]:
    """An index on loopback to which anyone may upload."""
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ("-p", str(port), "-i", "127.0.0.1", "-a", ".", "-P", ".", "--disable-fallback")
    with running(sys.executable, "-m", "pypiserver", "run", *words, folder):

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(answers, "the index does not answer")
        yield f"http://127.0.0.1:{port}"


@contextmanager
def simulator(record: Path) -> Iterator[dict[str, str]]:
    """A simulator; what its users have in their environment."""
    words = ("simulator", "--port", "0", "--volumes", str(VOLUMES), "--latency-ms", "150")
    command = (sys.executable, "-m", "do_blockstore_async.cli", *words, "--record", record)
    with running(*command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        yield dict(line.strip().removeprefix("export ").split("=", 1) for line in lines)


def install(python: Path, url: str, version: str) -> None:
    words = ("-q", "--upgrade", "--extra-index-url", f"{url}/simple/")
    run(python, "-m", "pip", "install", *words, f"do-blockstore-async[cli]=={version}")
    installed = run(python, "-I", "-c", f"{_IMPORT}; print(d.__version__)").strip()
    assert installed == version, installed


def finished(journal: Path) -> int:
    """How many steps have an outcome."""
    program = (
        "import asyncio, sys; from do_blockstore_async.bulk import read_status as read; "
        "status = asyncio.run(read(sys.argv[1])); print(status.done if status else 0)"
    )
    return int(run(sys.executable, "-c", program, journal)) if journal.exists() else 0


def rehearse(folder: Path, ref: str | None) -> None:
    dist = folder / "dist"
    build(tree_of(folder / "old", ref), OLD, dist)
    build(tree_of(folder / "new", None), NEW, dist)
    record, journal = folder / "requests.jsonl", folder / "nightly.db"
    with index(folder / "index") as url, simulator(record) as told:
        files = sorted(dist.iterdir())
        to = ("--non-interactive", "--repository-url", url, "-u", "", "-p", "")
        run(sys.executable, "-m", "twine", "upload", *to, *files)
        print(f"uploaded: {', '.join(path.name for path in files)}")

        python = environment(folder / "user", "pip")
        install(python, url, OLD)
        program = str(folder / "user" / "bin" / "do-blockstore")
        home = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **home, **told}
        job = (program, "bulk", "snapshot", "--yes", "--job", JOB, "--journal", str(journal))
        with running(*job, "--concurrency", "2", env=env, stderr=subprocess.DEVNULL) as first:
            until(lambda: finished(journal) >= 8 or first.poll() is not None, "nothing is done")
            first.send_signal(signal.SIGKILL)
            first.wait()
        before = finished(journal)
        assert 8 <= before < VOLUMES, before
        print(f"{OLD}: killed with {before} of {VOLUMES} steps done")

        install(python, url, NEW)
        again = ("bulk", "snapshot", "--yes", "--resume", "--journal", str(journal))
        resumed = subprocess.run(  # noqa: S603 -- the program of the wheel
            [program, *again], env=env, capture_output=True, text=True, check=False
        )
        assert resumed.returncode == 0, resumed
        assert finished(journal) == VOLUMES
        quota = json.loads(_told(program, "quota", "--output", "json", env=env))
        snapshots = json.loads(_told(program, "snapshots", "list", "--output", "json", env=env))
    taken = Counter(each["resource_id"] for each in snapshots if JOB in "".join(each["tags"]))
    assert len(taken) == VOLUMES, len(taken)
    assert set(taken.values()) == {1}, taken
    requests = [json.loads(line) for line in record.read_text().splitlines()]
    assert not [each for each in requests if each["status"] == 429]
    used = max(window["used"] for window in quota["windows"])
    assert before < used <= len(requests), (used, len(requests))
    print(f"{NEW}: the others done, each volume has one snapshot of the job; {used} requests count")


def _told(*command: str, env: dict[str, str]) -> str:
    return subprocess.run(  # noqa: S603 -- the program of the wheel
        command, env=env, capture_output=True, text=True, check=True
    ).stdout


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--old", metavar="REF", help="build the older version from this commit")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rehearse(Path(directory), options.old)


if __name__ == "__main__":
    main()
