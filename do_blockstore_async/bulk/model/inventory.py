"""An inventory: every selected volume with its size, age, snapshots and costs. Pure data."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final

import attrs
import msgspec

from ..._export import csv_text, json_text
from ..._interop.structs import known_to_attrs
from ...resources._ids import IdSet
from .listed import AnySnapshot, AnyVolume, SnapshotsByVolume
from .prices import Prices
from .rows import CompactRows, kept

__all__ = [
    "Inventory",
    "InventoryRow",
    "InventoryTotal",
    "SnapshotAgeGroup",
    "take_inventory",
]

_AGES_DAYS: Final = (1, 7, 30, 90, 365)


@known_to_attrs()
class InventoryRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One volume, or (`orphaned`) the snapshots of a deleted volume.

    Attributes:
        age_days: since the volume was made.
        droplet_id: the Droplet it is attached to; None if it is not.
        snapshots, snapshots_gigabytes: how many, and their billable size.
        newest_snapshot_at: None without snapshots.
        monthly_cost: what the volume and its snapshots cost in a month.
    """

    volume_id: str
    name: str
    region: str
    size_gigabytes: int
    age_days: float
    droplet_id: int | None
    tags: tuple[str, ...]
    snapshots: int
    snapshots_gigabytes: float
    newest_snapshot_at: datetime | None
    monthly_cost: float
    orphaned: bool = False


_COLUMNS: Final = InventoryRow.__struct_fields__


@attrs.frozen(kw_only=True)
class InventoryTotal:
    """Sums over rows."""

    volumes: int = 0
    attached: int = 0
    size_gigabytes: int = 0
    snapshots: int = 0
    snapshots_gigabytes: float = 0.0
    monthly_cost: float = 0.0

    def plus(self, row: InventoryRow) -> InventoryTotal:
        """Return the sums with one more row."""
        return InventoryTotal(
            volumes=self.volumes + (not row.orphaned),
            attached=self.attached + (row.droplet_id is not None),
            size_gigabytes=self.size_gigabytes + row.size_gigabytes,
            snapshots=self.snapshots + row.snapshots,
            snapshots_gigabytes=self.snapshots_gigabytes + row.snapshots_gigabytes,
            monthly_cost=self.monthly_cost + row.monthly_cost,
        )


@attrs.frozen(kw_only=True)
class SnapshotAgeGroup:
    """The snapshots of an inventory that are about as old.

    Attributes:
        from_days: they are at least so many days old.
        under_days: and younger than so many; None for the oldest.
        snapshots, size_gigabytes: how many, and their billable size.
        monthly_cost: what they cost in a month.
    """

    from_days: int
    under_days: int | None
    snapshots: int = 0
    size_gigabytes: float = 0.0
    monthly_cost: float = 0.0


@attrs.frozen
class Inventory:
    """What the account holds, by volume.

    Attributes:
        rows: in the order of the listing.
        taken_at: when.
        currency: of all amounts.
        snapshots_by_age: the snapshots of all rows, from the youngest to the oldest.
    """

    rows: Sequence[InventoryRow]
    taken_at: datetime
    currency: str
    snapshots_by_age: tuple[SnapshotAgeGroup, ...] = ()

    @property
    def total(self) -> InventoryTotal:
        """Sums over all rows."""
        total = InventoryTotal()
        for row in self.rows:
            total = total.plus(row)
        return total

    @property
    def by_region(self) -> dict[str, InventoryTotal]:
        """Sums over each region, by slug."""
        regions: dict[str, InventoryTotal] = {}
        for row in self.rows:
            regions[row.region] = regions.get(row.region, InventoryTotal()).plus(row)
        return dict(sorted(regions.items()))

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return header and rows as strings."""
        header = (
            "region", "volume", "GiB", "age in days", "Droplet", "snapshots", "their GiB",
            f"{self.currency} a month",
        )  # fmt: skip
        return header, [
            (
                row.region,
                row.name,
                str(row.size_gigabytes),
                f"{row.age_days:.0f}",
                "" if row.droplet_id is None else str(row.droplet_id),
                str(row.snapshots),
                f"{row.snapshots_gigabytes:g}",
                f"{row.monthly_cost:.2f}",
            )
            for row in self.rows
        ]

    def to_json(self) -> str:
        """Return everything as one JSON object."""
        document = {
            "taken_at": self.taken_at,
            "currency": self.currency,
            "total": self.total,
            "by_region": self.by_region,
            "snapshots_by_age": self.snapshots_by_age,
            "volumes": self.rows,
        }
        return json_text(document)

    def to_csv(self) -> str:
        """Return one line of CSV for each volume, with a header; tags separated by semicolons."""
        return csv_text(_COLUMNS, map(attrgetter(*_COLUMNS), self.rows))


def take_inventory(
    volumes: Iterable[AnyVolume],
    snapshots: Iterable[AnySnapshot],
    at: datetime,
    prices: Prices,
    *,
    with_orphaned: bool,
) -> Inventory:
    """Make rows of the volumes, and of the snapshots whose volume is not among them."""
    grouped = SnapshotsByVolume(snapshots)
    rows: CompactRows[InventoryRow] = CompactRows()
    ages = _Ages(at)
    seen = IdSet()
    for volume in volumes:
        seen.add(volume.id)
        there = grouped.get(volume.id, [])
        weight = ages.add(there)
        rows.append(
            InventoryRow(
                volume_id=volume.id,
                name=volume.name,
                region=volume.region.slug,
                size_gigabytes=volume.size_gigabytes,
                age_days=round((at - volume.created_at).total_seconds() / 86_400, 2),
                droplet_id=next(iter(volume.droplet_ids), None),
                tags=volume.tags,
                snapshots=len(there),
                snapshots_gigabytes=weight,
                newest_snapshot_at=there[-1].created_at if there else None,
                monthly_cost=prices.volume(volume.size_gigabytes) + prices.snapshot(weight),
            )
        )
    for volume_id in grouped if with_orphaned else ():
        if volume_id in seen:
            continue
        there = grouped[volume_id]
        weight = ages.add(there)
        rows.append(
            InventoryRow(
                volume_id=volume_id,
                name="(deleted volume)",
                region=there[-1].regions[0] if there[-1].regions else "",
                size_gigabytes=0,
                age_days=0.0,
                droplet_id=None,
                tags=(),
                snapshots=len(there),
                snapshots_gigabytes=weight,
                newest_snapshot_at=there[-1].created_at,
                monthly_cost=prices.snapshot(weight),
                orphaned=True,
            )
        )
    return Inventory(kept(rows), at, prices.currency, ages.groups(prices))


class _Ages:
    """Counts snapshots by their age at a time."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._counts = [0] * (len(_AGES_DAYS) + 1)
        self._sizes = [0.0] * len(self._counts)

    def add(self, snapshots: Sequence[AnySnapshot]) -> float:
        """Count snapshots; return their billable size."""
        for snapshot in snapshots:
            days = (self._at - snapshot.created_at).total_seconds() / 86_400
            group = bisect_right(_AGES_DAYS, days)
            self._counts[group] += 1
            self._sizes[group] += snapshot.size_gigabytes
        return sum(snapshot.size_gigabytes for snapshot in snapshots)

    def groups(self, prices: Prices) -> tuple[SnapshotAgeGroup, ...]:
        """Return what was counted, from the youngest to the oldest."""
        return tuple(
            SnapshotAgeGroup(
                from_days=from_days,
                under_days=under_days,
                snapshots=count,
                size_gigabytes=size,
                monthly_cost=prices.snapshot(size),
            )
            for from_days, under_days, count, size in zip(
                (0, *_AGES_DAYS), (*_AGES_DAYS, None), self._counts, self._sizes, strict=True
            )
        )
