"""Which snapshots to keep: the rules of `restic forget`, for the snapshots of one volume.

Theory: the snapshots are gone through from the newest to the oldest. Each rule considers each of
them by itself, and a snapshot is kept if any rule keeps it.

- last n: the n newest.
- hourly, daily, weekly, monthly, yearly n: of each of the last n hours (days, ISO weeks, months,
  years) in which there is a snapshot, the newest one. Periods without one are not counted. While
  such a rule has some of its n left when it comes to the oldest snapshot, it keeps that one too, so
  that history is as long as the rule can make it before it is full.
- within: everything less than so long before the newest snapshot. Measured from the newest one, not
  from now: when the job stops running, its last snapshots stay.
- tags: everything that carries all tags of one of the given strings (`"a"`, or `"a,b"` for both).

n = -1 means without limit, 0 that the rule is not used. Days and longer periods are those of a time
zone, by default UTC; hours are always those of UTC, where none comes twice.
(restic documentation, "Removing backup snapshots", "Removing snapshots according to a policy".)

R1. Kept and removed together are what was given, each once.
R2. A snapshot is kept if and only if at least one rule keeps it, and the reasons name each; but
    where no rule keeps any (which only `tags` alone can come to), the newest is kept as `newest`.
R3. Any counting rule, and `within`, keeps the newest snapshot.
R4. More of a rule never keeps less, but for the oldest snapshot, which goes once the rule is full.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar

import attrs

from ..._schema.validation import fold_tags
from ...errors import InvalidArgumentError

__all__ = ["Duration", "Retention", "Verdict", "apply"]

_DURATION: Final = re.compile(r"(?:(\d+)y)?(?:(\d+)m)?(?:(\d+)d)?(?:(\d+)h)?", re.ASCII)
_UNLIMITED: Final = -1


class Datable(Protocol):
    """What retention needs to know of a snapshot."""

    @property
    def id(self) -> str:
        """What tells it from others of the same second."""

    @property
    def created_at(self) -> datetime:
        """When it was made."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""


S = TypeVar("S", bound=Datable)


@attrs.frozen
class Duration:
    """A span of calendar time: `1y5m7d2h` is a year, five months, seven days and two hours."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, value: str | timedelta | Duration) -> Duration:
        """Parse a string such as `2d`, or a timedelta of whole hours.

        Raises:
            InvalidArgumentError: it is neither, or zero.
        """
        if isinstance(value, Duration):
            found = value
        elif isinstance(value, timedelta):
            hours, rest = divmod(value, timedelta(hours=1))
            if rest or hours < 0:
                raise InvalidArgumentError(f"keep within whole hours, not {value!r}")
            found = cls(days=hours // 24, hours=hours % 24)
        else:
            match = _DURATION.fullmatch(value) if isinstance(value, str) else None
            if match is None or not value:
                raise InvalidArgumentError(f"not a duration such as 1y5m7d2h: {value!r}")
            found = cls(*(int(number or 0) for number in match.groups()))
        if found == cls():
            raise InvalidArgumentError("keep within: a duration must be longer than nothing")
        if found.years > 1000 or found.months > 12_000 or found.days > 366_000:
            raise InvalidArgumentError(f"keep within: {found} is longer than a thousand years")
        return found

    def __str__(self) -> str:
        parts = ((self.years, "y"), (self.months, "m"), (self.days, "d"), (self.hours, "h"))
        return "".join(f"{number}{unit}" for number, unit in parts if number) or "0h"

    def before(self, at: datetime) -> datetime:
        """Return the time so long before `at`; a day missing in a month runs into the next."""
        month = (at.year - self.years) * 12 + at.month - 1 - self.months
        if month < 24:
            return datetime.min.replace(tzinfo=UTC)
        first = at.replace(year=month // 12, month=month % 12 + 1, day=1)
        try:
            return first + timedelta(days=at.day - 1 - self.days, hours=-self.hours)
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)


def _count(instance: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < _UNLIMITED:
        raise InvalidArgumentError(
            f"keep {attribute.name}: a whole number, or -1 for all, not {value!r}"
        )


def _tag_lists(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidArgumentError("keep tags must be a list of strings, not one string")
    lists = tuple(value)
    for text in lists:
        if not isinstance(text, str) or not all(tag.strip() for tag in text.split(",")):
            raise InvalidArgumentError(f"keep tags: not a tag, or tags with commas: {text!r}")
    return lists


def _within(value: str | timedelta | Duration | None) -> Duration | None:
    return None if value is None else Duration.parse(value)


@attrs.frozen(kw_only=True)
class Retention:
    """What to keep of each volume's snapshots; a snapshot that any rule keeps stays.

    One always stays: the newest, where no rule keeps any.

    Args:
        last: the newest so many; -1 for all, 0 not to use the rule. So with the other numbers.
        hourly, daily, weekly, monthly, yearly: the newest of each of the last so many hours (days,
            ISO weeks, months, years) that have a snapshot.
        within: everything less than so long before the newest: `"2d"`, `"1y6m"`, a timedelta.
        tags: everything with one of these tags; `"a,b"` asks for both.

    Raises:
        InvalidArgumentError: no rule at all, which would delete everything; or an
            invalid value.
    """

    last: int = attrs.field(default=0, validator=_count)
    hourly: int = attrs.field(default=0, validator=_count)
    daily: int = attrs.field(default=0, validator=_count)
    weekly: int = attrs.field(default=0, validator=_count)
    monthly: int = attrs.field(default=0, validator=_count)
    yearly: int = attrs.field(default=0, validator=_count)
    within: Duration | None = attrs.field(default=None, converter=_within)
    tags: tuple[str, ...] = attrs.field(default=(), converter=_tag_lists)

    def __attrs_post_init__(self) -> None:
        counts = (self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly)
        if not (any(counts) or self.within or self.tags):
            raise InvalidArgumentError(
                "an empty retention would delete every snapshot: "
                "give at least one rule, such as last=2"
            )

    def __str__(self) -> str:
        parts = [
            f"{name} {'all' if count == _UNLIMITED else count}"
            for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly")
            if (count := getattr(self, name))
        ]
        if self.within:
            parts.append(f"within {self.within}")
        parts.extend(f"tag {text}" for text in self.tags)
        return "keep " + ", ".join(parts)


@attrs.frozen
class Verdict(Generic[S]):
    """What is kept, with the rules that keep it, and what is not. Both newest first."""

    kept: tuple[tuple[S, tuple[str, ...]], ...]
    removed: tuple[S, ...]


# Which period a moment lies in; never equal for different periods.
_PERIODS: Final[tuple[tuple[str, Callable[[datetime], tuple[int, ...]]], ...]] = (
    ("hourly", lambda at: at.astimezone(UTC).timetuple()[:4]),
    ("daily", lambda at: (at.year, at.month, at.day)),
    ("weekly", lambda at: tuple(at.isocalendar()[:2])),
    ("monthly", lambda at: (at.year, at.month)),
    ("yearly", lambda at: (at.year,)),
)


class _Rule:
    """A counting rule on its way from the newest snapshot to the oldest."""

    __slots__ = ("left", "name", "period", "seen")

    def __init__(
        self, name: str, count: int, period: Callable[[datetime], tuple[int, ...]]
    ) -> None:
        self.name = name
        self.left = count
        self.period = period
        self.seen: tuple[int, ...] | None = None

    def keeps(self, at: datetime, oldest: bool) -> bool:
        if self.left == 0:
            return False
        period = self.period(at)
        if period == self.seen and not oldest:
            return False
        self.seen = period
        if self.left > 0:
            self.left -= 1
        return True


def apply(
    retention: Retention, snapshots: Iterable[S], *, now: datetime, zone: tzinfo = UTC
) -> Verdict[S]:
    """Apply the rules to the snapshots of one volume.

    Args:
        retention: the rules.
        snapshots: in any order; of one volume and one job.
        now: snapshots dated later than this do not move the point `within` is measured from.
        zone: the time zone of days and longer periods.

    Returns:
        What is kept and removed. Snapshots of the same second are ordered by id.
    """
    ordered = sorted(snapshots, key=attrgetter("created_at", "id"), reverse=True)
    rules = [
        _Rule(name, count, period)
        for name, period in _PERIODS
        if (count := getattr(retention, name))
    ]
    horizon = _horizon(retention, ordered, now, zone)
    tag_lists = [
        (text, fold_tags(tag.strip() for tag in text.split(","))) for text in retention.tags
    ]
    kept: list[tuple[S, tuple[str, ...]]] = []
    removed: list[S] = []
    for number, snapshot in enumerate(ordered):
        at = snapshot.created_at.astimezone(zone)
        oldest = number == len(ordered) - 1
        reasons = [f"tag {text}" for text, tags in tag_lists if tags <= fold_tags(snapshot.tags)]
        if horizon is not None and at > horizon:
            reasons.append(f"within {retention.within}")
        if retention.last == _UNLIMITED or number < retention.last:
            reasons.append("last")
        reasons.extend(rule.name for rule in rules if rule.keeps(at, oldest))
        if reasons:
            kept.append((snapshot, tuple(reasons)))
        else:
            removed.append(snapshot)
    if removed and not kept:
        kept.append((removed.pop(0), ("newest",)))
    return Verdict(tuple(kept), tuple(removed))


def _horizon(
    retention: Retention, ordered: list[S], now: datetime, zone: tzinfo
) -> datetime | None:
    """What was made after this is within; None without the rule."""
    if retention.within is None:
        return None
    for snapshot in ordered:
        if snapshot.created_at <= now:
            return retention.within.before(snapshot.created_at.astimezone(zone))
    # All are dated in the future: which clock is wrong is unknown, so all are kept.
    return datetime.min.replace(tzinfo=UTC)
