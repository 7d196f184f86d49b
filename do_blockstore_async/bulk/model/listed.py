"""What a job keeps of a listing: the models in a compact form, without what the collector visits.

A million snapshots as models are half as large again, and each full garbage collection would stop
the event loop for 200 ms to look at them. These are structs without cycles, so that it passes them
by, and what many of them have in common is one object. They have the fields of the models, and go
wherever a job only reads these. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from datetime import datetime
from itertools import chain
from typing import Final, TypeAlias, TypeVar

import msgspec

from ...models import Region, Volume, VolumeSnapshot

__all__ = [
    "AnySnapshot",
    "AnyVolume",
    "CompactRows",
    "Gatherer",
    "ListedSnapshot",
    "ListedVolume",
    "snapshot_of",
    "volume_of",
]

H = TypeVar("H", bound=Hashable)
R = TypeVar("R")

# With more different ones than that, sharing them is not worth its own memory.
_MOST_SHARED: Final = 1 << 18


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


class CompactRows(Collection[R]):
    """Rows of a listing, in its order, kept as the pages came.

    As tuples of what the collector need not visit they are passed by with it; one list of a million
    would be gone through in each full collection.
    """

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: list[tuple[R, ...]] = []

    def add(self, page: Iterable[R]) -> None:
        """Add the rows of the next page."""
        self._pages.append(tuple(page))

    def release(self) -> None:
        """Let go of the rows, page by page: a million at once would take 0.2 s, in any thread."""
        while self._pages:
            self._pages.pop()

    def __iter__(self) -> Iterator[R]:
        return chain.from_iterable(self._pages)

    def __len__(self) -> int:
        return sum(map(len, self._pages))

    def __contains__(self, row: object) -> bool:
        return any(row in page for page in self._pages)


class Gatherer:
    """Makes compact forms of the models of one reading."""

    __slots__ = ("_shared",)

    def __init__(self) -> None:
        self._shared: dict[Hashable, Hashable] = {}

    def volume(self, model: Volume) -> ListedVolume:
        """Return the compact form of a volume."""
        return ListedVolume(
            model.id,
            model.name,
            model.size_gigabytes,
            model.region,
            model.created_at,
            self._one(model.description),
            model.droplet_ids,
            self._one(model.filesystem_type),
            self._one(model.filesystem_label),
            self._one(model.tags),
        )

    def snapshot(self, model: VolumeSnapshot) -> ListedSnapshot:
        """Return the compact form of a snapshot."""
        return ListedSnapshot(
            model.id,
            model.name,
            model.created_at,
            self._one(model.resource_id),
            self._one(model.resource_type),
            self._one(model.regions),
            model.min_disk_size,
            model.size_gigabytes,
            self._one(model.tags),
        )

    def _one(self, value: H) -> H:
        shared = self._shared
        if len(shared) < _MOST_SHARED:
            return shared.setdefault(value, value)  # type: ignore[return-value] # an equal one
        return shared.get(value, value)  # type: ignore[return-value] # an equal one


def volume_of(found: AnyVolume) -> Volume:
    """Return the model of a volume, for whoever is given it."""
    return found if isinstance(found, Volume) else Volume(*msgspec.structs.astuple(found))


def snapshot_of(found: AnySnapshot) -> VolumeSnapshot:
    """Return the model of a snapshot, for whoever is given it."""
    if isinstance(found, VolumeSnapshot):
        return found
    return VolumeSnapshot(*msgspec.structs.astuple(found))
