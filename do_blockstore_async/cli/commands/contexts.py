"""`do-blockstore contexts ...`"""

from __future__ import annotations

import os
import re
from operator import attrgetter
from pathlib import Path

import attrs

from ..exit_codes import UsageError
from ..options import current

__all__ = ["list_", "use"]


@attrs.frozen
class _Row:
    """A context as it is listed."""

    name: str
    used: str
    token: str
    api_url: str


def list_() -> int:
    """List the contexts of the configuration file and of doctl, and which one is used.

    No token is read, and none is shown.
    """
    from ..auth import doctl
    from ..auth.source import SourceOptions, find_source
    from ..config_file import load
    from ..output.tables import Column, show_rows

    file = load()
    source = find_source(SourceOptions(), os.environ, file)
    used = "*"
    rows = [
        _Row(
            each.name,
            used if source.context == each else "",
            _place(each.token_file, each.token_env, each.token_command),
            each.api_url or "",
        )
        for each in file.contexts.values()
    ]
    chosen = doctl.current_context(os.environ) if source.doctl == "" else None
    rows += [
        _Row(name, used if name == chosen else "", "doctl", "")
        for name in doctl.contexts(os.environ)
        if name not in file.contexts
    ]
    names = ("name", "used", "token", "api_url")
    columns = [Column(name, attrgetter(name)) for name in names]
    show_rows(current().shown, columns, rows, noun="contexts")
    return 0


def _place(file: object, variable: str | None, command: tuple[str, ...] | None) -> str:
    if file is not None:
        return f"file {file}"
    return f"variable {variable}" if variable is not None else f"command {(command or ('',))[0]}"


def use(context: str, /) -> int:
    """Write into the configuration file which context is used when none is named.

    Args:
        context: one of the configuration file; `doctl auth switch` chooses among those of doctl.
    """
    from ..config_file import load
    from ..output.terminal import print_stderr

    file = load()
    if file.path is None or context not in file.contexts:
        known = ", ".join(file.contexts) or "none"
        raise UsageError(f"{file.path} has no context {context!r}; it has: {known}")
    with file.path.open(encoding="utf-8-sig", newline="") as opened:
        text = opened.read()
    line = f"context = {_quoted(context)}"
    # Only a line before the first table is the file's own key.
    table = re.search(r"^[ \t]*\[", text, re.MULTILINE)
    cut = len(text) if table is None else table.start()
    head, rest = text[:cut], text[cut:]
    changed, times = re.subn(r"(?m)^[ \t]*context[ \t]*=[^\r\n]*", lambda _: line, head, count=1)
    if not times:
        ending = "\r\n" if "\r\n" in text else "\n"
        changed = f"{line}{ending}{head}"
    changed = f"{changed}{rest}"
    if not _chooses(changed, file.path, context):
        raise UsageError(f"{file.path} was not changed: write {line} into it, before all tables")
    _write(file.path, changed)
    print_stderr(f"{context} is used when no context is named")
    return 0


def _chooses(text: str, path: Path, context: str) -> bool:
    from ..config_file import parse

    try:
        return parse(text, path).context == context
    except ValueError:
        return False


def _quoted(text: str) -> str:
    import json

    return json.dumps(text)


def _write(path: Path, text: str) -> None:
    place = path.resolve()
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8", newline="")
        beside.chmod(place.stat().st_mode & 0o777)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
