"""One web request: the deadline of its calls, and their cancellation when its client disconnects.

Theory. A handler whose client has disconnected works in vain, and while it waits for quota it keeps
a place in the queue. But a handler that has started a write must finish: cancelled after `create`
was sent, it would leave a volume without a record. So the handler runs in a task of its own, and an
observer (`events.observing`) informs the scope of each call made in it: started, sent, finished.
Once a write was sent the handler is not cancelled any more; the deadline still bounds what
follows.

Invariants:
1. No handler is cancelled by the scope after a write of it was sent. A write that only waits for
   quota has not been sent, and a cancelled wait leaves the queue without having sent anything.
2. When the client has disconnected, the handler is cancelled while it is in a call of this package,
   never while it is in code of its own.
3. When the server itself cancels the request (its own grace at shutdown is over, or aiohttp's
   `handler_cancellation`), the handler is cancelled at once wherever it is, unless 1 forbids it:
   then the server's task waits until the handler has finished.
4. When `run` returns, the handler has finished.

The one gap: a handler that makes several concurrent calls, none of them a write so far, can be
cancelled in the very iteration of the loop in which one of them is granted its lease for a write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

from ... import BlockStore
from ...events import AttemptSent, CallFinished, CallStarted, Event, observing

__all__ = ["ClientGoneError", "RequestScope", "timeout_from"]

T = TypeVar("T")

_logger = logging.getLogger("do_blockstore_async.integrations")
_READING = frozenset({"GET", "HEAD"})
_ON_THE_WAY_S = 0.25


class ClientGoneError(Exception):
    """The handler was cancelled because its client has disconnected."""


class RequestScope:
    """Watch the calls of one web request, and cancel it when it may be cancelled.

    Args:
        on_first_call: called when the handler makes its first call; the time to start watching
            for the client to disconnect.
    """

    def __init__(self, on_first_call: Callable[[], None] | None = None) -> None:
        self._on_first_call = on_first_call
        self._task: asyncio.Task[Any] | None = None
        self._stack = ExitStack()
        self._calls = 0
        self._gone = False
        self._given_up = False
        self._answered = False
        self.writing = False
        """Whether a write has been sent."""

    def __call__(self, event: Event) -> None:
        """Observe an event; runs in the task that makes the call."""
        if isinstance(event, CallStarted):
            self._calls += 1
            if self._on_first_call is not None:
                begin, self._on_first_call = self._on_first_call, None
                begin()
            if self._gone:
                # Not here: cancelled from inside, a call might still be sent before it notices.
                asyncio.get_running_loop().call_soon(self._reconsider)
        elif isinstance(event, CallFinished):
            self._calls -= 1
        elif isinstance(event, AttemptSent) and event.method not in _READING:
            self.writing = True

    async def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
        """Run the handler to its end.

        Args:
            work: the handler.
            timeout_s: seconds that all its calls have together; None for no deadline.

        Raises:
            ClientGoneError: it was cancelled after `client_gone`.
            asyncio.CancelledError: the server cancelled the request.
        """
        self._task = task = asyncio.create_task(self._inside(work, timeout_s))
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            await self._end(task)
            raise
        if self._given_up and task.cancelled():
            raise ClientGoneError
        return task.result()

    async def _inside(self, work: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
        with self._stack:
            self._stack.enter_context(observing(self))
            if timeout_s is not None:
                self._stack.enter_context(BlockStore.deadline(timeout_s))
            return await work

    async def _end(self, task: asyncio.Task[Any]) -> None:
        """Cancel what may be cancelled and await the rest, since the server stops waiting."""
        if not self.writing:
            task.cancel()
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                continue
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.warning(
                "a request whose client disconnected ended with %s", type(error).__name__
            )

    def client_gone(self) -> None:
        """Note that the client has disconnected."""
        self._gone = True
        self._reconsider()

    def answered(self) -> None:
        """Note that the whole response was sent: what follows is background work."""
        self._answered = True
        if asyncio.current_task() is self._task:
            self._stack.enter_context(BlockStore.detached())

    def _reconsider(self) -> None:
        task = self._task
        if task is None or task.done() or self._given_up or self._answered:
            return
        if self._gone and self._calls and not self.writing:
            self._given_up = True
            task.cancel()


def timeout_from(
    header: str | None, default_s: float | None, longest_s: float | None
) -> float | None:
    """Return the seconds a web request has: what its header asks for, bounded, or the default.

    The client counts from its request until it has the response, so a tenth of the time, a quarter
    of a second at most, is left for the network. A header that is no number of
    seconds, more than 0, is treated as absent: proxies use names like these too, and a wrong
    deadline must not become an error.
    """
    timeout_s = default_s
    if header is not None and header.isascii():
        try:
            asked_s = float(header)
        except ValueError:
            asked_s = -1.0
        if 0 < asked_s < float("inf"):
            timeout_s = asked_s - min(_ON_THE_WAY_S, asked_s / 10)
    if longest_s is None:
        return timeout_s
    return longest_s if timeout_s is None else min(timeout_s, longest_s)
