"""A plan against a later look at the account: what changed, and what had been done. Pure.

The guarantee: nothing is done to a volume or snapshot that, at the last reading of the listing, was
gone, had another name, region, size or state of attachment, was not selected any more, or (when it
is to be deleted) had lost a tag; no snapshot is deleted once the newest of those that the retention
kept is gone; and nothing is deleted that waited for a snapshot of an earlier run, now gone. That
reading is at most `fresh_s` before the run begins. What changes later is left to the API's own
refusals: a volume attached since is not deleted (409), one that is gone cannot be snapshotted
(404), a taken name stays taken (409).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ..models import Volume, VolumeSnapshot
from .errors import PlanError
from .outcome import Status
from .plan import Plan, Step
from .selection import Selection

__all__ = ["Finding", "Seen", "check_account", "check_made", "check_step", "settle_step"]

_ANOTHER: Final = (
    "nothing that this plan was made from is in this account: it was made for another account, "
    "or all of it is gone; plan again with the token of the right account"
)


@attrs.frozen
class Seen:
    """A look at the account; None for what was not listed."""

    volumes: Mapping[str, Volume] | None = None
    snapshots: Mapping[str, VolumeSnapshot] | None = None
    named: Mapping[tuple[str, str], Volume] = attrs.field(factory=dict)
    taken: Mapping[tuple[str, str], VolumeSnapshot] = attrs.field(factory=dict)

    @classmethod
    def of(
        cls,
        volumes: Iterable[Volume] | None = None,
        snapshots: Iterable[VolumeSnapshot] | None = None,
    ) -> Seen:
        """From listings: volumes also by (name, region), snapshots by (volume, name)."""
        by_id = None if volumes is None else {each.id: each for each in volumes}
        shots = None if snapshots is None else {each.id: each for each in snapshots}
        return cls(
            by_id,
            shots,
            {(v.name, v.region.slug): v for v in (by_id or {}).values()},
            {(s.resource_id, s.name): s for s in (shots or {}).values()},
        )


@attrs.frozen
class Finding:
    """What looking says about a step: an outcome without a request."""

    status: Status
    code: str
    reason: str
    value: Any = None


def check_account(plan: Plan, seen: Seen, settled: Iterable[str] = ()) -> None:
    """Refuse a plan of another account.

    Args:
        plan: the plan.
        seen: the listings just read.
        settled: ids that the plan itself may have deleted meanwhile.

    Raises:
        PlanError: none of the ids it was made from is there.
    """
    expected = set(plan.account_sample_ids).difference(settled)
    there = {**(seen.volumes or {}), **(seen.snapshots or {})}
    if expected and expected.isdisjoint(there):
        raise PlanError(_ANOTHER)


def check_step(step: Step, seen: Seen, selection: Selection) -> Finding | None:
    """Why a step that was not begun must not be begun any more; None if it may."""
    if step.action == "create_volume":
        if seen.volumes is not None and (step.name, step.region) in seen.named:
            return Finding("skipped", "exists", "changed: a volume of that name is there now")
        return None
    if step.action == "delete_snapshot":
        return None if seen.snapshots is None else _check_snapshot(step, seen.snapshots)
    if seen.volumes is not None:
        changed = _check_volume(step, seen.volumes.get(step.volume_id), selection, seen)
        if changed is not None:
            return changed
    if step.action == "create_snapshot" and (step.volume_id, step.name) in seen.taken:
        return Finding("skipped", "exists", "changed: a snapshot of that name is there now")
    return None


def _check_volume(
    step: Step, volume: Volume | None, selection: Selection, seen: Seen
) -> Finding | None:
    if volume is None:
        other = seen.named.get((step.volume_name, step.region))
        text = "the volume is gone" if other is None else "another volume has its name now"
        code = "not_found" if other is None and step.action == "delete_volume" else "drifted"
        return Finding("skipped", code, f"changed: {text}")
    differences = [
        text
        for differs, text in (
            (volume.name != step.volume_name, f"its name is {volume.name} now"),
            (volume.region.slug != step.region, f"it is in {volume.region.slug} now"),
            (
                volume.size_gigabytes != step.size_gigabytes,
                f"it has {volume.size_gigabytes} GiB now, not {step.size_gigabytes:g}",
            ),
            (
                bool(volume.droplet_ids) != step.attached,
                "it is attached now" if volume.droplet_ids else "it is not attached any more",
            ),
            (
                step.action == "delete_volume" and not set(step.tags) <= set(volume.tags),
                "it lost a tag that the deletion rests on",
            ),
        )
        if differs
    ]
    if not differences and not selection.matches(volume):
        differences.append("it is not selected any more")
    if differences:
        return Finding("skipped", "drifted", "changed: " + ", ".join(differences))
    if step.action == "tag_volume" and step.name in volume.tags:
        return Finding("done", "", "it carried the tag already")
    if step.action == "untag_volume" and step.name not in volume.tags:
        return Finding("done", "", "it did not carry the tag any more")
    return None


def _check_snapshot(step: Step, snapshots: Mapping[str, VolumeSnapshot]) -> Finding | None:
    snapshot = snapshots.get(step.target_id)
    if snapshot is None:
        return Finding("skipped", "not_found", "changed: the snapshot is gone already")
    if snapshot.name != step.name or snapshot.resource_id != step.volume_id:
        return Finding("skipped", "drifted", f"changed: its name is {snapshot.name} now")
    if set(snapshot.tags) != set(step.tags):
        return Finding("skipped", "drifted", "changed: its tags are others now")
    if step.retained_snapshot_id and step.retained_snapshot_id not in snapshots:
        reason = "changed: the newer snapshot that was to stay is gone; plan again"
        return Finding("skipped", "drifted", reason)
    return None


def check_made(creation: Step, seen: Seen) -> Finding | None:
    """Why nothing may rest on a snapshot that an earlier run made; None if it is there."""
    if (creation.volume_id, creation.name) in seen.taken:
        return None
    reason = f"changed: the new snapshot {creation.name} is gone; plan again"
    return Finding("skipped", "drifted", reason)


def settle_step(step: Step, seen: Seen) -> Finding | None:
    """What became of a step that had been begun when its run ended; None: it must be repeated.

    Names and ids make it possible: whether the thing is there says whether the step was done.
    """
    if step.action == "create_snapshot":
        found = seen.taken.get((step.volume_id, step.name))
        if found is None:
            return None
        if not set(step.tags) <= set(found.tags):
            reason = "a snapshot of that name is there, without the tags of this job: look at it"
            return Finding("unknown", "", reason, found)
        return Finding("done", "", "", found)
    if step.action == "create_volume":
        volume = seen.named.get((step.name, step.region))
        if volume is None:
            return None
        if not _is_as_asked(step, volume):
            reason = "a volume of that name is there, but not as it was asked for: look at it"
            return Finding("unknown", "", reason, volume)
        return Finding("done", "", "", volume)
    if step.action == "delete_snapshot":
        gone = seen.snapshots is not None and step.target_id not in seen.snapshots
    elif step.action == "delete_volume":
        gone = seen.volumes is not None and step.target_id not in seen.volumes
    else:
        tagged = (seen.volumes or {}).get(step.target_id)
        has = tagged is not None and step.name in tagged.tags
        gone = tagged is not None and has == (step.action == "tag_volume")
    return Finding("done", "", "") if gone else None


def _is_as_asked(step: Step, volume: Volume) -> bool:
    spec = step.spec
    if spec is None:
        return False
    asked = {
        "size_gigabytes": None if spec.snapshot_id else spec.size_gigabytes,
        "description": spec.description,
        "filesystem_type": spec.filesystem_type,
        "filesystem_label": spec.filesystem_label,
    }
    same = all(value is None or getattr(volume, field) == value for field, value in asked.items())
    return same and set(spec.tags) <= set(volume.tags)
