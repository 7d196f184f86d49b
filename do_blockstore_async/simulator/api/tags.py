"""Tags: list, create, get, delete, and set on resources.

One request tags or untags many resources. GUESS: all of them or, where one is unknown, none.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import Any

from .._errors import api_error
from .._messages import encode
from ..state.account import Account
from ..state.checks import TAG
from ..state.entities import SimDroplet, SimSnapshot, SimVolume
from .pagination import page_of_list
from .request import Call

__all__ = [
    "create_tag",
    "delete_tag",
    "get_tag",
    "list_tags",
    "tag_resources",
    "untag_resources",
]

_UPDATE_SCOPES = {
    "volume": "block_storage:update",
    "volume_snapshot": "block_storage_snapshot:update",
    "droplet": "droplet:update",
}
# What godo can tag besides, and is not simulated.
_OTHER_TYPES = frozenset({"database", "image", "load_balancer"})


_COUNTED = (
    ("droplets", "droplet"),
    ("volumes", "volume"),
    ("volume_snapshots", "volume_snapshot"),
)


def _tag_json(account: Account, tag: str) -> bytes:
    resources = account.state.tagged[tag]
    counts: dict[str, Any] = {"count": len(resources)}
    for key, kind in _COUNTED:
        counts[key] = {"count": sum(1 for have, _ in resources if have == kind)}
    return encode({"name": tag, "resources": counts})


def list_tags(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/tags."""
    tags = list(account.state.tagged)
    return page_of_list(account, call, "tags", tags, lambda tag: _tag_json(account, tag))


def get_tag(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/tags/{tag}."""
    return 200, b'{"tag":%s}' % _tag_json(account, _known(account, call))


def create_tag(account: Account, call: Call) -> tuple[int, bytes]:
    """POST /v2/tags. GUESS: 201 also for one that is there."""
    name = call.text("name")
    if TAG.fullmatch(name) is None:
        raise api_error("tag")
    spelled = account.state.create_tag(name)
    return 201, b'{"tag":%s}' % _tag_json(account, spelled)


def delete_tag(account: Account, call: Call) -> tuple[int, bytes]:
    """DELETE /v2/tags/{tag}: the resources stay."""
    tag = _known(account, call)
    for kind, identifier in list(account.state.tagged[tag]):
        resource = _find(account, kind, identifier)
        if resource is not None:
            account.state.untag(tag, resource)
    del account.state.tagged[tag]
    return 204, b""


def tag_resources(account: Account, call: Call) -> tuple[int, bytes]:
    """POST /v2/tags/{tag}/resources."""
    tag = _known(account, call)
    for resource in _resources(account, call):
        account.state.tag(tag, resource)
    return 204, b""


def untag_resources(account: Account, call: Call) -> tuple[int, bytes]:
    """DELETE /v2/tags/{tag}/resources."""
    tag = _known(account, call)
    for resource in _resources(account, call):
        account.state.untag(tag, resource)
    return 204, b""


def _known(account: Account, call: Call) -> str:
    """The spelling of the tag in the path; 404 without one."""
    tag = account.state.known_tag(call.values[0])
    if tag is None:
        raise api_error("not_found")
    return tag


def _find(
    account: Account, kind: str, identifier: str
) -> SimVolume | SimSnapshot | SimDroplet | None:
    if kind == "volume":
        return account.state.volumes.get(identifier)
    if kind == "droplet":
        known = identifier.isascii() and identifier.isdigit() and len(identifier) < 20
        return account.state.droplets.get(int(identifier)) if known else None
    return account.state.snapshots.get(identifier)


def _resources(account: Account, call: Call) -> list[SimVolume | SimSnapshot | SimDroplet]:
    asked = call.body.get("resources")
    if not isinstance(asked, list):
        raise api_error("body")
    found: list[SimVolume | SimSnapshot | SimDroplet] = []
    for item in asked:
        if not isinstance(item, dict):
            raise api_error("body")
        kind, identifier = item.get("resource_type"), item.get("resource_id")
        if not isinstance(kind, str) or not isinstance(identifier, str):
            raise api_error("body")
        if kind in _OTHER_TYPES:
            raise api_error("unknown", detail=f"tags on {kind}")
        scope = _UPDATE_SCOPES.get(kind)
        if scope is None:
            raise api_error("resource_type")
        if not call.grant.allows("POST", (scope,)):
            raise api_error("scope")
        resource = _find(account, kind, identifier)
        if resource is None:
            raise api_error("not_found")
        found.append(resource)
    return found
