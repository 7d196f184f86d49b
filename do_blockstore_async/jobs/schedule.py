"""When a job is due: a cron expression in a time zone.

The rules are Debian's cron's, as cronsim keeps them. A job at a fixed time of the day runs exactly
once on each of its days: where the clocks skip its time, directly after the gap; where they repeat
it, the first time. A job whose minute or hour begins with `*` runs whenever the local clock shows a
time that fits, so every real hour of a day of 25 has its run (on Lord Howe Island, whose clocks
change by half an hour, one is left out on these two days).

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import attrs

from .._lazy import needs_extra
from ..errors import ConfigError

__all__ = ["Schedule", "zone_named"]

_FIELDS = 5
_LOOK_BACK = timedelta(days=400)
_EXAMPLE = 'five fields as in crontab: "30 2 * * *" is 02:30 every day'


def zone_named(name: str) -> tzinfo:
    """Return the time zone of that name in the IANA database.

    Raises:
        ConfigError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"unknown time zone {name!r}: write a name such as Europe/Rome or UTC"
        ) from None


@attrs.frozen
class Schedule:
    """A cron expression in a time zone.

    Args:
        cron: minute, hour, day of the month, month, day of the week, as in crontab; also names
            (`MON`, `JAN`), `L` for the last day and `MON#1` for the first Monday.
        time_zone: as in the IANA database.

    Raises:
        ConfigError: either is invalid, or there is no such day, or cronsim is not installed.
    """

    cron: str
    time_zone: str = "UTC"
    _zone: tzinfo = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_zone", zone_named(self.time_zone))
        if len(self.cron.split()) != _FIELDS:
            raise ConfigError(f"not a cron expression: {self.cron!r}; write {_EXAMPLE}")
        if next(self._due_after(datetime(2026, 1, 1, tzinfo=UTC)), None) is None:
            raise ConfigError(f"never due: there is no such day as {self.cron!r} says")

    def _due_after(self, at: datetime) -> Iterator[datetime]:
        try:
            from cronsim import CronSim, CronSimError
        except ImportError:
            raise ConfigError(needs_extra("cron expressions need", "cli")) from None
        try:
            found = CronSim(self.cron, at.astimezone(self._zone))
        except CronSimError as error:
            raise ConfigError(
                f"not a cron expression: {self.cron!r} ({str(error).lower()}); write {_EXAMPLE}"
            ) from None
        # In an hour that the clocks repeat, cronsim names the first pass, which may be over.
        return (due for due in found if due > at)

    def next_after(self, at: datetime) -> datetime:
        """Return the first time after `at` at which the job is due, in UTC."""
        return next(self._due_after(at)).astimezone(UTC)

    def last_between(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last time in (after, until] at which the job was due; None without any.

        What was due more than 400 days before `until` is not looked for.
        """
        last = None
        for due in self._due_after(max(after, until - _LOOK_BACK)):
            if due > until:
                break
            last = due
        return None if last is None else last.astimezone(UTC)

    def __str__(self) -> str:
        return f"{self.cron} {self.time_zone}"
