"""The command line `do-blockstore`: commands and rendering over the public API, nothing else.

It needs the extra `cli`: rich and cyclopts (docs/decisions/cyclopts.md says why cyclopts).

This module imports nothing heavy: the console script imports it before it parses the arguments.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

from .._lazy import needs_extra

__all__ = ["main"]


def main() -> int:
    """Run the command line on `sys.argv`, and end the process with its exit code.

    0 done, 1 failed, 2 usage, 3 partly done, 4 stopped by a guard, 5 quota, 130 interrupted,
    143 terminated.

    Returns:
        The exit code, where the program cannot even start.
    """
    # Importing makes tens of thousands of objects and no garbage: looking for it there, at the
    # usual threshold of 700, takes a tenth of a short command's time.
    gc.set_threshold(100_000, 10, 10)
    words = sys.argv[1:]
    if words[:1] == ["__complete"] and len(words) > 2:
        from .completion.answer import complete

        return complete(words[1], words[2:])
    try:
        from .main import run

        code = run(words)
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        sys.stderr.write(
            f"{needs_extra('do-blockstore needs', 'cli')} (there is no {error.name})\n"
        )
        return 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    # Everything is closed and written. Taking the interpreter apart would take as long as half of
    # the imports did.
    os._exit(code)
