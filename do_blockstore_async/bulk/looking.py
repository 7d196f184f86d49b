"""Reading the account: the fewest requests that show every volume and every snapshot."""

from __future__ import annotations

from ..models import Volume, VolumeSnapshot
from ..resources.snapshots import Snapshots
from ..resources.volumes import Volumes
from .recheck import Seen

__all__ = ["Looker"]


class Looker:
    """Lists volumes and snapshots for jobs.

    Requests: max(1, ceil(V / 200)) for V volumes of the account (or of the one region asked for),
    max(1, ceil(S / 200)) for S snapshots of the account: never one for each volume or region.
    Scopes: `block_storage:read`, `snapshot:read`.
    """

    def __init__(self, volumes: Volumes, snapshots: Snapshots) -> None:
        self._volumes = volumes
        self._snapshots = snapshots

    async def volumes(self, region: str | None = None) -> list[Volume]:
        """Every volume, or those of one region."""
        return [volume async for volume in self._volumes.list(region=region)]

    async def snapshots(self) -> list[VolumeSnapshot]:
        """Every volume snapshot of the account."""
        return [snapshot async for snapshot in self._snapshots.list()]

    async def look(self, *, region: str | None, volumes: bool, snapshots: bool) -> Seen:
        """What is asked for, looked up by id and by name."""
        return Seen.of(
            await self.volumes(region) if volumes else None,
            await self.snapshots() if snapshots else None,
        )
