"""Snapshots: of one volume, of the whole account; create, get, delete. Pure."""

from __future__ import annotations

import math

from .._errors import api_error
from .._messages import uuid_text
from ..state.account import Account
from ..state.entities import SimSnapshot
from ..state.index import OrderedIndex
from .pagination import page_of, page_of_list
from .request import Call
from .volumes import check_tags, volume_of

__all__ = [
    "create_snapshot",
    "delete_snapshot",
    "get_snapshot",
    "list_snapshots",
    "list_snapshots_of",
]


def list_snapshots(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/snapshots: there are no snapshots of Droplets here."""
    kind = call.query.get("resource_type")
    if kind not in (None, "", "volume"):
        # GUESS: an unknown type filters everything out.
        return page_of_list(account, call, "snapshots", (), SimSnapshot.json)
    state, nulls, region = account.state, account.nulls, call.query.get("region")
    index = state.snapshots_in_order
    if region:
        # GUESS: godo's call shows the parameter, no page says what it does; unknown ones have none.
        index = state.snapshots_in.get(region) or OrderedIndex()
    return page_of(
        account,
        call,
        "snapshots",
        len(index),
        lambda start, count: [snapshot.json(nulls) for snapshot in index.slice(start, count)],
    )


def list_snapshots_of(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/volumes/{id}/snapshots. GUESS: 404 once the volume is gone."""
    volume, nulls = volume_of(account, call), account.nulls
    found = list(account.state.snapshots_of.get(volume.id, {}).values())
    return page_of_list(account, call, "snapshots", found, lambda s: s.json(nulls))


def _snapshot_of(account: Account, call: Call) -> SimSnapshot:
    snapshot = account.state.snapshots.get(call.values[0].lower())
    if snapshot is None:
        raise api_error("not_found")
    return snapshot


def get_snapshot(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/snapshots/{id} and /v2/volumes/snapshots/{id}."""
    return 200, b'{"snapshot":%s}' % _snapshot_of(account, call).json(account.nulls)


def delete_snapshot(account: Account, call: Call) -> tuple[int, bytes]:
    """DELETE /v2/snapshots/{id} and /v2/volumes/snapshots/{id}."""
    account.state.remove_snapshot(_snapshot_of(account, call))
    return 204, b""


def create_snapshot(account: Account, call: Call) -> tuple[int, bytes]:
    """POST /v2/volumes/{id}/snapshots."""
    volume = volume_of(account, call)
    name = call.text("name")
    if not name:
        raise api_error("snapshot_name")
    tags = check_tags(account, call)
    siblings = account.state.snapshots_of.get(volume.id, {})
    if any(other.name == name for other in siblings.values()):
        raise api_error("snapshot_taken")
    limit = account.max_snapshots
    if limit is not None and len(siblings) >= limit:
        raise api_error("snapshot_many")
    if volume.snapshot_s is not None:
        wait_s = volume.snapshot_s + account.snapshot_cooldown_s - call.now
        if wait_s > 0:
            hint_s = math.ceil(wait_s) if account.cooldown_retry_after else None
            raise api_error("cooldown", retry_after_s=hint_s)
    snapshot = SimSnapshot(
        id=uuid_text(account.random.getrandbits(128)),
        name=name,
        volume_id=volume.id,
        region=volume.region,
        min_disk_size=volume.size_gigabytes,
        # Evidence: terraform provider's test. 0 for an empty volume.
        size_gigabytes=volume.used_gigabytes,
        created_s=call.shown_s,
        seq=account.state.next_seq(),
        tags=tags,
    )
    # GUESS: the cooldown counts from the last snapshot that was taken, deleted or not.
    volume.snapshot_s = call.now
    account.state.add_snapshot(snapshot)
    return 201, b'{"snapshot":%s}' % snapshot.json(account.nulls)
