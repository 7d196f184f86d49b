"""Orphans: volumes that have been unattached for longer than a grace period. Pure.

The API does not say since when a volume has been unattached. So the first run that finds it so
sets a tag with the date, `orphan-since:2026-11-23`; a run that finds it attached removes the tag;
and one that finds the tag older than the grace may delete. A volume that was attached only between
two runs is not noticed: tag more often than volumes are typically attached, say daily.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from ..errors import PlanError
from ..model.listed import AnyVolume
from ..model.plan import SkippedStep, Step
from ..model.rows import CompactRows

__all__ = ["BATCH", "MARK", "check_mark", "expired", "mark_steps", "marks_of"]

MARK: Final = "orphan-since"
# One request tags so many. The API names no limit; this one keeps bodies and responses small.
BATCH: Final = 200
_MARK: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_mark(prefix: str) -> str:
    """Check the prefix of the tags: letters, digits, `_` and `-`."""
    if not isinstance(prefix, str) or not _MARK.fullmatch(prefix):
        raise PlanError(f"an orphan tag's prefix has letters, digits, _ and - only; not {prefix!r}")
    return prefix


def marks_of(volume: AnyVolume, prefix: str) -> dict[str, date]:
    """Return the orphan tags of a volume with their dates; others are ignored."""
    found: dict[str, date] = {}
    for tag in volume.tags:
        head, _, day = tag.rpartition(":")
        if head.lower() == prefix.lower():
            try:
                found[tag] = date.fromisoformat(day)
            except ValueError:
                continue
    return found


def mark_steps(
    volumes: Iterable[AnyVolume], prefix: str, at: datetime
) -> tuple[CompactRows[Step], list[SkippedStep]]:
    """Tag the unattached volumes that have no tag, untag the attached ones that have."""
    today = f"{prefix}:{at.astimezone(UTC):%Y-%m-%d}"
    wanted: dict[tuple[str, str], list[AnyVolume]] = {}
    for volume in volumes:
        marks = marks_of(volume, prefix)
        if volume.droplet_ids:
            for mark in marks:
                wanted.setdefault(("untag", mark), []).append(volume)
        elif not marks:
            wanted.setdefault(("tag", today), []).append(volume)
    steps = CompactRows(
        Step(
            key=f"{verb}:{tag}:{volume.id}",
            action="tag_volume" if verb == "tag" else "untag_volume",
            name=tag,
            region=volume.region.slug,
            volume_id=volume.id,
            volume_name=volume.name,
            target_id=volume.id,
            size_gigabytes=volume.size_gigabytes,
            attached=bool(volume.droplet_ids),
            batch=f"{verb}:{tag}:{number // BATCH}",
            reason="unattached" if verb == "tag" else "attached again",
        )
        for (verb, tag), group in wanted.items()
        for number, volume in enumerate(group)
    )
    return steps, []


def expired(
    volumes: Iterable[AnyVolume], prefix: str, grace: timedelta, at: datetime
) -> tuple[Sequence[AnyVolume], list[SkippedStep]]:
    """Return the unattached volumes whose newest tag is older than the grace, and skips for others.

    Attached volumes with a tag are returned too, for `deletion_steps` to skip with a reason.
    """
    if grace < timedelta(0):
        raise PlanError(f"grace must be 0 or more, not {grace!r}")
    today = at.astimezone(UTC).date()
    found: list[AnyVolume] = []
    skips: list[SkippedStep] = []
    for volume in volumes:
        marks = marks_of(volume, prefix)
        if volume.droplet_ids:
            if marks:
                found.append(volume)
            continue
        since = max(marks.values(), default=None)
        if since is not None and timedelta(days=(today - since).days) >= grace:
            found.append(volume)
            continue
        code, reason = "untagged", "unattached, but not tagged yet: tag orphans first"
        if since is not None:
            until = since + grace
            code = "grace_period"
            reason = f"unattached since {since}, in its grace period until {until}"
        skips.append(
            SkippedStep(
                name=volume.name,
                region=volume.region.slug,
                code=code,
                reason=reason,
                volume_id=volume.id,
            )
        )
    return found, skips
