"""An account as plain data and back, so that it outlives the process.

What is kept is what the account holds: Droplets, volumes, snapshots, actions, tags, and its time.
What belongs to a run is not: tokens, budgets, the request log, faults, settings.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
from msgspec import Struct

from ..._clock import seeded
from .account import Account
from .entities import SimAction, SimDroplet, SimSnapshot, SimVolume
from .regions import REGIONS
from .store import State

__all__ = ["SavedState", "dump_state", "load_state"]

# From the year 1800 to 9892: what dates can say, with room for tests that move time.
_EARLIEST_S, _LATEST_S = -5_364_662_400.0, 250_000_000_000.0

_KINDS: dict[str, Any] = {
    "droplets": SimDroplet,
    "volumes": SimVolume,
    "snapshots": SimSnapshot,
    "actions": SimAction,
}


class SavedState(Struct, forbid_unknown_fields=True):
    """Everything that is kept; `format` is 1. Times are seconds since the epoch."""

    format: int
    now: float
    skew_s: float
    restarts: int
    next_action: int
    seq: int
    droplets: list[SimDroplet]
    volumes: list[SimVolume]
    snapshots: list[SimSnapshot]
    actions: list[SimAction]
    tags: list[str]


def dump_state(account: Account) -> dict[str, Any]:
    """Return what the account holds as plain data for JSON."""
    state = account.state
    saved = SavedState(
        format=1,
        now=account.now,
        skew_s=account.skew_s,
        restarts=account.restarts,
        next_action=account.last_action_id,
        seq=state.seq,
        droplets=list(state.droplets.values()),
        volumes=list(state.volumes_in_order),
        snapshots=list(state.snapshots_in_order),
        actions=list(state.actions.values()),
        tags=list(state.tagged),
    )
    plain: dict[str, Any] = msgspec.to_builtins(saved)
    for kind in ("volumes", "snapshots"):
        for entity in plain[kind]:
            del entity["cached_json"]
    return plain


def load_state(account: Account, plain: Any) -> None:
    """Replace what the account holds; the account is unchanged if this fails.

    Raises:
        ValueError: it is not what `dump_state` returns, or it contradicts itself.
    """
    try:
        saved = msgspec.convert(plain, SavedState)
        _check_keys(plain)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"not a saved state: {error}") from None
    if saved.format != 1:
        raise ValueError(f"this state has format {saved.format}; this version reads format 1")
    _check_times(saved)
    for number in (saved.restarts, saved.next_action, saved.seq):
        if not 0 <= number < 2**62:
            raise ValueError(f"a saved state with a count out of range: {number}")
    state = _rebuilt(saved)
    account.adopt_state(state)
    account.now = max(account.now, saved.now)
    account.skew_s = saved.skew_s
    # Drawn anew: the same seed would make the ids of the last run once more.
    account.restarts = saved.restarts + 1
    account.random = seeded(f"{account.options.seed} restart {account.restarts}")
    account.last_action_id = max([saved.next_action, *state.actions])


def _check_keys(plain: dict[str, Any]) -> None:
    for kind, entity_type in _KINDS.items():
        known = {attribute.name for attribute in attrs.fields(entity_type) if attribute.init}
        for entity in plain[kind]:
            unknown = sorted(entity.keys() - known)
            if unknown:
                raise ValueError(f"a saved state with unknown fields in {kind}: {unknown[:3]}")


def _check_times(saved: SavedState) -> None:
    times = [saved.now, saved.now + saved.skew_s]
    times += [volume.created_s for volume in saved.volumes]
    times += [snapshot.created_s for snapshot in saved.snapshots]
    times += [droplet.created_s for droplet in saved.droplets]
    times += [volume.snapshot_s or 0.0 for volume in saved.volumes]
    for action in saved.actions:
        times += [action.due_s, action.visible_s, action.started_at_s, action.completed_at_s or 0.0]
    if not all(_EARLIEST_S <= at_s <= _LATEST_S for at_s in times):
        raise ValueError("a saved state with a time that no date can say")


def _rebuilt(saved: SavedState) -> State:
    state = State()
    try:
        for tag in saved.tags:
            state.create_tag(tag)
        for droplet in saved.droplets:
            _known_region(droplet.region)
            state.add_droplet(droplet)
        for volume in sorted(saved.volumes, key=lambda volume: volume.seq):
            _known_region(volume.region)
            state.add_volume(volume)
        for snapshot in sorted(saved.snapshots, key=lambda snapshot: snapshot.seq):
            _known_region(snapshot.region)
            state.add_snapshot(snapshot)
        for action in saved.actions:
            _known_region(action.region)
            state.restore_action(action)
        numbers = [v.seq for v in saved.volumes] + [s.seq for s in saved.snapshots]
        if len(numbers) != len(set(numbers)):
            raise ValueError("a saved state in which a seq stands twice")
        state.seq = max([saved.seq, *numbers])
        state.check_links()
    except (KeyError, TypeError) as error:
        raise ValueError(f"a saved state that names what it does not hold: {error}") from None
    return state


def _known_region(slug: str | None) -> None:
    if slug is not None and slug not in REGIONS:
        raise ValueError(f"no such region: {slug!r}")
