"""The account, as bulk jobs see it: read in the fewest requests, kept as a view, and written to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final, TypeVar

import attrs

from .._http.engine import Engine
from .._http.request import Request
from .._schema.json_to_models import Codec
from ..errors import ListingChangedError, NotFoundError, PermissionDeniedError
from ..resources._ids import IdMap, PairMap
from ..resources._listing import AsyncListing
from ..resources.regions import RegionManager
from ..resources.snapshots import SnapshotManager
from ..resources.volumes import VolumeManager
from .errors import PlanError
from .model.listed import (
    AnySnapshot,
    AnyVolume,
    Gatherer,
    ListedSnapshot,
    ListedVolume,
)
from .model.plan import Plan
from .model.rows import CompactRows
from .model.selection import Selection

__all__ = [
    "AccountReader",
    "AccountView",
    "AccountWriter",
    "another_account",
    "is_account_of",
]

T = TypeVar("T")
R = TypeVar("R")

# A step waits as long as the budget needs, even where the service's own calls time out early.
_TIMEOUT_S: Final = 86_400.0


@attrs.frozen
class AccountView:
    """Volumes and snapshots as one reading of the account found them.

    Attributes:
        volumes, snapshots: by id; None if they were not listed.
        volumes_by_name: by name and region.
        snapshots_by_name: by volume id and name.
    """

    volumes: Mapping[str, AnyVolume] | None = None
    snapshots: Mapping[str, AnySnapshot] | None = None
    volumes_by_name: Mapping[tuple[str, str], AnyVolume] = attrs.field(factory=dict)
    snapshots_by_name: Mapping[tuple[str, str], AnySnapshot] = attrs.field(factory=dict)

    @classmethod
    def of(
        cls,
        volumes: Collection[AnyVolume] | None = None,
        snapshots: Collection[AnySnapshot] | None = None,
    ) -> AccountView:
        """Index listings; None stands for one that was not read."""
        return cls(
            None if volumes is None else IdMap((each.id, each) for each in volumes),
            None if snapshots is None else IdMap((each.id, each) for each in snapshots),
            PairMap(((each.name, each.region.slug), each) for each in volumes or ()),
            PairMap(((each.resource_id, each.name), each) for each in snapshots or ()),
        )


def is_account_of(plan: Plan, view: AccountView, deleted: Iterable[str] = ()) -> bool:
    """Whether the plan was made for the account that was read, as far as that shows.

    Args:
        plan: the plan.
        view: the listings just read.
        deleted: ids that the plan itself may have deleted meanwhile.
    """
    expected = set(plan.account_sample_ids).difference(deleted)
    present = (view.volumes or {}, view.snapshots or {})
    return not expected or any(each in listed for each in expected for listed in present)


def another_account() -> PlanError:
    """None of the ids that were sampled when the plan was made is in the account."""
    return PlanError(
        "nothing that this plan was made from is in this account: it was made for another account, "
        "or all of it was deleted; plan again with the token of the right account"
    )


class AccountReader:
    """Lists volumes and snapshots for jobs.

    Requests: max(1, ceil(V / 200)) for V volumes of the account (or of the one region asked for),
    max(1, ceil(S / 200)) for S snapshots of the account: never one for each volume or region.
    Scopes: `block_storage:read`, `snapshot:read`; `regions:read` only to check the name of a region
    that has no volume.
    """

    def __init__(
        self, volumes: VolumeManager, snapshots: SnapshotManager, regions: RegionManager
    ) -> None:
        self._volumes = volumes
        self._snapshots = snapshots
        self._regions = regions

    async def check_regions(self, named: Iterable[str], volumes: Iterable[AnyVolume]) -> None:
        """Reject slugs that are no region with block storage.

        Requests: one, where a named region has none of `volumes`. A token that may not read
        regions checks nothing.

        Raises:
            PlanError: names the unknown ones, and those that there are.
        """
        unsure = set(named)
        for volume in volumes:
            if not unsure:
                break  # of a large account, the rest need not be gone through
            unsure.discard(volume.region.slug)
        if not unsure:
            return
        try:
            found = [region async for region in self._regions.list()]
        except PermissionDeniedError:
            return
        if unknown := Selection(regions=unsure).unknown_regions(found):
            raise PlanError(unknown)

    async def listings(
        self, *, volumes: bool, snapshots: bool, region: str | None = None
    ) -> tuple[CompactRows[ListedVolume] | None, CompactRows[ListedSnapshot] | None, bool]:
        """List what is asked for.

        Returns:
            What was found, None where it was not asked for; and whether that is all of it. It may
            not be while others create or delete: what was found is there, what is missing has to be
            looked for by itself.
        """
        gatherer = Gatherer()
        found_volumes: CompactRows[ListedVolume] = CompactRows()
        found_snapshots: CompactRows[ListedSnapshot] = CompactRows()
        is_whole = are_all = True
        if volumes:
            listing = self._volumes.list(region=region)
            is_whole = await _collect(listing, gatherer.volume, found_volumes)
        if snapshots:
            are_all = await _collect(self._snapshots.list(), gatherer.snapshot, found_snapshots)
        return (
            found_volumes if volumes else None,
            found_snapshots if snapshots else None,
            is_whole and are_all,
        )

    async def look(
        self,
        *,
        volume_ids: Collection[str],
        snapshots_of: Collection[str],
        snapshot_ids: Collection[str],
        names: Collection[tuple[str, str]],
    ) -> AccountView:
        """Look for single things; whatever else happens in the account, it cannot hide them.

        Requests: one for each of them.

        Args:
            volume_ids: of volumes.
            snapshots_of: ids of volumes whose snapshots are wanted.
            snapshot_ids: of snapshots.
            names: names and regions of volumes.
        """
        gatherer = Gatherer()
        volumes: list[AnyVolume] = []
        snapshots: CompactRows[ListedSnapshot] = CompactRows()
        for volume_id in volume_ids:
            with suppress(NotFoundError):
                volumes.append(await self._volumes.get(volume_id))
        for name, region in names:
            found = await self._volumes.find(name, region=region)
            volumes.extend([found] if found is not None else [])
        for volume_id in snapshots_of:
            with suppress(NotFoundError):
                listing = self._snapshots.list(volume_id=volume_id)
                await _collect(listing, gatherer.snapshot, snapshots)
        for snapshot_id in snapshot_ids:
            with suppress(NotFoundError):
                snapshots.append(gatherer.snapshot(await self._snapshots.get(snapshot_id)))
        return AccountView.of(volumes, snapshots)

    async def volumes(self, region: str | None = None) -> CompactRows[ListedVolume]:
        """List every volume, or those of one region."""
        found: CompactRows[ListedVolume] = CompactRows()
        await _read(self._volumes.list(region=region), Gatherer().volume, found)
        return found

    async def volumes_in(self, selection: Selection) -> CompactRows[ListedVolume]:
        """List the volumes of the regions that are selected, or of all.

        Raises:
            PlanError: a region does not exist: half of a job would be missing in silence.
        """
        volumes = await self.volumes(selection.only_region)
        await self.check_regions(selection.regions, volumes)
        return volumes

    async def snapshots(self) -> CompactRows[ListedSnapshot]:
        """List every volume snapshot of the account."""
        found: CompactRows[ListedSnapshot] = CompactRows()
        await _read(self._snapshots.list(), Gatherer().snapshot, found)
        return found


async def _read(listing: AsyncListing[T], kept: Callable[[T], R], found: CompactRows[R]) -> None:
    """Read a listing page by page, and keep of each item what `kept` returns."""
    async with aclosing(listing._mapped(kept).pages()) as pages:
        async for page in pages:
            found.extend(page.items)


async def _collect(listing: AsyncListing[T], kept: Callable[[T], R], found: CompactRows[R]) -> bool:
    """Do the same; return whether that is all of it."""
    try:
        await _read(listing, kept, found)
    except ListingChangedError:
        return False
    return True


class AccountWriter:
    """The requests that steps are made of; every one goes through the managers or the engine.

    Scopes: those of the calls: `block_storage_snapshot:create` and `:delete`,
    `block_storage:create` and `:delete`, `tag:create` and `tag:delete`.

    Attributes:
        volumes, snapshots: the managers.
        timeout_s: for each call; None for none.
    """

    def __init__(
        self, engine: Engine, codec: Codec, volumes: VolumeManager, snapshots: SnapshotManager
    ) -> None:
        self._engine = engine
        self._codec = codec
        self.volumes = volumes
        self.snapshots = snapshots
        self.timeout_s = None if engine.config.timeout_s is None else _TIMEOUT_S
        self._tags: set[str] = set()
        self._tagging = asyncio.Lock()

    async def volume_ids(self) -> set[str]:
        """List the ids of all volumes."""
        return {volume.id async for volume in self.volumes.list(timeout=self.timeout_s)}

    async def tag(self, name: str, volume_ids: Iterable[str]) -> None:
        """Tag volumes, in one request; the tag itself is created once, before it is first set."""
        async with self._tagging:
            if name.lower() not in self._tags:
                await self._send("POST", "/v2/tags", "/v2/tags", {"name": name})
                self._tags.add(name.lower())
        await self._send_resources("POST", name, volume_ids)

    async def untag(self, name: str, volume_ids: Iterable[str]) -> None:
        """Take a tag from volumes, in one request."""
        await self._send_resources("DELETE", name, volume_ids)

    async def _send_resources(self, method: str, name: str, volume_ids: Iterable[str]) -> None:
        resources = [{"resource_id": each, "resource_type": "volume"} for each in volume_ids]
        route = "/v2/tags/{tag}/resources"
        await self._send(method, f"/v2/tags/{name}/resources", route, {"resources": resources})

    async def _send(self, method: str, path: str, route: str, json: Any) -> None:
        request = Request(
            method=method,
            path=path,
            route=route,
            decode=self._codec.nothing,
            json=json,
            # Creating a tag that exists, or setting it once more, changes nothing.
            idempotent=True,
            scopes=("tag:create",) if method == "POST" else ("tag:delete",),
        )
        await self._engine.call(request, timeout=self.timeout_s)
