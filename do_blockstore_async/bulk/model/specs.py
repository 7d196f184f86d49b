"""Volumes to be created, from a file or from a program: read and checked before anything is sent.

A file is JSON (a list of objects), JSON lines, or CSV with a header; the names of the fields are
those of `VolumeSpec`. In CSV, tags are separated by semicolons and an empty cell is no value.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import attrs

from ..._schema.validation import (
    check_filesystem,
    check_id,
    check_region,
    check_size,
    check_tags,
    check_volume_name,
)
from ...errors import InvalidArgumentError
from ...models import Region, VolumeSnapshot
from ..errors import PlanError

__all__ = ["MAX_SPECS", "VolumeSpec", "parse_specs", "read_specs"]

_SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson", ".csv"})
MAX_SPECS: Final = 100_000
_MOST_PROBLEMS: Final = 20


def _texts(value: Iterable[str] | None) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidArgumentError("tags must be a list of strings")
    return tuple(value or ())


# They are checked with the rest, by `check`.
def _slug(region: str | Region) -> str:
    return region.slug if isinstance(region, Region) else region


def _id(snapshot: str | VolumeSnapshot | None) -> str | None:
    return snapshot.id if isinstance(snapshot, VolumeSnapshot) else snapshot


@attrs.frozen(kw_only=True)
class VolumeSpec:
    """A volume to be created; the fields are those of `store.volumes.create`.

    Raises:
        InvalidArgumentError: tags are one string and not a list.
    """

    name: str
    region: str = attrs.field(converter=_slug)
    size_gigabytes: int | None = None
    description: str | None = None
    filesystem_type: str | None = None
    filesystem_label: str | None = None
    snapshot_id: str | None = attrs.field(default=None, converter=_id)
    tags: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    def check(self) -> None:
        """Reject what `store.volumes.create` would reject.

        Raises:
            InvalidArgumentError: an argument is invalid.
        """
        check_volume_name(self.name)
        check_region(self.region)
        check_filesystem(self.filesystem_type, self.filesystem_label)
        if self.size_gigabytes is not None:
            check_size(self.size_gigabytes)
        elif self.snapshot_id is None:
            raise InvalidArgumentError("give size_gigabytes or snapshot_id")
        if self.snapshot_id is not None:
            check_id(self.snapshot_id, "snapshot id")
        if self.description is not None and not isinstance(self.description, str):
            raise InvalidArgumentError("description must be a string")
        check_tags(self.tags)


_FIELDS: Final = tuple(field.name for field in attrs.fields(VolumeSpec))


def parse_specs(text: str, suffix: str) -> list[VolumeSpec]:
    """Read the volumes to be created from a text, as `Bulk.plan_creations` does from a file.

    Args:
        text: a JSON list of objects, JSON lines, or CSV with a header.
        suffix: which of them, as the end of a file's name: `.json`, `.jsonl`, `.ndjson` or `.csv`.

    Returns:
        The specs, for `plan_creations`.

    Raises:
        PlanError: it cannot be read, or as `read_specs`; names the lines.
    """
    if suffix not in _SUFFIXES:
        raise PlanError(f"files end in .json, .jsonl, .ndjson or .csv, not {suffix!r}")
    try:
        if suffix == ".csv":
            return _read(_csv_rows(text))
        if suffix != ".json":
            return _read(_json_rows(text))
        rows = json.loads(text)
    except PlanError:
        raise
    except (ValueError, csv.Error, RecursionError) as error:
        raise PlanError(f"the file cannot be read: {error}") from None
    if not isinstance(rows, list):
        raise PlanError("the file must hold a list of volumes")
    return read_specs(rows)


def read_specs(rows: Iterable[VolumeSpec | Mapping[str, Any]]) -> list[VolumeSpec]:
    """Check specs, or make them out of mappings.

    Raises:
        PlanError: there are none or too many; or some are invalid, or have the same name in the
            same region: says which, all of them at once.
    """
    return _read((f"volume {at}", partial(_given, row)) for at, row in enumerate(rows, 1))


# Where a volume stands in what the user gave, and what makes its row.
_Row: TypeAlias = tuple[str, Callable[[], VolumeSpec | Mapping[str, Any]]]


def _given(row: VolumeSpec | Mapping[str, Any]) -> VolumeSpec | Mapping[str, Any]:
    return row


def _loaded(line: str) -> Mapping[str, Any]:
    try:
        row: Mapping[str, Any] = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"cannot be read: {error}") from None
    return row


def _json_rows(text: str) -> Iterator[_Row]:
    # Not `splitlines`: a text of JSON may hold what it takes for the end of a line, such as U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", partial(_loaded, line)


def _csv_rows(text: str) -> Iterator[_Row]:
    reader = csv.DictReader(io.StringIO(text))
    doubled = [name for name, count in Counter(reader.fieldnames or ()).items() if count > 1]
    if doubled:
        raise PlanError(f"the header names {', '.join(doubled)} more than once")
    for row in reader:
        yield f"line {reader.line_num}", partial(_from_csv, row)


def _from_csv(row: Mapping[str | None, Any]) -> dict[str, Any]:
    if None in row:
        raise InvalidArgumentError("more cells than the header")
    values: dict[str, Any] = {str(name): cell for name, cell in row.items() if cell}
    if "tags" in values:
        values["tags"] = [tag.strip() for tag in values["tags"].split(";") if tag.strip()]
    size = values.get("size_gigabytes", "")
    if size.isascii() and size.isdigit() and len(size) < 10:
        values["size_gigabytes"] = int(size)
    return values


def _read(rows: Iterable[_Row]) -> list[VolumeSpec]:
    specs: list[VolumeSpec] = []
    problems: list[str] = []
    first: dict[tuple[str, str], str] = {}
    for number, (where, make) in enumerate(rows, 1):
        if number > MAX_SPECS:
            raise PlanError(f"more than {MAX_SPECS} volumes in one plan: make several plans")
        try:
            row = make()
            spec = row if isinstance(row, VolumeSpec) else _from_mapping(row)
            spec.check()
        except (InvalidArgumentError, TypeError) as error:
            problems.append(f"{where}: {error}")
            continue
        other = first.setdefault((spec.name, spec.region), where)
        if other != where:
            problems.append(
                f"{where}: {spec.name!r} in {spec.region} is the name of {other} too; a name is "
                "unique in a region"
            )
        specs.append(spec)
    if problems:
        raise PlanError(_in_words(problems))
    if not specs:
        raise PlanError("nothing to create: give at least one volume")
    return specs


def _in_words(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    more = len(problems) - _MOST_PROBLEMS
    shown = [*problems[:_MOST_PROBLEMS], *([f"... and {more:,} more"] if more > 0 else [])]
    return "\n  ".join([f"{len(problems):,} volumes cannot be created:", *shown])


def _from_mapping(row: Mapping[str, Any]) -> VolumeSpec:
    if not isinstance(row, Mapping):
        raise InvalidArgumentError(f"not an object: {row!r:.80}")
    unknown = sorted(str(name) for name in row if name not in _FIELDS)
    if unknown:
        raise InvalidArgumentError(
            f"unknown field {', '.join(unknown)}; the fields are {', '.join(_FIELDS)}"
        )
    missing = [name for name in ("name", "region") if row.get(name) is None]
    if missing:
        raise InvalidArgumentError(f"{' and '.join(missing)} must be given")
    values = {name: value for name, value in row.items() if value is not None}
    return VolumeSpec(**values)
