"""Run work that takes the processor for long in a thread, so that the event loop keeps turning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Final, TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")

# A loop that is stopped in this moment may never turn again.
_LONGEST_S: Final = 1.0


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns; without a thread where the system has none to give.

    The interpreter switches between threads every 5 ms, so the loop stands still no longer. The
    work runs to its end even if the caller is cancelled; then its result is lost.
    """
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(1, thread_name_prefix="bulk")
    may_begin = Lock()
    may_begin.acquire()
    # Taken out by whoever does it: what it refers to, a listing perhaps, would else be freed by the
    # thread while the next piece of work is under way in another one.
    waiting = [work]
    del work

    def later() -> T:
        # With the work under way already, the loop would wait for its turn at each lock that
        # starting a thread takes, and at each byte that woke it up before: 20 ms in all.
        may_begin.acquire(timeout=_LONGEST_S)
        return waiting.pop()()

    try:
        result = loop.run_in_executor(pool, later)
    except RuntimeError:
        return waiting.pop()()
    if asyncio.isfuture(result):
        loop.call_soon(may_begin.release)
    else:  # A loop of virtual time starts the thread when it is awaited, and does not turn.
        may_begin.release()
    try:
        return await result
    finally:
        pool.shutdown(wait=False)
        # An error refers to this frame, and this frame to the error by it.
        del result
