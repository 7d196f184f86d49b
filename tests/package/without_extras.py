"""Try whatever needs an extra where none is installed, and print what a user is told.

    python tests/package/without_extras.py [--hide EXTRA ...]

`tests.package.check` runs it in an environment that has the core alone, and in one with `cli`; the
test suite, whose environment has everything, hides what the extras bring. It needs nothing but the
package, and prints a line of JSON for each thing that was tried: what, the extra that it needs, the
exit code or the class of the error, and the text.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

_TRIED = 17
_ERRORS = (
    "ConfigError",
    "JobsFileError",
    "JournalError",
    "ModuleNotFoundError",
    "StoreUnusableError",
)
HIDDEN = {
    "cli": ("cronsim", "cyclopts", "rich", "yaml"),
    "fastapi": ("fastapi", "starlette"),
    "opentelemetry": ("opentelemetry",),
    "pages": ("jinja2",),
    "postgres": ("psycopg",),
    "procrastinate": ("procrastinate", "psycopg_pool"),
    "prometheus": ("prometheus_client",),
    "redis": ("redis",),
}
"""The modules that each extra brings."""
MODULES = ("fastapi", "opentelemetry", "procrastinate", "prometheus")
"""Integrations, named like their extras."""
COMMANDS = (
    "",
    "--help",
    "--version",
    "volumes list",
    "--simulate bulk inventory",
    "jobs worker fleet.toml",
    "simulator",
)
CORE = tuple((words, "" if words in {"", "--help", "--version"} else "cli") for words in COMMANDS)
"""Commands, and what they need; pages of help need nothing."""
WITH_CLI = (
    ("--budget-store redis://localhost volumes list", "redis"),
    ("--budget-store postgresql://localhost/db volumes list", "postgres"),
    ("--simulate bulk snapshot --yes --journal postgresql://localhost/db#nightly", "postgres"),
    ("--simulate bulk snapshot --yes --journal nightly.db", ""),
    ("--simulate bulk inventory --html report.html", "pages"),
    ("jobs check fleet.toml", ""),
    ("jobs worker fleet.toml", "procrastinate"),
    ("jobs schedule fleet.toml", "procrastinate"),
    ("jobs status fleet.toml", "procrastinate"),
    ("jobs status postgresql://localhost/db#nightly", "postgres"),
    ("jobs migrate fleet.toml", "procrastinate"),
)
"""Commands, and the extra that they need beside `cli`."""
JOBS = """
database = "postgresql://localhost/db"

[accounts.shop]
token_env = "TOKEN"

[jobs.nightly]
kind = "snapshot"
cron = "30 2 * * *"
"""


class Hidden:
    """Finds none of these modules, as if they were not installed."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = frozenset(modules)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse those; leave the others to whoever comes next."""
        del path, target
        if name.partition(".")[0] in self.modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def judge(printed: str, present: Collection[str]) -> list[str]:
    """Return what is wrong with what users are told.

    Args:
        printed: what this program printed.
        present: the extras that are installed.
    """
    lines = [json.loads(line) for line in printed.splitlines()]
    wrong = [f"only {len(lines)} things were tried"] if len(lines) < _TRIED else []
    for line in lines:
        named = re.findall(r"pip install 'do-blockstore-async\[([a-z,]+)\]'", line["text"])
        if not line["extra"] or line["extra"] in present:
            is_right = line["code"] in {None, 0} and not named
        else:
            is_right = line["code"] in {1, 2, *_ERRORS}
            is_right = is_right and any(line["extra"] in extras.split(",") for extras in named)
        if not is_right or "Traceback" in line["text"]:
            wrong.append(f"{line['what']}: {line['code']}: {line['text']}")
    return wrong


def told(what: str, extra: str, code: object, text: str) -> None:
    print(json.dumps({"what": what, "extra": extra, "code": code, "text": text}))


def refused(what: str, extra: str, call: Callable[[], object]) -> None:
    """Print what it raises; only errors that a user may expect are caught."""
    from do_blockstore_async import ConfigError
    from do_blockstore_async.bulk import JournalError

    try:
        found = call()
        if isinstance(found, Awaitable):
            asyncio.run(_wait(found))
    except (ImportError, ConfigError, JournalError) as error:
        told(what, extra, type(error).__name__, str(error))
    else:
        told(what, extra, None, "")


async def _wait(found: Awaitable[object]) -> object:
    return await found


def has_cli() -> bool:
    try:
        import_module("cyclopts")
    except ModuleNotFoundError:
        return False
    return True


def command(program: Callable[[], int], words: str, extra: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["do-blockstore", *words.split()]
    code: object
    # The program ends its process, when all is done.
    with redirect_stdout(out), redirect_stderr(err), patch.object(os, "_exit", sys.exit):
        try:
            code = program()
        except SystemExit as end:
            code = end.code
    told(" ".join(sys.argv), extra, code, out.getvalue() + err.getvalue())


async def budget(setting: str) -> None:
    from do_blockstore_async import BlockStore, Config

    async with BlockStore("token", config=Config(budget=setting)):
        pass


async def journal(place: str) -> None:
    from do_blockstore_async import BlockStore, Simulator

    async with (
        Simulator(volumes=2) as simulator,
        BlockStore(simulator.token, base_url=simulator.url) as store,
    ):
        plan = await store.bulk.plan_snapshots()
        async with store.bulk.run(plan, journal=place):
            pass


async def progress() -> None:
    from do_blockstore_async import BlockStore, Simulator

    async with (
        Simulator(volumes=2) as simulator,
        BlockStore(simulator.token, base_url=simulator.url) as store,
    ):
        plan = await store.bulk.plan_snapshots()
        async with store.bulk.run(plan) as run:
            async for _ in run.progress():
                pass


def schedule() -> None:
    from do_blockstore_async.jobs import Schedule

    Schedule("30 2 * * *")


def jobs_file() -> None:
    from do_blockstore_async.jobs import load_jobs

    load_jobs("fleet.toml")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hide", nargs="*", default=(), choices=HIDDEN, metavar="EXTRA")
    extras = parser.parse_args().hide
    sys.meta_path.insert(0, Hidden([name for extra in extras for name in HIDDEN[extra]]))
    from do_blockstore_async.cli import main as do_blockstore

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ.update(HOME=folder, XDG_STATE_HOME=folder)
        os.environ.update(TOKEN="token", DIGITALOCEAN_TOKEN="token")
        Path("fleet.toml").write_text(JOBS)
        for words, extra in WITH_CLI if has_cli() else CORE:
            command(do_blockstore, words, extra)
        for name in MODULES:
            module = f"do_blockstore_async.integrations.{name}"
            refused(module, name, partial(import_module, module))
        refused("a budget in Redis", "redis", partial(budget, "redis://localhost"))
        refused("a budget in PostgreSQL", "postgres", partial(budget, "postgresql://localhost"))
        refused("a journal", "postgres", partial(journal, "postgresql://localhost/db#nightly"))
        refused("run.progress()", "cli", progress)
        refused("a schedule", "cli", schedule)
        refused("a jobs file with a schedule", "cli", jobs_file)
        os.chdir("/")


if __name__ == "__main__":
    main()
