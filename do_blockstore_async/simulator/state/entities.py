"""The volumes, snapshots, actions and Droplets of an account, and their JSON.

What can be sent is encoded once: changing an attribute forgets the encoded form.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from .._messages import encode, iso, uuid_text
from .regions import REGION_JSON, REGIONS

__all__ = ["SimAction", "SimDroplet", "SimSnapshot", "SimVolume"]

_RAW_REGION = {slug: msgspec.Raw(text) for slug, text in REGION_JSON.items()}


def _invalidate(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> Any:
    if attribute.metadata.get("fixed"):
        raise AttributeError(f"{attribute.name} cannot be changed: the world is indexed by it")
    instance.cached_json = None
    return value


_FIXED = {"fixed": True}


@attrs.define(eq=False, on_setattr=_invalidate)
class SimVolume:
    """A volume of the world. Its attributes may be changed by tests, but for id, name and region.

    Attributes:
        created_s: seconds since the epoch.
        used_gigabytes: what is written on it, so the size of its next snapshot.
        busy: the id of the action in progress, else None.
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
    cached_json: bytes | None = attrs.field(
        default=None, init=False, repr=False, on_setattr=attrs.setters.NO_OP
    )

    def json(self, nulls: bool = False) -> bytes:
        """The encoded volume object; with `nulls`, empty lists are null as the API documents."""
        if self.cached_json is None:
            empty: Any = None if nulls else []
            self.cached_json = encode(
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
        return self.cached_json


@attrs.define(eq=False, on_setattr=_invalidate)
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
    cached_json: bytes | None = attrs.field(
        default=None, init=False, repr=False, on_setattr=attrs.setters.NO_OP
    )

    def json(self, nulls: bool = False) -> bytes:
        """The encoded snapshot object."""
        if self.cached_json is None:
            self.cached_json = encode(
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
        return self.cached_json


@attrs.define(eq=False)
class SimAction:
    """An action on a volume.

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
        created_s: seconds since the epoch.
        volume_ids: what is attached to it.
        busy: the id of the action in progress, else None.
    """

    id: int
    name: str
    region: str | None = None
    created_s: float = 0.0
    tags: tuple[str, ...] = ()
    volume_ids: list[str] = attrs.field(factory=list)
    busy: int | None = None

    def json(self) -> bytes:
        """The encoded Droplet object: every field that the vendor's description requires.

        Size, image and addresses are the same for all but for the last digits: no volume depends
        on them. GUESS: a Droplet without a region shows nyc3.
        """
        slug, created_at = self.region or "nyc3", iso(self.created_s)
        host = f"{self.id // 250 % 250}.{self.id % 250 + 1}"
        return encode(
            {
                "id": self.id,
                "name": self.name,
                "memory": _SIZE["memory"],
                "vcpus": _SIZE["vcpus"],
                "disk": _SIZE["disk"],
                "disk_info": _SIZE["disk_info"],
                "locked": False,
                "status": "active",
                "kernel": None,
                "created_at": created_at,
                "features": ["droplet_agent", "private_networking"],
                "backup_ids": [],
                "next_backup_window": None,
                "snapshot_ids": [],
                "image": {**_IMAGE, "regions": list(REGIONS)},
                "volume_ids": self.volume_ids,
                "size": {**_SIZE, "regions": list(REGIONS)},
                "size_slug": _SIZE["slug"],
                "networks": {
                    "v4": [
                        _address(f"10.108.{host}", "255.255.0.0", "10.108.0.1", "private"),
                        # RFC 2544 keeps these for tests: they lead nowhere.
                        _address(f"198.18.{host}", "255.255.0.0", "198.18.0.1", "public"),
                    ],
                    "v6": [],
                },
                "region": _RAW_REGION[slug],
                "tags": self.tags,
                "vpc_uuid": uuid_text(0x760E09EF_DC84_11E8_981E_3CFDFEAAE000),
            }
        )


_SIZE: dict[str, Any] = {
    "slug": "s-1vcpu-1gb",
    "memory": 1024,
    "vcpus": 1,
    "disk": 25,
    "disk_info": [{"type": "local", "size": {"amount": 25, "unit": "gib"}}],
    "transfer": 1.0,
    "price_monthly": 6.0,
    "price_hourly": 0.00893,
    "available": True,
    "description": "Basic",
}
_IMAGE: dict[str, Any] = {
    "id": 195_932_981,
    "name": "12 x64",
    "distribution": "Debian",
    "slug": "debian-12-x64",
    "public": True,
    "created_at": "2025-01-15T16:00:00Z",
    "min_disk_size": 7,
    "type": "base",
    "size_gigabytes": 0.55,
    "description": "Debian 12 x64",
    "tags": [],
    "status": "available",
    "error_message": "",
}


def _address(address: str, mask: str, gateway: str, kind: str) -> dict[str, str]:
    return {"ip_address": address, "netmask": mask, "gateway": gateway, "type": kind}
