"""Volumes and snapshots for tests of bulk jobs, without a client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from do_blockstore_async.bulk.model.prices import Prices
from do_blockstore_async.bulk.model.snapshot_names import Template
from do_blockstore_async.bulk.planning.policy import SnapshotPolicy
from do_blockstore_async.models import Region, Volume, VolumeSnapshot

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
TEMPLATE = "{volume}-{region}-{date}"


def volume(number: int = 1, *, region: str = "nyc3", **fields: Any) -> Volume:
    values: dict[str, Any] = {
        "id": f"aaaa{number:04x}",
        "name": f"db-{number}",
        "size_gigabytes": 10,
        "region": Region(region, region, True),
        "created_at": NOW - timedelta(days=100),
    }
    return Volume(**{**values, **fields})


def snapshot(
    of: Volume,
    number: int,
    *,
    days: float = 1.0,
    tags: tuple[str, ...] = ("bulk-job:nightly",),
    **fields: Any,
) -> VolumeSnapshot:
    at = NOW - timedelta(days=days)
    values: dict[str, Any] = {
        "id": f"{of.id}bb{number:04x}",
        "name": f"{of.name}-{of.region.slug}-{at:%Y-%m-%d}",
        "created_at": at,
        "resource_id": of.id,
        "resource_type": "volume",
        "regions": (of.region.slug,),
        "min_disk_size": of.size_gigabytes,
        "size_gigabytes": 5.0,
        "tags": tags,
    }
    return VolumeSnapshot(**{**values, **fields})


def policy_of(**changes: Any) -> SnapshotPolicy:
    values: dict[str, Any] = {
        "job": "nightly",
        "template": Template(TEMPLATE),
        "at": NOW,
        "prices": Prices(),
    }
    return SnapshotPolicy(**{**values, **changes})
