"""How one job makes, recognizes and skips snapshots: what its planners share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from ...models import Volume, VolumeSnapshot
from ..errors import PlanError
from ..model.plan import SkippedStep, Step
from ..model.prices import Prices
from ..model.snapshot_names import Template, job_tag

__all__ = [
    "COOLDOWN",
    "MAX_PRUNED_SHARE",
    "MAX_SNAPSHOTS",
    "SnapshotPolicy",
    "Steps",
    "create_snapshot",
    "delete_snapshot",
    "skip_reason",
    "skip_volume",
]

MAX_SNAPSHOTS: Final = 25
COOLDOWN: Final = timedelta(minutes=10)
MAX_PRUNED_SHARE: Final = 0.75

Steps = tuple[list[Step], list[SkippedStep]]
"""The steps in the order in which they are to start, and what is skipped."""


@attrs.frozen(kw_only=True)
class SnapshotPolicy:
    """How one job names, tags, prices and recognizes its snapshots.

    Attributes:
        at: the time for names and retention, in UTC.
        is_at_given: whether the caller chose it; otherwise the API's own time takes its place.
        by_name: whether the job recognizes its snapshots by their names; otherwise by its tag.
        max_pruned_share: of one volume's snapshots of the job, the planned one included, at most
            this share is deleted; more than that looks like a mistake, such as a wrong clock.
    """

    job: str
    template: Template
    at: datetime
    prices: Prices
    tags: tuple[str, ...] = ()
    is_at_given: bool = True
    by_name: bool = False
    max_pruned_share: float = MAX_PRUNED_SHARE

    @property
    def all_tags(self) -> tuple[str, ...]:
        """The tags of each snapshot: the job's own first, unless it recognizes them by name."""
        return self.tags if self.by_name else (job_tag(self.job), *self.tags)

    def owns(self, snapshot: VolumeSnapshot, volume: Volume | None) -> bool:
        """Whether this job made the snapshot; it never deletes any other."""
        if not self.by_name:
            # Without a set for each snapshot: most have one tag or two.
            own = job_tag(self.job).lower()
            return any(tag.lower() == own for tag in snapshot.tags)
        return volume is not None and self.template.matches(snapshot.name, volume, self.job)

    def count_own(
        self, snapshots: Iterable[VolumeSnapshot], volumes: Iterable[Volume] | None
    ) -> int:
        """How many of the snapshots this job made."""
        known = {volume.id: volume for volume in volumes or ()}
        return sum(self.owns(each, known.get(each.resource_id)) for each in snapshots)

    def allows_pruning(self, deleted: int, of: int) -> bool:
        """Whether so many of a volume's snapshots may go; one of two always may."""
        return deleted <= max(1, self.max_pruned_share * of)

    def names(self, volumes: Sequence[Volume]) -> dict[str, str]:
        """The name of each volume's snapshot, by the volume's id.

        Raises:
            PlanError: two volumes would get the same name, or a name is too long.
        """
        names = {volume.id: self.template.render(volume, self.at, self.job) for volume in volumes}
        first: dict[str, Volume] = {}
        for volume in volumes:
            other = first.setdefault(names[volume.id], volume)
            if other is not volume:
                raise PlanError(
                    f"the template gives two volumes the name {names[volume.id]!r}: {other.name} "
                    f"in {other.region.slug} and {volume.name} in {volume.region.slug}; "
                    "add {region} or {volume_id:.8} to it"
                )
        return names


def skip_reason(
    volume: Volume, existing: Sequence[VolumeSnapshot], name: str, at: datetime
) -> SkippedStep | None:
    """Say why no snapshot of that name can be taken now; None if one can."""
    if any(snapshot.name == name for snapshot in existing):
        return skip_volume(volume, "exists", f"has a snapshot {name}")
    if existing and at - COOLDOWN < existing[-1].created_at <= at:
        again = existing[-1].created_at + COOLDOWN
        return skip_volume(
            volume,
            "cooldown",
            f"its newest snapshot is less than ten minutes old; wait until {again:%H:%M:%S} UTC",
        )
    return None


def create_snapshot(
    volume: Volume,
    name: str,
    existing: Sequence[VolumeSnapshot],
    policy: SnapshotPolicy,
    *,
    depends_on: str,
) -> Step:
    # The size of a snapshot is not known before it is taken; it is at most the whole volume.
    size = existing[-1].size_gigabytes if existing else volume.size_gigabytes
    return Step(
        key=f"create-snapshot:{volume.id}",
        action="create_snapshot",
        name=name,
        region=volume.region.slug,
        volume_id=volume.id,
        volume_name=volume.name,
        size_gigabytes=volume.size_gigabytes,
        attached=bool(volume.droplet_ids),
        tags=policy.all_tags,
        depends_on=depends_on,
        monthly_cost=policy.prices.snapshot(size),
    )


def delete_snapshot(
    snapshot: VolumeSnapshot, volume: Volume | None, prices: Prices, reason: str, retained: str
) -> Step:
    return Step(
        key=f"delete-snapshot:{snapshot.id}",
        action="delete_snapshot",
        name=snapshot.name,
        # Steps that depend on each other must be of one region (see `execution/run.py`).
        region=volume.region.slug if volume else next(iter(snapshot.regions), ""),
        volume_id=snapshot.resource_id,
        volume_name="" if volume is None else volume.name,
        target_id=snapshot.id,
        size_gigabytes=snapshot.size_gigabytes,
        tags=snapshot.tags,
        retained_snapshot_id=retained,
        reason=reason,
        monthly_cost=-prices.snapshot(snapshot.size_gigabytes),
    )


def skip_volume(volume: Volume, code: str, reason: str) -> SkippedStep:
    return SkippedStep(
        name=volume.name,
        region=volume.region.slug,
        code=code,
        reason=reason,
        volume_id=volume.id,
    )
