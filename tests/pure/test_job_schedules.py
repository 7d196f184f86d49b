"""When a job is due: over every change of the clocks, exactly once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async import ConfigError
from do_blockstore_async.jobs import Schedule

# Changes at midnight, by half an hour, in both hemispheres, and none.
ZONES = (
    "Europe/Rome",
    "America/New_York",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "UTC",
)
zones = st.sampled_from(ZONES)
instants = st.integers(0, 3 * 365 * 24 * 60 * 60).map(
    lambda after_s: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=after_s)
)
minutes = st.integers(0, 59)
hours = st.integers(0, 23)


def dues(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    found = []
    while (after := schedule.next_after(after)) <= until:
        found.append(after)
    return found


@given(zones, minutes, hours, instants)
def test_a_daily_job_runs_exactly_once_on_each_day(
    zone: str, minute: int, hour: int, start: datetime
) -> None:
    local = ZoneInfo(zone)
    found = dues(Schedule(f"{minute} {hour} * * *", zone), start, start + timedelta(days=15))
    days = [due.astimezone(local).date() for due in found]
    assert days == [days[0] + timedelta(days=number) for number in range(len(days))]
    assert len(days) in {14, 15, 16}


@given(st.sampled_from(ZONES), minutes, hours, st.sampled_from(range(2024, 2027)))
def test_a_daily_job_runs_once_on_the_nights_of_the_changes(
    zone: str, minute: int, hour: int, year: int
) -> None:
    local = ZoneInfo(zone)
    first = datetime(year, 1, 1, tzinfo=UTC)
    changes = [
        day
        for number in range(365)
        if (day := first + timedelta(days=number)).astimezone(local).utcoffset()
        != (day + timedelta(days=1)).astimezone(local).utcoffset()
    ]
    schedule = Schedule(f"{minute} {hour} * * *", zone)
    for change in changes:
        found = dues(schedule, change - timedelta(days=1), change + timedelta(days=2))
        days = [due.astimezone(local).date() for due in found]
        assert len(set(days)) == len(days)
        for due in found:
            wall = due.astimezone(local)
            # At its time, or directly after a gap that swallowed it; never the second pass.
            assert wall.fold == 0
            if (wall.hour, wall.minute) != (hour, minute):
                before = (due - timedelta(minutes=1)).astimezone(local)
                assert before.utcoffset() != wall.utcoffset()


@given(
    st.sampled_from([zone for zone in ZONES if zone != "Australia/Lord_Howe"]),
    st.sampled_from(["*/15 * * * *", "30 * * * *", "0 * * * *", "10 */2 * * *"]),
    instants,
)
def test_an_hourly_job_runs_in_every_real_hour(zone: str, cron: str, start: datetime) -> None:
    local = ZoneInfo(zone)
    minute, hour, *_ = cron.split()
    step = int(minute[2:]) if minute.startswith("*/") else None
    every = int(hour[2:]) if hour.startswith("*/") else 1
    begin = start.replace(second=0, microsecond=0)
    wanted = []
    for number in range(1, 30 * 60):
        wall = (at := begin + timedelta(minutes=number)).astimezone(local)
        fits = wall.minute % step == 0 if step else wall.minute == int(minute)
        if fits and wall.hour % every == 0:
            wanted.append(at)
    assert dues(Schedule(cron, zone), begin, begin + timedelta(minutes=30 * 60 - 1)) == wanted


@given(zones, minutes, hours, instants, st.timedeltas(timedelta(0), timedelta(days=4)))
def test_the_last_time_is_the_last_of_the_next_ones(
    zone: str, minute: int, hour: int, start: datetime, span: timedelta
) -> None:
    schedule = Schedule(f"{minute} {hour} * * *", zone)
    found = dues(schedule, start, start + span)
    assert schedule.last_between(start, start + span) == (found[-1] if found else None)


@given(zones, minutes, hours, instants, st.lists(st.integers(0, 864_000), min_size=2, max_size=20))
def test_whoever_looks_whenever_no_time_is_taken_twice(
    zone: str, minute: int, hour: int, start: datetime, after_s: list[int]
) -> None:
    looks = [start + timedelta(seconds=seconds) for seconds in after_s]
    schedule = Schedule(f"{minute} {hour} * * *", zone)
    since, taken = min(looks), []
    for now in sorted(looks):
        due = schedule.last_between(since, now)
        if due is not None:
            taken.append(due)
            since = due
    assert taken == sorted(set(taken))


def test_a_night_that_has_no_half_past_two() -> None:
    schedule = Schedule("30 2 * * *", "Europe/Rome")
    assert schedule.next_after(datetime(2026, 3, 28, 12, tzinfo=UTC)) == datetime(
        2026, 3, 29, 1, tzinfo=UTC
    )  # 03:00, directly after the gap


def test_a_night_that_has_it_twice() -> None:
    schedule = Schedule("30 2 * * *", "Europe/Rome")
    first = schedule.next_after(datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert schedule.next_after(first) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    # Begun between the two: the first is over, and the second is none.
    between = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    assert schedule.last_between(between, between + timedelta(hours=2)) is None


@pytest.mark.parametrize(
    ("cron", "zone", "says"),
    [
        ("61 2 * * *", "UTC", "five fields"),
        ("30 2 * *", "UTC", "five fields"),
        ("0 30 2 * * *", "UTC", "five fields"),
        ("", "UTC", "five fields"),
        ("@daily", "UTC", "five fields"),
        ("0 0 31 2 *", "UTC", "day"),
        ("30 2 * * *", "Europe/Rom", "Europe/Rome"),
        ("30 2 * * *", "", "time zone"),
        ("30 2 * * *", "../../etc/passwd", "time zone"),
    ],
)
def test_what_is_no_schedule_is_refused_with_what_to_write(cron: str, zone: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Schedule(cron, zone)
