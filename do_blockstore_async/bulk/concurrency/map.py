"""Run any operation over any number of items, with one outcome for each: `store.bulk.map`."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
)
from contextvars import Context
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..._clock import Clock
from ..._interop.habits import AsyncOnly
from ...errors import InvalidArgumentError, OutcomeUnknownError
from ...models import Volume
from ..model.outcome import Outcome, Skip
from .pool import TaskPool

__all__ = ["MapRun", "check_bounds", "region_of_item"]

T = TypeVar("T")


def region_of_item(item: Any) -> str:
    """Return the region of a volume, or of anything with a `region`; else the empty string."""
    region = item.region if isinstance(item, Volume) else getattr(item, "region", "")
    return str(getattr(region, "slug", region))


def check_bounds(concurrency: int, per_region: int | None) -> None:
    """Reject bounds that are not integers of 1 or more.

    Raises:
        InvalidArgumentError: `concurrency` or `per_region` is none.
    """
    for name, value in (("concurrency", concurrency), ("per_region", per_region)):
        is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if not is_number and not (name == "per_region" and value is None):
            raise InvalidArgumentError(f"{name} must be 1 or more, not {value!r}")


class MapRun(AsyncOnly, Generic[T]):
    """What `map` returns: iterate it for the outcomes, in the order in which items end.

    A plain `async for` that is left early (`break`, an exception, a cancellation) cancels what is
    in flight in the next turn of the loop. With `async with` that is waited for, `unread` holds its
    outcomes, and they may be read in several loops. One reader at a time; cancelling `anext` alone
    loses nothing.

    Attributes:
        unread: after `aclose`, outcomes that nobody has read: of items in flight, whose operation
            was cancelled (`unknown`), and of items taken from the source and not begun (`skipped`).
    """

    def __init__(
        self,
        operation: Callable[[T], Awaitable[Any]],
        items: Iterable[T] | AsyncIterable[T],
        *,
        concurrency: int,
        per_region: int | None,
        region_of: Callable[[T], str] | None,
        context: Context,
        clock: Clock,
    ) -> None:
        check_bounds(concurrency, per_region)
        if not isinstance(items, Iterable | AsyncIterable):
            raise InvalidArgumentError(f"items must be iterable, not {type(items).__name__}")
        self._operation = operation
        self._region_of = region_of or region_of_item
        self._clock = clock
        self._is_entered = False
        self._pool: TaskPool[tuple[int, T], Outcome[T]] = TaskPool(
            self._work,
            self._unstarted,
            _numbered(items) if isinstance(items, AsyncIterable) else enumerate(items),
            concurrency=concurrency,
            per_region=per_region,
            region_of=self._region,
            context=context,
        )

    @property
    def unread(self) -> list[Outcome[T]]:
        """Outcomes that nobody has read, once it is closed."""
        return self._pool.unread

    @property
    def in_flight(self) -> int:
        """How many items are in flight."""
        return self._pool.in_flight

    def __aiter__(self) -> AsyncIterator[Outcome[T]]:
        return self if self._is_entered else self._read_once()

    async def _read_once(self) -> AsyncGenerator[Outcome[T], None]:
        # Python closes a generator that a loop has left; of an iterator it would know nothing.
        try:
            async for outcome in self._pool:
                yield outcome
        finally:
            await self.aclose()

    async def __anext__(self) -> Outcome[T]:
        return await self._pool.__anext__()

    async def __aenter__(self) -> Self:
        self._is_entered = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def stop(self) -> None:
        """Start nothing new; what is in flight finishes, and its outcomes are still yielded."""
        self._pool.stop()

    async def aclose(self) -> None:
        """Cancel what is in flight and wait for it."""
        await self._pool.aclose()

    def _region(self, numbered: tuple[int, T]) -> str:
        try:
            return self._region_of(numbered[1])
        except Exception:  # noqa: BLE001 -- the work meets it again and reports it
            return ""

    async def _work(self, numbered: tuple[int, T]) -> Outcome[T]:
        number, item = numbered
        key, region, started_s = str(number), "", self._clock.monotonic()
        try:
            region = self._region_of(item)
            value = await self._operation(item)
        except Skip as skip:
            return Outcome(item, "skipped", key, region, skip.reason, skip.code)
        except asyncio.CancelledError as error:
            reason = "; ".join(["cancelled while in flight", *_notes(error)])
            return Outcome(item, "unknown", key, region, reason, error=error)
        except OutcomeUnknownError as error:
            took_s = self._clock.monotonic() - started_s
            return Outcome(item, "unknown", key, region, str(error), "", error, None, took_s)
        except Exception as error:  # noqa: BLE001 -- of whatever kind, it is this item's outcome
            took_s = self._clock.monotonic() - started_s
            reason = str(error) or type(error).__name__
            return Outcome(item, "failed", key, region, reason, "", error, None, took_s)
        took_s = self._clock.monotonic() - started_s
        return Outcome(item, "done", key, region, value=value, duration_s=took_s)

    def _unstarted(self, numbered: tuple[int, T]) -> Outcome[T]:
        return Outcome(
            numbered[1],
            "skipped",
            str(numbered[0]),
            self._region(numbered),
            "not begun",
            "not_started",
        )


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


async def _numbered(items: AsyncIterable[T]) -> AsyncGenerator[tuple[int, T], None]:
    number = 0
    try:
        async for item in items:
            yield number, item
            number += 1
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
