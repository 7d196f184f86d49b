"""The command line `do-blockstore`: commands and rendering over the public API, nothing else.

It needs the extra `cli`: rich and cyclopts. Why cyclopts and not typer (read and measured in
November 2026: cyclopts 5.4, typer 0.29):

- Global options. `do-blockstore volumes list --output json` and `do-blockstore --output json
  volumes list` must both work. A cyclopts meta app takes its options anywhere on the line; with
  typer an option of the callback is unknown after the subcommand (fastapi/typer#153, #166: answered
  with "repeat it on every command").
- Start-up. A cyclopts command is registered as `module:function` with its help text, so `--help`
  imports no command at all (BrianPugh/cyclopts#710, #761). Importing costs about the same: 115 ms
  against 93 ms here; a help page of 30 commands 278 ms against 217 ms, a subcommand's help page
  288 ms against 357 ms, with `import rich, aiohttp` at 288 ms.
- Both have frequent releases and answer their issues. Both complete in bash, zsh, fish and
PowerShell.
- Weight: cyclopts brings attrs (ours already), docstring-parser and rich-rst; typer brings
  shellingham and annotated-doc.

This module imports nothing heavy: the console script imports it before it parses the arguments.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

__all__ = ["main"]


def main() -> int:
    """Run the command line on `sys.argv`, and end the process with its exit code.

    0 done, 1 failed, 2 usage, 3 partly done, 4 aborted by a guard, 5 quota, 130 interrupted.

    Returns:
        The exit code, where the program cannot even start.
    """
    # Importing makes tens of thousands of objects and no garbage: looking for it there, at the
    # usual threshold of 700, takes a tenth of a short command's time.
    gc.set_threshold(100_000, 10, 10)
    try:
        from .main import run
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        sys.stderr.write(
            f"do-blockstore needs {error.name}: pip install 'do-blockstore-async[cli]'\n"
        )
        return 1
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    # Everything is closed and written. Taking the interpreter apart would take as long as half of
    # the imports did.
    os._exit(code)
