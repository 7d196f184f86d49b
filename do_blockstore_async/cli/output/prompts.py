"""Ask before something is deleted, and read what is piped in."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..._export import visible
from ..exit_codes import CommandError, ExitCode, UsageError
from ..options import current

__all__ = ["check_can_ask", "confirm", "read_stdin"]


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


def confirm(question: str, *, yes: bool, number: int | None = None) -> None:
    """Continue only if the user confirms.

    The question goes to stderr, so that stdout holds results only.

    Args:
        question: what is asked.
        yes: the user has confirmed it already.
        number: has to be typed instead of y, so that nobody confirms a large deletion by habit.

    Raises:
        UsageError: not a terminal, and no `--yes`.
        CommandError: the user declined; nothing was done.
    """
    check_can_ask(yes=yes)
    if yes:
        return
    choice = "[y/N]" if number is None else f"Type {number} to confirm:"
    sys.stderr.write(f"{visible(question)} {choice} ")
    sys.stderr.flush()
    with _interruptible():
        answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
    answer = answer.strip().lower()
    is_yes = answer in ("y", "yes") if number is None else answer.replace(",", "") == str(number)
    if not is_yes:
        raise CommandError("nothing was done", ExitCode.GUARD)


def read_stdin(most_bytes: int) -> bytes:
    """Read standard input to its end.

    Args:
        most_bytes: one more than this is read at most, for the caller to notice.
    """
    with _interruptible():
        return sys.stdin.buffer.read(most_bytes + 1)
