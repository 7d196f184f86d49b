"""The fleet a world begins with: the same for the same seed.

Volumes go round the regions with storage, so that `volumes=120` puts ten into each of the twelve.
About one volume in twelve is attached where a Droplet of its region has room.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from .._messages import iso, uuid_text
from .entities import SimDroplet, SimSnapshot, SimVolume
from .options import WorldOptions
from .regions import REGIONS, STORAGE_REGIONS
from .store import State

__all__ = ["build_fleet"]

_DAY_S = 86_400.0
_FIRST_DROPLET = 3_164_400
_ROLES = ("db", "web", "cache", "logs", "backup", "media", "queue", "search", "git", "mail")
_SIZES = (1, 5, 10, 20, 50, 100, 200, 500)
_FILESYSTEMS = ("ext4", "ext4", "xfs", "")
_TAGS: tuple[tuple[str, ...], ...] = ((), ("prod",), ("staging",), ("prod", "k8s"))


def build_fleet(state: State, options: WorldOptions, random: Random, now: float) -> None:
    """Fill an empty state with what the options ask for."""
    for droplet in _droplets(options.droplets, now):
        state.add_droplet(droplet)
    at_home: dict[str | None, list[SimDroplet]] = {}
    for droplet in state.droplets.values():
        at_home.setdefault(droplet.region, []).append(droplet)
    for number in range(options.volumes):
        volume = _volume(state, random, number, now)
        state.add_volume(volume)
        if number % 12 == number // 12 % 12:
            for droplet in (*at_home.get(volume.region, ()), *at_home.get(None, ())):
                # One place stays free, so that an attach in a demo succeeds.
                if len(droplet.volume_ids) < options.max_volumes_of_droplet - 1:
                    state.link(volume, droplet)
                    break
    _snapshots(state, options, random, now)


def _droplets(
    asked: int | Iterable[int | str] | Mapping[int, str] | None, now: float
) -> list[SimDroplet]:
    pairs: list[tuple[int, str | None]]
    if asked is None:
        asked = len(STORAGE_REGIONS)
    if isinstance(asked, int):
        pairs = [
            (_FIRST_DROPLET + number, STORAGE_REGIONS[number % len(STORAGE_REGIONS)])
            for number in range(asked)
        ]
    elif isinstance(asked, Mapping):
        pairs = [_droplet_spec(f"{key}:{region or ''}") for key, region in asked.items()]
    else:
        pairs = [_droplet_spec(item) for item in asked]
    for _, region in pairs:
        if region is not None and region not in REGIONS:
            raise ValueError(f"no such region for a droplet: {region!r}")
    return [
        SimDroplet(id=i, name=f"droplet-{i}", region=region, created_s=now - 900 * _DAY_S)
        for i, region in pairs
    ]


def _droplet_spec(item: int | str) -> tuple[int, str | None]:
    identifier, _, region = str(item).partition(":")
    if not (identifier.isascii() and identifier.isdigit() and len(identifier) < 20):
        raise ValueError(f"a droplet must look like 3164444 or 3164444:nyc3, not {item!r}")
    return int(identifier), region or None


def _volume(state: State, random: Random, number: int, now: float) -> SimVolume:
    region = STORAGE_REGIONS[number % len(STORAGE_REGIONS)]
    size = _SIZES[random.getrandbits(3)]
    filesystem_type = _FILESYSTEMS[random.getrandbits(2)]
    role = _ROLES[number // len(STORAGE_REGIONS) % len(_ROLES)]
    share = random.random()
    return SimVolume(
        id=uuid_text(random.getrandbits(128)),
        name=f"{role}-{number // len(STORAGE_REGIONS) + 1:02}",
        region=region,
        size_gigabytes=size,
        created_s=now - _DAY_S * (60 + 600 * random.random()),
        seq=state.next_seq(),
        description=f"{role} of the demo fleet",
        filesystem_type=filesystem_type,
        filesystem_label=role if filesystem_type else "",
        tags=_TAGS[random.getrandbits(2)],
        used_gigabytes=round(size * share, 2),
    )


def _old_snapshots(index: int) -> int:
    """Every third volume has one to four, on a diagonal, so that every region has some."""
    row, column = divmod(index, len(STORAGE_REGIONS))
    return 1 + (column // 3 + row) % 4 if (column + row) % 3 == 0 else 0


def _snapshots(state: State, options: WorldOptions, random: Random, now: float) -> None:
    volumes = list(state.volumes.values())
    if not volumes:
        return
    if options.snapshots is None:
        counts = [_old_snapshots(index) for index in range(len(volumes))]
    else:
        each, more = divmod(options.snapshots, len(volumes))
        counts = [each + (index < more) for index in range(len(volumes))]
    # Oldest first over the whole account, as if they had been made night by night.
    for night in range(max(counts), 0, -1):
        for index, volume in enumerate(volumes):
            if counts[index] < night:
                continue
            created_s = now - _DAY_S * night - 3600 * random.random()
            state.add_snapshot(
                SimSnapshot(
                    id=uuid_text(random.getrandbits(128)),
                    name=options.snapshot_name.format(
                        volume=volume.name, date=iso(now - _DAY_S * night)[:10]
                    ),
                    volume_id=volume.id,
                    region=volume.region,
                    min_disk_size=volume.size_gigabytes,
                    size_gigabytes=volume.used_gigabytes,
                    created_s=created_s,
                    seq=state.next_seq(),
                    tags=options.snapshot_tags,
                )
            )
