"""Write results as a table, JSON or CSV.

JSON holds the API's own fields with their own names; tables and CSV hold the columns a command
chooses. CSV has raw values (ISO times, whole ids), tables have readable ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import attrs

from ..._export import ascii_json, csv_text, json_text, visible
from ..options import Output
from .terminal import results

__all__ = ["Column", "show_one", "show_rows", "show_table", "write", "write_json"]

T = TypeVar("T")


@attrs.frozen
class Column(Generic[T]):
    """A column of a table or CSV.

    Attributes:
        right: align to the right, as numbers are.
        whole: never folded or cut on a narrow terminal, such as an id to be copied.
    """

    name: str
    value: Callable[[T], Any]
    right: bool = False
    whole: bool = False


def _readable(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_readable(part) for part in value)
    return "" if value is None else str(value)


def write(text: str) -> None:
    """Write results that are strings already to stdout."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def write_json(text: str) -> None:
    """Write a JSON document to stdout; what its encoding cannot represent is escaped as in JSON."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = ascii_json(text)
    write(text)


def show_rows(output: Output, columns: Sequence[Column[T]], items: Iterable[T]) -> None:
    """Show a listing."""
    if output == "json":
        write_json(json_text(list(items)))
    elif output == "csv":
        _write_csv(columns, items)
    else:
        rows = [[_readable(c.value(item)) for c in columns] for item in items]
        show_table([c.name for c in columns], rows, columns=columns)


def show_one(output: Output, columns: Sequence[Column[T]], item: T) -> None:
    """Show one object; as a table its columns are listed below each other."""
    if output == "json":
        write_json(json_text(item))
    elif output == "csv":
        _write_csv(columns, [item])
    else:
        width = max(len(column.name) for column in columns)
        for column in columns:
            value = visible(_readable(column.value(item)))
            write(f"{column.name:<{width}}  {value}".rstrip())


def _write_csv(columns: Sequence[Column[T]], items: Iterable[T]) -> None:
    names = [column.name for column in columns]
    write(csv_text(names, ([column.value(item) for column in columns] for item in items)))


def show_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    columns: Sequence[Column[Any]] | None = None,
    totals: Sequence[str] | None = None,
    title: str | None = None,
) -> None:
    """Write a table of strings to stdout.

    Args:
        columns: how each column is laid out; without it, those that hold only numbers stand right.
        totals: a last row, set apart.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = results()
    body = [[visible(cell) for cell in row] for row in rows]
    table = Table(
        box=box.SIMPLE_HEAD if console.is_terminal else box.ASCII2,
        title=title,
        title_justify="left",
        show_footer=totals is not None,
        header_style="bold",
        footer_style="bold",
        pad_edge=False,
    )
    if not console.is_terminal:
        # A file or a pipe gets columns and blanks, which `awk` and people both read.
        table.box = None
    for index, name in enumerate(header):
        column = None if columns is None else columns[index]
        right = column.right if column else _all_numbers(row[index] for row in body)
        table.add_column(
            Text(name),
            Text(totals[index]) if totals else "",
            justify="right" if right else "left",
            no_wrap=column.whole if column else not console.is_terminal,
            overflow="fold",
        )
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _all_numbers(cells: Iterable[str]) -> bool:
    found = [cell for cell in cells if cell]
    return bool(found) and all(
        cell.replace(",", "").replace(".", "").lstrip("+-").isdigit() for cell in found
    )
