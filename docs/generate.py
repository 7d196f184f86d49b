"""Write what is made from the code: the command line's help, its manual page, scopes.

`conf.py` calls `main` at each build, so these pages are never older than the code. Run as a program
(`python docs/generate.py`) it also writes what is committed: the table that help pages and
completion read, and the manual page that wheels install. A test compares both with the code.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

REFERENCE = Path(__file__).parent / "reference"
MANUAL = Path(__file__).parent / "man" / "do-blockstore.1"
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


def usage_table() -> str:
    """What each command takes, as `do_blockstore_async/cli/help/table.json` holds it."""
    from do_blockstore_async.cli.app import arguments_of
    from do_blockstore_async.cli.registry import COMMANDS

    table = {}
    for command in (None, *COMMANDS):
        function, arguments = arguments_of(command)
        shown = [each for each in arguments if each.parse and each.show]
        table["" if command is None else command.words] = {
            "text": (inspect.getdoc(function) or "").partition("\n\nArgs:")[0] if command else "",
            "arguments": [_argument(each) for each in shown if each.is_positional_only()],
            "options": [_option(each) for each in shown if not each.is_positional_only()],
        }
    return json.dumps(table, indent=1, ensure_ascii=False) + "\n"


def _sentence(text: str | None) -> str:
    said = " ".join((text or "").split())
    return said[:1].upper() + said[1:] if said else ""


def _argument(each: Any) -> dict[str, Any]:
    return {
        "name": each.name.lstrip("-").upper().replace("-", "_"),
        "help": _sentence(each.parameter.help),
        "choices": list(each.get_choices(force=True) or ()),
        "required": bool(each.required),
        "repeats": _repeats(each),
    }


def _option(each: Any) -> dict[str, Any]:
    choices = list(each.get_choices(force=True) or ())
    group = next((group for group in each.parameter.group or () if group.name), None)
    return {
        "names": list(each.names),
        "value": "" if each.is_flag() else _value(each, choices),
        "help": _sentence(each.parameter.help),
        "group": group.name if group else "Options",
        "choices": choices,
        "required": bool(each.required),
        "repeats": _repeats(each),
    }


def _value(each: Any, choices: list[str]) -> str:
    """What stands for the value: its choices, its kind, or the option's last word."""
    if choices and len("|".join(choices)) <= 40:
        return "|".join(choices)
    if each.parameter.converter is None:
        kind = {int: "N", float: "NUMBER", Path: "FILE"}.get(_kind(each.hint))
        if kind:
            return kind
    word = str(max(each.names, key=len)).rpartition("-")[2].upper()
    return {"WITHIN": "AGE", "THAN": "AGE", "FIRST": "VALUE"}.get(word, word)


def _kind(hint: Any) -> Any:
    """The type of one value, without None and without the tuple that holds several."""
    if get_origin(hint) in (Union, UnionType, tuple):
        inner = [each for each in get_args(hint) if each not in (type(None), Ellipsis)]
        return _kind(inner[0]) if inner else hint
    return hint


def _repeats(each: Any) -> bool:
    return each.is_var_positional() or get_origin(each.hint) in (tuple, list)


def committed() -> dict[Path, str]:
    """The files that are made from the code and committed, with what they should hold."""
    from do_blockstore_async.cli.help import table

    table_text = usage_table()
    if table.FILE.exists() and table.FILE.read_text(encoding="utf-8") == table_text:
        from do_blockstore_async.cli.help.manual import manual

        return {table.FILE: table_text, MANUAL: manual()}
    return {table.FILE: table_text}


def main() -> None:
    """Write both pages."""
    (REFERENCE / "scopes.md").write_text(scopes_page())
    (REFERENCE / "cli.md").write_text(command_line_page())


if __name__ == "__main__":
    for _ in range(2):  # The manual page is made from the table.
        for path, text in committed().items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    main()
