"""From listings to steps: what each job does with each volume. Pure.

Each planner answers the steps in the order in which they are to be begun, and what is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from ...models import Volume, VolumeSnapshot
from ..errors import PlanError
from ..model.inventory import by_volume
from ..model.plan import SkippedStep, Step
from ..model.prices import Prices
from ..model.retention import Retention, apply
from ..model.snapshot_names import Template, job_tag
from ..model.specs import VolumeSpec

__all__ = [
    "COOLDOWN",
    "MAX_SNAPSHOTS",
    "Making",
    "creation_steps",
    "deletion_steps",
    "prune_steps",
    "snapshot_steps",
]

MAX_SNAPSHOTS: Final = 25
COOLDOWN: Final = timedelta(minutes=10)

_Steps = tuple[list[Step], list[SkippedStep]]


@attrs.frozen(kw_only=True)
class Making:
    """How snapshots are made and recognized by one job.

    Attributes:
        by_name: whether the job knows its snapshots by their names; else by its tag.
    """

    job: str
    template: Template
    at: datetime
    prices: Prices
    tags: tuple[str, ...] = ()
    by_name: bool = False

    @property
    def all_tags(self) -> tuple[str, ...]:
        """What each snapshot is tagged with: the job's tag first, unless it goes by names."""
        return self.tags if self.by_name else (job_tag(self.job), *self.tags)

    def owns(self, snapshot: VolumeSnapshot, volume: Volume | None) -> bool:
        """Whether this job made the snapshot; nothing else is ever deleted by it."""
        if not self.by_name:
            return job_tag(self.job) in snapshot.tags
        return volume is not None and self.template.matches(snapshot.name, volume, self.job)

    def count_own(
        self, snapshots: Iterable[VolumeSnapshot], volumes: Iterable[Volume] | None
    ) -> int:
        """How many of the snapshots this job made."""
        known = {volume.id: volume for volume in volumes or ()}
        return sum(self.owns(each, known.get(each.resource_id)) for each in snapshots)

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


@attrs.frozen
class _New:
    """The snapshot that will be there once it is made, for the retention to count."""

    id: str
    created_at: datetime
    tags: tuple[str, ...]


def snapshot_steps(
    volumes: Sequence[Volume],
    snapshots: Iterable[VolumeSnapshot],
    making: Making,
    keep: Retention | None,
) -> _Steps:
    """Snapshot each volume, and delete what `keep` lets go of this job's older ones.

    All snapshots are taken first, and each old one is deleted only once the new one of its volume
    is there. Where a volume has 25 already, the oldest that goes anyhow goes before.
    """
    names = making.names(volumes)
    grouped = by_volume(snapshots)
    before: list[Step] = []
    after: list[Step] = []
    skips: list[SkippedStep] = []
    for volume in volumes:
        there = grouped.get(volume.id, [])
        own = [each for each in there if making.owns(each, volume)]
        skip = _obstacle(volume, there, names[volume.id], making.at)
        new = None if skip else _New("", making.at, making.all_tags)
        gone, retained = _let_go(own, new, keep, making.at)
        early = max(0, len(there) + 1 - MAX_SNAPSHOTS)
        if skip is None and early > len(gone):
            reason = f"it has {len(there)} snapshots, the most there may be"
            skip = _skip(volume, "snapshot_limit", reason)
            gone, retained = _let_go(own, None, keep, making.at)
        deletions = [
            _delete_snapshot(each, volume, making.prices, str(keep), retained) for each in gone
        ]
        if skip is not None:
            skips.append(skip)
            after.extend(deletions)
            continue
        first, rest = deletions[:early], deletions[early:]
        key = ""
        for step in first:
            before.append(attrs.evolve(step, depends_on=key))
            key = step.key
        create = _create_snapshot(volume, names[volume.id], there, making, depends_on=key)
        before.append(create)
        after.extend(attrs.evolve(step, depends_on=create.key) for step in rest)
    return before + after, skips


def prune_steps(
    snapshots: Iterable[VolumeSnapshot],
    volumes: Iterable[Volume] | None,
    making: Making,
    keep: Retention,
) -> _Steps:
    """Delete what `keep` lets go of this job's snapshots, volume by volume.

    Args:
        snapshots: of the whole account.
        volumes: those selected; None for all, also those that are gone.
    """
    known = None if volumes is None else {volume.id: volume for volume in volumes}
    steps: list[Step] = []
    for volume_id, there in by_volume(snapshots).items():
        if known is not None and volume_id not in known:
            continue
        volume = known[volume_id] if known is not None else None
        own = [each for each in there if making.owns(each, volume)]
        gone, retained = _let_go(own, None, keep, making.at)
        steps.extend(
            _delete_snapshot(each, volume, making.prices, str(keep), retained) for each in gone
        )
    return steps, []


def deletion_steps(
    volumes: Sequence[Volume],
    snapshots: Iterable[VolumeSnapshot] | None,
    making: Making,
    *,
    must_carry: Callable[[Volume], tuple[str, ...]] = lambda volume: (),
) -> _Steps:
    """Delete each volume that is not attached; with `snapshots`, only once a last one is taken.

    A snapshot that is there already is never taken for the last one.

    Args:
        snapshots: of the account; None for no last snapshot.
        must_carry: the tags that the volume must still have when it is deleted.
    """
    free = [volume for volume in volumes if not volume.droplet_ids]
    names = making.names(free) if snapshots is not None else {}
    grouped = by_volume(snapshots or ())
    steps: list[Step] = []
    skips = [
        _skip(volume, "attached", f"attached to Droplet {volume.droplet_ids[0]}")
        for volume in volumes
        if volume.droplet_ids
    ]
    for volume in free:
        key = ""
        if snapshots is not None:
            there = grouped.get(volume.id, [])
            skip = _obstacle(volume, there, names[volume.id], making.at)
            if skip is not None and skip.code == "exists":
                # However it got there, it may be old: the last one is the one taken now.
                reason = f"{skip.reason} already, which may be old: add {{time}} to the template"
                skip = attrs.evolve(skip, reason=reason)
            if skip is None and len(there) >= MAX_SNAPSHOTS:
                skip = _skip(volume, "snapshot_limit", "no room for a last snapshot: it has 25")
            if skip is not None:
                skips.append(skip)
                continue
            create = _create_snapshot(volume, names[volume.id], there, making, depends_on="")
            steps.append(create)
            key = create.key
        steps.append(
            Step(
                key=f"delete-volume:{volume.id}",
                action="delete_volume",
                name=volume.name,
                region=volume.region.slug,
                volume_id=volume.id,
                volume_name=volume.name,
                target_id=volume.id,
                size_gigabytes=volume.size_gigabytes,
                tags=must_carry(volume),
                depends_on=key,
                reason="unattached",
                monthly_cost=-making.prices.volume(volume.size_gigabytes),
            )
        )
    return steps, skips


def creation_steps(
    specs: Iterable[VolumeSpec],
    volumes: Iterable[Volume],
    tags: tuple[str, ...],
    prices: Prices,
) -> _Steps:
    """Create each volume whose name is free in its region."""
    there = {(volume.name, volume.region.slug): volume for volume in volumes}
    steps: list[Step] = []
    skips: list[SkippedStep] = []
    for spec in specs:
        found = there.get((spec.name, spec.region))
        if found is not None:
            same = spec.size_gigabytes in (None, found.size_gigabytes)
            code = "exists" if same else "name_conflict"
            reason = "exists already" + ("" if same else f", with {found.size_gigabytes} GiB")
            skips.append(_skip(found, code, reason))
            continue
        wanted = attrs.evolve(spec, tags=tuple(dict.fromkeys((*spec.tags, *tags))))
        size = spec.size_gigabytes or 0
        steps.append(
            Step(
                key=f"create-volume:{spec.region}:{spec.name}",
                action="create_volume",
                name=spec.name,
                region=spec.region,
                volume_name=spec.name,
                size_gigabytes=size,
                tags=wanted.tags,
                reason=f"from snapshot {spec.snapshot_id}" if spec.snapshot_id else f"{size} GiB",
                monthly_cost=prices.volume(size),
                spec=wanted,
            )
        )
    return steps, skips


# The pieces.


def _obstacle(
    volume: Volume, there: Sequence[VolumeSnapshot], name: str, at: datetime
) -> SkippedStep | None:
    """Why no snapshot of that name can be taken now; None if one can."""
    if any(snapshot.name == name for snapshot in there):
        return _skip(volume, "exists", f"has a snapshot {name}")
    if there and at - COOLDOWN < there[-1].created_at <= at:
        again = there[-1].created_at + COOLDOWN
        return _skip(
            volume,
            "cooldown",
            f"its newest snapshot is less than ten minutes old; the next at {again:%H:%M:%S} UTC",
        )
    return None


def _let_go(
    own: Sequence[VolumeSnapshot], new: _New | None, keep: Retention | None, at: datetime
) -> tuple[list[VolumeSnapshot], str]:
    """Which of a job's snapshots of one volume are not kept, oldest first.

    And the id of the newest one that is kept; empty where that is none but the new one.
    """
    if keep is None:
        return [], ""
    candidates: list[VolumeSnapshot | _New] = [*own, *([new] if new else [])]
    verdict = apply(keep, candidates, now=at)
    retained = next((each.id for each, _ in verdict.kept if each.id), "")
    gone = [each for each in reversed(verdict.removed) if isinstance(each, VolumeSnapshot)]
    return gone, retained


def _create_snapshot(
    volume: Volume, name: str, there: Sequence[VolumeSnapshot], making: Making, *, depends_on: str
) -> Step:
    # What it will weigh is not known before; at most the whole volume.
    size = there[-1].size_gigabytes if there else volume.size_gigabytes
    return Step(
        key=f"create-snapshot:{volume.id}",
        action="create_snapshot",
        name=name,
        region=volume.region.slug,
        volume_id=volume.id,
        volume_name=volume.name,
        size_gigabytes=volume.size_gigabytes,
        attached=bool(volume.droplet_ids),
        tags=making.all_tags,
        depends_on=depends_on,
        monthly_cost=making.prices.snapshot(size),
    )


def _delete_snapshot(
    snapshot: VolumeSnapshot, volume: Volume | None, prices: Prices, reason: str, retained: str
) -> Step:
    return Step(
        key=f"delete-snapshot:{snapshot.id}",
        action="delete_snapshot",
        name=snapshot.name,
        # Steps that wait for each other must be of one region (see `run`).
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


def _skip(volume: Volume, code: str, reason: str) -> SkippedStep:
    return SkippedStep(
        name=volume.name,
        region=volume.region.slug,
        code=code,
        reason=reason,
        volume_id=volume.id,
    )
