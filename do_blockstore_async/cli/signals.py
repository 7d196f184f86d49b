"""Ctrl-C during a bulk job: the first stops it in order, the second quits at once.

The first starts nothing new; what is in flight finishes, is written to the journal and reported.
The
second does not wait: what was in flight is reconciled when the journal is resumed, so quitting
by `os._exit` loses nothing. SIGTERM counts as Ctrl-C.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .exit_codes import ExitCode

__all__ = ["Interrupts", "interruptible"]

_SHOW_CURSOR = "\x1b[?25h"


class Interrupts:
    """What the user's interrupts do.

    Attributes:
        happened: whether there was one.
    """

    def __init__(self, first: Callable[[], None], farewell: str) -> None:
        self._first = first
        self._farewell = farewell
        self.happened = False

    def notice(self) -> None:
        """An interrupt has come."""
        if not self.happened:
            self.happened = True
            self._first()
            return
        # Past any live display: it wraps sys.stderr and will not finish any more.
        stream = sys.__stderr__
        if stream is not None:
            with suppress(OSError, ValueError):
                cursor = _SHOW_CURSOR if stream.isatty() else ""
                stream.write(f"{cursor}\n{self._farewell}\n")
                stream.flush()
        os._exit(ExitCode.INTERRUPTED)


@contextmanager
def interruptible(first: Callable[[], None], farewell: str) -> Iterator[Interrupts]:
    """Handle interrupts in the block.

    Where the loop takes no signal handlers (Windows), Ctrl-C cancels the job instead.

    Args:
        first: called at the first one.
        farewell: the last line, should there be a second one.
    """
    interrupts = Interrupts(first, farewell)
    loop = asyncio.get_running_loop()
    taken: dict[signal.Signals, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, RuntimeError, ValueError):
            before = signal.getsignal(number)
            loop.add_signal_handler(number, interrupts.notice)
            taken[number] = before
    try:
        yield interrupts
    finally:
        for number, before in taken.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before)
