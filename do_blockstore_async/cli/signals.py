"""Ctrl-C and SIGTERM, during a bulk job and anywhere else.

While a bulk job only reads, the first ends it. Once it runs, the first stops it in order: it starts
nothing new; what is in flight finishes, is written to the journal and reported. The second does not
wait: what was in flight is reconciled when the journal is resumed, so quitting by `os._exit` loses
nothing. SIGTERM counts as Ctrl-C.

Everywhere else SIGTERM ends the program as Ctrl-C does. Only the exit code differs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .exit_codes import CommandError, ExitCode

__all__ = ["Interrupts", "interruptible", "terminable"]

_SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def terminable() -> Iterator[list[int]]:
    """End on SIGTERM as on Ctrl-C; the list yielded tells afterwards which of them it was.

    A command that handles SIGTERM itself, such as a bulk job, takes the signal over.
    """
    came: list[int] = []

    def ended(number: int, _: object) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)

    before = None
    # Only the main thread has signals.
    with suppress(ValueError):
        before = signal.signal(signal.SIGTERM, ended)
    try:
        yield came
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


class Interrupts:
    """What the user's interrupts do.

    Attributes:
        first: called at the first one.
        happened: whether there was one.
        code: the exit code that tells of the last one.
    """

    def __init__(self, first: Callable[[], None], farewell: Callable[[int], str]) -> None:
        self.first = first
        self._farewell = farewell
        self.happened = False
        self.code = ExitCode.INTERRUPTED

    @contextmanager
    def cancelling(self, text: Callable[[], str]) -> Iterator[None]:
        """Let the first one in the block cancel what it awaits.

        Args:
            text: what the error says.

        Raises:
            CommandError: so it was.
        """
        import asyncio  # not for a help page

        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment] # there is one
        before = self.first

        def cancel() -> None:
            task.cancel()

        self.first = cancel
        try:
            yield
        except asyncio.CancelledError:
            if not self.happened:
                raise
            task.uncancel()
            raise CommandError(text(), self.code) from None
        finally:
            self.first = before

    def notice(self, number: signal.Signals = signal.SIGINT) -> None:
        """An interrupt has come."""
        is_term = number == signal.SIGTERM
        self.code = ExitCode.TERMINATED if is_term else ExitCode.INTERRUPTED
        if not self.happened:
            self.happened = True
            self.first()
            return
        # Past any live display: it wraps sys.stderr and will not finish any more.
        stream = sys.__stderr__
        if stream is not None:
            with suppress(OSError, ValueError):
                cursor = f"{_SHOW_CURSOR}\n" if stream.isatty() else ""
                stream.write(f"{cursor}{self._farewell(self.code)}\n")
                stream.flush()
        os._exit(self.code)


@contextmanager
def interruptible(
    first: Callable[[], None], farewell: str | Callable[[int], str]
) -> Iterator[Interrupts]:
    """Handle interrupts in the block.

    Where the loop takes no signal handlers (Windows), Ctrl-C cancels the job instead.

    Args:
        first: called at the first one.
        farewell: the last line, should there be a second one; or what makes it of the exit code.
    """
    import asyncio  # not for a help page

    last = farewell if callable(farewell) else lambda code: farewell
    interrupts = Interrupts(first, last)
    loop = asyncio.get_running_loop()
    taken: dict[signal.Signals, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, RuntimeError, ValueError):
            before = signal.getsignal(number)
            loop.add_signal_handler(number, interrupts.notice, number)
            taken[number] = before
    try:
        yield interrupts
    finally:
        for number, before in taken.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before)
