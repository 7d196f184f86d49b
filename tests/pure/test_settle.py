"""What a query after a lost response means: S1 to S4 of `wire/settle.py`."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async._http.recovery.rules import classify_create
from do_blockstore_async._http.request import Evidence, Finding, Listing
from do_blockstore_async.resources.volumes import classify_delete

SENT_S = 1000.25


@attrs.frozen
class Thing:
    id: str
    made_s: int
    as_asked: bool = True
    candidate: bool = True

    @property
    def created_at(self) -> datetime:
        return datetime.fromtimestamp(self.made_s, UTC)


def listed(*things: Thing) -> Listing[Thing]:
    return Listing(things, len(things), None, SENT_S + 1)


def created(
    *things: Thing,
    sent_s: float | None = SENT_S,
    known: tuple[str, ...] = (),
    concurrent_duplicate: bool = False,
    unique_name: bool = True,
) -> Finding[Thing]:
    return classify_create(
        listed(*things),
        Evidence(sent_s, known, concurrent_duplicate),
        is_candidate=lambda thing: thing.candidate,
        matches_request=lambda thing: thing.as_asked,
        identity=lambda thing: thing.id,
        unique_name=unique_name,
    )


OLD, SAME_SECOND, NEW = Thing("o", 900), Thing("s", 1000), Thing("n", 1001)
WRONG = Thing("w", 1001, as_asked=False)
CREATED: list[tuple[str, tuple[Thing, ...], dict[str, Any], str]] = [
    ("S1 nothing", (), {}, "not_found"),
    ("S1 others", (Thing("x", 1001, candidate=False),), {}, "not_found"),
    ("S1 nothing, no clock", (), {"sent_s": None}, "not_found"),
    ("S2 made before", (OLD,), {}, "conflict"),
    ("S2 made before, wrong", (Thing("x", 900, as_asked=False),), {}, "conflict"),
    ("S2 known", (NEW,), {"known": ("n",)}, "conflict"),
    ("S2 known, no clock", (NEW,), {"known": ("n",), "sent_s": None}, "conflict"),
    ("S3 made since", (NEW,), {}, "adopted"),
    ("S3 made in the second of sending", (SAME_SECOND,), {}, "adopted"),
    ("S3 newest counts", (OLD, NEW), {"unique_name": False}, "adopted"),
    ("S4 not as asked", (WRONG,), {}, "unknown"),
    ("S4 no clock", (NEW,), {"sent_s": None}, "unknown"),
    ("S4 contested", (NEW,), {"concurrent_duplicate": True}, "unknown"),
    ("actions: older ones mean nothing", (OLD,), {"unique_name": False}, "not_found"),
    (
        "actions: known ones mean nothing",
        (NEW,),
        {"known": ("n",), "unique_name": False},
        "not_found",
    ),
    ("actions: contested", (NEW,), {"concurrent_duplicate": True, "unique_name": False}, "unknown"),
]


@pytest.mark.parametrize(
    ("things", "values", "verdict"), [row[1:] for row in CREATED], ids=[row[0] for row in CREATED]
)
def test_created(things: tuple[Thing, ...], values: dict[str, Any], verdict: str) -> None:
    finding = created(*things, **values)
    assert finding.resolution == verdict
    assert (finding.value is not None) == (verdict == "adopted")
    if verdict == "unknown":
        assert finding.candidate is not None


every_thing = st.builds(
    Thing,
    st.sampled_from("abcdef"),
    st.integers(990, 1010),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=300)
@given(
    st.lists(every_thing, max_size=4),
    st.none() | st.floats(985, 1012),
    st.sets(st.sampled_from("abcdef")),
    st.booleans(),
    st.booleans(),
)
def test_only_what_can_be_ours_is_adopted(
    things: list[Thing],
    sent_s: float | None,
    known: set[str],
    concurrent_duplicate: bool,
    unique_name: bool,
) -> None:
    finding = created(
        *things,
        sent_s=sent_s,
        known=tuple(known),
        concurrent_duplicate=concurrent_duplicate,
        unique_name=unique_name,
    )
    if finding.resolution == "adopted":
        assert finding.value is not None
        assert sent_s is not None
        assert finding.value.candidate
        assert finding.value.as_asked
        assert finding.value.id not in known
        assert not concurrent_duplicate
        assert finding.value.made_s >= math.floor(sent_s)
    if finding.resolution == "not_found" and unique_name:
        assert not any(thing.candidate for thing in things)


@settings(max_examples=200)
@given(
    st.floats(1000, 2000),
    st.floats(0, 1),
    st.floats(0, 3),
    st.floats(0, 1),
)
def test_what_is_ours_is_never_taken_for_somebody_elses(
    sent_s: float, until_made_s: float, until_looked_s: float, back_s: float
) -> None:
    """Whole seconds on both sides, and a way back: `sent_s` is reckoned as the engine does."""
    made_s = sent_s + until_made_s
    looked_s = made_s + until_looked_s
    reckoned = math.floor(looked_s) - (looked_s + back_s - sent_s)
    assert created(Thing("x", math.floor(made_s)), sent_s=reckoned).resolution == "adopted"
    # What is older is never taken for ours; and when clocks may differ, not for another's either.
    before = math.floor(sent_s - 2 - until_looked_s - back_s - 1)
    assert created(Thing("x", before), sent_s=reckoned).resolution in {"unknown", "conflict"}
    assert created(Thing("x", before - 5), sent_s=reckoned).resolution == "conflict"


DELETED: list[tuple[str, tuple[Thing, ...], float | None, str]] = [
    ("gone", (), SENT_S, "adopted"),
    ("gone, no clock", (), None, "adopted"),
    ("still there", (OLD,), SENT_S, "not_found"),
    ("there anew", (Thing("x", 1003),), SENT_S, "adopted"),
    ("made around then", (SAME_SECOND,), SENT_S, "unknown"),
    ("made around then", (Thing("x", 1001),), SENT_S, "unknown"),
    ("no clock", (OLD,), None, "unknown"),
]


@pytest.mark.parametrize(
    ("things", "sent_s", "verdict"), [row[1:] for row in DELETED], ids=[row[0] for row in DELETED]
)
def test_deleted(things: tuple[Thing, ...], sent_s: float | None, verdict: str) -> None:
    finding = classify_delete(listed(*things), Evidence(sent_s, ()))  # type: ignore[arg-type]
    assert finding.resolution == verdict


@given(st.integers(0, 2000), st.floats(0, 2000))
def test_a_delete_is_only_repeated_for_what_was_there_before(made_s: int, sent_s: float) -> None:
    thing = Thing("x", made_s)
    finding = classify_delete(listed(thing), Evidence(sent_s, ()))  # type: ignore[arg-type]
    if finding.resolution == "not_found":
        # A whole second shown as `made_s` is at most `made_s + 1`.
        assert made_s + 1 <= sent_s
        assert finding.candidate is thing
