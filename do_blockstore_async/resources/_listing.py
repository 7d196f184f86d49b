"""What `list()` returns: one listing, to be iterated, awaited, or read page by page.

Nothing is sent before it is. Each iteration reads the listing anew, behind it an async generator
(`_pagination.py`): leaving a loop early cancels the requests in flight.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakSet

import msgspec

from .._deadline import Timeout
from .._http.checks import check_timeout
from .._http.engine import Engine
from .._http.request import Listing, RawResponse
from .._interop.model import row_of
from .._schema.validation import check_per_page
from ..models import Page
from ._pagination import ListingCall, items, pages

__all__ = ["AsyncListing"]

T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")


class AsyncListing(Generic[T_co]):
    """A listing: iterate it, or await it for a list.

        async for volume in store.volumes.list(): ...
        volumes = await store.volumes.list()

    Nothing is sent before that. Each item that exists throughout comes exactly once, also while
    others are created and deleted. Leaving a loop early cancels the requests in flight.
    """

    __slots__ = ("_begun", "_call", "_engine", "_source", "_timeout_s")

    def __init__(self, engine: Engine, call: ListingCall[T_co], *, timeout: Timeout = None) -> None:
        check_per_page(call.per_page)
        self._timeout_s = check_timeout(timeout)
        self._engine = engine
        self._call = call
        # What `anext` reads from. Loops are known weakly: one that is left has to end at once.
        self._source: AsyncGenerator[T_co, None] | None = None
        self._begun: WeakSet[AsyncGenerator[T_co, None]] = WeakSet()

    def __aiter__(self) -> AsyncGenerator[T_co, None]:
        source = items(self._engine, self._call, timeout=self._timeout_s)
        self._begun.add(source)
        return source

    async def __anext__(self) -> T_co:
        if self._source is None:
            self._source = self.__aiter__()
        return await anext(self._source)

    def __await__(self) -> Generator[Any, None, builtins.list[T_co]]:
        return self._all().__await__()

    async def _all(self) -> builtins.list[T_co]:
        return [item async for item in items(self._engine, self._call, timeout=self._timeout_s)]

    def pages(self) -> AsyncGenerator[Page[T_co], None]:
        """Read it page by page.

        Raises:
            ListingChangedError: it changed during each of three passes.
        """
        return pages(self._engine, self._call, timeout=self._timeout_s)

    def _mapped(self, change: Callable[[T_co], R]) -> AsyncListing[R]:
        """Return a listing of what `change` makes of the items, as soon as they are decoded.

        So the pages that are read ahead hold no models: twelve pages of 200, alive whenever the
        garbage collector looks and dead soon after, would add up to full collections.

        Args:
            change: keeps the attributes that an item is known by, such as `id` and `created_at`.
        """
        decode = self._call.decode

        def changed(raw: RawResponse) -> Listing[R]:
            listing: Any = decode(raw)
            return msgspec.structs.replace(listing, items=tuple(map(change, listing.items)))

        call: Any = msgspec.structs.replace(self._call, decode=changed)
        return AsyncListing(self._engine, call, timeout=self._timeout_s)

    async def first(self) -> T_co | None:
        """Return the first item, or None if there is none. Requests: 1, for one item.

        Raises:
            BlockStoreError: see `errors`.
        """
        call = msgspec.structs.replace(self._call, per_page=1)
        listing = await self._engine.call(call.page(1), timeout=self._timeout_s)
        return listing.items[0] if listing.items else None

    async def to_dicts(self) -> builtins.list[dict[str, Any]]:
        """Return all items as rows of a table, as `pandas.DataFrame` and polars take them.

        A region is its slug; times stay times. For JSON take `item.to_dict()`.

        Raises:
            ListingChangedError: it changed during each of three passes.
        """
        return [row_of(item) for item in await self._all()]

    async def aclose(self) -> None:
        """End the iterations that were begun; their requests in flight are cancelled."""
        self._source = None
        for source in tuple(self._begun):
            await source.aclose()

    def __repr__(self) -> str:
        return f"<listing of {self._call.path}: iterate it with `async for`, or await it>"

    if not TYPE_CHECKING:
        # Type checkers report these; at run time they say what to write.

        def __len__(self) -> int:
            raise TypeError("its length is not known yet: len(await store.volumes.list())")

        def __bool__(self) -> bool:
            raise TypeError(
                "whether it is empty is not known yet: "
                "if await store.volumes.list().first() is not None"
            )

        def __getitem__(self, index: object) -> Any:
            # `for` comes here too. With `__iter__` it would count as iterable.
            raise TypeError(
                "a listing is read with `async for item in ...`, or awaited for a list: "
                "`items = await store.volumes.list()`"
            )

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(
                f"a listing has no {name!r}: iterate it with `async for`, or await it for a list"
            )


AsyncListing.__module__ = "do_blockstore_async"
