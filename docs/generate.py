"""Write the pages that are made from the code: the command line's help, scopes from docstrings.

`conf.py` calls this at each build, so they are never older than the code.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

REFERENCE = Path(__file__).parent / "reference"
SCOPES = """# Scopes

What a token with custom scopes needs for each call; one of those named is enough. Querying what a
lost response left behind needs the `read` beside each `create`.

| call | scopes |
| --- | --- |
"""


def scopes_page() -> str:
    """A row for each method of a manager whose docstring names its scopes."""
    rows = []
    for name in ("volumes", "snapshots", "actions", "regions"):
        module = import_module(f"do_blockstore_async.resources.{name}")
        manager = next(value for key, value in vars(module).items() if key.endswith("Manager"))
        for method, member in vars(manager).items():
            described = inspect.getdoc(member) or ""
            found = re.search(r"Scopes: (.*?)(?:\. |\.\n|\.$|\n\n)", described, re.DOTALL)
            if not method.startswith("_") and found:
                rows.append(f"| `store.{name}.{method}` | {' '.join(found[1].split())} |\n")
    return SCOPES + "".join(rows)


def command_line_page() -> str:
    """The help of every command, as users see it."""
    from do_blockstore_async.cli.registry import COMMANDS, PROGRAM

    parts = ["# Command line\n"]
    for words in ("", *(command.words for command in COMMANDS)):
        shown = subprocess.run(  # noqa: S603 -- this very Python
            [sys.executable, "-m", "do_blockstore_async.cli", *words.split(), "--help"],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "88", "NO_COLOR": "1"},
        ).stdout
        parts.append(f"## {PROGRAM} {words}".rstrip() + f"\n\n```text\n{shown.strip()}\n```\n")
    return "\n".join(parts)


def main() -> None:
    """Write both pages."""
    (REFERENCE / "scopes.md").write_text(scopes_page())
    (REFERENCE / "cli.md").write_text(command_line_page())
