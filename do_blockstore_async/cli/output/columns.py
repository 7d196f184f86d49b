"""Which columns a table or CSV of each model has."""

from __future__ import annotations

from ...models import Action, Region, Volume, VolumeSnapshot
from .tables import Column

__all__ = ["ACTIONS", "REGIONS", "SNAPSHOTS", "VOLUME", "VOLUMES"]

VOLUMES: tuple[Column[Volume], ...] = (
    Column("id", lambda v: v.id, whole=True),
    Column("name", lambda v: v.name),
    Column("region", lambda v: v.region.slug, whole=True),
    Column("GiB", lambda v: v.size_gigabytes, right=True, whole=True),
    Column("droplet", lambda v: v.droplet_ids, right=True),
    Column("tags", lambda v: v.tags),
)

VOLUME: tuple[Column[Volume], ...] = (
    *VOLUMES,
    Column("created_at", lambda v: v.created_at),
    Column("filesystem_type", lambda v: v.filesystem_type),
    Column("filesystem_label", lambda v: v.filesystem_label),
    Column("description", lambda v: v.description),
)

SNAPSHOTS: tuple[Column[VolumeSnapshot], ...] = (
    Column("id", lambda s: s.id, whole=True),
    Column("name", lambda s: s.name),
    Column("created_at", lambda s: s.created_at),
    Column("GiB", lambda s: s.size_gigabytes, right=True, whole=True),
    Column("regions", lambda s: s.regions),
    Column("volume", lambda s: s.resource_id, whole=True),
    Column("tags", lambda s: s.tags),
)

ACTIONS: tuple[Column[Action], ...] = (
    Column("id", lambda a: a.id, right=True, whole=True),
    Column("type", lambda a: a.type),
    Column("status", lambda a: a.status, whole=True),
    Column("started_at", lambda a: a.started_at),
    Column("completed_at", lambda a: a.completed_at),
    Column("region", lambda a: a.region_slug),
)

REGIONS: tuple[Column[Region], ...] = (
    Column("slug", lambda r: r.slug, whole=True),
    Column("name", lambda r: r.name),
    Column("available", lambda r: r.available),
    Column("storage", lambda r: "storage" in r.features),
    Column("sizes", lambda r: len(r.sizes), right=True),
)
