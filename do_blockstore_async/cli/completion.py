"""`do-blockstore completion`"""

from __future__ import annotations

from typing import Literal

from .exit_codes import UsageError

__all__ = ["completion"]


def completion(shell: Literal["bash", "zsh", "fish", "powershell"] | None = None, /) -> int:
    """Print a script that completes commands, options and choices in your shell.

    Args:
        shell: which one; by default the one that runs this.
    """
    from cyclopts.completion import ShellDetectionError

    from .app import build
    from .output.tables import write

    app = build(lambda settings, call: 0)
    try:
        write(app.generate_completion(shell=shell))
    except ShellDetectionError:
        raise UsageError("which shell? bash, zsh, fish or powershell") from None
    return 0
