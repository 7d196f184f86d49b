"""Plan snapshots and the pruning of a job's older ones. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import partial

import attrs

from ...models import Volume
from ..model.listed import AnySnapshot, AnyVolume, ListedVolume, SnapshotsByVolume
from ..model.plan import SkippedStep, Step
from ..model.retention import Retention, apply
from ..model.rows import CompactRows
from .policy import (
    MAX_SNAPSHOTS,
    SnapshotPolicy,
    Steps,
    create_snapshot,
    delete_snapshot,
    skip_reason,
    skip_volume,
)

__all__ = ["prune_steps", "snapshot_steps"]


@attrs.frozen
class _PlannedSnapshot:
    """The snapshot that this plan takes, for the retention to count."""

    id: str
    created_at: datetime
    tags: tuple[str, ...]


def snapshot_steps(
    volumes: Collection[AnyVolume],
    snapshots: Iterable[AnySnapshot],
    policy: SnapshotPolicy,
    keep: Retention | None,
) -> Steps:
    """Snapshot each volume, and delete those of this job's older ones that `keep` does not keep.

    All snapshots are taken first, and each old one is deleted only once the new one of its volume
    exists. Where a volume has 25 already, the oldest that is not kept is deleted before.
    """
    names = policy.names(volumes)
    delete = partial(delete_snapshot, prices=policy.prices, reason=_reason(keep))
    owns = policy.recognizer()
    grouped = SnapshotsByVolume(snapshots)
    before: CompactRows[Step] = CompactRows()
    after: CompactRows[Step] = CompactRows()
    skips: CompactRows[SkippedStep] = CompactRows()
    for volume in volumes:
        existing = grouped.get(volume.id, [])
        own = [each for each in existing if owns(each, volume)]
        skip = skip_reason(volume, existing, names[volume.id], policy)
        new = None if skip else _PlannedSnapshot("", policy.at, policy.all_tags)
        gone, retained = _expired(own, new, keep, policy)
        is_guarded = not policy.allows_pruning(len(gone), len(own) + (new is not None))
        if is_guarded:
            skips.append(_prune_guard(volume, len(gone), len(own) + (new is not None)))
            gone = []
        early = max(0, len(existing) + 1 - MAX_SNAPSHOTS)
        if skip is None and early > len(gone):
            reason = f"it has {len(existing)} snapshots, the most the API allows"
            skip = skip_volume(volume, "snapshot_limit", reason)
            gone, retained = _expired(own, None, keep, policy)
            if is_guarded or not policy.allows_pruning(len(gone), len(own)):
                gone = []
        if skip is not None:
            skips.append(skip)
            after.extend(delete(each, volume, retained) for each in gone)
            continue
        key = ""
        for each in gone[:early]:
            step = delete(each, volume, retained, depends_on=key)
            before.append(step)
            key = step.key
        create = create_snapshot(volume, names[volume.id], existing, policy, depends_on=key)
        before.append(create)
        after.extend(delete(each, volume, retained, depends_on=create.key) for each in gone[early:])
    before.extend(after)
    return before, skips


def prune_steps(
    snapshots: Iterable[AnySnapshot],
    volumes: Iterable[AnyVolume] | None,
    policy: SnapshotPolicy,
    keep: Retention,
) -> Steps:
    """Delete those of this job's snapshots that `keep` does not keep, volume by volume.

    Args:
        snapshots: of the whole account.
        volumes: those selected; None for all, deleted ones included.
    """
    delete = partial(delete_snapshot, prices=policy.prices, reason=_reason(keep))
    owns = policy.recognizer()
    known = None if volumes is None else {volume.id: volume for volume in volumes}
    steps: CompactRows[Step] = CompactRows()
    skips: CompactRows[SkippedStep] = CompactRows()
    grouped = SnapshotsByVolume(snapshots)
    for volume_id, existing in grouped.items():
        if known is not None and volume_id not in known:
            continue
        volume = known[volume_id] if known is not None else None
        own = [each for each in existing if owns(each, volume)]
        gone, retained = _expired(own, None, keep, policy)
        if not policy.allows_pruning(len(gone), len(own)):
            skips.append(_prune_guard(volume or own[0], len(gone), len(own)))
            continue
        steps.extend(delete(each, volume, retained) for each in gone)
    return steps, skips


def _reason(keep: Retention | None) -> str:
    return f"not kept by {str(keep).removeprefix('keep ')}"


def _prune_guard(of: AnyVolume | AnySnapshot, deleted: int, total: int) -> SkippedStep:
    """Skip the pruning of one volume whose history would mostly be deleted."""
    reason = (
        f"pruning would delete {deleted} of its {total} snapshots of this job: check the clock and "
        "what is kept, or allow it with max_pruned_share"
    )
    if isinstance(of, Volume | ListedVolume):
        return skip_volume(of, "prune_guard", reason)
    region = next(iter(of.regions), "")
    return SkippedStep(
        name=of.resource_id,
        region=region,
        code="prune_guard",
        reason=reason,
        volume_id=of.resource_id,
    )


def _expired(
    own: Sequence[AnySnapshot],
    new: _PlannedSnapshot | None,
    keep: Retention | None,
    policy: SnapshotPolicy,
) -> tuple[list[AnySnapshot], str]:
    """Apply the retention to a job's snapshots of one volume.

    Returns:
        Those that are not kept, oldest first, and the id of the newest one that is kept; empty
        where only the planned one is.
    """
    if keep is None:
        return [], ""
    candidates: list[AnySnapshot | _PlannedSnapshot] = [*own, *([new] if new else [])]
    verdict = apply(keep, candidates, now=policy.at, zone=policy.zone)
    retained = next((each.id for each, _ in verdict.kept if each.id), "")
    gone = [each for each in reversed(verdict.removed) if not isinstance(each, _PlannedSnapshot)]
    return gone, retained
