"""The regions of the vendor's OpenAPI enum, and which of them have block storage. Pure."""

from __future__ import annotations

from typing import Any

from .._messages import encode

__all__ = ["REGIONS", "REGION_JSON", "STORAGE_REGIONS"]

_NAMES = {
    "ams1": "Amsterdam 1",
    "ams2": "Amsterdam 2",
    "ams3": "Amsterdam 3",
    "blr1": "Bangalore 1",
    "fra1": "Frankfurt 1",
    "lon1": "London 1",
    "nyc1": "New York 1",
    "nyc2": "New York 2",
    "nyc3": "New York 3",
    "sfo1": "San Francisco 1",
    "sfo2": "San Francisco 2",
    "sfo3": "San Francisco 3",
    "sgp1": "Singapore 1",
    "syd1": "Sydney 1",
    "tor1": "Toronto 1",
}
# GUESS: which ones have no storage. The three oldest are closed to new Droplets.
_WITHOUT_STORAGE = frozenset({"ams1", "ams2", "sfo1"})

_FEATURES = ("private_networking", "backups", "ipv6", "metadata", "install_agent")
_SIZES = (
    "s-1vcpu-1gb",
    "s-1vcpu-2gb",
    "s-1vcpu-3gb",
    "s-2vcpu-2gb",
    "s-3vcpu-1gb",
    "s-2vcpu-4gb",
    "s-4vcpu-8gb",
    "s-6vcpu-16gb",
    "s-8vcpu-32gb",
    "s-12vcpu-48gb",
    "s-16vcpu-64gb",
    "s-20vcpu-96gb",
    "s-24vcpu-128gb",
    "s-32vcpu-192gb",
)


def _region(slug: str) -> dict[str, Any]:
    storage = slug not in _WITHOUT_STORAGE
    return {
        "name": _NAMES[slug],
        "slug": slug,
        "features": [*_FEATURES, *(("storage", "image_transfer") if storage else ())],
        "available": storage,
        "sizes": list(_SIZES) if storage else [],
    }


REGIONS: dict[str, dict[str, Any]] = {slug: _region(slug) for slug in _NAMES}
"""Slug to region object."""

REGION_JSON: dict[str, bytes] = {slug: encode(region) for slug, region in REGIONS.items()}
"""Slug to the encoded region object."""

STORAGE_REGIONS: tuple[str, ...] = tuple(s for s in _NAMES if s not in _WITHOUT_STORAGE)
"""The slugs of the twelve regions that have block storage."""
