"""Ask before something is deleted."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..._export import visible
from ..exit_codes import CommandError, ExitCode, UsageError
from ..options import current

__all__ = ["check_can_ask", "confirm"]


def check_can_ask(*, yes: bool) -> None:
    """Fail early, before anything is sent, if nobody can confirm.

    Raises:
        UsageError: not a terminal, or nothing shown to confirm, and no `--yes`.
    """
    if not yes and current().quiet:
        raise UsageError("--quiet does not show what to confirm: pass --yes to confirm")
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("not a terminal, so cannot ask: pass --yes to confirm")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a blocking read: asyncio's handler would only record it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def confirm(question: str, *, yes: bool) -> None:
    """Continue only if the user confirms.

    The question goes to stderr, so that stdout holds results only.

    Raises:
        UsageError: not a terminal, and no `--yes`.
        CommandError: the response is not yes; nothing was done.
    """
    check_can_ask(yes=yes)
    if yes:
        return
    sys.stderr.write(f"{visible(question)} [y/N] ")
    sys.stderr.flush()
    with _interruptible():
        answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done", ExitCode.GUARD)
