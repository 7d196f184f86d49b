"""Every operation of the client in one table: how it is called, sent and answered.

A public method without a row fails `test_every_operation_has_a_row`, and a row is tested with
every status: so nothing public is untested.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from do_blockstore_async import Action, BlockStore
from tests.support.scripted_server import (
    ACTION,
    REGION,
    SNAPSHOT,
    SNAPSHOT_ID,
    VOLUME,
    VOLUME_ID,
    listing,
)

__all__ = ["OPERATIONS", "Operation", "ids", "statuses_of"]


@attrs.frozen(kw_only=True)
class Operation:
    """One way to call one method.

    Attributes:
        method, path, query, body: the request, as the API reference has it.
        status: of the documented answer; `answer` is its body.
        fields: what the result must look like: attributes of the first item, or of the value.
        idempotent: whether a lost answer is followed by the same request again.
        scopes: those of which the token needs one, as the reference names them.
    """

    name: str
    call: Callable[[BlockStore], Awaitable[Any]]
    method: str
    path: str
    query: dict[str, str] = attrs.field(factory=dict)
    body: Any = None
    status: int
    answer: Any = b""
    fields: dict[str, Any] = attrs.field(factory=dict)
    scopes: tuple[str, ...]
    variant: str = ""

    @property
    def idempotent(self) -> bool:
        return self.method == "GET" or (self.method == "DELETE" and "name" not in self.query)

    @property
    def is_explained(self) -> bool:
        """Whether a 409 or 422 is followed by a look at what it is about (`error.refusal`)."""
        return self.name == "volumes.delete" or (self.body is not None and "type" in self.body)

    @property
    def key(self) -> str:
        return f"{self.name}-{self.variant}" if self.variant else self.name


async def every(source: Any) -> list[Any]:
    return [item async for item in source]


READ = ("block_storage:read", "api:read", "api:write")
FIRST = {"page": "1", "per_page": "200"}
ACTIONS = f"/v2/volumes/{VOLUME_ID}/actions"
VOLUMES: dict[str, Any] = {
    "answer": listing("volumes", VOLUME),
    "status": 200,
    "fields": {"name": "example"},
}
SNAPSHOTS: dict[str, Any] = {
    "answer": listing("snapshots", SNAPSHOT),
    "status": 200,
    "fields": {"resource_id": VOLUME_ID, "size_gigabytes": 0.5, "regions": ("nyc1",)},
}
STARTED: dict[str, Any] = {
    "answer": {"action": ACTION},
    "status": 202,
    "fields": {"id": 72531856, "status": "in-progress", "completed_at": None},
}
UNDER_WAY = Action(72531856, "in-progress", "attach_volume", None, volume_id=VOLUME_ID)  # type: ignore[arg-type]

OPERATIONS = [
    Operation(
        name="volumes.list",
        call=lambda s: every(s.volumes.list()),
        method="GET",
        path="/v2/volumes",
        query=FIRST,
        scopes=READ,
        **VOLUMES,
    ),
    Operation(
        name="volumes.list",
        variant="filtered",
        call=lambda s: every(s.volumes.list(region="nyc1", name="old_one.x y", per_page=50)),
        method="GET",
        path="/v2/volumes",
        query={"name": "old_one.x y", "region": "nyc1", "page": "1", "per_page": "50"},
        scopes=READ,
        **VOLUMES,
    ),
    Operation(
        name="volumes.pages",
        call=lambda s: every(s.volumes.pages(region="nyc1", name="example", per_page=1)),
        method="GET",
        path="/v2/volumes",
        query={"name": "example", "region": "nyc1", "page": "1", "per_page": "1"},
        scopes=READ,
        answer=listing("volumes", VOLUME),
        status=200,
        fields={"number": 1, "total": 1},
    ),
    Operation(
        name="volumes.get",
        call=lambda s: s.volumes.get(VOLUME_ID),
        method="GET",
        path=f"/v2/volumes/{VOLUME_ID}",
        scopes=("block_storage:read",),
        status=200,
        answer={"volume": VOLUME},
        fields={"id": VOLUME_ID, "size_gigabytes": 10, "tags": ("aninterestingtag",)},
    ),
    Operation(
        name="volumes.find",
        call=lambda s: s.volumes.find("example", region="nyc1"),
        method="GET",
        path="/v2/volumes",
        query={"name": "example", "region": "nyc1", **FIRST},
        scopes=READ,
        **VOLUMES,
    ),
    Operation(
        name="volumes.create",
        call=lambda s: s.volumes.create("example", region="nyc1", size_gigabytes=10),
        method="POST",
        path="/v2/volumes",
        body={"name": "example", "region": "nyc1", "size_gigabytes": 10},
        scopes=("block_storage:create", "api:write"),
        status=201,
        answer={"volume": VOLUME},
        fields={"id": VOLUME_ID, "description": "Block store for examples"},
    ),
    Operation(
        name="volumes.create",
        variant="full",
        call=lambda s: s.volumes.create(
            "example",
            region="nyc1",
            size_gigabytes=10,
            description="Block store for examples",
            filesystem_type="ext4",
            filesystem_label="example",
            snapshot_id=SNAPSHOT_ID,
            tags=["aninterestingtag"],
        ),
        method="POST",
        path="/v2/volumes",
        body={
            "name": "example",
            "region": "nyc1",
            "size_gigabytes": 10,
            "description": "Block store for examples",
            "filesystem_type": "ext4",
            "filesystem_label": "example",
            "snapshot_id": SNAPSHOT_ID,
            "tags": ["aninterestingtag"],
        },
        scopes=("block_storage:create", "api:write"),
        status=201,
        answer={"volume": VOLUME},
        fields={"filesystem_type": "ext4", "filesystem_label": "example"},
    ),
    Operation(
        name="volumes.delete",
        call=lambda s: s.volumes.delete(VOLUME_ID),
        method="DELETE",
        path=f"/v2/volumes/{VOLUME_ID}",
        scopes=("block_storage:delete",),
        status=204,
    ),
    Operation(
        name="volumes.delete_by_name",
        call=lambda s: s.volumes.delete_by_name("old_one.x", region="nyc1"),
        method="DELETE",
        path="/v2/volumes",
        query={"name": "old_one.x", "region": "nyc1"},
        scopes=("block_storage:delete", "api:write"),
        status=204,
    ),
    Operation(
        name="volumes.attach",
        call=lambda s: s.volumes.attach(VOLUME_ID, 11612190),
        method="POST",
        path=ACTIONS,
        body={"type": "attach", "droplet_id": 11612190},
        scopes=("block_storage_action:create",),
        **STARTED,
    ),
    Operation(
        name="volumes.attach",
        variant="region",
        call=lambda s: s.volumes.attach(VOLUME_ID, 11612190, region="nyc1"),
        method="POST",
        path=ACTIONS,
        body={"type": "attach", "droplet_id": 11612190, "region": "nyc1"},
        scopes=("block_storage_action:create",),
        **STARTED,
    ),
    Operation(
        name="volumes.detach",
        call=lambda s: s.volumes.detach(VOLUME_ID, 11612190, region="nyc1"),
        method="POST",
        path=ACTIONS,
        body={"type": "detach", "droplet_id": 11612190, "region": "nyc1"},
        scopes=("block_storage_action:create",),
        **STARTED,
    ),
    Operation(
        name="volumes.resize",
        call=lambda s: s.volumes.resize(VOLUME_ID, 1000, region="nyc1"),
        method="POST",
        path=ACTIONS,
        body={"type": "resize", "size_gigabytes": 1000, "region": "nyc1"},
        scopes=("block_storage_action:create",),
        **STARTED,
    ),
    Operation(
        name="volumes.attach_by_name",
        call=lambda s: s.volumes.attach_by_name("example", 11612190, region="nyc1"),
        method="POST",
        path="/v2/volumes/actions",
        body={
            "type": "attach",
            "volume_name": "example",
            "droplet_id": 11612190,
            "region": "nyc1",
        },
        scopes=("block_storage_action:create", "api:write"),
        **STARTED,
    ),
    Operation(
        name="volumes.detach_by_name",
        call=lambda s: s.volumes.detach_by_name("example", 11612190, region="nyc1"),
        method="POST",
        path="/v2/volumes/actions",
        body={
            "type": "detach",
            "volume_name": "example",
            "droplet_id": 11612190,
            "region": "nyc1",
        },
        scopes=("block_storage_action:create", "api:write"),
        **STARTED,
    ),
    Operation(
        name="snapshots.list",
        call=lambda s: every(s.snapshots.list(VOLUME_ID, per_page=20)),
        method="GET",
        path=f"/v2/volumes/{VOLUME_ID}/snapshots",
        query={"page": "1", "per_page": "20"},
        scopes=("block_storage_snapshot:read",),
        **SNAPSHOTS,
    ),
    Operation(
        name="snapshots.list",
        variant="account",
        call=lambda s: every(s.snapshots.list()),
        method="GET",
        path="/v2/snapshots",
        query={"resource_type": "volume", **FIRST},
        scopes=("snapshot:read",),
        **SNAPSHOTS,
    ),
    Operation(
        name="snapshots.pages",
        call=lambda s: every(s.snapshots.pages(VOLUME_ID)),
        method="GET",
        path=f"/v2/volumes/{VOLUME_ID}/snapshots",
        query=FIRST,
        scopes=("block_storage_snapshot:read",),
        answer=listing("snapshots", SNAPSHOT),
        status=200,
        fields={"number": 1, "total": 1},
    ),
    Operation(
        name="snapshots.get",
        call=lambda s: s.snapshots.get(SNAPSHOT_ID),
        method="GET",
        path=f"/v2/volumes/snapshots/{SNAPSHOT_ID}",
        scopes=("block_storage_snapshot:read",),
        status=200,
        answer={"snapshot": SNAPSHOT},
        fields={"min_disk_size": 10},
    ),
    Operation(
        name="snapshots.create",
        call=lambda s: s.snapshots.create(VOLUME_ID, "big data", tags=("a", "b")),
        method="POST",
        path=f"/v2/volumes/{VOLUME_ID}/snapshots",
        body={"name": "big data", "tags": ["a", "b"]},
        scopes=("block_storage_snapshot:create",),
        status=201,
        answer={"snapshot": {**SNAPSHOT, "name": "big data"}},
        fields={"id": SNAPSHOT_ID},
    ),
    Operation(
        name="snapshots.create",
        variant="plain",
        call=lambda s: s.snapshots.create(VOLUME_ID, "big data"),
        method="POST",
        path=f"/v2/volumes/{VOLUME_ID}/snapshots",
        body={"name": "big data"},
        scopes=("block_storage_snapshot:create",),
        status=201,
        answer={"snapshot": {**SNAPSHOT, "name": "big data"}},
        fields={"id": SNAPSHOT_ID},
    ),
    Operation(
        name="snapshots.delete",
        call=lambda s: s.snapshots.delete(SNAPSHOT_ID),
        method="DELETE",
        path=f"/v2/volumes/snapshots/{SNAPSHOT_ID}",
        scopes=("block_storage_snapshot:delete",),
        status=204,
    ),
    Operation(
        name="actions.list",
        call=lambda s: every(s.actions.list(VOLUME_ID)),
        method="GET",
        path=ACTIONS,
        query=FIRST,
        scopes=("block_storage_action:read",),
        status=200,
        answer=listing("actions", ACTION),
        fields={"id": 72531856, "volume_id": VOLUME_ID},
    ),
    Operation(
        name="actions.get",
        call=lambda s: s.actions.get(VOLUME_ID, 72531856),
        method="GET",
        path=f"{ACTIONS}/72531856",
        scopes=("block_storage_action:read",),
        status=200,
        answer={"action": ACTION},
        fields={"id": 72531856, "volume_id": VOLUME_ID, "region_slug": "nyc1"},
    ),
    Operation(
        name="regions.list",
        call=lambda s: every(s.regions.list()),
        method="GET",
        path="/v2/regions",
        query=FIRST,
        scopes=("regions:read",),
        status=200,
        answer=listing("regions", REGION),
        fields={"slug": "nyc1", "available": True, "sizes": ("s-1vcpu-1gb",)},
    ),
]


def ids(operation: Operation) -> str:
    """A name for pytest."""
    return operation.key


def statuses_of(operation: Operation) -> tuple[int, ...]:
    """Statuses other than success that the operation is tested with."""
    return (400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504, 302, 418, 599)
