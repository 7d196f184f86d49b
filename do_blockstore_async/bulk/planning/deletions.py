"""Plan the deletion of volumes, each after a last snapshot if asked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import msgspec

from ..model.listed import AnySnapshot, AnyVolume, SnapshotsByVolume
from ..model.plan import SkippedStep, Step
from ..model.rows import CompactRows
from .policy import (
    MAX_SNAPSHOTS,
    SnapshotPolicy,
    Steps,
    create_snapshot,
    skip_reason,
    skip_volume,
)

__all__ = ["deletion_steps"]


def deletion_steps(
    volumes: Collection[AnyVolume],
    snapshots: Iterable[AnySnapshot] | None,
    policy: SnapshotPolicy,
    *,
    must_carry: Callable[[AnyVolume], tuple[str, ...]] = lambda volume: (),
) -> Steps:
    """Delete each volume that is not attached; with `snapshots`, only once a last one is taken.

    A snapshot that exists already never counts as the last one.

    Args:
        snapshots: of the account; None for no last snapshot.
        must_carry: the tags that the volume must still have when it is deleted.
    """
    free = CompactRows(volume for volume in volumes if not volume.droplet_ids)
    names = policy.names(free) if snapshots is not None else {}
    grouped = SnapshotsByVolume(snapshots or ())
    steps: CompactRows[Step] = CompactRows()
    skips: CompactRows[SkippedStep] = CompactRows()
    skips.extend(
        skip_volume(volume, "attached", f"attached to Droplet {volume.droplet_ids[0]}")
        for volume in volumes
        if volume.droplet_ids
    )
    for volume in free:
        key = ""
        if snapshots is not None:
            existing = grouped.get(volume.id, [])
            skip = skip_reason(volume, existing, names[volume.id], policy)
            if skip is not None and skip.code == "exists":
                # An existing snapshot with this name may be stale; only one taken by this run
                # counts.
                reason = f"{skip.reason} already, which may be old: add {{time}} to the template"
                skip = msgspec.structs.replace(skip, reason=reason)
            if skip is None and len(existing) >= MAX_SNAPSHOTS:
                skip = skip_volume(
                    volume, "snapshot_limit", "no last snapshot can be taken: it has 25 already"
                )
            if skip is not None:
                skips.append(skip)
                continue
            create = create_snapshot(volume, names[volume.id], existing, policy, depends_on="")
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
                monthly_cost=-policy.prices.volume(volume.size_gigabytes),
            )
        )
    return steps, skips
