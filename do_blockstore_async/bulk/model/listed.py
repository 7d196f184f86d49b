"""What a job keeps of a listing: the models in a compact form, without what the collector visits.

A million snapshots as models are half as large again, and each full garbage collection would stop
the event loop for 200 ms to look at them. These are structs without cycles, so that it passes them
by, and what many of them have in common is one object. They have the fields of the models, and go
wherever a job only reads these. Pure.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Final, TypeAlias, TypeVar

import msgspec

from ...models import Region, Volume, VolumeSnapshot
from ...resources._ids import IdMap
from .rows import CompactRows

__all__ = [
    "AnySnapshot",
    "AnyVolume",
    "Gatherer",
    "ListedSnapshot",
    "ListedVolume",
    "SnapshotsByVolume",
    "snapshot_of",
    "volume_of",
]

R = TypeVar("R")

# With more different ones than that, sharing them is not worth its own memory.
_MOST_SHARED: Final = 1 << 18
_MOST_SHARED_IN_PART: Final = 1 << 12
_AGE: Final = attrgetter("created_at", "id")


class ListedVolume(msgspec.Struct, frozen=True, gc=False):
    """A volume; the fields are those of `Volume`."""

    id: str
    name: str
    size_gigabytes: int
    region: Region
    created_at: datetime
    description: str
    droplet_ids: tuple[int, ...]
    filesystem_type: str
    filesystem_label: str
    tags: tuple[str, ...]


class ListedSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A snapshot; the fields are those of `VolumeSnapshot`."""

    id: str
    name: str
    created_at: datetime
    resource_id: str
    resource_type: str
    regions: tuple[str, ...]
    min_disk_size: int
    size_gigabytes: float
    tags: tuple[str, ...]


AnyVolume: TypeAlias = Volume | ListedVolume
AnySnapshot: TypeAlias = VolumeSnapshot | ListedSnapshot


class SnapshotsByVolume(Mapping[str, "list[AnySnapshot]"]):
    """Snapshots by the id of their volume, each group from the oldest to the newest.

    One that does not say of which volume it is belongs to no group. Groups are put together when
    they are asked for: a hundred thousand of them at once would be as many things to collect. Until
    then each snapshot has the number of the one before it of the same volume.
    """

    __slots__ = ("_before", "_last", "_rows")

    def __init__(self, snapshots: Iterable[AnySnapshot]) -> None:
        rows: CompactRows[AnySnapshot] = CompactRows()
        before = array("q")
        last: IdMap[int] = IdMap()
        for snapshot in snapshots:
            volume_id = snapshot.resource_id
            if volume_id:
                part = last.part_of(volume_id)
                before.append(part.get(volume_id, -1))
                part[volume_id] = len(rows)
                rows.append(snapshot)
        self._rows, self._before, self._last = rows, before, last

    def __getitem__(self, volume_id: str) -> list[AnySnapshot]:
        number = self._last[volume_id]
        group: list[AnySnapshot] = []
        while number >= 0:
            group.append(self._rows.at(number))
            number = self._before[number]
        group.sort(key=_AGE)
        return group

    def __iter__(self) -> Iterator[str]:
        """Yield the ids in the order in which they were seen first."""
        for row, before in zip(self._rows, self._before, strict=True):
            if before < 0:
                yield row.resource_id

    def __len__(self) -> int:
        return len(self._last)


class Gatherer:
    """Makes compact forms of the models of one reading."""

    __slots__ = ("_texts", "_tuples")

    def __init__(self) -> None:
        self._texts: IdMap[str] = IdMap()
        self._tuples: dict[tuple[str, ...], tuple[str, ...]] = {}

    def volume(self, model: Volume) -> ListedVolume:
        """Return the compact form of a volume."""
        return ListedVolume(
            model.id,
            model.name,
            model.size_gigabytes,
            model.region,
            model.created_at,
            self._text(model.description),
            model.droplet_ids,
            self._text(model.filesystem_type),
            self._text(model.filesystem_label),
            self._tuple(model.tags),
        )

    def snapshot(self, model: VolumeSnapshot) -> ListedSnapshot:
        """Return the compact form of a snapshot."""
        return ListedSnapshot(
            model.id,
            model.name,
            model.created_at,
            self._text(model.resource_id),
            self._text(model.resource_type),
            self._tuple(model.regions),
            model.min_disk_size,
            model.size_gigabytes,
            self._tuple(model.tags),
        )

    def _text(self, value: str) -> str:
        part = self._texts.part_of(value)
        if len(part) < _MOST_SHARED_IN_PART:
            return part.setdefault(value, value)
        return part.get(value, value)

    def _tuple(self, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(self._tuples) < _MOST_SHARED:
            return self._tuples.setdefault(value, value)
        return self._tuples.get(value, value)


def volume_of(found: AnyVolume) -> Volume:
    """Return the model of a volume, for whoever is given it."""
    return found if isinstance(found, Volume) else Volume(*msgspec.structs.astuple(found))


def snapshot_of(found: AnySnapshot) -> VolumeSnapshot:
    """Return the model of a snapshot, for whoever is given it."""
    if isinstance(found, VolumeSnapshot):
        return found
    return VolumeSnapshot(*msgspec.structs.astuple(found))
