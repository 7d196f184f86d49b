"""The bodies the benchmark server sends: shaped as the API reference shows them, made in advance.

A volume is about 820 bytes, of which its region object is four fifths, as in the API's own answers:
each volume carries its whole region, with features and sizes. Ids and names differ, so nothing but
the regions repeats.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["PER_PAGE", "SLUGS", "page_body", "pages_of", "size_of", "volume", "volume_id"]

PER_PAGE = 200
SLUGS = ("nyc1", "nyc3", "sfo3", "ams3", "fra1", "lon1", "sgp1", "tor1")
_FEATURES = ("private_networking", "backups", "ipv6", "metadata", "install_agent", "storage")
_SIZES = (
    *("s-1vcpu-1gb", "s-1vcpu-2gb", "s-1vcpu-3gb", "s-2vcpu-2gb", "s-3vcpu-1gb", "s-2vcpu-4gb"),
    *("s-4vcpu-8gb", "s-6vcpu-16gb", "s-8vcpu-32gb", "s-12vcpu-48gb", "s-16vcpu-64gb"),
    *("s-20vcpu-96gb", "s-24vcpu-128gb", "s-32vcpu-192gb"),
)


def _region(slug: str) -> dict[str, Any]:
    return {
        "name": f"{slug[:-1].upper()} {slug[-1]}",
        "slug": slug,
        "features": list(_FEATURES),
        "available": True,
        "sizes": list(_SIZES),
    }


_REGIONS = [_region(slug) for slug in SLUGS]


def volume_id(number: int) -> str:
    """The id of a volume by its number, from 0."""
    return f"{number:08x}-9de7-11ee-a1b2-0a58ac14{number & 0xFFFF:04x}"


def size_of(number: int) -> int:
    """Its size in GiB: what a client adds up to show that it has read every volume."""
    return 10 + number % 90


def volume(number: int) -> dict[str, Any]:
    """One volume as the API shows it."""
    return {
        "id": volume_id(number),
        "name": f"volume-{number:06d}",
        "created_at": f"2026-{1 + number % 9:02d}-{1 + number % 28:02d}T17:00:49Z",
        "description": "Block store for examples",
        "size_gigabytes": size_of(number),
        "filesystem_type": "ext4",
        "filesystem_label": "example",
        "droplet_ids": [300_000_000 + number] if number % 3 == 0 else [],
        "tags": ["nightly", f"team-{number % 40}"] if number % 2 else [],
        "region": _REGIONS[number % len(_REGIONS)],
    }


def pages_of(volumes: int) -> int:
    """How many pages a listing has."""
    return max(1, -(-volumes // PER_PAGE))


def page_body(page: int, volumes: int, base: str) -> bytes:
    """One page of the listing, compact, with the links the API gives."""
    last = pages_of(volumes)
    first = (page - 1) * PER_PAGE
    links: dict[str, str] = {}
    if page > 1:
        links["first"] = f"{base}/v2/volumes?page=1&per_page={PER_PAGE}"
        links["prev"] = f"{base}/v2/volumes?page={page - 1}&per_page={PER_PAGE}"
    if page < last:
        links["next"] = f"{base}/v2/volumes?page={page + 1}&per_page={PER_PAGE}"
        links["last"] = f"{base}/v2/volumes?page={last}&per_page={PER_PAGE}"
    body = {
        "volumes": [volume(n) for n in range(first, min(first + PER_PAGE, volumes))],
        "links": {"pages": links} if links else {},
        "meta": {"total": volumes},
    }
    return json.dumps(body, separators=(",", ":")).encode()
