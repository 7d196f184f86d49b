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

import sys

from .._lazy import needs_extra

__all__ = ["main"]


def main() -> int:
    """Run the command line on `sys.argv`; the exit code is returned.

    0 done, 1 failed, 2 usage, 3 partly done, 4 aborted by a guard, 5 quota, 130 interrupted.
    """
    try:
        from .main import run
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        sys.stderr.write(
            f"{needs_extra('do-blockstore needs', 'cli')} (there is no {error.name})\n"
        )
        return 1
    return run(sys.argv[1:])
