"""Orphans: volumes that nobody has attached for longer than a grace. Pure.

The API does not tell since when a volume has been unattached. So the first run that sees it so
writes the day into a tag, `orphan-since:2026-11-23`; a run that sees it attached takes the tag off;
and one that finds the tag older than the grace may delete. A volume that was attached only between
two marking runs is not noticed: mark more often than volumes are lent out, say daily.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from ...models import Volume
from ..errors import PlanError
from ..model.plan import SkippedStep, Step

__all__ = ["BATCH", "MARK", "check_mark", "expired", "mark_steps", "marks_of"]

MARK: Final = "orphan-since"
# One request tags so many. The API names no limit; this one keeps bodies and answers small.
BATCH: Final = 200
_MARK: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_mark(prefix: str) -> str:
    """A prefix of marks: letters, digits, `_` and `-`."""
    if not isinstance(prefix, str) or not _MARK.fullmatch(prefix):
        raise PlanError(f"a mark's prefix has letters, digits, _ and - only; not {prefix!r}")
    return prefix


def marks_of(volume: Volume, prefix: str) -> dict[str, date]:
    """The marks a volume carries, and their days; what is no date is no mark."""
    found: dict[str, date] = {}
    for tag in volume.tags:
        head, _, day = tag.rpartition(":")
        if head == prefix:
            try:
                found[tag] = date.fromisoformat(day)
            except ValueError:
                continue
    return found


def mark_steps(
    volumes: Iterable[Volume], prefix: str, at: datetime
) -> tuple[list[Step], list[SkippedStep]]:
    """Mark the unattached ones that are not marked, unmark the attached ones that are."""
    today = f"{prefix}:{at.astimezone(UTC):%Y-%m-%d}"
    wanted: dict[tuple[str, str], list[Volume]] = {}
    for volume in volumes:
        marks = marks_of(volume, prefix)
        if volume.droplet_ids:
            for mark in marks:
                wanted.setdefault(("untag", mark), []).append(volume)
        elif not marks:
            wanted.setdefault(("tag", today), []).append(volume)
    steps = [
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
    ]
    return steps, []


def expired(
    volumes: Iterable[Volume], prefix: str, grace: timedelta, at: datetime
) -> tuple[Sequence[Volume], list[SkippedStep]]:
    """The unattached volumes whose newest mark is older than the grace, and why not the others.

    Attached volumes are answered too, for `deletion_steps` to say so, if they carry a mark.
    """
    if grace < timedelta(0):
        raise PlanError(f"a grace is no time or more, not {grace!r}")
    today = at.astimezone(UTC).date()
    found: list[Volume] = []
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
        code, reason = "untagged", "unattached, but not marked yet: mark orphans first"
        if since is not None:
            until = since + grace
            code, reason = "grace_period", f"unattached since {since}, in its grace until {until}"
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
