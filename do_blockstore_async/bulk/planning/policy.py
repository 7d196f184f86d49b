"""How one job makes, recognizes and skips snapshots: what its planners share. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

import attrs

from ..._schema.validation import MAX_SNAPSHOT_NAME
from ...errors import InvalidArgumentError
from ..errors import PlanError
from ..model.listed import AnySnapshot, AnyVolume
from ..model.plan import SkippedStep, Step
from ..model.prices import Prices
from ..model.snapshot_names import Template, is_job_tag, job_tag

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
    "time_zone_of",
]

MAX_SNAPSHOTS: Final = 25
# A snapshot of the planned name that is no older was taken by this same run. A daily job comes back
# after 23 hours at the earliest, on the day on which the clocks go forward.
SAME_RUN: Final = timedelta(hours=20)
COOLDOWN: Final = timedelta(minutes=10)
MAX_PRUNED_SHARE: Final = 0.75
_MOST_KNOWN: Final = 10_000

Steps = tuple[Sequence[Step], Sequence[SkippedStep]]
"""The steps in the order in which they are to start, and what is skipped."""


@attrs.frozen(kw_only=True)
class SnapshotPolicy:
    """How one job names, tags, prices and recognizes its snapshots.

    Attributes:
        at: the time for names and retention, in UTC.
        all_tags: the tags of each snapshot: the job's own first, unless it recognizes them by name.
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
    all_tags: tuple[str, ...] = attrs.field(init=False)
    _own_tag: str = attrs.field(init=False)

    @all_tags.default
    def _with_own_tag(self) -> tuple[str, ...]:
        return self.tags if self.by_name else (job_tag(self.job), *self.tags)

    @_own_tag.default
    def _folded_own_tag(self) -> str:
        return job_tag(self.job).lower()

    def owns(self, snapshot: AnySnapshot, volume: AnyVolume | None) -> bool:
        """Whether this job made the snapshot; it never deletes any other."""
        if not self.by_name:
            return self._has_own(snapshot.tags)
        return volume is not None and self.template.matches(snapshot.name, volume, self.job)

    def count_own(
        self, snapshots: Iterable[AnySnapshot], volumes: Iterable[AnyVolume] | None
    ) -> int:
        """How many of the snapshots this job made."""
        if not self.by_name:
            # Most have the same tags.
            found = Counter(each.tags for each in snapshots)
            return sum(count for tags, count in found.items() if self._has_own(tags))
        known = {volume.id: volume for volume in volumes or ()}
        return sum(self.owns(each, known.get(each.resource_id)) for each in snapshots)

    def recognizer(self) -> Callable[[AnySnapshot, AnyVolume | None], bool]:
        """Return what does the same as `owns`, for many snapshots."""
        if self.by_name:
            return self.owns
        known: dict[tuple[str, ...], bool] = {}

        def owns(snapshot: AnySnapshot, volume: AnyVolume | None) -> bool:
            found = known.get(snapshot.tags)
            if found is None:
                if len(known) >= _MOST_KNOWN:
                    known.clear()
                found = known[snapshot.tags] = self.owns(snapshot, volume)
            return found

        return owns

    def _has_own(self, tags: tuple[str, ...]) -> bool:
        return any(tag.lower() == self._own_tag for tag in tags)

    @property
    def zone(self) -> tzinfo:
        """The time zone of names, and of the retention's days and longer periods."""
        return self.template.zone

    def count_lookalikes(
        self, snapshots: Collection[AnySnapshot], volumes: Iterable[AnyVolume] | None
    ) -> int:
        """How many snapshots have a name like this job's, but no job's tag.

        The API has been seen to leave tags out of listings (github.com/digitalocean/godo, issue
        424). A job that goes by tags never prunes such snapshots.
        """
        if self.by_name or volumes is None:
            return 0
        by_tags = Counter(each.tags for each in snapshots)
        unmarked = {tags for tags in by_tags if not any(is_job_tag(tag) for tag in tags)}
        if not unmarked:
            return 0
        known = {volume.id: volume for volume in volumes}
        return sum(
            each.tags in unmarked
            and (volume := known.get(each.resource_id)) is not None
            and self.template.matches(each.name, volume, self.job)
            for each in snapshots
        )

    def allows_pruning(self, deleted: int, of: int) -> bool:
        """Whether so many of a volume's snapshots may go; one of two always may."""
        return deleted <= max(1, self.max_pruned_share * of)

    def names(self, volumes: Collection[AnyVolume]) -> dict[str, str]:
        """The name of each volume's snapshot, by the volume's id.

        Raises:
            PlanError: two volumes would get the same name.
        """
        render = self.template.renderer(self.at, self.job)
        names = {volume.id: render(volume) for volume in volumes}
        first: dict[str, AnyVolume] = {}
        for volume in volumes:
            other = first.setdefault(names[volume.id], volume)
            if other is not volume and len(names[volume.id]) <= MAX_SNAPSHOT_NAME:
                raise PlanError(
                    f"the template gives two volumes the name {names[volume.id]!r}: {other.name} "
                    f"in {other.region.slug} and {volume.name} in {volume.region.slug}; "
                    "add {region} or {volume_id:.8} to it"
                )
        return names


def free_name(name: str, existing: Sequence[AnySnapshot], policy: SnapshotPolicy) -> str:
    """Return the name, or with the time behind it where an older snapshot has it already."""
    if any(snapshot.name == name for snapshot in existing):
        return policy.template.with_time(name, policy.at)
    return name


def skip_reason(
    volume: AnyVolume, existing: Sequence[AnySnapshot], name: str, policy: SnapshotPolicy
) -> SkippedStep | None:
    """Say why no snapshot of that name can be taken now; None if one can.

    A snapshot that has the name counts only where it is young enough to be this run's.
    """
    at = policy.at
    if len(free_name(name, existing, policy)) > MAX_SNAPSHOT_NAME:
        return skip_volume(
            volume,
            "name_too_long",
            f"the name of its snapshot would be longer than {MAX_SNAPSHOT_NAME} characters: "
            "shorten it in the template, as in {volume:.40}",
        )
    for snapshot in reversed(existing):
        if snapshot.created_at <= at - SAME_RUN:
            break
        if policy.template.is_of(snapshot.name, name):
            return skip_volume(volume, "exists", f"has a snapshot {snapshot.name}")
    if existing and at - COOLDOWN < existing[-1].created_at <= at:
        again = existing[-1].created_at + COOLDOWN
        return skip_volume(
            volume,
            "cooldown",
            f"its newest snapshot is less than ten minutes old; wait until {again:%H:%M:%S} UTC",
        )
    return None


def create_snapshot(
    volume: AnyVolume,
    name: str,
    existing: Sequence[AnySnapshot],
    policy: SnapshotPolicy,
    *,
    depends_on: str,
) -> Step:
    # The size of a snapshot is not known before it is taken; it is at most the whole volume.
    size = existing[-1].size_gigabytes if existing else volume.size_gigabytes
    return Step(
        key=f"create-snapshot:{volume.id}",
        action="create_snapshot",
        name=free_name(name, existing, policy),
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
    snapshot: AnySnapshot,
    volume: AnyVolume | None,
    retained: str,
    *,
    prices: Prices,
    reason: str,
    depends_on: str = "",
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
        depends_on=depends_on,
        retained_snapshot_id=retained,
        reason=reason,
        monthly_cost=-prices.snapshot(snapshot.size_gigabytes),
    )


def time_zone_of(value: str | tzinfo) -> tzinfo:
    """Return a time zone from its name in the IANA database, such as `Europe/Rome`.

    Raises:
        InvalidArgumentError: there is none of that name.
    """
    if isinstance(value, tzinfo):
        return value
    if value == "UTC":
        return UTC
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(value)
    except (ValueError, TypeError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise InvalidArgumentError(
            f"no time zone {value!r}: use a name such as Europe/Rome "
            "(on Windows, install the package tzdata)"
        ) from None


def skip_volume(volume: AnyVolume, code: str, reason: str) -> SkippedStep:
    return SkippedStep(
        name=volume.name,
        region=volume.region.slug,
        code=code,
        reason=reason,
        volume_id=volume.id,
    )
