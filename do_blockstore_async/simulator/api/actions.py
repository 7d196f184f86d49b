"""Actions of volumes: attach, detach and resize, and reading them. Pure."""

from __future__ import annotations

from .._errors import api_error
from ..state.account import Account
from ..state.entities import SimAction, SimDroplet, SimVolume
from .pagination import page_of_list
from .request import Call
from .volumes import MAX_GIGABYTES, check_tags, named_volume, volume_of

__all__ = [
    "get_action",
    "get_action_of",
    "list_account_actions",
    "list_actions",
    "post_action",
    "post_action_by_name",
]


def list_actions(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/volumes/{id}/actions. GUESS: the newest first."""
    volume = volume_of(account, call)
    found = [a for a in account.state.actions_of.get(volume.id, ()) if a.visible_s <= call.now]
    return page_of_list(account, call, "actions", found[::-1], lambda a: a.json())


def get_action_of(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/volumes/{id}/actions/{action_id}."""
    volume = volume_of(account, call)
    action = account.state.actions.get(int(call.values[1]))
    if action is None or action.volume_id != volume.id:
        raise api_error("not_found")
    return _answer(200, action, call)


def list_account_actions(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/actions. GUESS: those of volumes are among them; the newest first."""
    found = [a for a in account.state.actions.values() if a.visible_s <= call.now]
    return page_of_list(account, call, "actions", found[::-1], lambda a: a.json())


def get_action(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/actions/{action_id}."""
    action = account.state.actions.get(int(call.values[0]))
    if action is None:
        raise api_error("not_found")
    return _answer(200, action, call)


def post_action(account: Account, call: Call) -> tuple[int, bytes]:
    """POST /v2/volumes/{id}/actions."""
    return _start(account, call, volume_of(account, call), ("attach", "detach", "resize"))


def post_action_by_name(account: Account, call: Call) -> tuple[int, bytes]:
    """POST /v2/volumes/actions: attach and detach only, as the OpenAPI description has it."""
    volume = named_volume(account, call.text("volume_name"), call.text("region"))
    return _start(account, call, volume, ("attach", "detach"))


def _answer(status: int, action: SimAction, call: Call) -> tuple[int, bytes]:
    if status == 200 and call.now < action.visible_s:
        raise api_error("action_lag")
    return status, b'{"action":%s}' % action.json()


def _start(
    account: Account, call: Call, volume: SimVolume, allowed: tuple[str, ...]
) -> tuple[int, bytes]:
    verb, region = call.text("type"), call.text("region")
    if verb not in allowed:
        raise api_error("action_type")
    if region and region != volume.region:
        raise api_error("action_region")
    droplet: SimDroplet | None = None
    size: int | None = None
    tags: tuple[str, ...] = ()
    if verb == "resize":
        size = call.number("size_gigabytes") or 0
        if not 1 <= size <= MAX_GIGABYTES:
            raise api_error("resize_size")
        if volume.busy is None and size <= volume.size_gigabytes:
            raise api_error("resize")
        account.check_capacity(size - volume.size_gigabytes, volumes=0, error="resize_capacity")
    else:
        droplet = _droplet(account, call, verb)
        if verb == "attach":
            _check_attach(account, volume, droplet)
            tags = check_tags(account, call)
        elif droplet.id not in volume.droplet_ids:
            raise api_error("not_attached")
        if droplet.busy is not None:
            raise api_error("droplet_busy")
    if volume.busy is not None:
        raise api_error("volume_busy")
    low_s, high_s = account.action_s
    action = SimAction(
        id=account.next_action_id(),
        volume_id=volume.id,
        type=f"{verb}_volume",
        region=volume.region,
        due_s=call.now + low_s + account.random.random() * (high_s - low_s),
        visible_s=call.now + account.action_lag_s,
        started_at_s=call.shown_s,
        droplet_id=None if droplet is None else droplet.id,
        size_gigabytes=size,
        will_fail=account.draw_action_failure(),
    )
    account.start_action(action)
    for tag in tags:
        # Evidence: the vendor's OpenAPI. GUESS: at once, also if the action fails.
        account.state.tag(account.state.create_tag(tag), volume)
    return _answer(202, action, call)


def _droplet(account: Account, call: Call, verb: str) -> SimDroplet:
    droplet_id = call.number_or_digits("droplet_id")
    if droplet_id is None:
        raise api_error("not_attached" if verb == "detach" else "droplet_missing")
    droplet = account.state.droplets.get(droplet_id)
    if droplet is None:
        raise api_error("not_found")  # GUESS
    return droplet


def _check_attach(account: Account, volume: SimVolume, droplet: SimDroplet) -> None:
    if volume.droplet_ids:
        raise api_error("already_attached")
    if droplet.region not in (None, volume.region):
        raise api_error("droplet_region")
    if len(droplet.volume_ids) >= account.max_volumes_of_droplet:
        raise api_error("droplet_full")
