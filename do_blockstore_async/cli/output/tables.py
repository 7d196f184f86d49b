"""Write results as a table, JSON, CSV or a list of ids: the one place that does.

Rows are written as they come, page by page, so that the first is out before the last has been
fetched and memory stays flat. What fails on the way leaves an unfinished document, so that nobody
takes it for all there is.

JSON holds the API's own field names; tables and CSV hold the columns a command chooses. CSV has raw
values (ISO times, whole ids), tables have readable ones, and `-` where there is nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from ..._export import ascii_json, csv_rows, csv_text, json_text, visible
from ..exit_codes import UsageError
from ..options import Output, TableOptions, current
from .layout import Column, Layout, lay_out, stacked, text_width
from .terminal import bold, print_stderr, terminal_width

__all__ = ["Column", "RowWriter", "show_one", "show_rows", "show_table", "write", "write_json"]

T = TypeVar("T")

_AS_GIVEN = TableOptions()


def _readable(value: Any) -> str:
    if isinstance(value, str):
        return value or "-"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_readable, value)) or "-"
    return "-" if value is None else str(value)


def write(text: str) -> None:
    """Write results that are strings already to stdout."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def write_json(text: str) -> None:
    """Write a JSON document to stdout; what its encoding cannot represent is escaped as in JSON."""
    write(_encodable(text))


def _encodable(text: str) -> str:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return ascii_json(text)
    return text


class RowWriter(Generic[T]):
    """Writes the rows of one listing in the form asked for, as they come.

    rows = RowWriter(output, VOLUMES, noun="volumes")
    rows.add(page.items)
    rows.end()
    """

    def __init__(
        self,
        output: Output,
        columns: Sequence[Column[T]],
        *,
        noun: str = "",
        is_filtered: bool = False,
        options: TableOptions = _AS_GIVEN,
        json_of: Callable[[T], Any] | None = None,
        totals: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare to write rows.

        Args:
            output: the form.
            columns: those that a table or CSV of them can have, the id first.
            noun: what they are, such as `volumes`, to say that there are none.
            is_filtered: whether there may be others.
            options: which columns, in which order, with headers or not.
            json_of: what JSON holds of an item; by default all of its fields.
            totals: a last row of a table, set apart: cells by the name of their column.

        Raises:
            UsageError: there is no such column, or the options exclude each other.
        """
        self._nothing = noun and f"no {noun}{' match' if is_filtered else ''}"
        self._key = None if options.sort is None else _sort_key(columns, options.sort)
        self._is_descending = (options.sort or "").startswith("-")
        self._held: list[T] = []
        self._is_empty = True
        chosen, is_fixed = _chosen(output, columns, options)
        self._form: _Form[T]
        if output in ("json", "json-full"):
            self._form = _Json(json_of if output == "json" else None)
        elif output == "csv":
            self._form = _Csv(chosen, headers=not options.no_headers)
        elif output == "name":
            self._form = _Names(columns[0])
        else:
            last = [totals.get(column.name, "-") for column in chosen] if totals else None
            self._form = _Table(
                chosen, headers=not options.no_headers, is_fixed=is_fixed, totals=last
            )

    def add(self, items: Sequence[T], *, is_last: bool = False) -> None:
        """Write the next items; sorted ones wait for the end.

        Args:
            items: in the order of the listing.
            is_last: whether it is known that no more will come.
        """
        self._is_empty = self._is_empty and not items
        if self._key is not None:
            self._held += items
        elif items:
            self._form.add(items, is_last)
            # A reader in a pipe has them now, not with the last page.
            sys.stdout.flush()

    def end(self) -> None:
        """Write what is left, and say so where there was nothing."""
        if self._held and self._key is not None:
            self._held.sort(key=self._key, reverse=self._is_descending)
            self._form.add(self._held, True)
        self._form.end()
        if self._is_empty and self._nothing:
            print_stderr(self._nothing)


def _named(columns: Sequence[Column[T]], name: str) -> Column[T]:
    wanted = name.strip().lower()
    for column in columns:
        if wanted in (column.name.lower(), column.header.lower()):
            return column
    known = ", ".join(column.name for column in columns)
    raise UsageError(f"unknown column {name.strip() or repr(name)}; columns: {known}")


def _chosen(
    output: Output, columns: Sequence[Column[T]], options: TableOptions
) -> tuple[list[Column[T]], bool]:
    """The columns of a table or CSV, and whether they were asked for."""
    if options.columns is not None:
        if output in ("json", "json-full", "name"):
            raise UsageError(f"--columns is for tables and CSV: leave it or -o {output} out")
        return [_named(columns, name) for name in options.columns.split(",")], True
    if output == "wide":
        return list(columns), True
    return [column for column in columns if not column.wide], False


def _sort_key(columns: Sequence[Column[T]], sort: str) -> Callable[[T], Any]:
    value = _named(columns, sort.removeprefix("-")).value
    is_descending = sort.startswith("-")

    def key(item: T) -> tuple[bool, Any]:
        found = value(item)
        is_empty = found is None or found in ("", ())
        # Where there is nothing it comes last, both ways; nothing is compared with a value.
        return is_empty is not is_descending, (0 if is_empty else found)

    return key


class _Form(Generic[T]):
    """One form of output."""

    def add(self, items: Sequence[T], is_last: bool) -> None:
        """Write some items, at least one."""
        raise NotImplementedError

    def end(self) -> None:
        """Write what comes after the last."""


class _Names(_Form[T]):
    def __init__(self, column: Column[T]) -> None:
        self._value = column.value

    def add(self, items: Sequence[T], is_last: bool) -> None:
        sys.stdout.write("".join(f"{self._value(item)}\n" for item in items))


class _Json(_Form[T]):
    def __init__(self, json_of: Callable[[T], Any] | None) -> None:
        self._json_of = json_of
        self._has_begun = False

    def add(self, items: Sequence[T], is_last: bool) -> None:
        values = list(items) if self._json_of is None else list(map(self._json_of, items))
        # Without the brackets of the list and their line ends.
        inner = json_text(values)[2:-2]
        sys.stdout.write((",\n" if self._has_begun else "[\n") + _encodable(inner))
        self._has_begun = True

    def end(self) -> None:
        sys.stdout.write("\n]\n" if self._has_begun else "[]\n")


class _Csv(_Form[T]):
    def __init__(self, columns: Sequence[Column[T]], *, headers: bool) -> None:
        self._values = [column.value for column in columns]
        self._header = [column.header for column in columns] if headers else None

    def add(self, items: Sequence[T], is_last: bool) -> None:
        self.end()
        sys.stdout.write(csv_rows([value(item) for value in self._values] for item in items))

    def end(self) -> None:
        """Write the header, if that was not done yet."""
        if self._header is not None:
            sys.stdout.write(csv_rows([self._header]))
            self._header = None


class _Table(_Form[T]):
    def __init__(
        self,
        columns: Sequence[Column[T]],
        *,
        headers: bool = True,
        is_fixed: bool = False,
        totals: Sequence[str] | None = None,
        remedy: str = "-o wide or --columns",
    ) -> None:
        self._columns = columns
        self._headers = headers
        self._is_fixed = is_fixed
        self._totals = [totals] if totals else []
        self._remedy = remedy
        self._layout: Layout | None = None

    def add(self, items: Sequence[T], is_last: bool) -> None:
        by_column = [_cells(column, items) for column in self._columns]
        self.add_rows(list(zip(*by_column, strict=True)), is_last)

    def add_rows(self, rows: Sequence[Sequence[str]], is_last: bool) -> None:
        """Write rows of cells, at least one."""
        layout = self._layout or self._begin(rows, is_last)
        sys.stdout.write("\n".join(layout.lines(rows)) + "\n")

    def _begin(self, rows: Sequence[Sequence[str]], is_last: bool) -> Layout:
        self._layout = layout = lay_out(
            self._columns,
            [*rows, *self._totals],
            terminal_width(),
            is_whole=is_last,
            is_fixed=self._is_fixed,
        )
        if self._headers and not layout.is_stacked:
            write(bold(layout.header()))
        return layout

    def end(self) -> None:
        if self._layout is None and terminal_width() is not None and not self._totals:
            # A file or a pipe gets its header all the same, a person a sentence.
            return
        layout = self._layout or self._begin((), True)
        for line in layout.lines(self._totals):
            write(bold(line))
        said = [f"left out: {', '.join(layout.left_out)}"] if layout.left_out else []
        if layout.has_short_ids:
            said.append("ids are shortened")
        if said:
            print_stderr(f"{'; '.join(said)} ({self._remedy} shows them)")


def _cells(column: Column[T], items: Sequence[T]) -> list[str]:
    values = map(column.value, items)
    if column.form:
        cells = ["-" if value is None else format(value, column.form) for value in values]
    else:
        cells = [value if type(value) is str and value else _readable(value) for value in values]
    # Nearly always all of a column can be shown as it is.
    joined = "".join(cells)
    if joined.isascii() and joined.isprintable():
        return cells
    return list(map(_cell_text, cells))


def _cell_text(text: str) -> str:
    """A text as the stream will show it, so that its width is known, in its column: no tab."""
    shown = visible(text).replace("\t", "\\t")
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def show_rows(
    output: Output,
    columns: Sequence[Column[T]],
    items: Iterable[T],
    *,
    noun: str = "",
    is_filtered: bool = False,
    options: TableOptions = _AS_GIVEN,
    json_of: Callable[[T], Any] | None = None,
    totals: Mapping[str, str] | None = None,
) -> None:
    """Show a listing that is complete; see `RowWriter`."""
    rows = RowWriter(
        output,
        columns,
        noun=noun,
        is_filtered=is_filtered,
        options=options,
        json_of=json_of,
        totals=totals,
    )
    rows.add(list(items), is_last=True)
    rows.end()


def show_one(
    output: Output,
    columns: Sequence[Column[T]],
    item: T,
    *,
    json_of: Callable[[T], Any] | None = None,
) -> None:
    """Show one object; as a table its columns are listed below each other."""
    if output in ("json", "json-full"):
        value = item if json_of is None or output == "json-full" else json_of(item)
        write_json(json_text(value))
    elif output == "csv":
        write(csv_text([c.header for c in columns], [[c.value(item) for c in columns]]))
    elif output == "name":
        write(str(columns[0].value(item)))
    else:
        cells = [_cells(column, [item])[0] for column in columns]
        width = max(len(column.header) for column in columns)
        room = terminal_width()
        lines = [
            f"{column.header:<{width}}  {cell}" for column, cell in zip(columns, cells, strict=True)
        ]
        if room is not None and max(map(text_width, lines)) > room:
            lines = stacked(columns, room).lines([cells])
        write("\n".join(lines))


def show_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    totals: Sequence[str] | None = None,
    priorities: Sequence[int] = (),
) -> None:
    """Write a table of strings to stdout; columns that hold only numbers stand right.

    Args:
        header: a name for each column.
        rows: their cells.
        totals: a last row, set apart.
        priorities: which columns go first where it is narrow, as `Column.priority`; by default
            none goes.
    """
    body = [[_cell_text(cell) or "-" for cell in row] for row in rows]
    columns: list[Column[Any]] = [
        Column(name, lambda row: row, right=_all_numbers(row[i] for row in body), priority=priority)
        for i, (name, priority) in enumerate(
            zip(header, priorities or [0] * len(header), strict=True)
        )
    ]
    last = None if totals is None else [_cell_text(cell) or "-" for cell in totals]
    is_wide = current().shown == "wide"
    table: _Table[Any] = _Table(columns, is_fixed=is_wide, totals=last, remedy="-o wide")
    if body:
        table.add_rows(body, True)
    table.end()


def _all_numbers(cells: Iterable[str]) -> bool:
    found = [cell for cell in cells if cell != "-"]
    return bool(found) and all(
        cell.replace(",", "").replace(".", "").lstrip("+-").isdigit() for cell in found
    )
