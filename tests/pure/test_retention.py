"""Retention: the rules of `restic forget`, against a definition that counts periods as sets."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async.bulk.model.retention import Duration, Retention, apply
from do_blockstore_async.errors import InvalidArgumentError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
COUNTS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
FORMATS = {
    "hourly": "%Y-%m-%d %H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-%V",
    "monthly": "%Y-%m",
    "yearly": "%Y",
}


@attrs.frozen
class Shot:
    id: str
    created_at: datetime
    tags: tuple[str, ...] = ()


def shots(*ages: timedelta | str) -> list[Shot]:
    made = [
        NOW - age if isinstance(age, timedelta) else datetime.fromisoformat(age).replace(tzinfo=UTC)
        for age in ages
    ]
    return [Shot(f"{number:03}", at) for number, at in enumerate(made)]


def kept(retention: Retention, snapshots: list[Shot], now: datetime = NOW) -> set[str]:
    return {shot.id for shot, _ in apply(retention, snapshots, now=now).kept}


moments = st.one_of(
    st.integers(0, 60 * 24 * 3).map(lambda minutes: NOW - timedelta(minutes=minutes)),
    st.integers(-30, 2500).map(lambda days: NOW - timedelta(days=days)),
    st.integers(0, 24 * 60).map(lambda hours: NOW - timedelta(hours=hours)),
)
some_shots = st.lists(
    st.tuples(moments, st.sets(st.sampled_from(["keep", "a", "b"]))), max_size=40
).map(lambda rows: [Shot(f"{n:03}", at, tuple(tags)) for n, (at, tags) in enumerate(rows)])
numbers = st.integers(-1, 8)
durations = st.sampled_from(["1h", "36h", "3d", "2m", "1y", "1y2m3d4h"])
rules = (
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(COUNTS, numbers),
            "within": durations,
            "tags": st.sampled_from([("keep",), ("a,b",), ("a", "b")]),
        },
    )
    .filter(lambda values: any(values.values()))
    .map(lambda values: Retention(**cast("dict[str, Any]", values)))
)


def by_definition(retention: Retention, snapshots: list[Shot]) -> set[str]:
    """The union of the rules, each said in one sentence."""
    ordered = sorted(snapshots, key=lambda s: (s.created_at, s.id), reverse=True)
    result: set[str] = set()
    if retention.last:
        limit = len(ordered) if retention.last < 0 else retention.last
        result |= {shot.id for shot in ordered[:limit]}
    for name, text in FORMATS.items():
        count = getattr(retention, name)
        if not count:
            continue
        newest: dict[str, str] = {}
        for shot in ordered:
            newest.setdefault(shot.created_at.strftime(text), shot.id)
        chosen = list(newest.values())
        limit = len(chosen) if count < 0 else count
        result |= set(chosen[:limit])
        if ordered and (count < 0 or len(chosen) < count):
            result.add(ordered[-1].id)
    if retention.within:
        latest = next((s.created_at for s in ordered if s.created_at <= NOW), None)
        if latest is None:
            return {shot.id for shot in ordered}
        horizon = retention.within.before(latest)
        result |= {shot.id for shot in ordered if shot.created_at > horizon}
    for text in retention.tags:
        result |= {shot.id for shot in ordered if set(text.split(",")) <= set(shot.tags)}
    return result or {shot.id for shot in ordered[:1]}


@given(rules, some_shots)
def test_the_union_of_the_rules_is_kept(retention: Retention, snapshots: list[Shot]) -> None:
    assert kept(retention, snapshots) == by_definition(retention, snapshots)  # R2


@given(some_shots.filter(bool))
def test_tags_that_nothing_carries_keep_the_newest(snapshots: list[Shot]) -> None:
    verdict = apply(Retention(tags=["gold"]), snapshots, now=NOW)
    newest = max(snapshots, key=lambda s: (s.created_at, s.id))
    assert verdict.kept == ((newest, ("newest",)),)  # R2


@given(rules, some_shots, st.randoms())
def test_nothing_is_lost_or_doubled_and_order_does_not_matter(
    retention: Retention, snapshots: list[Shot], random: Any
) -> None:
    verdict = apply(retention, snapshots, now=NOW)
    together = [shot.id for shot, _ in verdict.kept] + [shot.id for shot in verdict.removed]
    assert sorted(together) == sorted(shot.id for shot in snapshots)  # R1
    assert all(reasons for _, reasons in verdict.kept)
    shuffled = list(snapshots)
    random.shuffle(shuffled)
    assert apply(retention, shuffled, now=NOW) == verdict


@given(rules, some_shots.filter(bool))
def test_the_newest_stays_unless_only_tags_are_asked_for(
    retention: Retention, snapshots: list[Shot]
) -> None:
    if any(getattr(retention, name) for name in COUNTS) or retention.within:
        newest = max(snapshots, key=lambda s: (s.created_at, s.id))
        assert newest.id in kept(retention, snapshots)  # R3


@given(st.sampled_from(COUNTS), st.integers(1, 8), some_shots)
def test_more_of_a_rule_keeps_no_less(name: str, count: int, snapshots: list[Shot]) -> None:
    fewer = kept(Retention(**{name: count}), snapshots)  # type: ignore[arg-type]
    more = kept(Retention(**{name: count + 1}), snapshots)  # type: ignore[arg-type]
    every = kept(Retention(**{name: -1}), snapshots)  # type: ignore[arg-type]
    # The oldest is kept while a rule is not full, and may go when it is: what R4 is about.
    oldest = {min(snapshots, key=lambda s: (s.created_at, s.id)).id} if snapshots else set()
    assert fewer - oldest <= more <= every | oldest


@given(rules, some_shots)
def test_what_is_kept_would_be_kept_again(retention: Retention, snapshots: list[Shot]) -> None:
    once = {s.id for s, _ in apply(retention, snapshots, now=NOW).kept}
    rest = [shot for shot in snapshots if shot.id in once]
    newest = max((s.created_at for s in snapshots), default=NOW)
    if newest <= NOW:
        assert kept(retention, rest) == once


def test_keep_last_takes_the_newest() -> None:
    days = shots(*(timedelta(days=n) for n in range(5)))
    assert kept(Retention(last=2), days) == {"000", "001"}


def test_keep_daily_takes_the_newest_of_days_that_have_one() -> None:
    snapshots = shots(
        "2026-11-23 10:00", "2026-11-23 09:00", "2026-11-20 23:00", "2026-11-20 01:00",
        "2026-11-01 12:00", "2026-10-01 12:00",
    )  # fmt: skip
    assert kept(Retention(daily=3), snapshots) == {"000", "002", "004"}


def test_a_rule_that_is_not_full_keeps_the_oldest_too() -> None:
    snapshots = shots("2026-11-23 10:00", "2026-11-23 09:00", "2026-11-23 08:00")
    assert kept(Retention(daily=7), snapshots) == {"000", "002"}
    assert kept(Retention(daily=1), snapshots) == {"000"}


def test_weeks_are_iso_weeks_across_the_new_year() -> None:
    snapshots = shots("2026-01-01 12:00", "2025-12-29 12:00", "2025-12-28 12:00")
    assert kept(Retention(weekly=1), snapshots) == {"000"}
    assert kept(Retention(weekly=2), snapshots) == {"000", "002"}


def test_within_counts_from_the_newest_and_not_from_now() -> None:
    snapshots = shots("2020-01-10 12:00", "2020-01-08 13:00", "2020-01-08 12:00")
    assert kept(Retention(within="2d"), snapshots) == {"000", "001"}


def test_a_snapshot_of_the_future_does_not_move_the_horizon() -> None:
    snapshots = [Shot("future", NOW + timedelta(days=400)), Shot("now", NOW), *shots("2026-11-22")]
    assert kept(Retention(within="3d"), snapshots) == {"future", "now", "000"}
    assert kept(Retention(within="3d"), snapshots[:1]) == {"future"}


def test_tags_with_a_comma_must_all_be_there() -> None:
    snapshots = [Shot("1", NOW, ("a",)), Shot("2", NOW, ("a", "b")), Shot("3", NOW, ("c",))]
    assert kept(Retention(tags=("a,b", "c")), snapshots) == {"2", "3"}


def test_days_are_those_of_utc_whatever_zone_is_given() -> None:
    east = timezone(timedelta(hours=9))
    snapshots = [
        Shot("1", datetime(2026, 11, 23, 8, 0, tzinfo=east)),
        Shot("2", datetime(2026, 11, 22, 20, 0, tzinfo=UTC)),
        Shot("3", datetime(2026, 11, 1, 20, 0, tzinfo=UTC)),
    ]
    assert kept(Retention(daily=1), snapshots) == {"1"}
    assert kept(Retention(daily=2), snapshots) == {"1", "3"}


def test_a_day_that_the_month_lacks_runs_over() -> None:
    at = datetime(2026, 3, 31, tzinfo=UTC)
    assert Duration(months=1).before(at) == datetime(2026, 3, 3, tzinfo=UTC)
    assert Duration(years=900).before(at).year == 1126
    assert Duration(days=300_000, years=1300).before(at) == datetime.min.replace(tzinfo=UTC)


@given(st.builds(Duration, *[st.integers(0, 50)] * 4).filter(lambda d: d != Duration()))
def test_durations_are_read_as_they_are_written(duration: Duration) -> None:
    assert Duration.parse(str(duration)) == duration


def test_a_timedelta_is_a_duration_of_days_and_hours() -> None:
    assert Duration.parse(timedelta(days=2, hours=5)) == Duration(days=2, hours=5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "would delete every snapshot"),
        ({"last": 0, "daily": 0}, "give at least one rule"),
        ({"last": -2}, "keep last"),
        ({"last": True}, "keep last"),
        ({"daily": 1.5}, "keep daily"),
        ({"within": "0d"}, "longer than nothing"),
        ({"within": timedelta(0)}, "longer than nothing"),
        ({"within": timedelta(minutes=90)}, "whole hours"),
        ({"within": timedelta(hours=-1)}, "whole hours"),
        ({"within": "2 weeks"}, "not a duration"),
        ({"within": ""}, "not a duration"),
        ({"within": 3}, "not a duration"),
        ({"within": "9999999y"}, "thousand years"),
        ({"tags": "keep"}, "list of strings"),
        ({"tags": ("a,",)}, "not a tag"),
        ({"tags": ()}, "would delete every snapshot"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(words)):
        Retention(**values)


def test_a_retention_says_what_it_keeps() -> None:
    retention = Retention(last=2, daily=-1, within="1y2d", tags=("gold",))
    assert str(retention) == "keep last 2, daily all, within 1y2d, tag gold"


def test_the_reasons_name_every_rule() -> None:
    verdict = apply(Retention(last=1, daily=1, within="1h"), shots(timedelta(0)), now=NOW)
    assert verdict.kept[0][1] == ("within 1h", "last", "daily")
