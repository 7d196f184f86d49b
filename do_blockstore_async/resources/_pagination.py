"""List every page, in order, each item once, while the account changes meanwhile.

Pages are cut by offset, so a create or delete shifts what follows: an item can move from a page not
yet read to one already read, and be missed. One response is consistent; only listings of several
pages can be wrong. Signs of a change, within one pass (why these suffice:
docs/design/pagination.md):

P1. a page counts another total than the first one did;
P2. an id appears twice;
P3. the number of items is not the total;
P4. an item of a later page was created no earlier than 30 s before the first response of the pass
    (by the server's own `Date`; an item may show a little after its created_at, and the clocks
    behind the two may differ by as much), and no earlier pass has seen it;
P5. the server sends no total, and the pass before saw a change or other ids.

After a pass with any sign the pages are read again, and only items not yet yielded are yielded.
Three passes are tried; then `ListingChangedError` says that the listing may lack items.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable
from datetime import datetime
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from .._clock import pause
from .._deadline import NEVER, Deadline
from .._http.engine import Engine
from .._http.request import Listing, RawResponse, Request
from .._lazy import ModuleLater
from .._observers import emit
from ..errors import DecodeError, ListingChangedError
from ..models import Page
from ._ids import IdSet

if TYPE_CHECKING:
    from .. import events
else:
    # Where nobody listens no event is made: their classes take as long to import as the ledger.
    events = ModuleLater("do_blockstore_async.events")

__all__ = ["ListingCall", "collect", "items", "pages"]

T = TypeVar("T")

_PASSES: Final = 3
# How long after its created_at an item may begin to show in listings, and how far `Date` may run
# ahead of the clock behind created_at (P4). Too much costs one pass more, too little an item.
_UNSEEN_S: Final = 30.0


class ListingCall(msgspec.Struct, Generic[T], kw_only=True, frozen=True):
    """A paginated route, described.

    Attributes:
        identity: what makes an item the same item.
        created_at: when it was made; None for things that are not made, such as regions.
    """

    path: str
    route: str
    decode: Callable[[RawResponse], Listing[T]]
    scopes: tuple[str, ...]
    identity: Callable[[T], Hashable]
    created_at: Callable[[T], datetime] | None
    params: tuple[tuple[str, str], ...] = ()
    per_page: int = 200

    def page(self, number: int) -> Request[Listing[T]]:
        """Return the request for one page."""
        return Request(
            method="GET",
            path=self.path,
            route=self.route,
            decode=self.decode,
            params=(*self.params, ("page", str(number)), ("per_page", str(self.per_page))),
            idempotent=True,
            scopes=self.scopes,
        )


async def items(
    engine: Engine,
    call: ListingCall[T],
    *,
    timeout: float | None = None,
    deadline: Deadline = NEVER,
) -> AsyncGenerator[T, None]:
    """Yield the items of `pages`, one by one."""
    source = pages(engine, call, timeout=timeout, deadline=deadline)
    try:
        async for page in source:
            for item in page.items:
                yield item
    finally:
        await source.aclose()


async def collect(
    engine: Engine,
    call: ListingCall[T],
    *,
    timeout: float | None = None,
    deadline: Deadline = NEVER,
) -> Listing[T]:
    """Return a whole listing in one value, dated as its last response."""
    date_s: list[float | None] = []

    def dated(raw: RawResponse) -> Listing[T]:
        listing = call.decode(raw)
        date_s.append(listing.date_s)
        return listing

    dating = msgspec.structs.replace(call, decode=dated)
    found = [item async for item in items(engine, dating, timeout=timeout, deadline=deadline)]
    return Listing(tuple(found), len(found), None, date_s[-1])


async def pages(
    engine: Engine,
    call: ListingCall[T],
    *,
    timeout: float | None = None,
    deadline: Deadline = NEVER,
) -> AsyncGenerator[Page[T], None]:
    """Yield every page of a listing, in order; each item in exactly one page.

    Args:
        engine: sends the requests.
        call: the route.
        timeout: total seconds for the listing, including time the caller spends between pages.
        deadline: the deadline of the operation that the listing is a part of.

    Raises:
        ListingChangedError: it changed during each of three passes.
    """
    deadline = deadline.child(timeout, engine.clock.monotonic())
    yielded: list[IdSet] = []
    reason: str | None = None
    before: IdSet | None = None
    for listing_pass in range(1, _PASSES + 1):
        if reason is not None and engine.config.hooks:
            emit(engine.config.hooks, events.ListingRestarted(call.route, listing_pass, reason))
        watch = _Pass(call, yielded, before)
        reader = _read(engine, call, deadline)
        try:
            async for number, listing in reader:
                fresh = watch.add(listing)
                if fresh or (number == 1 and listing_pass == 1):
                    yield Page(fresh, number, watch.total)
        finally:
            await reader.aclose()
        reason = watch.sign_of_change()
        if reason is None:
            break
        yielded.append(watch.here)
        before = watch.here if watch.undisturbed else None
    else:
        raise ListingChangedError(
            f"the listing changed during each of {_PASSES} passes ({reason}); it may lack items",
            method="GET",
            path=call.path,
        )


class _Pass(Generic[T]):
    """Watches one pass over the pages for signs of a change (P1 to P5).

    `yielded` holds the ids of each earlier pass, `before` those of an undisturbed pass directly
    before this one, `here` those of this one.
    """

    def __init__(
        self,
        call: ListingCall[T],
        yielded: list[IdSet],
        before: IdSet | None,
    ) -> None:
        self._call = call
        self._yielded = yielded
        self._before = before
        self._uncounted = False
        self._count = 0
        self._date_s: float | None = None
        self._pages = 0
        self._sign: str | None = None
        self.here = IdSet()
        self.total = 0

    def add(self, listing: Listing[T]) -> tuple[T, ...]:
        """Take note of the next page; those of its items that were not yielded yet."""
        self._pages += 1
        self._count += len(listing.items)
        self._uncounted |= listing.total is None
        if self._pages == 1:
            self._date_s = listing.date_s
            self.total = len(listing.items) if listing.total is None else listing.total
        elif listing.total is None:
            self.total = self._count
        elif listing.total != self.total:
            self._note(f"the total went from {self.total} to {listing.total}")
        fresh: list[T] = []
        for item in listing.items:
            key = self._call.identity(item)
            if not self.here.add(key):
                self._note("an item appeared twice")
                continue
            if not self._yielded or not any(key in ids for ids in self._yielded):
                fresh.append(item)
                if self._sign is None and self._pages > 1 and self._is_new(item):
                    self._note("an item was made meanwhile")
        return tuple(fresh)

    def _is_new(self, item: T) -> bool:
        created_at = self._call.created_at
        if created_at is None:
            return False
        return self._date_s is None or created_at(item).timestamp() >= self._date_s - _UNSEEN_S

    def _note(self, sign: str) -> None:
        self._sign = self._sign or sign

    def sign_of_change(self) -> str | None:
        """What showed that the pass is not a true picture; None if nothing did."""
        if self._count != self.total:
            return self._sign or f"{self._count} items for a total of {self.total}"
        if self._pages <= 1:
            return None
        if self._sign is None and self._uncounted and self.here != self._before:
            return "no total to count by" if self._before is None else "other items than before"
        return self._sign

    @property
    def undisturbed(self) -> bool:
        """Whether P1 to P4 are silent."""
        return self._sign is None and self._count == self.total


async def _read(
    engine: Engine, call: ListingCall[T], deadline: Deadline
) -> AsyncGenerator[tuple[int, Listing[T]], None]:
    """Yield the pages of one pass in order; after the first they are fetched concurrently."""

    async def fetch(number: int) -> Listing[T]:
        return await engine.call(call.page(number), deadline=deadline)

    first = await fetch(1)
    if first.total is None and first.last_page is None:
        listing, number = first, 1
        yield number, listing
        while len(listing.items) >= call.per_page:
            number += 1
            _check_caps(engine, call, number, number * call.per_page)
            listing = await fetch(number)
            yield number, listing
        return
    last = _last_page(first)
    _check_caps(engine, call, last, first.total or 0)
    numbers = iter(range(2, last + 1))
    in_flight: deque[tuple[int, asyncio.Task[Listing[T]]]] = deque()

    def start() -> bool:
        number = next(numbers, None)
        if number is not None:
            in_flight.append((number, asyncio.create_task(fetch(number))))
        return number is not None

    try:
        # Started and taken one by one: of responses that are there at once, one is decoded in each
        # turn of the loop, and others have theirs in between.
        while len(in_flight) < engine.config.page_concurrency and start():
            await pause(0)
        yield 1, first
        while in_flight:
            number, task = in_flight[0]
            if task.done():
                await pause(0)
            listing = await task
            in_flight.popleft()
            start()
            yield number, listing
    finally:
        for _, task in in_flight:
            task.cancel()
        # Gathered, so that whoever is cancelled while it waits here stays cancelled.
        await asyncio.gather(*(task for _, task in in_flight), return_exceptions=True)


def _last_page(first: Listing[object]) -> int:
    """How many pages there are: by the total and the size the server gave the first one.

    The server clamps per_page silently, so what it sent counts, not what was asked for.
    """
    if first.total is None:
        return first.last_page or 1
    size = len(first.items)
    return 1 if first.total <= size or size == 0 else -(-first.total // size)


def _check_caps(engine: Engine, call: ListingCall[T], pages: int, items: int) -> None:
    config = engine.config
    if pages > config.max_pages or items > config.max_items:
        raise DecodeError(
            f"a listing of {pages} pages or {items} items is over the caps "
            f"(Config.max_pages, Config.max_items)",
            field="meta.total",
            method="GET",
            path=call.path,
        )
