"""Results as a table, JSON or CSV.

JSON holds the API's own fields with their own names; tables and CSV hold the columns a command
chooses. CSV has raw values (ISO times, whole ids), tables have readable ones.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs

from .settings import Output
from .terminal import results, safe

__all__ = ["Column", "as_csv_value", "plain", "show_one", "show_rows", "show_table", "write"]

T = TypeVar("T")


@attrs.frozen
class Column(Generic[T]):
    """A column of a table or CSV.

    Attributes:
        right: numbers stand to the right.
        whole: never folded or cut on a narrow terminal, such as an id to be copied.
    """

    name: str
    value: Callable[[T], Any]
    right: bool = False
    whole: bool = False


def plain(value: Any) -> Any:
    """`value` as JSON can hold it, with the vendor's field names."""
    if attrs.has(type(value)):
        return {
            field.name: plain(getattr(value, field.name))
            for field in attrs.fields(type(value))
            if not field.name.startswith("_")
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def as_csv_value(value: Any) -> str:
    """A value as one field of CSV: several parts are separated by semicolons."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, list | tuple):
        return ";".join(as_csv_value(part) for part in value)
    return str(value)


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
    """Results that are text already."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def show_rows(output: Output, columns: Sequence[Column[T]], items: Iterable[T]) -> None:
    """A listing."""
    if output == "json":
        write(json.dumps([plain(item) for item in items], indent=2))
    elif output == "csv":
        _csv([c.name for c in columns], ([c.value(item) for c in columns] for item in items))
    else:
        rows = [[_readable(c.value(item)) for c in columns] for item in items]
        show_table([c.name for c in columns], rows, columns=columns)


def show_one(output: Output, columns: Sequence[Column[T]], item: T) -> None:
    """One thing: as a table, its columns stand below each other."""
    if output == "json":
        write(json.dumps(plain(item), indent=2))
    elif output == "csv":
        _csv([c.name for c in columns], [[c.value(item) for c in columns]])
    else:
        width = max(len(column.name) for column in columns)
        for column in columns:
            value = safe(_readable(column.value(item)))
            write(f"{column.name:<{width}}  {value}".rstrip())


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    clean = safe if sys.stdout.isatty() else str
    for row in rows:
        writer.writerow([clean(as_csv_value(value)) for value in row])


def show_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    columns: Sequence[Column[Any]] | None = None,
    totals: Sequence[str] | None = None,
    title: str | None = None,
) -> None:
    """A table of texts on stdout.

    Args:
        columns: how each column is laid out; without it, those that hold only numbers stand right.
        totals: a last row, set apart.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = results()
    body = [[safe(cell) for cell in row] for row in rows]
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
