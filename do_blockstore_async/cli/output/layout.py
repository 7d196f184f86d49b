"""Lay out a table: which columns fit, how wide they are, how rows become lines. Pure.

A file or a pipe has no width: every column stands there in full. On a terminal:

L1. A name or a number is never cut or folded, and a column is there in full or not at all.
L2. Too narrow: columns are left out, the least important first, down to those that matter more
    than whole ids; then ids are shortened; then more columns are left out, never those of
    priority 0.
L3. An id is cut at its end only, and what is left of it is one id's alone in that column. For that
    all rows have to be known: a listing that is still coming keeps its ids whole.
L4. Below 60 columns, or where even that does not fit, a row is a block of lines, `name: value`.

Widths are those of the first rows. Later ones may need more: in a pipe the column grows from there
on; on a terminal that row alone sticks out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, Generic, TypeVar

import attrs

__all__ = ["Column", "Layout", "front_length", "lay_out", "stacked", "text_width"]

T = TypeVar("T")

_GAP: Final = "  "
_WITHOUT_WIDTH: Final = frozenset({"Mn", "Me", "Cf"})
_STACK_BELOW: Final = 60
# Columns above this give way before ids are shortened.
_WORTH_SHORT_IDS: Final = 2
# The first group of a UUID.
_SHORTEST_FRONT: Final = 8


@attrs.frozen
class Column(Generic[T]):
    """A column of a table or CSV.

    Attributes:
        name: what `--columns` and `--sort` call it.
        value: takes it from an item.
        title: its header; the name by default.
        right: align to the right, as numbers are.
        priority: 0 is never left out on a narrow terminal; the highest goes first, and 1 and 2
            matter more than whole ids.
        form: how a table writes the value, such as `.2f`; by default by its type.
        is_id: an id, of which the front is enough where it is narrow.
        wide: only there with `-o wide`, or where it is asked for by name.
    """

    name: str
    value: Callable[[T], Any]
    title: str = ""
    right: bool = False
    priority: int = 0
    form: str = ""
    is_id: bool = False
    wide: bool = False

    @property
    def header(self) -> str:
        """What stands above it."""
        return self.title or self.name


def text_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    width = 0
    for character in text:
        # Accents, and what joins or varies emoji, take none of their own.
        if unicodedata.category(character) not in _WITHOUT_WIDTH:
            width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return width


def front_length(ids: Collection[str]) -> int:
    """Return how many characters from the front tell each of these ids from the others."""
    longest = 0
    for one, other in pairwise(sorted(set(ids))):
        shared = 0
        for ours, theirs in zip(one, other, strict=False):
            if ours != theirs:
                break
            shared += 1
        longest = max(longest, shared + 1)
    return max(_SHORTEST_FRONT, longest)


class Layout:
    """How the rows of one table are written.

    Attributes:
        left_out: headers of the columns that did not fit.
        has_short_ids: whether ids are shortened.
        is_stacked: a row is a block of lines.
    """

    def __init__(
        self,
        columns: Sequence[Column[Any]],
        widths: Sequence[int],
        *,
        shown: Sequence[int],
        fronts: dict[int, int],
        room: int | None,
        is_stacked: bool = False,
    ) -> None:
        self._columns = columns
        self._widths = list(widths)
        self._shown = tuple(shown)
        self._fronts = fronts
        self._room = room
        self._has_begun = False
        self.is_stacked = is_stacked
        self.has_short_ids = any(index in fronts for index in self._shown)
        self.left_out = [column.header for i, column in enumerate(columns) if i not in self._shown]

    def header(self) -> str:
        """Return the line above the rows."""
        cells = [[self._columns[index].header] for index in self._shown]
        return self._joined(cells)[0]

    def lines(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """Return the lines of some rows of cells, none of them empty."""
        if not rows:
            return []
        if self.is_stacked:
            return [line for row in rows for line in self._block(row)]
        cells = list(zip(*rows, strict=True))
        return self._joined([self._shortened(index, cells[index]) for index in self._shown])

    def _shortened(self, index: int, cells: Sequence[str]) -> Sequence[str]:
        front = self._fronts.get(index)
        return cells if front is None else [cell[:front] for cell in cells]

    def _joined(self, by_column: Sequence[Sequence[str]]) -> list[str]:
        """Join cells, given by column, to lines."""
        padded = []
        for index, cells in zip(self._shown, by_column, strict=True):
            is_last, right = index == self._shown[-1], self._columns[index].right
            # Most cells are ASCII, whose width Python knows.
            plain = "".join(cells).isascii()
            widest = max(map(len if plain else text_width, cells))
            if self._room is None and widest > self._widths[index]:
                self._widths[index] = widest
            width = self._widths[index]
            if is_last and not right:
                # No blanks at the end of a line.
                padded.append(cells)
            elif plain:
                padded.append([c.rjust(width) if right else c.ljust(width) for c in cells])
            else:
                blanks = [" " * (width - text_width(cell)) for cell in cells]
                pairs = zip(blanks, cells, strict=True)
                padded.append([b + c if right else c + b for b, c in pairs])
        return [_GAP.join(parts) for parts in zip(*padded, strict=True)]

    def _block(self, row: Sequence[str]) -> Iterator[str]:
        if self._has_begun:
            yield ""
        self._has_begun = True
        for index in self._shown:
            name, cell = self._columns[index].header, row[index]
            if self._room is None or len(name) + text_width(cell) + 2 <= self._room:
                yield f"{name}: {cell}"
            else:
                # A line of its own, so that it is whole where that is possible at all.
                yield f"{name}:"
                yield cell


def lay_out(
    columns: Sequence[Column[Any]],
    rows: Sequence[Sequence[str]],
    room: int | None,
    *,
    is_whole: bool = True,
    is_fixed: bool = False,
) -> Layout:
    """Lay out a table whose first rows these are.

    Args:
        columns: all columns it could have.
        rows: their cells.
        room: the width of the terminal; None for a file or a pipe.
        is_whole: no more rows will come.
        is_fixed: these columns were asked for: none is left out, and ids stay whole.
    """
    cells = list(zip(*rows, strict=True)) if rows else [() for _ in columns]
    widths = [
        max(map(text_width, (column.header, *of_column)))
        for column, of_column in zip(columns, cells, strict=True)
    ]
    everything = range(len(columns))
    if room is None:
        return Layout(columns, widths, shown=everything, fronts={}, room=None)
    fronts = {
        index: front_length(cells[index])
        for index, column in enumerate(columns)
        if column.is_id and is_whole and not is_fixed
    }
    short = list(widths)
    for index, front in fronts.items():
        short[index] = max(text_width(columns[index].header), min(widths[index], front))
    limits = sorted({column.priority for column in columns}, reverse=True)
    by_limit = {
        limit: [index for index in everything if columns[index].priority <= limit]
        for limit in (limits[:1] if is_fixed else limits)
    }
    if room >= _STACK_BELOW:
        for limit, shown in by_limit.items():
            if fronts and any(limit < c.priority <= _WORTH_SHORT_IDS for c in columns):
                break
            if _fits(widths, shown, room):
                return Layout(columns, widths, shown=shown, fronts={}, room=room)
        for shown in by_limit.values():
            if _fits(short, shown, room):
                return Layout(columns, short, shown=shown, fronts=fronts, room=room)
    return stacked(columns, room)


def stacked(columns: Sequence[Column[Any]], room: int) -> Layout:
    """Lay out rows as blocks of lines, which fit anywhere.

    Args:
        columns: all of them are shown.
        room: the width of the terminal.
    """
    return Layout(columns, (), shown=range(len(columns)), fronts={}, room=room, is_stacked=True)


def _fits(widths: Sequence[int], shown: Sequence[int], room: int) -> bool:
    return sum(widths[index] for index in shown) + len(_GAP) * (len(shown) - 1) <= room
