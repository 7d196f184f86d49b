r"""Values as CSV, JSON and plain text, for spreadsheets, programs and terminals. Pure.

Every table, report and listing that leaves this package is written here, by the same rules:

- Characters that control a terminal or reorder text (C0 and C1 controls, bidirectional marks, line
  separators) come out as visible escapes such as `\x1b`, in JSON as `\u001b`. Names and
  descriptions are free text of somebody else.
- CSV: `true` and `false`; times in ISO 8601, in UTC with a `Z`; None is an empty field; the parts
  of a list are separated by semicolons; one line for each row. A text that a spreadsheet would take
  for a formula gets an apostrophe in front. Numbers do not: -5 is no formula.
- JSON: two spaces of indentation, letters of all languages as they are, the same times.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import attrs

__all__ = [
    "aligned_text",
    "ascii_json",
    "builtins_of",
    "csv_rows",
    "csv_text",
    "iso_time",
    "json_text",
    "visible",
]

# Tab is left: it moves no further than a blank. Surrogates cannot be encoded.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Spreadsheets skip blanks in front of a formula, and read full-width forms of the signs.
_FORMULA: Final = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_AT_ONCE: Final = 500
_NOT_ASCII: Final = re.compile("[^\x00-\x7f]")


def visible(text: str) -> str:
    r"""Return `text` with its control characters escaped, such as `\x1b` or `\n`."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def iso_time(value: datetime) -> str:
    """Return an aware time in ISO 8601, in UTC with a `Z`."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return CSV with a header and one line for each row.

    Args:
        columns: the header.
        rows: for each row its values, as many as there are columns.
    """
    return csv_rows([columns]) + csv_rows(rows)


def csv_rows(rows: Iterable[Iterable[Any]]) -> str:
    """Return lines of CSV, one for each row.

    Args:
        rows: for each row its values.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_csv_field(value) for value in row] for row in rows)
    return text.getvalue()


def _csv_field(value: Any) -> str:
    text = visible(_field_text(value))
    # A text may be a formula, a number is none, whatever its sign.
    is_text = isinstance(value, str | list | tuple)
    return f"'{text}" if is_text and _FORMULA.match(text) else text


def _field_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ";".join(map(_field_text, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso_time(value)
    return "" if value is None else str(value)


def json_text(value: Any) -> str:
    """Return `value` as one JSON document, indented by two spaces.

    Args:
        value: builtin types, attrs classes (their public fields, under their own names), times.

    Raises:
        TypeError: there is something else in it.
        ValueError: a number in it is infinite or none.
    """
    # Appended to, a text grows where it stands; joined, fifty megabytes would be copied at once,
    # and no other thread runs meanwhile.
    text = ""
    for piece in _json_pieces(value, ""):
        text += piece
    return text


def _json_pieces(value: Any, indent: str) -> Iterator[str]:
    """Yield the document in pieces, none of which takes long; what stands deeper is short."""
    # In JSON a line never ends inside of a string.
    newline = f"\n{indent}"
    if isinstance(value, Mapping) and value and not indent:
        before = "{\n  "
        for key, item in value.items():
            yield f"{before}{_json_at_once(str(key))}: "
            yield from _json_pieces(item, "  ")
            before = ",\n  "
        yield "\n}"
    elif _is_array(value) and len(value) > _AT_ONCE:
        before = "[\n"
        for start in range(0, len(value), _AT_ONCE):
            part = _json_at_once(value[start : start + _AT_ONCE])[2:-2]
            yield f"{before}{part}".replace("\n", newline)
            before = ",\n"
        yield f"{newline}]"
    else:
        yield _json_at_once(value).replace("\n", newline)


def _json_at_once(value: Any) -> str:
    # Imported late: the command line needs `visible` of this module for its help.
    import msgspec

    compact = json.dumps(builtins_of(value), ensure_ascii=False, allow_nan=False)
    # In JSON such a character can only stand in a string. This is several times faster than
    # `json.dumps(..., indent=2)`, which is not done in C.
    return msgspec.json.format(_UNSAFE.sub(_json_escape, compact), indent=2)


def ascii_json(text: str) -> str:
    """Return the same JSON in ASCII, for streams that cannot encode every letter."""
    return _NOT_ASCII.sub(_json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    # Half of a surrogate pair is no character: many parsers refuse it.
    is_half = "\ud800" <= match[0] <= "\udfff"
    return json.dumps("\ufffd" if is_half else match[0])[1:-1]


def builtins_of(value: Any) -> Any:
    """Return `value` in builtin types; msgspec would do it, but sorts the fields by name.

    Raises:
        TypeError: there is something else in it.
    """
    kind: Any = type(value)
    if kind in _SCALARS:
        return value
    if fields := _public_fields(kind):
        return {name: builtins_of(getattr(value, name)) for name in fields}
    if isinstance(value, Mapping):
        return {str(key): builtins_of(item) for key, item in value.items()}
    if _is_array(value):
        return [builtins_of(item) for item in value]
    if isinstance(value, datetime):
        return iso_time(value)
    raise TypeError(f"{kind.__name__} has no form in JSON")


def _is_array(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


@cache
def _public_fields(kind: type) -> tuple[str, ...]:
    if not attrs.has(kind):
        return ()
    return tuple(field.name for field in attrs.fields(kind) if not field.name.startswith("_"))


def aligned_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in plain text, its columns padded with spaces."""
    lines = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )
