"""What the report of an inventory shows, computed from its rows. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import attrs

from ..._export import builtins_of, iso_time, visible

if TYPE_CHECKING:
    from ...bulk import Inventory, InventoryRow, Prices
    from .earlier import Past

__all__ = ["Figures", "Growth", "figures_of"]

_DAY_S: Final = 86_400
_NEWEST_DAYS: Final = (1, 7, 30, 90)
_SHOWN: Final = 10
_TOP, _BOTTOM = 12.0, 84.0
_LEFT, _RIGHT = 1.0, 99.0


@attrs.frozen(kw_only=True)
class Bar:
    """One line of a bar chart: its label, and parts in percent of the longest line."""

    label: str
    parts: tuple[float, ...]
    cells: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Attention:
    """Volumes that somebody should look at: how many, what they cost, the largest of them."""

    count: int
    size_gigabytes: int
    monthly_cost: float
    rows: tuple[InventoryRow, ...]

    @classmethod
    def of(cls, rows: Sequence[InventoryRow]) -> Attention:
        """Sum up `rows`."""
        largest = sorted(rows, key=lambda row: (-row.monthly_cost, row.name))[:_SHOWN]
        return cls(
            count=len(rows),
            size_gigabytes=sum(row.size_gigabytes for row in rows),
            monthly_cost=sum(row.monthly_cost for row in rows),
            rows=tuple(largest),
        )


@attrs.frozen(kw_only=True)
class Growth:
    """Cost over time, as a line in percent of the chart's width and height.

    Attributes:
        points: x, y, and what stands there.
        ticks: y and the amount there.
        changed: the last amount less the first.
    """

    points: tuple[tuple[float, float, str], ...]
    ticks: tuple[tuple[float, str], ...]
    past: tuple[tuple[str, int, int, int, float], ...]
    changed: float
    since: datetime

    @property
    def segments(self) -> list[tuple[float, float, float, float]]:
        """The line, from each point to the next."""
        return [
            (one[0], one[1], two[0], two[1])
            for one, two in zip(self.points, self.points[1:], strict=False)
        ]


@attrs.frozen(kw_only=True)
class Figures:
    """Everything that the report shows apart from its rows; see `figures_of`."""

    inventory: Inventory
    scope: str
    with_snapshots: bool
    unprotected_days: int
    regions: tuple[Bar, ...]
    ages: tuple[Bar, ...]
    newest: tuple[Bar, ...]
    unattached: Attention
    unprotected: Attention
    orphaned: Attention
    growth: Growth | None
    data: dict[str, Any]

    def rows(self) -> list[list[Any]]:
        """Return the table's rows in the order of its columns, times in seconds since the epoch.

        The last column says whether a volume is attached (1), unprotected (2), or was deleted (4).
        """
        at = self.inventory.taken_at
        return [
            [
                visible(row.name),
                visible(row.volume_id),
                visible(row.region),
                row.size_gigabytes,
                row.age_days,
                row.droplet_id,
                [visible(tag) for tag in row.tags],
                row.snapshots,
                round(row.snapshots_gigabytes, 2),
                None if row.newest_snapshot_at is None else int(row.newest_snapshot_at.timestamp()),
                round(row.monthly_cost, 6),
                (row.droplet_id is not None)
                + 2 * (self.with_snapshots and _is_unprotected(row, at, self.unprotected_days))
                + 4 * row.orphaned,
            ]
            for row in self.inventory.rows
        ]


def figures_of(
    inventory: Inventory,
    prices: Prices,
    *,
    scope: str,
    with_snapshots: bool,
    unprotected_days: int,
    earlier: Sequence[Past] = (),
) -> Figures:
    """Compute what the report shows.

    Args:
        inventory: with its snapshots, or without.
        prices: by which its costs were computed.
        scope: which volumes it is about, in words.
        with_snapshots: whether snapshots were listed.
        unprotected_days: a volume without a snapshot that is younger counts as unprotected.
        earlier: inventories before this one, from the oldest on.
    """
    volumes = [row for row in inventory.rows if not row.orphaned]
    at = inventory.taken_at
    past = [each for each in earlier if each.taken_at < at]
    unprotected = (
        [row for row in volumes if _is_unprotected(row, at, unprotected_days)]
        if with_snapshots
        else []
    )
    return Figures(
        inventory=inventory,
        scope=scope,
        with_snapshots=with_snapshots,
        unprotected_days=unprotected_days,
        regions=_regions(inventory, prices),
        ages=_ages(inventory),
        newest=_newest(volumes, at),
        unattached=Attention.of([row for row in volumes if row.droplet_id is None]),
        unprotected=Attention.of(unprotected),
        orphaned=Attention.of([row for row in inventory.rows if row.orphaned]),
        growth=_growth(inventory, past) if past else None,
        data={
            "taken_at": iso_time(at),
            "currency": inventory.currency,
            "total": builtins_of(inventory.total),
            "by_region": builtins_of(inventory.by_region),
            "snapshots_by_age": builtins_of(inventory.snapshots_by_age),
            "scope": scope,
            "unprotected_days": unprotected_days,
            "history": [
                {
                    "taken_at": iso_time(each.taken_at),
                    "currency": each.currency,
                    "total": {
                        name: getattr(each.total, name) for name in each.total.__struct_fields__
                    },
                    "scope": each.scope,
                }
                for each in past
            ],
        },
    )


def _is_unprotected(row: InventoryRow, at: datetime, days: int) -> bool:
    newest = row.newest_snapshot_at
    is_old = newest is None or (at - newest).total_seconds() >= days * _DAY_S
    return is_old and not row.orphaned


def _percent(value: float, of: float) -> float:
    return round(100 * value / of, 2) if of else 0.0


def _regions(inventory: Inventory, prices: Prices) -> tuple[Bar, ...]:
    totals = sorted(inventory.by_region.items(), key=lambda item: (-item[1].monthly_cost, item[0]))
    largest = max((total.monthly_cost for _, total in totals), default=0.0)
    bars = []
    for region, total in totals:
        of_volumes = min(prices.volume(total.size_gigabytes), total.monthly_cost)
        of_snapshots = total.monthly_cost - of_volumes
        cells = (
            f"{total.volumes:,}",
            f"{total.size_gigabytes:,}",
            f"{total.snapshots:,}",
            f"{total.monthly_cost:,.2f}",
        )
        parts = (_percent(of_volumes, largest), _percent(of_snapshots, largest))
        bars.append(Bar(label=visible(region) or "-", parts=parts, cells=cells))
    return tuple(bars)


def _age(from_days: int, under_days: int | None) -> str:
    if under_days is None:
        return f"{from_days} days or more"
    if not from_days:
        return "less than a day" if under_days == 1 else f"less than {under_days} days"
    return f"{from_days} to {under_days} days"


def _ages(inventory: Inventory) -> tuple[Bar, ...]:
    groups = inventory.snapshots_by_age
    largest = max((group.size_gigabytes for group in groups), default=0.0)
    return tuple(
        Bar(
            label=_age(group.from_days, group.under_days),
            parts=(_percent(group.size_gigabytes, largest),),
            cells=(
                f"{group.snapshots:,}",
                f"{group.size_gigabytes:,.0f}",
                f"{group.monthly_cost:,.2f}",
            ),
        )
        for group in groups
    )


def _newest(volumes: Sequence[InventoryRow], at: datetime) -> tuple[Bar, ...]:
    """How old the newest snapshot of each volume is."""
    counts = [0] * (len(_NEWEST_DAYS) + 2)
    for row in volumes:
        newest = row.newest_snapshot_at
        if newest is None:
            counts[-1] += 1
        else:
            days = (at - newest).total_seconds() / _DAY_S
            counts[sum(days >= edge for edge in _NEWEST_DAYS)] += 1
    labels = [
        _age(low, high) for low, high in zip((0, *_NEWEST_DAYS), (*_NEWEST_DAYS, None), strict=True)
    ]
    largest = max(counts)
    return tuple(
        Bar(label=label, parts=(_percent(count, largest),), cells=(f"{count:,}",))
        for label, count in zip((*labels, "no snapshot"), counts, strict=True)
    )


def _growth(inventory: Inventory, past: Sequence[Past]) -> Growth:
    total = inventory.total
    lines = [
        (
            each.taken_at,
            each.total.volumes,
            each.total.size_gigabytes,
            each.total.snapshots,
            each.total.monthly_cost,
        )
        for each in past
    ]
    lines.append(
        (
            inventory.taken_at,
            total.volumes,
            total.size_gigabytes,
            total.snapshots,
            total.monthly_cost,
        )
    )
    first_at, last_at = lines[0][0], lines[-1][0]
    span_s = (last_at - first_at).total_seconds() or 1.0
    ticks = _ticks(max(line[4] for line in lines))

    def height(amount: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * amount / ticks[-1], 2)

    points = tuple(
        (
            round(_LEFT + (_RIGHT - _LEFT) * (line[0] - first_at).total_seconds() / span_s, 2),
            height(line[4]),
            f"{line[0]:%Y-%m-%d}: {line[4]:,.2f} {inventory.currency}",
        )
        for line in lines
    )
    return Growth(
        points=points,
        ticks=tuple((height(tick), f"{tick:,.10g}") for tick in ticks),
        past=tuple((f"{line[0]:%Y-%m-%d %H:%M}", *line[1:]) for line in reversed(lines)),
        changed=lines[-1][4] - lines[0][4],
        since=first_at,
    )


def _ticks(largest: float) -> list[float]:
    """Round amounts from 0 to `largest` or a little more, three to six of them."""
    if largest <= 0:
        return [0.0, 1.0]
    rough = largest / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [round(step * index, 10) for index in range(math.ceil(largest / step - 1e-9) + 1)]
