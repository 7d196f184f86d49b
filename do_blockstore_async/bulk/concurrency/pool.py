"""Run work for many items, a bounded number at a time, losing nothing: the pool of all bulk jobs.

Theory: an item is taken from the source only when there is a free slot for it, and runs in a task
of its own. Its result waits in a queue for the reader. Both are bounded, so a million items never
become a million tasks, nor a million results, whatever the reader's pace.

F1. At most `concurrency` items are in flight, at most `per_region` of one region.
F2. While `concurrency` results wait for the reader nothing new is started; those in flight still
    finish, so at most 2 * `concurrency` - 1 results ever wait, until `stop` adds those of F3.
F3. At most 1,024 items are held back because their region is full; beyond that the source waits.
F4. Each item taken from the source gives exactly one result, also when it is cancelled, or was
    not even started.
F5. A source that raises, or cancels itself, ends the taking; what is in flight still gives its
    results, then the error is raised to the reader.
F6. After `aclose` no task is left, however often it is cancelled. Results nobody read are in
    `unread`.
F7. There is one reader at a time; a second one is rejected. A reader that is cancelled loses
    nothing: what is in flight goes on, and the next reader gets its result.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextvars import Context
from typing import Final, Generic, TypeVar

from ..._clock import run_to_completion
from ..errors import BulkError

__all__ = ["LOOK_AHEAD", "TaskPool"]

T = TypeVar("T")
R = TypeVar("R")

LOOK_AHEAD: Final = 1024
_NOTHING: Final = object()


class TaskPool(Generic[T, R]):
    """Run `work` for each item of a source; iterate it for the results, in the order of finishing.

    Args:
        work: never raises; returns a result even when it is cancelled.
        unstarted: makes the result of an item whose work was never started.
        source: the items.
        concurrency: items in flight at most.
        per_region: items of one region in flight at most; None for no bound of its own.
        region_of: returns the region of an item.
        context: a copy of it surrounds each item's work, and the reading of an async source.
    """

    def __init__(
        self,
        work: Callable[[T], Awaitable[R]],
        unstarted: Callable[[T], R],
        source: Iterable[T] | AsyncIterable[T],
        *,
        concurrency: int,
        per_region: int | None,
        region_of: Callable[[T], str],
        context: Context,
    ) -> None:
        self._work = work
        self._unstarted = unstarted
        self._concurrency = concurrency
        self._per_region = per_region
        self._region_of = region_of
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._iterator: Iterator[T] | None = None
        self._feed: AsyncIterable[T] | None = None
        if isinstance(source, AsyncIterable):
            self._feed = source
        else:
            self._iterator = iter(source)
        # Reads an async source ahead of need; started by the first item asked for.
        self._feeder: asyncio.Task[None] | None = None
        # What the feeder has read and nobody has taken; at most `concurrency` items.
        self._buffer: deque[T] = deque()
        self._tasks: dict[asyncio.Task[R], tuple[T, str]] = {}
        self._busy: dict[str, int] = {}
        # Items taken whose region is full, by region, and how many there are in all (F3).
        self._held_back: dict[str, deque[T]] = {}
        self._held_back_count = 0
        self._ready: deque[R] = deque()
        # What the one waiting reader waits for; made anew for each wait.
        self._wake: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self.unread: list[R] = []
        # The flags. The first two are about the reader and the feeder, and go up and down; the
        # other four only ever go up.
        # A reader is inside `__anext__`: a second one is rejected (F7).
        self._is_read = False
        # The buffer has space: the feeder waits for it, taking from the buffer sets it.
        self._want_more = asyncio.Event()
        # The source gives nothing more; what is buffered or held back is still to be started.
        self._exhausted = False
        # The pool itself ends the feeder. A cancellation without it came from the source (F5).
        self._is_feed_over = False
        # Nothing new is started; what is in flight finishes, and its results are still read.
        self._stopped = False
        # Nobody reads any more: results go to `unread` instead of `_ready`. Implies `_stopped`.
        self._closed = False

    @property
    def in_flight(self) -> int:
        """How many items are in flight."""
        return len(self._tasks)

    # Reading.

    def __aiter__(self) -> AsyncIterator[R]:
        return self

    async def __anext__(self) -> R:
        if self._is_read:
            raise BulkError("another reader is waiting already: read the outcomes in one place")
        self._is_read = True
        try:
            return await self._next_result()
        finally:
            self._is_read = False

    async def _next_result(self) -> R:
        while True:
            self._start_ready()
            if self._ready:
                result = self._ready.popleft()
                # Reading made space for one more result (F2).
                self._start_ready()
                return result
            if self.is_over:
                await self._end_feeder()
                self._discard_unstarted()
                # Ending the feeder may have left items that need a result each (F4).
                if self._ready:
                    continue
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                raise StopAsyncIteration
            # Nothing is ready and something is in flight: `_on_done` or the feeder wakes the
            # reader.
            self._wake = self._loop.create_future()
            try:
                await self._wake
            finally:
                self._wake = None

    @property
    def is_over(self) -> bool:
        """Whether every result was given, and none is to come."""
        if self._tasks or self._ready:
            return False
        return self._stopped or (self._exhausted and not self._buffer and not self._held_back_count)

    # Taking and starting.

    def _start_ready(self) -> None:
        """Start items while there are slots for them and for their results."""
        while (
            not self._stopped
            and len(self._tasks) < self._concurrency
            and len(self._ready) < self._concurrency
        ):
            item = self._next()
            if item is _NOTHING:
                return
            self._start(item)  # type: ignore[arg-type]

    def _next(self) -> T | object:
        """Return an item whose region has a free slot, or nothing.

        Held-back items come first: they have waited longer than what the source gives next.
        """
        if self._held_back_count:
            for region, line in self._held_back.items():
                if self._has_slot(region):
                    item = line.popleft()
                    self._held_back_count -= 1
                    if not line:
                        del self._held_back[region]
                    return item
        while self._held_back_count < LOOK_AHEAD:
            taken = self._take()
            if taken is _NOTHING or self._per_region is None:
                return taken
            region = self._region_of(taken)  # type: ignore[arg-type]
            if self._has_slot(region):
                return taken
            self._held_back.setdefault(region, deque()).append(taken)  # type: ignore[arg-type]
            self._held_back_count += 1
        return _NOTHING

    def _has_slot(self, region: str) -> bool:
        return self._per_region is None or self._busy.get(region, 0) < self._per_region

    def _take(self) -> T | object:
        """Return the next item of the source, or nothing: none for now, or none any more."""
        if self._iterator is not None:
            if self._exhausted:
                return _NOTHING
            try:
                return next(self._iterator)
            except StopIteration:
                self._exhausted = True
            except Exception as error:  # noqa: BLE001 -- the source's own; raised to the reader
                self._exhausted, self._error = True, error
            return _NOTHING
        if self._buffer:
            # Taking makes space: the feeder may read on.
            self._want_more.set()
            return self._buffer.popleft()
        if self._feeder is None and not self._exhausted and self._feed is not None:
            reading = self._read(self._feed)
            self._feeder = self._loop.create_task(reading, context=self._context.copy())
        return _NOTHING

    async def _read(self, feed: AsyncIterable[T]) -> None:
        """Read an async source ahead, by at most `concurrency` items."""
        try:
            async for item in feed:
                self._buffer.append(item)
                self._notify()
                while len(self._buffer) >= self._concurrency:
                    self._want_more.clear()
                    await self._want_more.wait()
        except asyncio.CancelledError as error:
            if self._is_feed_over:
                raise
            self._error = BulkError("the source of the items was cancelled")
            self._error.__cause__ = error
        except Exception as error:  # noqa: BLE001 -- the source's own; raised to the reader
            self._error = error
        finally:
            self._exhausted = True
            self._notify()

    def _start(self, item: T) -> None:
        region = "" if self._per_region is None else self._region_of(item)
        # The work itself is the task: a wrapping coroutine would make each item dearer.
        task: asyncio.Task[R] = self._loop.create_task(
            self._work(item),  # type: ignore[arg-type]
            context=self._context.copy(),
        )
        self._tasks[task] = (item, region)
        self._busy[region] = self._busy.get(region, 0) + 1
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[R]) -> None:
        item, region = self._tasks.pop(task)
        self._busy[region] -= 1
        if not self._busy[region]:
            del self._busy[region]
        # A cancelled task gave no result of its own, so it had not started (F4).
        if task.cancelled():
            result = self._unstarted(item)
        elif (error := task.exception()) is not None:
            # `work` never raises an Exception, so this is SystemExit or KeyboardInterrupt.
            self._stopped, self._error = True, error
            result = self._unstarted(item)
        else:
            result = task.result()
        if self._closed:
            self.unread.append(result)
            return
        self._ready.append(result)
        # At once, not when the reader comes: a slot must not idle while the reader is busy.
        self._start_ready()
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # Ending.

    def stop(self) -> None:
        """Start nothing new. What is in flight finishes, and its results are still given."""
        self._stopped = True
        self._discard_unstarted()
        self._notify()

    def _discard_unstarted(self) -> None:
        """Give a result to the items that were taken and will not be started (F4)."""
        held = [item for line in self._held_back.values() for item in line]
        held.extend(self._buffer)
        self._held_back.clear()
        self._buffer.clear()
        self._held_back_count = 0
        (self.unread if self._closed else self._ready).extend(map(self._unstarted, held))

    async def aclose(self) -> None:
        """Cancel what is in flight and wait for it; harmless when repeated.

        Waits to the end even if the caller is cancelled.
        """
        await run_to_completion(self._close())

    async def _close(self) -> None:
        self._stopped = self._closed = True
        self.unread.extend(self._ready)
        self._ready.clear()
        try:
            await self._end_feeder()
        finally:
            # Also when the source's own `finally` raises.
            self._discard_unstarted()
            # Again and again: work may swallow a cancellation.
            while self._tasks:
                tasks = list(self._tasks)
                for task in tasks:
                    task.cancel()
                # `_on_done` was added before the callbacks of `wait`, so it has run by then.
                await asyncio.wait(tasks)

    async def _end_feeder(self) -> None:
        self._is_feed_over = True
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.wait([self._feeder])
            self._feeder = None
        close = getattr(self._iterator or self._feed, "aclose", None)
        if close is not None and self._feed is not None:
            await close()
