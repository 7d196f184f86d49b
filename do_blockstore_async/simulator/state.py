"""What the simulated account holds, and the only functions that add, remove or link it.

Invariants:
1. `volumes`, `volumes_in_order`, each region's index and `volumes_by_name` hold the same volumes.
2. A name occurs at most once in a region (`volumes_by_name[name][region]`).
3. A snapshot stands in `snapshots`, `snapshots_in_order` and `snapshots_of[its volume's id]`, also
   after that volume was deleted.
4. `tagged[tag]` holds exactly the resources whose `tags` name that tag.
5. What can be sent is encoded once: changing an attribute forgets the encoded form.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import msgspec

from .index import OrderedIndex
from .messages import encode, iso
from .regions import REGION_JSON, REGIONS

__all__ = ["SimAction", "SimDroplet", "SimSnapshot", "SimVolume", "State"]

_RAW_REGION = {slug: msgspec.Raw(text) for slug, text in REGION_JSON.items()}


def _forget(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> Any:
    if attribute.metadata.get("fixed"):
        raise AttributeError(f"{attribute.name} cannot be changed: the world is indexed by it")
    instance.encoded = None
    return value


_FIXED = {"fixed": True}


@attrs.define(eq=False, on_setattr=_forget)
class SimVolume:
    """A volume of the world. Its attributes may be changed by tests, but for id, name and region.

    Attributes:
        created_s: seconds since the epoch.
        used_gigabytes: what is written on it, so the size of its next snapshot.
        busy: the id of the action that is under way, else None.
        snapshot_s: when its last snapshot was taken, for the cooldown.
    """

    id: str = attrs.field(metadata=_FIXED)
    name: str = attrs.field(metadata=_FIXED)
    region: str = attrs.field(metadata=_FIXED)
    size_gigabytes: int
    created_s: float
    seq: int = attrs.field(metadata=_FIXED)
    description: str = ""
    filesystem_type: str = ""
    filesystem_label: str = ""
    droplet_ids: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    used_gigabytes: float = 0.0
    busy: int | None = None
    snapshot_s: float | None = None
    encoded: bytes | None = attrs.field(
        default=None, init=False, repr=False, on_setattr=attrs.setters.NO_OP
    )

    def json(self, nulls: bool = False) -> bytes:
        """The encoded volume object; with `nulls`, empty lists are null as the API documents."""
        if self.encoded is None:
            empty: Any = None if nulls else []
            self.encoded = encode(
                {
                    "id": self.id,
                    "region": _RAW_REGION[self.region],
                    "droplet_ids": self.droplet_ids or empty,
                    "name": self.name,
                    "description": self.description,
                    "size_gigabytes": self.size_gigabytes,
                    "created_at": iso(self.created_s),
                    "filesystem_type": self.filesystem_type,
                    "filesystem_label": self.filesystem_label,
                    "tags": self.tags or empty,
                }
            )
        return self.encoded


@attrs.define(eq=False, on_setattr=_forget)
class SimSnapshot:
    """A snapshot of a volume. `size_gigabytes` is what it is billed for, 0 for an empty volume."""

    id: str = attrs.field(metadata=_FIXED)
    name: str = attrs.field(metadata=_FIXED)
    volume_id: str = attrs.field(metadata=_FIXED)
    region: str = attrs.field(metadata=_FIXED)
    min_disk_size: int
    size_gigabytes: float
    created_s: float
    seq: int = attrs.field(metadata=_FIXED)
    tags: tuple[str, ...] = ()
    encoded: bytes | None = attrs.field(
        default=None, init=False, repr=False, on_setattr=attrs.setters.NO_OP
    )

    def json(self, nulls: bool = False) -> bytes:
        """The encoded snapshot object."""
        if self.encoded is None:
            self.encoded = encode(
                {
                    "id": self.id,
                    "name": self.name,
                    "regions": [self.region],
                    "created_at": iso(self.created_s),
                    "resource_id": self.volume_id,
                    "resource_type": "volume",
                    "min_disk_size": self.min_disk_size,
                    "size_gigabytes": self.size_gigabytes,
                    "tags": self.tags or (None if nulls else []),
                }
            )
        return self.encoded


@attrs.define(eq=False)
class SimAction:
    """Something being done to a volume.

    Attributes:
        type: `attach_volume`, `detach_volume` or `resize_volume`.
        due_s: when it ends, by the steady clock; `errored` is decided by `will_fail`.
        visible_s: before it a GET is a 404 (rexray PR 1344).
        started_at_s, completed_at_s: as the API shows them.
    """

    id: int
    volume_id: str
    type: str
    region: str
    due_s: float
    visible_s: float
    started_at_s: float
    droplet_id: int | None = None
    size_gigabytes: int | None = None
    status: str = "in-progress"
    completed_at_s: float | None = None
    will_fail: bool = False

    def json(self) -> bytes:
        """The encoded action object."""
        completed_s = self.completed_at_s
        return encode(
            {
                "id": self.id,
                "status": self.status,
                "type": self.type,
                "started_at": iso(self.started_at_s),
                "completed_at": None if completed_s is None else iso(completed_s),
                "resource_id": None,
                # Evidence for `backend`: rexray#1368.
                "resource_type": "backend",
                "region": _RAW_REGION[self.region],
                "region_slug": self.region,
            }
        )


@attrs.define(eq=False)
class SimDroplet:
    """A Droplet. `region` None takes volumes of any region, a liberty of the simulator.

    Attributes:
        volume_ids: what is attached to it.
        busy: the id of the action that is under way, else None.
    """

    id: int
    name: str
    region: str | None = None
    volume_ids: list[str] = attrs.field(factory=list)
    busy: int | None = None

    def json(self) -> bytes:
        """A small part of the vendor's droplet object."""
        region = self.region or "nyc3"
        return encode(
            {
                "id": self.id,
                "name": self.name,
                "status": "active",
                "volume_ids": self.volume_ids,
                "region": REGIONS[region],
                "tags": [],
            }
        )


class State:
    """Everything the account holds."""

    def __init__(self) -> None:
        self.volumes: dict[str, SimVolume] = {}
        self.volumes_in_order: OrderedIndex[SimVolume] = OrderedIndex()
        self.volumes_in: dict[str, OrderedIndex[SimVolume]] = {
            slug: OrderedIndex() for slug in REGIONS
        }
        self.volumes_by_name: dict[str, dict[str, SimVolume]] = {}
        self.snapshots: dict[str, SimSnapshot] = {}
        self.snapshots_in_order: OrderedIndex[SimSnapshot] = OrderedIndex()
        self.snapshots_of: dict[str, dict[str, SimSnapshot]] = {}
        self.actions: dict[int, SimAction] = {}
        self.actions_of: dict[str, list[SimAction]] = {}
        self.droplets: dict[int, SimDroplet] = {}
        self.tagged: dict[str, dict[tuple[str, str], None]] = {}
        self._seq = 0

    def next_seq(self) -> int:
        """A number larger than every one before."""
        self._seq += 1
        return self._seq

    def add_volume(self, volume: SimVolume) -> None:
        """Put a volume into every index; ValueError where its name is taken in its region."""
        named = self.volumes_by_name.setdefault(volume.name, {})
        if volume.region in named:
            raise ValueError(f"the name {volume.name!r} is taken in {volume.region}")
        named[volume.region] = volume
        self.volumes[volume.id] = volume
        self.volumes_in_order.append(volume)
        self.volumes_in[volume.region].append(volume)
        self._index_tags("volume", volume.id, volume.tags)

    def remove_volume(self, volume: SimVolume) -> None:
        """Take a volume out of every index. Its snapshots stay."""
        del self.volumes[volume.id]
        self.volumes_in_order.remove(volume)
        self.volumes_in[volume.region].remove(volume)
        named = self.volumes_by_name[volume.name]
        del named[volume.region]
        if not named:
            del self.volumes_by_name[volume.name]
        self._drop_tags("volume", volume.id, volume.tags)

    def add_snapshot(self, snapshot: SimSnapshot) -> None:
        """Put a snapshot into every index."""
        self.snapshots[snapshot.id] = snapshot
        self.snapshots_in_order.append(snapshot)
        self.snapshots_of.setdefault(snapshot.volume_id, {})[snapshot.id] = snapshot
        self._index_tags("volume_snapshot", snapshot.id, snapshot.tags)

    def remove_snapshot(self, snapshot: SimSnapshot) -> None:
        """Take a snapshot out of every index."""
        del self.snapshots[snapshot.id]
        self.snapshots_in_order.remove(snapshot)
        siblings = self.snapshots_of[snapshot.volume_id]
        del siblings[snapshot.id]
        if not siblings:
            del self.snapshots_of[snapshot.volume_id]
        self._drop_tags("volume_snapshot", snapshot.id, snapshot.tags)

    def add_action(self, action: SimAction) -> None:
        """Note an action and mark its volume and Droplet busy."""
        self.actions[action.id] = action
        self.actions_of.setdefault(action.volume_id, []).append(action)
        self.volumes[action.volume_id].busy = action.id
        if action.droplet_id in self.droplets:
            self.droplets[action.droplet_id].busy = action.id

    def finish_action(self, action: SimAction, completed_at_s: float) -> None:
        """End an action: apply what it was for, unless it fails."""
        if action.status != "in-progress":
            return
        action.status = "errored" if action.will_fail else "completed"
        action.completed_at_s = completed_at_s
        droplet = self.droplets.get(action.droplet_id) if action.droplet_id is not None else None
        if droplet is not None and droplet.busy == action.id:
            droplet.busy = None
        volume = self.volumes.get(action.volume_id)
        if volume is None:
            return
        if volume.busy == action.id:
            volume.busy = None
        if action.will_fail:
            return
        if action.type == "resize_volume" and action.size_gigabytes is not None:
            volume.size_gigabytes = action.size_gigabytes
        elif droplet is not None and action.type == "attach_volume":
            self.link(volume, droplet)
        elif droplet is not None:
            self.unlink(volume, droplet)

    def link(self, volume: SimVolume, droplet: SimDroplet) -> None:
        """Attach."""
        volume.droplet_ids = (droplet.id,)
        if volume.id not in droplet.volume_ids:
            droplet.volume_ids.append(volume.id)

    def unlink(self, volume: SimVolume, droplet: SimDroplet) -> None:
        """Detach."""
        volume.droplet_ids = ()
        if volume.id in droplet.volume_ids:
            droplet.volume_ids.remove(volume.id)

    def tag(self, tag: str, resource: SimVolume | SimSnapshot) -> None:
        """Give a resource a tag; twice is harmless."""
        if tag not in resource.tags:
            resource.tags = (*resource.tags, tag)
        self._index_tags(_resource_type(resource), resource.id, (tag,))

    def untag(self, tag: str, resource: SimVolume | SimSnapshot) -> None:
        """Take a tag from a resource; one that is not there is harmless."""
        resource.tags = tuple(other for other in resource.tags if other != tag)
        self._drop_tags(_resource_type(resource), resource.id, (tag,))

    def _index_tags(self, resource_type: str, resource_id: str, tags: Iterable[str]) -> None:
        for tag in tags:
            self.tagged.setdefault(tag, {})[resource_type, resource_id] = None

    def _drop_tags(self, resource_type: str, resource_id: str, tags: Iterable[str]) -> None:
        for tag in tags:
            self.tagged.get(tag, {}).pop((resource_type, resource_id), None)


def _resource_type(resource: SimVolume | SimSnapshot) -> str:
    return "volume" if isinstance(resource, SimVolume) else "volume_snapshot"
