"""Actions of volumes: attach, detach and resize, and reading how they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .ops_volumes import MAX_GIGABYTES, named_volume, volume_of
from .paging import page_of_list
from .refusals import refuse
from .things import SimAction, SimDroplet, SimVolume

if TYPE_CHECKING:
    from .world import Call, World

__all__ = ["get_action", "get_action_of", "list_actions", "post_action", "post_action_by_name"]

MAX_VOLUMES_OF_DROPLET = 15


def list_actions(world: World, call: Call) -> tuple[int, bytes]:
    """GET /v2/volumes/{id}/actions. GUESS: the newest first."""
    volume = volume_of(world, call)
    found = [a for a in world.state.actions_of.get(volume.id, ()) if a.visible_s <= call.now]
    return page_of_list(world, call, "actions", found[::-1], lambda a: a.json())


def get_action_of(world: World, call: Call) -> tuple[int, bytes]:
    """GET /v2/volumes/{id}/actions/{action_id}."""
    volume = volume_of(world, call)
    action = world.state.actions.get(int(call.values[1]))
    if action is None or action.volume_id != volume.id:
        raise refuse("not_found")
    return _answer(200, action, call)


def get_action(world: World, call: Call) -> tuple[int, bytes]:
    """GET /v2/actions/{action_id}."""
    action = world.state.actions.get(int(call.values[0]))
    if action is None:
        raise refuse("not_found")
    return _answer(200, action, call)


def post_action(world: World, call: Call) -> tuple[int, bytes]:
    """POST /v2/volumes/{id}/actions."""
    return _start(world, call, volume_of(world, call), ("attach", "detach", "resize"))


def post_action_by_name(world: World, call: Call) -> tuple[int, bytes]:
    """POST /v2/volumes/actions: attach and detach only, as the OpenAPI description has it."""
    volume = named_volume(world, call.text("volume_name"), call.text("region"))
    return _start(world, call, volume, ("attach", "detach"))


def _answer(status: int, action: SimAction, call: Call) -> tuple[int, bytes]:
    if status == 200 and call.now < action.visible_s:
        raise refuse("action_lag")
    return status, b'{"action":%s}' % action.json()


def _start(
    world: World, call: Call, volume: SimVolume, allowed: tuple[str, ...]
) -> tuple[int, bytes]:
    verb, region = call.text("type"), call.text("region")
    if verb not in allowed:
        raise refuse("action_type")
    if region and region != volume.region:
        raise refuse("action_region")
    droplet: SimDroplet | None = None
    size: int | None = None
    if verb == "resize":
        size = call.number("size_gigabytes") or 0
        if not 1 <= size <= MAX_GIGABYTES:
            raise refuse("resize_size")
        if volume.busy is None and size <= volume.size_gigabytes:
            raise refuse("resize")
        world.check_capacity(size - volume.size_gigabytes, volumes=0)
    else:
        droplet = _droplet(world, call)
        if verb == "attach":
            _check_attach(volume, droplet)
        elif droplet.id not in volume.droplet_ids:
            raise refuse("not_attached")
        if droplet.busy is not None:
            raise refuse("droplet_busy")
    if volume.busy is not None:
        raise refuse("volume_busy")
    low_s, high_s = world.action_s
    action = SimAction(
        id=world.next_action_id(),
        volume_id=volume.id,
        type=f"{verb}_volume",
        region=volume.region,
        due_s=call.now + low_s + world.random.random() * (high_s - low_s),
        visible_s=call.now + world.action_lag_s,
        started_at_s=call.shown_s,
        droplet_id=None if droplet is None else droplet.id,
        size_gigabytes=size,
        will_fail=world.draw_action_failure(),
    )
    world.start_action(action)
    return _answer(202, action, call)


def _droplet(world: World, call: Call) -> SimDroplet:
    droplet_id = call.number("droplet_id")
    if droplet_id is None:
        raise refuse("droplet_missing")
    droplet = world.state.droplets.get(droplet_id)
    if droplet is None:
        raise refuse("not_found")  # GUESS
    return droplet


def _check_attach(volume: SimVolume, droplet: SimDroplet) -> None:
    if volume.droplet_ids:
        raise refuse("already_attached")
    if droplet.region not in (None, volume.region):
        raise refuse("droplet_region")
    if len(droplet.volume_ids) >= MAX_VOLUMES_OF_DROPLET:
        raise refuse("droplet_full")
