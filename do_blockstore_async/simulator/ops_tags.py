"""Tags and what is only read: regions and Droplets.

One request tags or untags many resources. GUESS: all of them or, where one is unknown, none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .messages import encode
from .paging import page_of_list
from .refusals import refuse
from .regions import REGION_JSON
from .things import SimSnapshot, SimVolume

if TYPE_CHECKING:
    from .world import Call, World

__all__ = [
    "create_tag",
    "delete_tag",
    "get_tag",
    "list_droplets",
    "list_regions",
    "list_tags",
    "tag_resources",
    "untag_resources",
]

_TAG = re.compile(r"[a-zA-Z0-9_:-]{1,255}")
_UPDATE_SCOPES = {
    "volume": "block_storage:update",
    "volume_snapshot": "block_storage_snapshot:update",
}


def list_regions(world: World, call: Call) -> tuple[int, bytes]:
    """GET /v2/regions."""
    return page_of_list(world, call, "regions", list(REGION_JSON.values()), lambda text: text)


def list_droplets(world: World, call: Call) -> tuple[int, bytes]:
    """GET /v2/droplets: a small part of each."""
    droplets = list(world.state.droplets.values())
    return page_of_list(world, call, "droplets", droplets, lambda droplet: droplet.json())


def _tag_json(world: World, tag: str) -> bytes:
    resources = world.state.tagged[tag]
    counts: dict[str, Any] = {"count": len(resources)}
    for key, kind in (("volumes", "volume"), ("volume_snapshots", "volume_snapshot")):
        counts[key] = {"count": sum(1 for have, _ in resources if have == kind)}
    return encode({"name": tag, "resources": counts})


def list_tags(world: World, call: Call) -> tuple[int, bytes]:
    """GET /v2/tags."""
    tags = list(world.state.tagged)
    return page_of_list(world, call, "tags", tags, lambda tag: _tag_json(world, tag))


def get_tag(world: World, call: Call) -> tuple[int, bytes]:
    """GET /v2/tags/{tag}."""
    _known(world, call)
    return 200, b'{"tag":%s}' % _tag_json(world, call.values[0])


def create_tag(world: World, call: Call) -> tuple[int, bytes]:
    """POST /v2/tags. GUESS: 201 also for one that is there."""
    name = call.text("name")
    if _TAG.fullmatch(name) is None:
        raise refuse("tag")
    world.state.tagged.setdefault(name, {})
    return 201, b'{"tag":%s}' % _tag_json(world, name)


def delete_tag(world: World, call: Call) -> tuple[int, bytes]:
    """DELETE /v2/tags/{tag}: the resources stay."""
    _known(world, call)
    tag = call.values[0]
    for kind, identifier in list(world.state.tagged[tag]):
        resource = _find(world, kind, identifier)
        if resource is not None:
            world.state.untag(tag, resource)
    del world.state.tagged[tag]
    return 204, b""


def tag_resources(world: World, call: Call) -> tuple[int, bytes]:
    """POST /v2/tags/{tag}/resources."""
    for resource in _resources(world, call):
        world.state.tag(call.values[0], resource)
    return 204, b""


def untag_resources(world: World, call: Call) -> tuple[int, bytes]:
    """DELETE /v2/tags/{tag}/resources."""
    for resource in _resources(world, call):
        world.state.untag(call.values[0], resource)
    return 204, b""


def _known(world: World, call: Call) -> None:
    if call.values[0] not in world.state.tagged:
        raise refuse("not_found")


def _find(world: World, kind: str, identifier: str) -> SimVolume | SimSnapshot | None:
    if kind == "volume":
        return world.state.volumes.get(identifier)
    return world.state.snapshots.get(identifier)


def _resources(world: World, call: Call) -> list[SimVolume | SimSnapshot]:
    _known(world, call)
    asked = call.body.get("resources")
    if not isinstance(asked, list):
        raise refuse("body")
    found: list[SimVolume | SimSnapshot] = []
    for item in asked:
        if not isinstance(item, dict):
            raise refuse("body")
        kind, identifier = item.get("resource_type"), item.get("resource_id")
        if not isinstance(kind, str) or not isinstance(identifier, str):
            raise refuse("body")
        scope = _UPDATE_SCOPES.get(kind)
        if scope is None:
            raise refuse("resource_type")
        if not call.grant.allows("POST", (scope,)):
            raise refuse("scope")
        resource = _find(world, kind, identifier)
        if resource is None:
            raise refuse("not_found")
        found.append(resource)
    return found
