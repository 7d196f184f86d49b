"""What the API's responses become: frozen values with the vendor's field names and real types.

Fields are those of the API reference (Block Storage, Block Storage Actions, Snapshots, Regions).
Documented nulls become empty values, so a tuple is always a tuple and a string always a string.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

import attrs

from ._interop.model import Model

__all__ = ["Action", "Page", "RateLimit", "Region", "Response", "Volume", "VolumeSnapshot"]

T_co = TypeVar("T_co", covariant=True)


@attrs.frozen(repr=False)
class Region(Model):
    """A data center region (API reference, "Regions").

    Equal regions of one client's responses are one object.

    Attributes:
        slug: what the API calls it, such as `nyc3`.
        name: what people call it, such as `New York 3`.
        available: whether new resources can be created there.
        features: what it offers, such as `storage` where it has volumes.
        sizes: slugs of the Droplet sizes it offers.
    """

    slug: str
    name: str
    available: bool
    features: tuple[str, ...] = attrs.field(default=(), repr=False)
    sizes: tuple[str, ...] = attrs.field(default=(), repr=False)


def _slug(region: Region | None) -> str:
    return repr(None if region is None else region.slug)


@attrs.frozen(repr=False)
class Volume(Model):
    """A block storage volume (API reference, "Block Storage").

    Attributes:
        id: its id, hexadecimal digits and hyphens.
        name: its name, unique in its region.
        size_gigabytes: size in GiB.
        region: where it is.
        created_at: when it was created.
        description: free text.
        droplet_ids: the Droplet it is attached to; at most one today.
        filesystem_type, filesystem_label: empty when unknown.
        tags: names of its tags.
    """

    id: str
    name: str
    size_gigabytes: int
    region: Region = attrs.field(repr=_slug)
    created_at: datetime = attrs.field(repr=False)
    description: str = attrs.field(default="", repr=False)
    droplet_ids: tuple[int, ...] = ()
    filesystem_type: str = attrs.field(default="", repr=False)
    filesystem_label: str = attrs.field(default="", repr=False)
    tags: tuple[str, ...] = attrs.field(default=(), repr=False)


@attrs.frozen(repr=False)
class VolumeSnapshot(Model):
    """A snapshot of a volume (API reference, "Block Storage", "Snapshots").

    Attributes:
        id: its id, hexadecimal digits and hyphens.
        name: its name.
        created_at: when it was taken.
        resource_id: the id of the volume it was taken from.
        resource_type: `volume`.
        regions: slugs of the regions in which volumes can be made from it.
        min_disk_size: size in GiB of the smallest volume it can become.
        size_gigabytes: billable size in GiB; 0 for an empty volume.
        tags: names of its tags.
    """

    id: str
    name: str
    created_at: datetime = attrs.field(repr=str)
    resource_id: str
    resource_type: str = attrs.field(repr=False)
    regions: tuple[str, ...] = attrs.field(repr=False)
    min_disk_size: int = attrs.field(repr=False)
    size_gigabytes: float = attrs.field(repr=False)
    tags: tuple[str, ...] = attrs.field(default=(), repr=False)


@attrs.frozen(repr=False)
class Action(Model):
    """An action on a volume: attach, detach or resize (API reference, "Block Storage Actions").

    Attributes:
        id: its number.
        status: `in-progress`, `completed` or `errored`.
        type: such as `attach_volume`, `detach_volume`, `resize_volume`.
        started_at: when it began.
        completed_at: when it ended; None before.
        resource_id: the number of the resource it is about, where the API tells it.
        resource_type: what kind of resource that is.
        region: where it happens, where the API tells it.
        region_slug: the same, as a slug alone.
        volume_id: the volume it was requested for, noted by this client since the response does
            not name it; None for actions addressed by the volume's name.
    """

    id: int
    status: str
    type: str
    started_at: datetime = attrs.field(repr=str)
    completed_at: datetime | None = attrs.field(default=None, repr=False)
    resource_id: int | None = attrs.field(default=None, repr=False)
    resource_type: str = attrs.field(default="", repr=False)
    region: Region | None = attrs.field(default=None, repr=False)
    region_slug: str | None = attrs.field(default=None, repr=False)
    volume_id: str | None = None


@attrs.frozen(repr=False)
class Page(Model, Generic[T_co]):
    """One page of a listing.

    Attributes:
        items: the page's items that no earlier page of the same listing has yielded.
        number: the page's number, from 1.
        total: how many items the whole listing has, as the server counted them for this page.
    """

    items: tuple[T_co, ...]
    number: int
    total: int


@attrs.frozen(repr=False)
class RateLimit(Model):
    """The budget headers of one response (API reference, "Rate Limit").

    Attributes:
        limit: requests allowed in an hour.
        remaining: requests left of the hour.
        reset: when the oldest request of the hour expires, by the server's clock.
    """

    limit: int
    remaining: int
    reset: datetime


@attrs.frozen(repr=False)
class Response(Model):
    """The response to `store.request(...)`.

    Attributes:
        status: the HTTP status, 2xx.
        headers: names in lower case.
        body: the decoded JSON, or None where the response had no body.
        rate_limit: the budget headers, where the response carried usable ones.
    """

    status: int
    headers: dict[str, str]
    body: Any = None
    rate_limit: RateLimit | None = None
