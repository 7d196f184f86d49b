"""What the API's responses become: frozen values with the vendor's field names and real types.

Fields are those of the API reference (Block Storage, Block Storage Actions, Snapshots, Regions).
Documented nulls become empty values, so a tuple is always a tuple and a string always a string.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

import attrs

__all__ = ["Action", "Page", "RateLimit", "Region", "Response", "Volume", "VolumeSnapshot"]

T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class Region:
    """A data center region (API reference, "Regions").

    Equal regions of one client's responses are one object.
    """

    slug: str
    name: str
    available: bool
    features: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()


@attrs.frozen
class Volume:
    """A block storage volume (API reference, "Block Storage").

    Attributes:
        size_gigabytes: size in GiB.
        droplet_ids: the Droplet it is attached to; at most one today.
        filesystem_type, filesystem_label: empty when unknown.
    """

    id: str
    name: str
    size_gigabytes: int
    region: Region
    created_at: datetime
    description: str = ""
    droplet_ids: tuple[int, ...] = ()
    filesystem_type: str = ""
    filesystem_label: str = ""
    tags: tuple[str, ...] = ()


@attrs.frozen
class VolumeSnapshot:
    """A snapshot of a volume (API reference, "Block Storage", "Snapshots").

    Attributes:
        resource_id: the id of the volume it was taken from.
        size_gigabytes: billable size in GiB; 0 for an empty volume.
        min_disk_size: size in GiB of the smallest volume it can become.
    """

    id: str
    name: str
    created_at: datetime
    resource_id: str
    resource_type: str
    regions: tuple[str, ...]
    min_disk_size: int
    size_gigabytes: float
    tags: tuple[str, ...] = ()


@attrs.frozen
class Action:
    """An action on a volume: attach, detach or resize (API reference, "Block Storage Actions").

    Attributes:
        status: `in-progress`, `completed` or `errored`.
        type: such as `attach_volume`, `detach_volume`, `resize_volume`.
        volume_id: the volume it was requested for, noted by this client since the response does
            not name it; None for actions addressed by the volume's name.
    """

    id: int
    status: str
    type: str
    started_at: datetime
    completed_at: datetime | None = None
    resource_id: int | None = None
    resource_type: str = ""
    region: Region | None = None
    region_slug: str | None = None
    volume_id: str | None = None


@attrs.frozen
class Page(Generic[T_co]):
    """One page of a listing.

    Attributes:
        items: the page's items that no earlier page of the same listing has yielded.
        number: the page's number, from 1.
        total: how many items the whole listing has, as the server counted them for this page.
    """

    items: tuple[T_co, ...]
    number: int
    total: int


@attrs.frozen
class RateLimit:
    """The budget headers of one response (API reference, "Rate Limit").

    Attributes:
        limit: requests allowed in an hour.
        remaining: requests left of the hour.
        reset: when the oldest request of the hour expires, by the server's clock.
    """

    limit: int
    remaining: int
    reset: datetime


@attrs.frozen
class Response:
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
