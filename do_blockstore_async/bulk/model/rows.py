"""Many rows as tuples of a few: the collector goes through a list or tuple of a million.

It goes through a list in each full collection, and at least once through a tuple, 40 ns a row; all
that time the event loop stands still. Short tuples of what it need not visit, such as structs
without cycles, it meets while they are new, a few at a time, and passes by from then on. Pure,
except that it frees many rows part by part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import eq
from typing import Any, Final, TypeVar, overload

from ...resources._disposal import MANY, free_parts

__all__ = ["CompactRows", "LongRows", "kept"]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

# The collector looks at a tuple once, and at up to 700 new ones at a time.
_IN_PAGE: Final = 1 << 7


class LongRows(Sequence[R_co]):
    """Rows in their order, which do not change; equal to a tuple of the same ones."""

    __slots__ = ("_pages", "_tail")

    _pages: Sequence[tuple[R_co, ...]]
    _tail: Sequence[R_co]

    def __init__(self, rows: Iterable[R_co] = ()) -> None:
        made = rows if isinstance(rows, CompactRows) else CompactRows(rows)
        self._pages, self._tail = tuple(made._pages), tuple(made._tail)

    def __iter__(self) -> Iterator[R_co]:
        return chain(chain.from_iterable(self._pages), self._tail)

    def __len__(self) -> int:
        return len(self._pages) * _IN_PAGE + len(self._tail)

    @overload
    def __getitem__(self, index: int) -> R_co: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[R_co, ...]: ...

    def __getitem__(self, index: int | slice) -> R_co | tuple[R_co, ...]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return tuple(self[number] for number in range(start, stop, step))
            first = start // _IN_PAGE
            near = chain(*self._pages[first : stop // _IN_PAGE + 1], self._tail)
            start, stop = start - first * _IN_PAGE, stop - first * _IN_PAGE
            return tuple(islice(near, start, max(start, stop)))
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"there are {len(self)} rows, and none of the index {index}")
        return self.at(number)

    def at(self, index: int) -> R_co:
        """Return the row number `index`, which there must be, from 0; quicker than `[index]`."""
        page, offset = divmod(index, _IN_PAGE)
        return self._tail[offset] if page == len(self._pages) else self._pages[page][offset]

    def __del__(self) -> None:
        # `__init__` may have failed.
        parts, self._pages = [*getattr(self, "_pages", ())], ()
        free_parts(parts)

    def __add__(self, more: Sequence[Any]) -> tuple[Any, ...]:
        return (*self, *more)

    def __radd__(self, before: Sequence[Any]) -> tuple[Any, ...]:
        return (*before, *self)

    def __contains__(self, row: object) -> bool:
        return row in self._tail or any(row in page for page in self._pages)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LongRows | tuple):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class CompactRows(LongRows[R]):
    """Rows of a listing, or of a plan that is being made."""

    __slots__ = ()

    _pages: list[tuple[R, ...]]
    _tail: list[R]

    def __init__(self, rows: Iterable[R] = ()) -> None:
        self._pages, self._tail = [], []
        self.extend(rows)

    def append(self, row: R) -> None:
        """Add a row."""
        self._tail.append(row)
        if len(self._tail) == _IN_PAGE:
            self._turn_page()

    def extend(self, rows: Iterable[R]) -> None:
        """Add rows."""
        more = iter(rows)
        while True:
            self._tail.extend(islice(more, _IN_PAGE - len(self._tail)))
            if len(self._tail) < _IN_PAGE:
                return
            self._turn_page()

    def _turn_page(self) -> None:
        self._pages.append(tuple(self._tail))
        self._tail.clear()

    __hash__ = None  # type: ignore[assignment] # it changes


def kept(rows: Collection[R]) -> Sequence[R]:
    """Return rows that stay, as a tuple, or where they are many as `LongRows`."""
    if len(rows) <= MANY:
        return tuple(rows)
    return rows if type(rows) is LongRows else LongRows(rows)
