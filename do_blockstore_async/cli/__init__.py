"""The command line `do-blockstore`: commands and rendering over the public API, nothing else.

It needs the extra `cli`: rich and cyclopts (docs/decisions/cyclopts.md says why cyclopts).

This module imports nothing heavy: the console script imports it before it parses the arguments.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line on `sys.argv`; the exit code is returned.

    0 done, 1 failed, 2 usage, 3 partly done, 4 aborted by a guard, 5 quota, 130 interrupted,
    143 terminated.
    """
    words = sys.argv[1:]
    if words[:1] == ["__complete"] and len(words) > 2:
        from .completion.answer import complete

        return complete(words[1], words[2:])
    try:
        from .main import run
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        sys.stderr.write(
            f"do-blockstore needs {error.name}: pip install 'do-blockstore-async[cli]'\n"
        )
        return 1
    return run(words)
