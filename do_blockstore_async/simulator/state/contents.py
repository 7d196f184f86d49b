"""What a user wants an account to begin with, as a scenario names it. Pure values."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

__all__ = ["Contents", "GivenDroplet", "GivenSnapshot", "GivenVolume"]

# Not longer ago than 150 years, and not more than the largest volume holds; no NaN.
Age = Annotated[float, Meta(ge=0, le=4_730_400_000)]
Used = Annotated[float, Meta(ge=0, le=16_384)]


class GivenSnapshot(Struct, forbid_unknown_fields=True, frozen=True):
    """A snapshot of the volume it stands under; `age_s` ago it was taken."""

    name: str | None = None
    age_s: Age = 3600.0
    size_gigabytes: Used | None = None
    tags: tuple[str, ...] = ()


class GivenVolume(Struct, forbid_unknown_fields=True, frozen=True):
    """A volume; `droplet` is the number of the Droplet that it is attached to."""

    name: str
    region: str = "nyc3"
    size_gigabytes: Annotated[int, Meta(ge=1, le=16_384)] = 10
    description: str = ""
    filesystem_type: str = ""
    filesystem_label: str = ""
    used_gigabytes: Used = 0.0
    age_s: Age = 0.0
    droplet: int | None = None
    tags: tuple[str, ...] = ()
    snapshots: tuple[GivenSnapshot, ...] = ()


class GivenDroplet(Struct, forbid_unknown_fields=True, frozen=True):
    """A Droplet; without a region it takes volumes of any region."""

    id: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    name: str | None = None
    region: str | None = None
    tags: tuple[str, ...] = ()


class Contents(Struct, forbid_unknown_fields=True, frozen=True):
    """Droplets, volumes with their snapshots, and tags that nothing has yet."""

    droplets: tuple[GivenDroplet, ...] = field(default=())
    volumes: tuple[GivenVolume, ...] = field(default=())
    tags: tuple[str, ...] = field(default=())
