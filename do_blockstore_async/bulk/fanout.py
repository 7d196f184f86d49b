"""Fanning out: many items, a bounded number under way, nothing lost. The one loop of all bulk jobs.

Theory: an item is taken from the source only when there is room for it, and runs in a task of its
own. What comes of it waits in a line for the reader. Both are bounded, so a million items never
become a million tasks, nor a million results, whatever the reader's pace.

F1. At most `concurrency` items are under way, at most `per_region` of one region.
F2. While `concurrency` results wait for the reader nothing new is begun; those under way still end,
    so at most 2 * `concurrency` - 1 results ever wait, until `stop` adds those of F3.
F3. At most 1,024 items are held back because their region is full; beyond that the source waits.
F4. Each item taken from the source gives exactly one result, also when it is cancelled, or was
    not even begun.
F5. A source that raises, or cancels itself, ends the taking; what is under way still gives its
    results, then the error is raised to the reader.
F6. After `aclose` no task is left, however often it is cancelled. Results nobody read are in
    `left`.
F7. There is one reader at a time; a second one is refused. A reader that is cancelled loses
    nothing: what is under way goes on, and the next reader gets its result.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextvars import Context
from typing import Final, Generic, TypeVar

from .errors import BulkError
from .outlasting import run_to_completion

__all__ = ["LOOK_AHEAD", "FanOut"]

T = TypeVar("T")
R = TypeVar("R")

LOOK_AHEAD: Final = 1024
_NOTHING: Final = object()


class FanOut(Generic[T, R]):
    """Runs `work` for each item of a source; iterate it for the results, in order of ending.

    Args:
        work: never raises; when it is cancelled it returns what came of the item all the same.
        unbegun: the result of an item that was cancelled before its work began.
        source: the items.
        concurrency: items under way at most.
        per_region: of one region at most; None for no bound of its own.
        region_of: the region of an item.
        context: a copy of it surrounds each item's work, and the reading of an async source.
    """

    def __init__(
        self,
        work: Callable[[T], Awaitable[R]],
        unbegun: Callable[[T], R],
        source: Iterable[T] | AsyncIterable[T],
        *,
        concurrency: int,
        per_region: int | None,
        region_of: Callable[[T], str],
        context: Context,
    ) -> None:
        self._work = work
        self._unbegun = unbegun
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
        self._feeder: asyncio.Task[None] | None = None
        self._fed: deque[T] = deque()
        self._hungry = asyncio.Event()
        self._dry = False
        self._tasks: dict[asyncio.Task[R], tuple[T, str]] = {}
        self._busy: dict[str, int] = {}
        self._parked: dict[str, deque[T]] = {}
        self._parked_count = 0
        self._ready: deque[R] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._is_read = self._is_feed_over = False
        self._error: BaseException | None = None
        self._stopped = False
        self._closed = False
        self.left: list[R] = []

    @property
    def under_way(self) -> int:
        """How many items are under way."""
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
            self._pump()
            if self._ready:
                result = self._ready.popleft()
                self._pump()
                return result
            if self.is_over:
                await self._end_feeder()
                self._dismiss()
                if self._ready:
                    continue
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                raise StopAsyncIteration
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
        return self._stopped or (self._dry and not self._fed and not self._parked_count)

    # Taking and beginning.

    def _pump(self) -> None:
        """Begin as much as there is room for."""
        while (
            not self._stopped
            and len(self._tasks) < self._concurrency
            and len(self._ready) < self._concurrency
        ):
            item = self._next()
            if item is _NOTHING:
                return
            self._begin(item)  # type: ignore[arg-type]

    def _next(self) -> T | object:
        """An item whose region has room, or nothing."""
        if self._parked_count:
            for region, line in self._parked.items():
                if self._has_room(region):
                    item = line.popleft()
                    self._parked_count -= 1
                    if not line:
                        del self._parked[region]
                    return item
        while self._parked_count < LOOK_AHEAD:
            taken = self._take()
            if taken is _NOTHING or self._per_region is None:
                return taken
            region = self._region_of(taken)  # type: ignore[arg-type]
            if self._has_room(region):
                return taken
            self._parked.setdefault(region, deque()).append(taken)  # type: ignore[arg-type]
            self._parked_count += 1
        return _NOTHING

    def _has_room(self, region: str) -> bool:
        return self._per_region is None or self._busy.get(region, 0) < self._per_region

    def _take(self) -> T | object:
        """The next item of the source, or nothing: none for now, or none any more."""
        if self._iterator is not None:
            if self._dry:
                return _NOTHING
            try:
                return next(self._iterator)
            except StopIteration:
                self._dry = True
            except Exception as error:  # noqa: BLE001 -- the source's own; raised to the reader
                self._dry, self._error = True, error
            return _NOTHING
        if self._fed:
            self._hungry.set()
            return self._fed.popleft()
        if self._feeder is None and not self._dry and self._feed is not None:
            reading = self._read(self._feed)
            self._feeder = self._loop.create_task(reading, context=self._context.copy())
        return _NOTHING

    async def _read(self, feed: AsyncIterable[T]) -> None:
        """Read an async source a little ahead."""
        try:
            async for item in feed:
                self._fed.append(item)
                self._rouse()
                while len(self._fed) >= self._concurrency:
                    self._hungry.clear()
                    await self._hungry.wait()
        except asyncio.CancelledError as error:
            if self._is_feed_over:
                raise
            self._error = BulkError("the source of the items was cancelled")
            self._error.__cause__ = error
        except Exception as error:  # noqa: BLE001 -- the source's own; raised to the reader
            self._error = error
        finally:
            self._dry = True
            self._rouse()

    def _begin(self, item: T) -> None:
        region = "" if self._per_region is None else self._region_of(item)
        # The work's own coroutine, so that a task costs no more than it must.
        task: asyncio.Task[R] = self._loop.create_task(
            self._work(item),  # type: ignore[arg-type]
            context=self._context.copy(),
        )
        self._tasks[task] = (item, region)
        self._busy[region] = self._busy.get(region, 0) + 1
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[R]) -> None:
        item, region = self._tasks.pop(task)
        self._busy[region] -= 1
        if not self._busy[region]:
            del self._busy[region]
        if task.cancelled():
            result = self._unbegun(item)
        elif (error := task.exception()) is not None:
            # Only what is no Exception gets here: a wish to end the program.
            self._stopped, self._error = True, error
            result = self._unbegun(item)
        else:
            result = task.result()
        if self._closed:
            self.left.append(result)
            return
        self._ready.append(result)
        self._pump()
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # Ending.

    def stop(self) -> None:
        """Begin nothing new. What is under way ends, and its results are still given."""
        self._stopped = True
        self._dismiss()
        self._rouse()

    def _dismiss(self) -> None:
        """Give the items that were taken and will not be begun their result."""
        held = [item for line in self._parked.values() for item in line]
        held.extend(self._fed)
        self._parked.clear()
        self._fed.clear()
        self._parked_count = 0
        (self.left if self._closed else self._ready).extend(map(self._unbegun, held))

    async def aclose(self) -> None:
        """Cancel what is under way and wait for it; harmless when repeated.

        It waits to the end also when it is cancelled itself.
        """
        await run_to_completion(self._close())

    async def _close(self) -> None:
        self._stopped = self._closed = True
        self.left.extend(self._ready)
        self._ready.clear()
        await self._end_feeder()
        self._dismiss()
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            # Their own callbacks were added first, so they have run when this returns.
            await asyncio.wait(tasks)

    async def _end_feeder(self) -> None:
        self._is_feed_over = True
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.wait([self._feeder])
        close = getattr(self._iterator or self._feed, "aclose", None)
        if close is not None and self._feed is not None:
            await close()
