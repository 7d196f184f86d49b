"""From listings to steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async.bulk.errors import PlanError
from do_blockstore_async.bulk.model.prices import Prices
from do_blockstore_async.bulk.model.retention import Retention, apply
from do_blockstore_async.bulk.model.snapshot_names import Template
from do_blockstore_async.bulk.model.specs import VolumeSpec
from do_blockstore_async.bulk.planning.creations import creation_steps
from do_blockstore_async.bulk.planning.deletions import deletion_steps
from do_blockstore_async.bulk.planning.orphans import check_mark, expired, mark_steps, marks_of
from do_blockstore_async.bulk.planning.policy import time_zone_of
from do_blockstore_async.bulk.planning.snapshots import prune_steps, snapshot_steps
from do_blockstore_async.errors import InvalidArgumentError
from do_blockstore_async.models import VolumeSnapshot
from tests.support.bulk_models import NOW, TEMPLATE, policy_of, snapshot, volume

KEEP2 = Retention(last=2)


def test_each_volume_gets_a_snapshot_with_the_jobs_tag() -> None:
    steps, skips = snapshot_steps([volume(1), volume(2)], [], policy_of(tags=("gold",)), None)
    assert [(s.action, s.name, s.tags) for s in steps] == [
        ("create_snapshot", "db-1-nyc3-2026-11-23", ("bulk-job:nightly", "gold")),
        ("create_snapshot", "db-2-nyc3-2026-11-23", ("bulk-job:nightly", "gold")),
    ]
    assert not skips
    assert [s.monthly_cost for s in steps] == pytest.approx([0.6, 0.6])


def test_what_goes_is_deleted_after_the_new_one_and_after_all_new_ones() -> None:
    first, second = volume(1), volume(2)
    there = [snapshot(first, n, days=n) for n in (1, 2, 3)] + [snapshot(second, 9, days=1)]
    steps, _ = snapshot_steps([first, second], there, policy_of(), KEEP2)
    assert [s.action for s in steps] == ["create_snapshot"] * 2 + ["delete_snapshot"] * 2
    assert [s.target_id for s in steps[2:]] == [there[2].id, there[1].id]
    assert {s.depends_on for s in steps[2:]} == {steps[0].key}
    assert steps[0].monthly_cost == pytest.approx(0.3), (
        "the newest snapshot says what the next weighs"
    )
    assert steps[2].monthly_cost == pytest.approx(-0.3)


def test_a_volume_with_25_makes_room_first() -> None:
    full = volume()
    there = [snapshot(full, n, days=n) for n in range(1, 26)]
    steps, skips = snapshot_steps([full], there, policy_of(), Retention(last=20))
    assert not skips
    assert [s.action for s in steps[:2]] == ["delete_snapshot", "create_snapshot"]
    assert steps[0].target_id == there[-1].id
    assert steps[1].depends_on == steps[0].key
    assert len(steps) == 1 + 1 + 5
    assert all(step.depends_on == steps[1].key for step in steps[2:])


@pytest.mark.parametrize("keep", [None, Retention(last=-1)])
def test_a_volume_with_25_of_which_none_may_go_is_skipped(keep: Retention | None) -> None:
    full = volume()
    there = [snapshot(full, n, days=n) for n in range(1, 26)]
    steps, skips = snapshot_steps([full], there, policy_of(), keep)
    assert not steps
    assert [skip.code for skip in skips] == ["snapshot_limit"]


def test_a_fresh_snapshot_starts_the_cooldown() -> None:
    young = snapshot(volume(), 1, days=9 / 1440, name="by hand", tags=())
    steps, skips = snapshot_steps([volume()], [young], policy_of(), None)
    assert not steps
    assert skips[0].code == "cooldown"
    assert "02:01:00" in skips[0].reason
    old = snapshot(volume(), 1, days=10 / 1440, name="by hand", tags=())
    assert snapshot_steps([volume()], [old], policy_of(), None)[0]


def test_a_snapshot_of_that_name_is_not_made_twice_but_older_ones_are_pruned() -> None:
    one = volume()
    there = [snapshot(one, n, days=days) for n, days in enumerate((0.01, 2, 3))]
    steps, skips = snapshot_steps([one], there, policy_of(at=there[0].created_at), KEEP2)
    assert [skip.code for skip in skips] == ["exists"]
    assert [(s.action, s.target_id, s.depends_on) for s in steps] == [
        ("delete_snapshot", there[2].id, "")
    ]


ROME = time_zone_of("Europe/Rome")


@pytest.mark.parametrize("zone", [UTC, ROME])
@pytest.mark.parametrize("change", [(2026, 3, 29), (2026, 10, 25)])
def test_a_nightly_job_takes_a_snapshot_every_night_when_the_clocks_change(
    zone: tzinfo, change: tuple[int, int, int]
) -> None:
    one = volume()
    taken: list[VolumeSnapshot] = []
    for night in range(-3, 4):
        # At 01:30 in Rome: the UTC date is that of the evening before while summer time holds.
        at = datetime(*change, 1, 30, tzinfo=ROME) + timedelta(days=night)
        policy = policy_of(at=at.astimezone(UTC), template=Template(TEMPLATE, zone))
        steps, skips = snapshot_steps([one], taken, policy, Retention(daily=30))
        assert not skips
        assert [step.action for step in steps if zone is ROME or not step.depends_on] == [
            "create_snapshot"
        ]
        # The same run again, at once or some hours later, takes nothing more.
        made = snapshot(one, night + 10, name=steps[0].name, created_at=policy.at)
        taken.append(made)
        for hours in (1, 18):
            again = attrs.evolve(policy, at=policy.at + timedelta(hours=hours))
            if again.at.astimezone(zone).date() == policy.at.astimezone(zone).date():
                steps, skips = snapshot_steps([one], taken, again, None)
                assert [*(skip.code for skip in skips), *steps] == ["exists"]
    assert len({each.name for each in taken}) == 7
    if zone is ROME:
        kept = apply(Retention(daily=7), taken, now=NOW, zone=ROME).kept
        assert len(kept) == 7  # seven different days there


def test_hours_are_kept_apart_when_one_comes_twice() -> None:
    one = volume()
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in Rome, and an hour later again
    both = [snapshot(one, n, created_at=first + timedelta(hours=n)) for n in range(2)]
    assert len(apply(Retention(hourly=2), both, now=NOW, zone=ROME).kept) == 2


def test_one_name_that_is_too_long_leaves_the_others_alone() -> None:
    long, short = volume(1, name="v" * 64), volume(2)
    policy = policy_of(template=Template("{volume}-{date}" + "x" * 200))
    steps, skips = snapshot_steps([long, short], [], policy, None)
    assert [step.volume_id for step in steps] == [short.id]
    assert [(skip.code, skip.volume_id) for skip in skips] == [("name_too_long", long.id)]
    # As long as Kubernetes makes them: the API takes more than 64 characters.
    pvc = volume(3, name=f"pvc-{'0' * 32}-{'1' * 27}")
    (step,), _ = snapshot_steps([pvc], [], policy_of(), None)
    assert step.name == f"{pvc.name}-nyc3-2026-11-23"


def test_a_snapshot_without_a_volume_is_nobodys_history() -> None:
    stray = [snapshot(volume(), n, days=n, resource_id="") for n in range(1, 9)]
    steps, _ = prune_steps(stray, None, policy_of(), KEEP2)
    assert not steps


def test_snapshots_that_lost_their_tags_are_counted_by_their_names() -> None:
    one, other = volume(1), volume(2)
    lost = [snapshot(one, n, days=n, tags=()) for n in range(1, 4)]
    weekly = [snapshot(other, n, days=n, tags=("bulk-job:weekly",)) for n in range(1, 4)]
    by_hand = [snapshot(other, 9, name="before the upgrade", tags=())]
    found = [*lost, *weekly, *by_hand]
    assert policy_of().count_lookalikes(found, [one, other]) == 3
    assert policy_of(by_name=True).count_lookalikes(found, [one, other]) == 0


def test_only_this_jobs_snapshots_are_ever_candidates() -> None:
    one = volume()
    theirs = ("bulk-job:weekly", "nightly")
    others = [snapshot(one, n, days=n, tags=theirs) for n in range(1, 9)]
    by_hand = [snapshot(one, n + 20, days=n, tags=()) for n in range(1, 9)]
    steps, _ = prune_steps([*others, *by_hand], None, policy_of(), Retention(last=1))
    assert not steps


def test_by_name_only_what_the_template_names_is_a_candidate() -> None:
    one = volume()
    named = [snapshot(one, n, days=n, tags=()) for n in (1, 2, 3)]
    alien = snapshot(one, 7, days=9, name="db-1-nyc3-2026-11-2x", tags=("nightly",))
    gone = snapshot(volume(5), 8, days=9, tags=())
    steps, _ = prune_steps([*named, alien, gone], [one], policy_of(by_name=True), Retention(last=1))
    assert {s.target_id for s in steps} == {named[1].id, named[2].id}
    created, _ = snapshot_steps([one], [], policy_of(by_name=True), None)
    assert created[0].tags == ()


def test_prune_keeps_the_rules_for_each_volume_also_for_one_that_is_gone() -> None:
    one, two = volume(1), volume(2)
    there = [snapshot(v, n, days=n) for v in (one, two) for n in (1, 2, 3)]
    steps, _ = prune_steps(there, None, policy_of(), KEEP2)
    assert {s.target_id for s in steps} == {there[2].id, there[5].id}
    steps, _ = prune_steps(there, [two], policy_of(), KEEP2)
    assert [(s.target_id, s.volume_name) for s in steps] == [(there[5].id, "db-2")]


@given(st.integers(1, 6), st.integers(0, 30), st.integers(1, 5))
def test_after_any_plan_each_volume_holds_at_most_25(fleet: int, held: int, last: int) -> None:
    volumes = [volume(n) for n in range(fleet)]
    there = [snapshot(v, n, days=n + 1) for v in volumes for n in range(min(held, 25))]
    steps, skips = snapshot_steps(
        volumes, there, policy_of(max_pruned_share=1.0), Retention(last=last)
    )
    for each in volumes:
        mine = [s for s in steps if s.volume_id == each.id]
        count = min(held, 25)
        for step in mine:
            count += 1 if step.action == "create_snapshot" else -1
            assert count <= 25
        assert count == min(last, min(held, 25) + 1)
    assert not skips
    order = {step.key: number for number, step in enumerate(steps)}
    assert all(order[s.depends_on] < order[s.key] for s in steps if s.depends_on)  # P2
    assert len(order) == len(steps)  # P2


@given(held=st.integers(1, 25), last=st.integers(1, 25), share=st.floats(0.0, 1.0))
def test_no_more_than_the_share_of_a_history_is_pruned(held: int, last: int, share: float) -> None:
    one = volume(1)
    there = [snapshot(one, n, days=n + 1) for n in range(held)]
    policy = policy_of(max_pruned_share=share)
    keep = Retention(last=last)
    for steps, skips, total in (
        (*snapshot_steps([one], there, policy, keep), held + 1),
        (*prune_steps(there, None, policy, keep), held),
    ):
        deleted = sum(step.action == "delete_snapshot" for step in steps)
        assert deleted <= max(1, share * total)
        assert deleted < total, "the last one is never planned away"
        guarded = any(skip.code == "prune_guard" for skip in skips)
        assert not (guarded and deleted)


def test_attached_volumes_are_not_deleted() -> None:
    steps, skips = deletion_steps([volume(1, droplet_ids=(7,)), volume(2)], None, policy_of())
    assert [s.target_id for s in steps] == [volume(2).id]
    assert skips[0].code == "attached"
    assert "Droplet 7" in skips[0].reason
    assert steps[0].monthly_cost == pytest.approx(-1.0)


def test_snapshot_first_deletes_only_after_the_snapshot() -> None:
    fresh, full = volume(1), volume(2)
    there = [snapshot(full, n, days=n) for n in range(1, 26)]
    steps, skips = deletion_steps([fresh, full], there, policy_of())
    assert [(s.action, s.volume_name, bool(s.depends_on)) for s in steps] == [
        ("create_snapshot", "db-1", False),
        ("delete_volume", "db-1", True),
    ]
    assert [skip.code for skip in skips] == ["snapshot_limit"]


@pytest.mark.parametrize("tags", [("somebody",), policy_of().all_tags])
def test_snapshot_first_takes_no_snapshot_that_is_there_for_the_last_one(
    tags: tuple[str, ...],
) -> None:
    one = volume()
    there = [snapshot(one, 1, days=0.01, name="db-1-nyc3-2026-11-23", tags=tags)]
    steps, skips = deletion_steps([one], there, policy_of())
    assert not steps
    assert skips[0].code == "exists"
    assert "add {time} to the template" in skips[0].reason
    there = [snapshot(one, 1, days=300, name="db-1-nyc3-2026-11-23", tags=tags)]
    steps, _ = deletion_steps([one], there, policy_of())
    assert [(step.action, step.name) for step in steps] == [
        ("create_snapshot", "db-1-nyc3-2026-11-23-020000"),
        ("delete_volume", "db-1"),
    ]


def test_a_taken_name_is_not_created() -> None:
    specs = [
        VolumeSpec(name="db-1", region="nyc3", size_gigabytes=10),
        VolumeSpec(name="db-2", region="nyc3", size_gigabytes=20),
        VolumeSpec(name="db-1", region="ams3", size_gigabytes=30, tags=("a",)),
    ]
    steps, skips = creation_steps(specs, [volume(1), volume(2)], ("b", "a"), Prices())
    assert [(s.name, s.region, s.tags) for s in steps] == [("db-1", "ams3", ("a", "b"))]
    assert [skip.code for skip in skips] == ["exists", "name_conflict"]
    assert steps[0].monthly_cost == pytest.approx(3.0)


def test_orphans_are_marked_and_unmarked() -> None:
    fleet = [
        volume(1),
        volume(2, tags=("orphan-since:2026-11-01",)),
        volume(3, droplet_ids=(1,), tags=("orphan-since:2026-11-01", "orphan-since:2026-11-02")),
        volume(4, droplet_ids=(1,)),
        volume(5, tags=("orphan-since:someday",)),
    ]
    steps, _ = mark_steps(fleet, "orphan-since", NOW)
    assert [(s.action, s.volume_name, s.name) for s in steps] == [
        ("tag_volume", "db-1", "orphan-since:2026-11-23"),
        ("tag_volume", "db-5", "orphan-since:2026-11-23"),
        ("untag_volume", "db-3", "orphan-since:2026-11-01"),
        ("untag_volume", "db-3", "orphan-since:2026-11-02"),
    ]
    assert len({s.batch for s in steps}) == 3


def test_one_request_tags_two_hundred() -> None:
    steps, _ = mark_steps([volume(n) for n in range(450)], "orphan-since", NOW)
    assert len({s.batch for s in steps}) == 3


def test_only_what_is_past_its_grace_is_due() -> None:
    def marked(n: int, *days: str) -> object:
        return volume(n, tags=tuple(f"orphan-since:{day}" for day in days))

    fleet = [
        marked(1, "2026-10-24"),
        marked(2, "2026-10-25"),
        marked(3, "2026-01-01", "2026-11-20"),
        volume(4),
        volume(5, droplet_ids=(1,), tags=("orphan-since:2026-01-01",)),
        volume(6, droplet_ids=(1,)),
    ]
    due, skips = expired(fleet, "orphan-since", timedelta(days=30), NOW)  # type: ignore[arg-type]
    assert [each.name for each in due] == ["db-1", "db-5"]
    assert [skip.code for skip in skips] == ["grace_period", "grace_period", "untagged"]
    steps, attached = deletion_steps(
        due, None, policy_of(), must_carry=lambda v: tuple(marks_of(v, "orphan-since"))
    )
    assert [s.tags for s in steps] == [("orphan-since:2026-10-24",)]
    assert [skip.code for skip in attached] == ["attached"]


def test_a_grace_cannot_be_negative_nor_a_mark_anything() -> None:
    with pytest.raises(PlanError, match="grace"):
        expired([], "orphan-since", timedelta(days=-1), NOW)
    for bad in ("", "a b", "a/b", "a:b"):
        with pytest.raises(PlanError, match="prefix"):
            check_mark(bad)


def test_two_volumes_with_one_name_are_refused() -> None:
    fleet = [volume(1, region="nyc3"), volume(1, region="ams3", id="cc")]
    with pytest.raises(PlanError, match=r"add \{region\} or \{volume_id:.8\}"):
        snapshot_steps(fleet, [], policy_of(template=Template("{volume}-{date}")), None)
    steps, _ = snapshot_steps(fleet, [], policy_of(), None)
    assert len({s.name for s in steps}) == 2


@pytest.mark.parametrize("price", [-1.0, float("inf"), float("nan"), "1"])
def test_a_price_that_cannot_be_is_refused(price: float) -> None:
    with pytest.raises(InvalidArgumentError, match="0 or more"):
        Prices(volume_gib_month=price)
