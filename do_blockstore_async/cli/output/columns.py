"""Which columns a table or CSV of each model has, and what JSON holds of it.

JSON is for people and their jq (docs/decisions/json-output.md): the API's own names; a region is
its slug; a text that is empty or missing is left out, a list never is. `--output json-full` has
every field, as the API has them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...models import Action, Region, Volume, VolumeSnapshot
from .layout import Column

if TYPE_CHECKING:
    from ...bulk import InventoryRow

__all__ = [
    "ACTIONS",
    "REGIONS",
    "SNAPSHOTS",
    "VOLUMES",
    "inventory_columns",
    "lean_json",
]

VOLUMES: tuple[Column[Volume], ...] = (
    Column("id", lambda v: v.id, is_id=True),
    Column("name", lambda v: v.name),
    Column("region", lambda v: v.region.slug, priority=1),
    Column("size", lambda v: v.size_gigabytes, title="GiB", right=True, priority=1),
    Column("droplet", lambda v: v.droplet_ids, right=True, priority=2),
    Column("tags", lambda v: v.tags, priority=3),
    Column("created_at", lambda v: v.created_at, wide=True),
    Column("filesystem_type", lambda v: v.filesystem_type, wide=True),
    Column("filesystem_label", lambda v: v.filesystem_label, wide=True),
    Column("description", lambda v: v.description, wide=True),
)

SNAPSHOTS: tuple[Column[VolumeSnapshot], ...] = (
    Column("id", lambda s: s.id, is_id=True),
    Column("name", lambda s: s.name),
    Column("created_at", lambda s: s.created_at, priority=1),
    Column("size", lambda s: s.size_gigabytes, title="GiB", right=True, priority=1),
    Column("regions", lambda s: s.regions, priority=3),
    Column("volume", lambda s: s.resource_id, is_id=True, priority=4),
    Column("tags", lambda s: s.tags, priority=5),
    Column("min_disk_size", lambda s: s.min_disk_size, right=True, wide=True),
)

ACTIONS: tuple[Column[Action], ...] = (
    Column("id", lambda a: a.id, right=True),
    Column("type", lambda a: a.type),
    Column("status", lambda a: a.status),
    Column("started_at", lambda a: a.started_at, priority=1),
    Column("completed_at", lambda a: a.completed_at, priority=2),
    Column("region", lambda a: a.region_slug, priority=3),
)

REGIONS: tuple[Column[Region], ...] = (
    Column("slug", lambda r: r.slug),
    Column("name", lambda r: r.name, priority=1),
    Column("available", lambda r: r.available, priority=2),
    Column("storage", lambda r: "storage" in r.features, priority=1),
    Column("sizes", lambda r: len(r.sizes), right=True, wide=True),
)


def inventory_columns(currency: str) -> tuple[Column[InventoryRow], ...]:
    """Return the columns of an inventory whose amounts are in `currency`."""
    return (
        Column("id", lambda r: r.volume_id, is_id=True, priority=2),
        Column("region", lambda r: r.region, priority=1),
        Column("name", lambda r: r.name, title="volume"),
        Column("size", lambda r: r.size_gigabytes, title="GiB", right=True, priority=1),
        Column("age", lambda r: r.age_days, title="days", right=True, priority=5,
               form=".0f"),
        Column("droplet", lambda r: r.droplet_id, title="Droplet", right=True, priority=2),
        Column("snapshots", lambda r: r.snapshots, right=True, priority=2),
        Column(
            "snapshot_size", lambda r: r.snapshots_gigabytes, title="their GiB", right=True,
            priority=3,
        ),
        Column(
            "cost", lambda r: r.monthly_cost, title=f"{currency} a month", right=True, form=".2f",
        ),
        Column("tags", lambda r: r.tags, wide=True),
        Column("newest_snapshot_at", lambda r: r.newest_snapshot_at, wide=True),
    )  # fmt: skip


# Fields that say what the kind says already, or that nobody asks of a volume's region.
_NOISE = {
    "VolumeSnapshot": ("resource_type",),
    "Action": ("region_slug", "resource_type"),
    "Region": ("sizes",),
}


def lean_json(model: Volume | VolumeSnapshot | Action | Region) -> dict[str, Any]:
    """Return what JSON holds of a model by default."""
    fields: dict[str, Any] = {}
    noise = _NOISE.get(type(model).__name__, ())
    for name in model.keys():  # noqa: SIM118 -- a model is no mapping
        value = getattr(model, name)
        if name in noise or value is None or value == "":
            continue
        is_plain = isinstance(value, str | int | float | tuple | datetime)
        fields[name] = value if is_plain else value.slug
    return fields
