"""The volume or snapshot that somebody means: by its id, or by its name.

What looks like an id (a UUID) is one. Anything else is a name: a volume's costs one request, a
snapshot's a listing, since the API has no query for it. Where a name is not unique the error says
what tells them apart. After a miss, and only then, near names are looked for: at most 5 requests,
and one more for the regions where one was given. The front of an id, 6 characters or more, as
tables on narrow terminals show it, is found by the same listing; nothing is deleted by it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from ...errors import BlockStoreError, NotFoundError
from ..exit_codes import CommandError, UsageError

if TYPE_CHECKING:
    from ...client import BlockStore
    from ...models import Volume, VolumeSnapshot

__all__ = [
    "check_regions",
    "find_snapshot",
    "find_volume",
    "id_or_volume",
    "is_id",
    "told_near_snapshots",
    "told_what_is_near",
]

_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_FRONT = re.compile(r"[0-9a-f][0-9a-f-]{5,35}", re.ASCII | re.IGNORECASE)
_PAGES = 5
_PER_PAGE = 200
_MOST_NEAR = 3
_MOST_PLACES = 20


def is_id(text: str) -> bool:
    """Whether this is an id, not a name."""
    return _ID.fullmatch(text) is not None


async def id_or_volume(store: BlockStore, text: str, region: str | None = None) -> str | Volume:
    """Return what a call takes: an id as it is, or the volume of that name; see `find_volume`."""
    return text if is_id(text) and region is None else await find_volume(store, text, region)


async def find_volume(
    store: BlockStore, text: str, region: str | None = None, *, to_delete: bool = False
) -> Volume:
    """Return the volume with this id or name.

    Args:
        store: an open client.
        text: an id or a name.
        region: the name's region; it may be left out where the name is unique.
        to_delete: whether the front of an id is not enough.

    Raises:
        CommandError: there is none; the message has near names.
        UsageError: the name is not unique, or the region is unknown, or not that of the id.
    """
    if is_id(text):
        async with told_what_is_near(store, text):
            return await _volume_in(store, text, region)
    # The filter is the server's: what is acted on must match to the letter.
    listing = store.volumes.list(name=text, region=region)
    found = [volume async for volume in listing if volume.name == text]
    if len(found) == 1:
        return found[0]
    if found:
        places = _enumerated(sorted(volume.region.slug for volume in found))
        raise UsageError(f"{len(found)} volumes are named {text}: in {places}; add --region")
    if region is not None:
        await check_regions(store, region)
    near, are_all = await _volumes(store)
    fronts = [each for each in near if each["id"].startswith(text.lower())]
    if are_all and len(fronts) == 1 and _FRONT.fullmatch(text) and not to_delete:
        return await _volume_in(store, fronts[0]["id"], region)
    where = f" in {region}" if region else ""
    raise CommandError(f"no volume is named {text!r}{where}{_near(text, near, fronts)}")


def _id_of(volume: str | Volume) -> str:
    return volume if isinstance(volume, str) else volume.id


async def _volume_in(store: BlockStore, volume_id: str, region: str | None) -> Volume:
    volume = await store.volumes.get(volume_id)
    if region not in (None, volume.region.slug):
        raise UsageError(f"volume {volume_id} is in {volume.region.slug}, not in {region}")
    return volume


@asynccontextmanager
async def told_what_is_near(store: BlockStore, text: str, other: str = "") -> AsyncIterator[None]:
    """Say what a 404 is about: which volume may be meant, where there is none with the id typed.

    Args:
        store: an open client.
        text: the volume's id or name, as it was typed.
        other: what else may be missing where the volume is there, such as `Droplet 7`.

    Raises:
        CommandError: the volume is not there, or the other thing is not.
    """
    try:
        yield
    except NotFoundError as error:
        volumes, are_all = await _volumes(store) if is_id(text) else ([], False)
        if not is_id(text) or any(each["id"] == text.lower() for each in volumes):
            if not other:
                raise
            raise CommandError(f"404: volume {text} is there; {other} was not found") from error
        if other and not are_all:
            raise
        near = _near(text.lower(), volumes, (), by="id")
        raise CommandError(f"404: no volume has the id {text}{near}") from error


async def find_snapshot(
    store: BlockStore,
    text: str,
    volume: str | Volume | None = None,
    region: str | None = None,
    *,
    to_delete: bool = False,
) -> VolumeSnapshot:
    """Return the snapshot with this id or name. By name it reads the listing.

    Args:
        store: an open client.
        text: an id or a name.
        volume: of this volume only, or its id.
        region: only one that lies there.
        to_delete: whether the front of an id is not enough.

    Raises:
        CommandError: there is none; the message has near names.
        UsageError: the name is not unique, or the id is that of another volume's snapshot.
    """
    if is_id(text):
        async with told_near_snapshots(store, text):
            snapshot = await store.snapshots.get(text)
        if volume is not None and snapshot.resource_id != _id_of(volume).lower():
            raise UsageError(f"snapshot {text} is not of that volume but of {snapshot.resource_id}")
        if region is not None and region not in snapshot.regions:
            places = ", ".join(snapshot.regions)
            raise UsageError(f"snapshot {text} is in {places or 'no region'}, not in {region}")
        return snapshot
    listed = await store.snapshots.list(volume)
    there = [each for each in listed if region is None or region in each.regions]
    if region is not None and not there:
        await check_regions(store, region)
    found = [snapshot for snapshot in there if snapshot.name == text]
    if not found and not to_delete and _FRONT.fullmatch(text):
        found = [snapshot for snapshot in there if snapshot.id.startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        ids = _enumerated([snapshot.id for snapshot in found])
        raise UsageError(f"{len(found)} snapshots are named {text}: {ids}; add --volume")
    near = [{"id": each.id, "name": each.name} for each in listed]
    where = f" in {region}" if region else ""
    raise CommandError(f"no snapshot is named {text!r}{where}{_near(text, near, ())}")


@asynccontextmanager
async def told_near_snapshots(store: BlockStore, text: str) -> AsyncIterator[None]:
    """Say which snapshot may be meant, where there is none with the id that was typed.

    Raises:
        CommandError: there is none.
    """
    try:
        yield
    except NotFoundError as error:
        near, _ = await _first_pages(store, "snapshots", {"resource_type": "volume"})
        said = _near(text.lower(), near, (), by="id")
        raise CommandError(f"404: no snapshot has the id {text}{said}") from error


async def check_regions(store: BlockStore, *slugs: str) -> None:
    """Refuse a region that there is not, after something came back empty. Requests: 1.

    Raises:
        UsageError: it is unknown, or has no volumes.
    """
    from ...bulk import Selection

    try:
        regions = await store.regions.list()
    except BlockStoreError:
        # Whatever goes wrong here is not what the user asked about.
        return
    if unknown := Selection(regions=slugs).unknown_regions(regions):
        raise UsageError(unknown)


async def _volumes(store: BlockStore) -> tuple[list[dict[str, Any]], bool]:
    return await _first_pages(store, "volumes", {})


async def _first_pages(
    store: BlockStore, what: str, params: dict[str, str]
) -> tuple[list[dict[str, Any]], bool]:
    """What the first pages of a listing hold, and whether that is all of it.

    Not a listing of the library, which has no bound.
    """
    found: list[dict[str, Any]] = []
    # A suggestion is no reason to fail in another way.
    with suppress(BlockStoreError, KeyError, TypeError):
        for number in range(1, _PAGES + 1):
            query: dict[str, str | int] = {**params, "page": number, "per_page": _PER_PAGE}
            body = (await store.request("GET", f"/v2/{what}", params=query)).body
            found += body[what]
            if len(body[what]) < _PER_PAGE:
                return found, True
    return found, False


def _near(text: str, things: list[dict[str, Any]], fronts: Any, *, by: str = "name") -> str:
    """`; did you mean ...?` with what is named nearly so, or nothing."""
    import difflib

    places: dict[str, list[str]] = {}
    for each in things:
        region = each.get("region")
        shown = each["name"] if by == "name" else f"{each['id']} ({each['name']})"
        places.setdefault(str(each[by]), []).append(
            f"{shown} in {region['slug']}" if region else shown
        )
    names = difflib.get_close_matches(text, places, n=_MOST_NEAR, cutoff=0.7)
    near = [f"{each['id']} ({each['name']})" for each in fronts]
    for name in names:
        there = places[name]
        near.append(there[0] if len(there) == 1 else f"{name} (there are {len(there)})")
    return f"; did you mean {' or '.join(near[:_MOST_NEAR])}?" if near else ""


def _enumerated(words: list[str]) -> str:
    more = len(words) - _MOST_PLACES
    return ", ".join(words[:_MOST_PLACES]) + (f" and {more} more" if more > 0 else "")
