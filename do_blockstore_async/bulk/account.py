"""The account, as bulk jobs see it: read in the fewest requests, kept as a view, and written to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from .._http.engine import Engine
from .._http.request import Request
from .._schema.json_to_models import Codec
from ..models import Volume, VolumeSnapshot
from ..resources.snapshots import SnapshotManager
from ..resources.volumes import VolumeManager
from .errors import PlanError
from .model.plan import Plan

__all__ = ["AccountReader", "AccountView", "AccountWriter", "check_account"]

# A step waits as long as the budget needs, even where the service's own calls time out early.
_TIMEOUT_S: Final = 86_400.0

_ANOTHER: Final = (
    "nothing that this plan was made from is in this account: it was made for another account, "
    "or all of it was deleted; plan again with the token of the right account"
)


@attrs.frozen
class AccountView:
    """Volumes and snapshots as one reading of the account found them.

    Attributes:
        volumes, snapshots: by id; None if they were not listed.
        volumes_by_name: by name and region.
        snapshots_by_name: by volume id and name.
    """

    volumes: Mapping[str, Volume] | None = None
    snapshots: Mapping[str, VolumeSnapshot] | None = None
    volumes_by_name: Mapping[tuple[str, str], Volume] = attrs.field(factory=dict)
    snapshots_by_name: Mapping[tuple[str, str], VolumeSnapshot] = attrs.field(factory=dict)

    @classmethod
    def of(
        cls,
        volumes: Iterable[Volume] | None = None,
        snapshots: Iterable[VolumeSnapshot] | None = None,
    ) -> AccountView:
        """Index listings; None stands for one that was not read."""
        by_id = None if volumes is None else {each.id: each for each in volumes}
        snapshots_by_id = None if snapshots is None else {each.id: each for each in snapshots}
        return cls(
            by_id,
            snapshots_by_id,
            {(v.name, v.region.slug): v for v in (by_id or {}).values()},
            {(s.resource_id, s.name): s for s in (snapshots_by_id or {}).values()},
        )


def check_account(plan: Plan, view: AccountView, deleted: Iterable[str] = ()) -> None:
    """Reject a plan of another account.

    Args:
        plan: the plan.
        view: the listings just read.
        deleted: ids that the plan itself may have deleted meanwhile.

    Raises:
        PlanError: none of the ids sampled when the plan was made is in the account.
    """
    expected = set(plan.account_sample_ids).difference(deleted)
    present = {**(view.volumes or {}), **(view.snapshots or {})}
    if expected and expected.isdisjoint(present):
        raise PlanError(_ANOTHER)


class AccountReader:
    """Lists volumes and snapshots for jobs.

    Requests: max(1, ceil(V / 200)) for V volumes of the account (or of the one region asked for),
    max(1, ceil(S / 200)) for S snapshots of the account: never one for each volume or region.
    Scopes: `block_storage:read`, `snapshot:read`.
    """

    def __init__(self, volumes: VolumeManager, snapshots: SnapshotManager) -> None:
        self._volumes = volumes
        self._snapshots = snapshots

    async def volumes(self, region: str | None = None) -> list[Volume]:
        """List every volume, or those of one region."""
        return [volume async for volume in self._volumes.list(region=region)]

    async def snapshots(self) -> list[VolumeSnapshot]:
        """List every volume snapshot of the account."""
        return [snapshot async for snapshot in self._snapshots.list()]


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
