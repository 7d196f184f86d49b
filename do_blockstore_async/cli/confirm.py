"""Asking before something is destroyed."""

from __future__ import annotations

import sys

from .settings import CommandError, ExitCode, UsageError
from .terminal import safe

__all__ = ["confirm"]


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if the user agrees.

    The question goes to stderr, so that stdout holds results only.

    Raises:
        UsageError: there is nobody to ask, and no `--yes`.
        CommandError: the answer is not yes; nothing was done.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("nobody is at the terminal to confirm this: add --yes")
    sys.stderr.write(f"{safe(question)} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done", ExitCode.GUARD)
