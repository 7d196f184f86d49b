"""What the simulated account holds, and the only functions that add, remove or link it.

Invariants:
1. `volumes`, `volumes_in_order`, each region's index and `volumes_by_name` hold the same volumes.
2. A name occurs at most once in a region (`volumes_by_name[name][region]`).
3. A snapshot stands in `snapshots`, `snapshots_in_order`, its region's index and
   `snapshots_of[its volume's id]`, also after that volume was deleted.
4. `tagged[tag]` holds exactly the resources whose `tags` name that tag.
5. Of tags that differ in case only, the first spelling stands for all (doctl#333).

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable

from .checks import check_entity, check_tags
from .entities import SimAction, SimDroplet, SimSnapshot, SimVolume
from .index import OrderedIndex
from .regions import REGIONS

__all__ = ["State"]


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
        self.snapshots_in: dict[str, OrderedIndex[SimSnapshot]] = {
            slug: OrderedIndex() for slug in REGIONS
        }
        self.snapshots_of: dict[str, dict[str, SimSnapshot]] = {}
        self.actions: dict[int, SimAction] = {}
        self.actions_of: dict[str, list[SimAction]] = {}
        self.droplets: dict[int, SimDroplet] = {}
        self.tagged: dict[str, dict[tuple[str, str], None]] = {}
        self._spellings: dict[str, str] = {}
        self.seq = 0

    def next_seq(self) -> int:
        """A number larger than every one before."""
        self.seq += 1
        return self.seq

    def add_volume(self, volume: SimVolume) -> None:
        """Put a volume into every index; ValueError where its name is taken in its region."""
        check_entity(volume)
        check_tags(volume.tags)
        if volume.id in self.volumes:
            raise ValueError(f"there are two volumes {volume.id!r}")
        named = self.volumes_by_name.setdefault(volume.name, {})
        if volume.region in named:
            raise ValueError(f"the name {volume.name!r} is taken in {volume.region}")
        named[volume.region] = volume
        volume.tags = self._spelled(volume.tags)
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
        check_entity(snapshot)
        check_tags(snapshot.tags)
        if snapshot.id in self.snapshots:
            raise ValueError(f"there are two snapshots {snapshot.id!r}")
        self.snapshots[snapshot.id] = snapshot
        self.snapshots_in_order.append(snapshot)
        self.snapshots_in[snapshot.region].append(snapshot)
        self.snapshots_of.setdefault(snapshot.volume_id, {})[snapshot.id] = snapshot
        snapshot.tags = self._spelled(snapshot.tags)
        self._index_tags("volume_snapshot", snapshot.id, snapshot.tags)

    def remove_snapshot(self, snapshot: SimSnapshot) -> None:
        """Take a snapshot out of every index."""
        del self.snapshots[snapshot.id]
        self.snapshots_in_order.remove(snapshot)
        self.snapshots_in[snapshot.region].remove(snapshot)
        siblings = self.snapshots_of[snapshot.volume_id]
        del siblings[snapshot.id]
        if not siblings:
            del self.snapshots_of[snapshot.volume_id]
        self._drop_tags("volume_snapshot", snapshot.id, snapshot.tags)

    def add_droplet(self, droplet: SimDroplet) -> None:
        """Put a Droplet in; ValueError where its id is taken."""
        check_entity(droplet)
        check_tags(droplet.tags)
        if droplet.id in self.droplets:
            raise ValueError(f"there are two Droplets {droplet.id}")
        droplet.tags = self._spelled(droplet.tags)
        self.droplets[droplet.id] = droplet
        self._index_tags("droplet", str(droplet.id), droplet.tags)

    def remove_droplet(self, droplet: SimDroplet) -> None:
        """Take a Droplet out. Its volumes have to be unlinked before."""
        del self.droplets[droplet.id]
        self._drop_tags("droplet", str(droplet.id), droplet.tags)

    def add_action(self, action: SimAction) -> None:
        """Note an action and mark its volume and Droplet busy."""
        self.actions[action.id] = action
        self.actions_of.setdefault(action.volume_id, []).append(action)
        self.volumes[action.volume_id].busy = action.id
        if action.droplet_id in self.droplets:
            self.droplets[action.droplet_id].busy = action.id

    def restore_action(self, action: SimAction) -> None:
        """Note an action of a saved state, whose volume and Droplet may be gone by now."""
        check_entity(action)
        if action.id in self.actions:
            raise ValueError(f"there are two actions {action.id}")
        self.actions[action.id] = action
        self.actions_of.setdefault(action.volume_id, []).append(action)

    def check_links(self) -> None:
        """Raise ValueError where volumes, Droplets and actions do not fit together."""
        attached = [i for droplet in self.droplets.values() for i in droplet.volume_ids]
        if len(attached) != len(set(attached)):
            raise ValueError("a volume is attached twice")
        busy: list[SimVolume | SimDroplet] = [*self.volumes.values(), *self.droplets.values()]
        for entity in busy:
            if entity.busy is None:
                continue
            action = self.actions.get(entity.busy)
            if action is None or action.status != "in-progress":
                raise ValueError(f"{entity.id!r} is busy with no action in progress: {entity.busy}")
        held = {
            (volume_id, droplet.id)
            for droplet in self.droplets.values()
            for volume_id in droplet.volume_ids
        }
        named = {(v.id, droplet_id) for v in self.volumes.values() for droplet_id in v.droplet_ids}
        if held != named:
            wrong = sorted(held ^ named)
            raise ValueError(f"volume and Droplet do not name each other: {wrong[:3]}")

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

    def known_tag(self, tag: str) -> str | None:
        """The spelling of a tag that exists; None if there is none."""
        spelled = self._spellings.get(tag.lower())
        return spelled if spelled in self.tagged else None

    def create_tag(self, tag: str) -> str:
        """Make a tag known, if it is not; return its spelling."""
        check_tags((tag,))
        (spelled,) = self._spelled((tag,))
        self.tagged.setdefault(spelled, {})
        return spelled

    def _spelled(self, tags: Iterable[str]) -> tuple[str, ...]:
        first = {tag.lower(): tag for tag in reversed(tuple(tags))}
        for folded, tag in first.items():
            self._spellings[folded] = self.known_tag(tag) or tag
        return tuple(self._spellings[folded] for folded in reversed(first))

    def tag(self, tag: str, resource: SimVolume | SimSnapshot | SimDroplet) -> None:
        """Give a resource a tag; twice is harmless."""
        if tag not in resource.tags:
            resource.tags = (*resource.tags, tag)
        self._index_tags(_resource_type(resource), str(resource.id), (tag,))

    def untag(self, tag: str, resource: SimVolume | SimSnapshot | SimDroplet) -> None:
        """Take a tag from a resource; one that is not there is harmless."""
        resource.tags = tuple(other for other in resource.tags if other != tag)
        self._drop_tags(_resource_type(resource), str(resource.id), (tag,))

    def _index_tags(self, resource_type: str, resource_id: str, tags: Iterable[str]) -> None:
        for tag in tags:
            self.tagged.setdefault(tag, {})[resource_type, resource_id] = None

    def _drop_tags(self, resource_type: str, resource_id: str, tags: Iterable[str]) -> None:
        for tag in tags:
            self.tagged.get(tag, {}).pop((resource_type, resource_id), None)


def _resource_type(resource: SimVolume | SimSnapshot | SimDroplet) -> str:
    if isinstance(resource, SimDroplet):
        return "droplet"
    return "volume" if isinstance(resource, SimVolume) else "volume_snapshot"
