"""A plan as data: counted, saved, read back, guarded, and held against a later look."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async.bulk.account import AccountView, is_account_of
from do_blockstore_async.bulk.errors import GuardError, PlanError
from do_blockstore_async.bulk.execution.resume import in_doubt, pending_steps
from do_blockstore_async.bulk.execution.step_actions import HANDLERS, handler_of
from do_blockstore_async.bulk.model.guards import Guards
from do_blockstore_async.bulk.model.outcome import Ended, StepVerdict
from do_blockstore_async.bulk.model.plan import (
    FORMAT,
    STEP_ACTIONS,
    ListingCounts,
    Plan,
    Sighting,
    Step,
    StepAction,
    account_sample,
)
from do_blockstore_async.bulk.model.prices import Prices
from do_blockstore_async.bulk.model.retention import Retention
from do_blockstore_async.bulk.model.selection import Selection
from do_blockstore_async.bulk.model.specs import VolumeSpec
from do_blockstore_async.bulk.planning.creations import creation_steps
from do_blockstore_async.bulk.planning.deletions import deletion_steps
from do_blockstore_async.bulk.planning.snapshots import prune_steps, snapshot_steps
from do_blockstore_async.errors import (
    BlockStoreError,
    ConflictError,
    DecodeError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from do_blockstore_async.resources._ids import IdSet
from tests.support.bulk_models import NOW, policy_of, snapshot, volume

FLEET = [volume(n) for n in range(3)]
SHOTS = [snapshot(v, n, days=n) for v in FLEET for n in (1, 2, 3)]


def plan(**changes: Any) -> Plan:
    steps, skips = snapshot_steps(FLEET, SHOTS, policy_of(), Retention(last=2))
    values: dict[str, Any] = {
        "kind": "snapshots",
        "job": "nightly",
        "made_at": NOW,
        "selection": Selection(regions=("nyc3",)),
        "steps": tuple(steps),
        "skips": tuple(skips),
        "listing_counts": ListingCounts(3, 9, 3, 9),
        "duration_s": 12.5,
        "options": {"keep": "keep last 2"},
        "account_sample_ids": tuple(v.id for v in FLEET),
    }
    return Plan(**{**values, **changes})


def test_a_plan_counts_what_it_does() -> None:
    made = plan()
    assert made.counts == {"create_snapshot": 3, "delete_snapshot": 6}
    assert made.deletion_count == 6
    assert made.requests == 9
    assert made.requests_to_check == 2
    assert made.by_region() == {"nyc3": {"create_snapshot": 3, "delete_snapshot": 6}}
    assert made.monthly_change == pytest.approx(3 * 0.3 - 6 * 0.3)
    header, rows = made.table()
    assert len(rows) == 9
    assert all(len(row) == len(header) for row in rows)


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (200, 1), (201, 2), (20_000, 100)])
def test_checking_costs_a_listing(count: int, pages: int) -> None:
    assert plan(listing_counts=ListingCounts(count, 0)).requests_to_check == pages + 1
    assert plan(steps=(), listing_counts=ListingCounts(count, count)).requests_to_check == 0


def test_a_plan_is_read_back_as_it_was_saved() -> None:
    made = plan()
    again = Plan.from_json(made.to_json())
    assert again == made
    assert again.digest == made.digest
    assert again.to_json() == made.to_json()


def test_a_creation_plan_is_read_back_too() -> None:
    specs = [VolumeSpec(name="a", region="nyc3", size_gigabytes=1, tags=("x",), description="d")]
    steps, _ = creation_steps(specs, [], (), Prices())
    made = plan(kind="creations", steps=tuple(steps))
    assert Plan.from_json(made.to_json()) == made


@given(
    st.lists(
        st.builds(
            Step,
            key=st.text(),
            action=st.just("delete_volume"),
            name=st.text(),
            region=st.text(),
            volume_id=st.just("aa"),
            target_id=st.just("aa"),
            size_gigabytes=st.integers(0, 10**6) | st.floats(0, 1e9),
            tags=st.lists(st.text()).map(tuple),
            monthly_cost=st.floats(-1e9, 1e9),
        ),
        unique_by=lambda step: step.key,
    )
)
def test_any_plan_survives_saving(steps: list[Step]) -> None:
    made = plan(steps=tuple(steps))
    assert Plan.from_json(made.to_json()) == made  # P1


def tagging(**changes: Any) -> Step:
    values: dict[str, Any] = {"action": "tag_volume", "name": "a", "region": "nyc3"}
    ids = {"volume_id": "aa", "target_id": "aa"}
    return Step(**{"key": "a", **values, **ids, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"target_id": "bb"},
        {"action": "delete_volume", "target_id": "bb"},
        {"action": "untag_volume", "volume_id": ""},
        {"action": "delete_volume", "volume_id": "", "target_id": ""},
        {"action": "create_snapshot"},
        {"action": "create_snapshot", "volume_id": "", "target_id": ""},
        {"action": "delete_snapshot", "target_id": ""},
        {"action": "delete_snapshot", "volume_id": ""},
    ],
)
def test_a_step_checks_the_very_thing_that_it_changes(changes: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="which volume or snapshot it changes"):
        tagging(**changes)


def test_a_saved_plan_whose_target_was_changed_is_not_read() -> None:
    step = tagging(action="delete_volume")
    text = plan(steps=(step,)).to_json()
    document = json.loads(text)
    document["plan"]["steps"][0]["target_id"] = "bb"
    # Edited with care: the digest fits.
    raw = json.dumps(document["plan"], separators=(",", ":"), ensure_ascii=False).encode()
    document["digest"] = hashlib.sha256(raw).hexdigest()
    with pytest.raises(PlanError, match="which volume or snapshot it changes"):
        Plan.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((tagging(), tagging()), "two steps have the key"),
        ((tagging(depends_on="b"), tagging(key="b")), "no step before it"),
        ((tagging(depends_on="a"),), "no step before it"),
        ((tagging(name="a/../../x"),), "not a tag"),
        ((tagging(action="untag_volume", name="a b"),), "not a tag"),
        ((tagging(action="create_snapshot", target_id="", tags=("a b",)),), "not a tag"),
    ],
)
def test_a_plan_that_breaks_its_own_rules_is_not_read(steps: tuple[Step, ...], words: str) -> None:
    with pytest.raises(PlanError, match=words):  # P2
        Plan.from_json(plan(steps=steps).to_json())


@pytest.mark.parametrize("number", ["1e999", "9" * 400, "9" * 5000, "-1e999"])
def test_a_number_out_of_all_bounds_is_a_plan_that_cannot_be_read(number: str) -> None:
    text = plan().to_json()
    changed = text.replace('"duration_s":12.5', f'"duration_s":{number}')
    assert changed != text
    with pytest.raises(PlanError):
        Plan.from_json(changed)
    with pytest.raises(PlanError):
        Plan.from_json(text.replace('"size_gigabytes":10.0', f'"size_gigabytes":{number}'))


def test_what_is_of_this_process_is_not_saved() -> None:
    engine = object()
    made = plan(sighting=Sighting(engine, 1.0))
    assert made.was_read_by(engine, since_s=1.0)
    assert not made.was_read_by(engine, since_s=1.1)
    assert not made.was_read_by(object(), since_s=0.0)
    assert "sighting" not in made.to_json()
    assert not Plan.from_json(made.to_json()).was_read_by(engine, since_s=0.0)
    assert made == plan()
    document = json.loads(made.to_json())
    document["plan"]["_sighting"] = {"engine": 1, "at_s": 1e9}
    assert not Plan.from_json(json.dumps(document)).was_read_by(1, since_s=0.0)


def test_every_change_changes_the_digest() -> None:
    made = plan()
    others = [
        plan(job="weekly"),
        plan(steps=made.steps[:-1]),
        plan(steps=(msgspec.structs.replace(made.steps[0], name="x"), *made.steps[1:])),
        plan(account_sample_ids=()),
    ]
    assert len({made.digest, *(other.digest for other in others)}) == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["plan"]["steps"].pop(), "edited"),
        (lambda d: d["plan"]["steps"][0].update(name="other"), "edited"),
        (lambda d: d.update(digest="0"), "edited"),
        (lambda d: d.update(format=FORMAT - 1), "plan again"),
        (lambda d: d.update(format=FORMAT + 1), "plan again"),
        (lambda d: d["plan"].pop("steps"), "cannot be read"),
        (lambda d: d["plan"].update(kind="magic"), "cannot be read"),
        (lambda d: d["plan"]["steps"][0].update(size_gigabytes="big"), "cannot be read"),
        (lambda d: d.pop("plan"), "not a saved plan"),
    ],
)
def test_a_file_that_is_not_this_plan_is_refused(change: Any, words: str) -> None:
    document = json.loads(plan().to_json())
    change(document)
    with pytest.raises(PlanError, match=words):
        Plan.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "x", "[]", "null", b"\xff\xfe", "{}", '{"format":1}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="not a saved plan"):
        Plan.from_json(text)


def test_a_plan_error_is_a_value_error_and_one_of_ours() -> None:
    assert issubclass(PlanError, ValueError)
    assert issubclass(PlanError, BlockStoreError)


# Witnesses.


@given(st.integers(0, 500), st.data())
def test_an_account_sample_is_small_and_has_no_targets_where_that_is_possible(
    count: int, data: Any
) -> None:
    ids = [f"{n:x}" for n in range(count)]
    targets = data.draw(st.sets(st.sampled_from(ids))) if ids else set()
    found = account_sample(lambda: ids, IdSet(targets))
    assert len(found) == min(16, len(ids) - len(targets) or len(ids))
    if len(targets) < len(ids):
        assert targets.isdisjoint(found)


def test_a_plan_of_another_account_is_known_by_its_ids() -> None:
    assert not is_account_of(plan(), AccountView.of([volume(77)], []))
    assert is_account_of(plan(), AccountView.of([FLEET[2]], []))
    assert is_account_of(plan(account_sample_ids=()), AccountView.of([volume(77)], []))


def test_what_the_plan_itself_deleted_does_not_identify_the_account() -> None:
    gone = plan(account_sample_ids=("aa",))
    assert is_account_of(gone, AccountView.of([], []), deleted=["aa"])


# Guards.


def deletions(count: int, fleet: int) -> Plan:
    steps, _ = deletion_steps([volume(n) for n in range(count)], None, policy_of())
    return plan(
        kind="deletions",
        steps=tuple(steps),
        listing_counts=ListingCounts(fleet + 1000, None, fleet),
    )


def test_a_plan_within_the_guards_passes() -> None:
    Guards().check(deletions(100, 400))
    Guards().check(plan())
    Guards().check(plan(steps=()))


@pytest.mark.parametrize(
    ("guards", "count", "fleet"),
    [
        ({}, 101, 10_000),
        ({}, 100, 399),
        ({}, 1, 3),
        ({"max_items": 5}, 6, 1000),
        ({"max_items": 0}, 1, 1000),
        ({"max_share": 0.1}, 11, 100),
        ({"max_items": math.inf}, 50, 100),
    ],
)
def test_more_than_the_guards_allow_is_refused(
    guards: dict[str, float], count: int, fleet: int
) -> None:
    with pytest.raises(GuardError, match=r"the limit is .* per run") as caught:
        Guards(**guards).check(deletions(count, fleet))
    assert (caught.value.items, caught.value.fleet) == (count, fleet)


def test_guards_can_be_widened_explicitly() -> None:
    Guards(max_items=math.inf, max_share=1).check(deletions(500, 500))
    Guards(max_items=3, max_share=1).check(deletions(3, 3))


def test_a_prune_of_nearly_everything_is_refused() -> None:
    Guards().check(plan(listing_counts=ListingCounts(3, 1000, 3, 6)))
    steps = tuple(step for step in plan().steps if step.is_destructive)
    with pytest.raises(GuardError, match="snapshots"):
        Guards().check(
            plan(kind="prune", steps=steps, listing_counts=ListingCounts(None, 1000, None, 6))
        )


@pytest.mark.parametrize(
    "values", [{"max_items": -1}, {"max_share": -0.1}, {"max_share": 1.1}, {"max_items": math.nan}]
)
def test_guards_that_cannot_be_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(InvalidArgumentError):
        Guards(**values)


# A later look.


def look(step: Step, volumes: list[Any], snapshots: list[Any] | None = None) -> tuple[str, str]:
    found = handler_of(step).detect_drift(step, AccountView.of(volumes, snapshots), Selection())
    return ("", "") if found is None else (found.status, found.code)


CREATE, DELETE = plan().steps[0], plan().steps[3]


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ([FLEET[0]], ("", "")),
        ([attrs.evolve(FLEET[0], description="new", tags=("new",))], ("", "")),
        ([attrs.evolve(FLEET[0], size_gigabytes=20)], ("skipped", "drifted")),
        ([attrs.evolve(FLEET[0], droplet_ids=(1,))], ("skipped", "drifted")),
        ([attrs.evolve(FLEET[0], name="other")], ("skipped", "drifted")),
        ([attrs.evolve(FLEET[0], id="dd")], ("skipped", "drifted")),
        ([], ("skipped", "drifted")),
    ],
)
def test_a_volume_that_changed_is_not_touched(now: list[Any], found: tuple[str, str]) -> None:
    assert look(CREATE, now, []) == found


def test_another_id_under_the_name_is_said() -> None:
    other = AccountView.of([attrs.evolve(FLEET[0], id="dd")])
    finding = handler_of(CREATE).detect_drift(CREATE, other, Selection())
    assert finding is not None
    assert finding.reason == "changed: another volume has its name now"


def test_a_volume_that_is_not_selected_any_more_is_not_touched() -> None:
    finding = handler_of(CREATE).detect_drift(
        CREATE, AccountView.of([FLEET[0]]), Selection(tags=("prod",))
    )
    assert finding is not None
    assert "not selected any more" in finding.reason


def test_a_name_that_is_taken_now_is_not_made() -> None:
    taken = snapshot(FLEET[0], 9, name=CREATE.name)
    assert look(CREATE, FLEET, [taken]) == ("skipped", "exists")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, ("", "")),
        ({"tags": ("bulk-job:nightly", "gold")}, ("skipped", "drifted")),
        ({"tags": ()}, ("skipped", "drifted")),
        ({"name": "renamed"}, ("skipped", "drifted")),
        ({"id": "dd"}, ("skipped", "not_found")),
    ],
)
def test_a_snapshot_that_changed_is_not_deleted(
    changes: dict[str, Any], found: tuple[str, str]
) -> None:
    shot = next(each for each in SHOTS if each.id == DELETE.target_id)
    others = [each for each in SHOTS if each is not shot]
    assert look(DELETE, [], [*others, attrs.evolve(shot, **changes)]) == found


def test_what_was_kept_for_a_snapshots_sake_must_still_be_there() -> None:
    steps, _ = prune_steps(SHOTS, None, policy_of(), Retention(last=1))
    step = steps[0]
    assert step.retained_snapshot_id == SHOTS[0].id
    assert look(step, [], SHOTS) == ("", "")
    assert look(step, [], SHOTS[1:]) == ("skipped", "drifted")
    new, _ = snapshot_steps(FLEET, SHOTS, policy_of(), Retention(last=1))
    assert {each.retained_snapshot_id for each in new} == {""}


def test_a_volume_that_lost_its_mark_is_not_deleted() -> None:
    marked = volume(1, tags=("orphan-since:2026-01-01",))
    (step,), _ = deletion_steps([marked], None, policy_of(), must_carry=lambda v: v.tags)
    assert look(step, [marked]) == ("", "")
    assert look(step, [volume(1)]) == ("skipped", "drifted")
    assert look(step, [attrs.evolve(marked, droplet_ids=(3,))]) == ("skipped", "drifted")
    assert look(step, []) == ("skipped", "not_found")


def test_what_had_been_begun_is_settled_by_looking() -> None:
    made = snapshot(FLEET[0], 9, name=CREATE.name)

    def verdict(step: Step, view: AccountView) -> str | None:
        found = handler_of(step).reconcile_step(step, view)
        return None if found is None else found.status

    assert verdict(CREATE, AccountView.of(FLEET, [made])) == "done"
    assert verdict(CREATE, AccountView.of(FLEET, [attrs.evolve(made, tags=())])) == "unknown"
    assert verdict(CREATE, AccountView.of(FLEET, [])) is None
    assert verdict(DELETE, AccountView.of(FLEET, [])) == "done"
    assert verdict(DELETE, AccountView.of(FLEET, SHOTS)) is None
    (gone,), _ = deletion_steps([FLEET[0]], None, policy_of())
    assert verdict(gone, AccountView.of([], [])) == "done"
    assert verdict(gone, AccountView.of(FLEET, [])) is None
    spec = VolumeSpec(name="db-0", region="nyc3", size_gigabytes=10)
    (create,), _ = creation_steps([spec], [], (), Prices())
    assert verdict(create, AccountView.of(FLEET)) == "done"
    assert verdict(create, AccountView.of([attrs.evolve(FLEET[0], size_gigabytes=5)])) == "unknown"
    assert verdict(create, AccountView.of([])) is None
    assert look(create, FLEET) == ("skipped", "exists")


@pytest.mark.parametrize("action", STEP_ACTIONS)
def test_each_action_has_one_handler(action: StepAction) -> None:
    assert set(HANDLERS) == set(STEP_ACTIONS)
    assert len({type(handler) for handler in HANDLERS.values()}) == len(STEP_ACTIONS)
    handler = HANDLERS[action]
    assert handler.classify_error(ValueError("why")) == StepVerdict("failed", "", "why")
    assert handler.classify_error(OutcomeUnknownError("lost")).status == "unknown"


@pytest.mark.parametrize(
    ("action", "error", "found"),
    [
        ("create_snapshot", NotFoundError("x", status=404), ("skipped", "drifted")),
        ("create_snapshot", ConflictError("x", status=409), ("skipped", "exists")),
        (
            "create_snapshot",
            RateLimitedError("x", status=429, kind="snapshot_cooldown"),
            ("skipped", "cooldown"),
        ),
        ("create_snapshot", RateLimitedError("x", status=429), ("failed", "")),
        ("create_volume", ConflictError("x", status=409), ("skipped", "exists")),
        ("create_volume", NotFoundError("x", status=404), ("failed", "")),
        ("delete_volume", NotFoundError("x", status=404), ("skipped", "not_found")),
        ("delete_volume", ConflictError("x", status=409), ("skipped", "attached")),
        ("delete_volume", TransportError("x"), ("unknown", "")),
        ("delete_volume", TransportError("x", sent=False), ("failed", "")),
        ("delete_snapshot", ServerError("x", status=500), ("unknown", "")),
        ("delete_snapshot", ConflictError("x", status=409), ("failed", "")),
        ("delete_snapshot", DecodeError("x", status=502), ("unknown", "")),
        ("delete_snapshot", DecodeError("x", status=None), ("failed", "")),
        ("tag_volume", NotFoundError("x", status=404), ("failed", "")),
        ("untag_volume", ServerError("x", status=500), ("failed", "")),
    ],
)
def test_what_an_error_means_for_a_step(
    action: StepAction, error: BlockStoreError, found: tuple[str, str]
) -> None:
    verdict = HANDLERS[action].classify_error(error)
    assert (verdict.status, verdict.code) == found


# What remains of a run.


def test_in_doubt_is_what_started_and_has_no_known_outcome() -> None:
    done, unknown = Ended(status="done"), Ended(status="unknown")
    steps = plan().steps[:4]
    keys = [step.key for step in steps]
    finished = {keys[1]: done, keys[2]: unknown}
    assert in_doubt(steps, keys[:3], finished) == {keys[0], keys[2]}


def test_pending_is_what_has_no_outcome_or_only_what_failed() -> None:
    made = plan()
    first = next(step for step in made.steps if step.depends_on)
    cause = first.depends_on
    finished = {step.key: Ended(status="done") for step in made.steps}
    assert pending_steps(made, finished) == ()
    finished[cause] = Ended(status="failed")
    finished[first.key] = Ended(status="skipped", code="dependency_failed")
    assert pending_steps(made, finished) == ()
    retried = [step.key for step in pending_steps(made, finished, retry_failed=True)]
    assert retried == [cause, first.key]
    finished[cause] = Ended(status="unknown")
    assert [step.key for step in pending_steps(made, finished)] == [cause, first.key]
    assert pending_steps(made, {}, retry_failed=True) == ()
