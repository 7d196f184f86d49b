"""What follows from the facts of a journal: who holds a step, who is lost, what may be begun."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async._log.store import Fact
from do_blockstore_async.bulk.execution.journal_state import (
    Alive,
    Begun,
    Finished,
    Joined,
    JournalFact,
    JournalState,
    Left,
    Planned,
    Timing,
    WorkerGone,
    encode_fact,
)
from do_blockstore_async.bulk.model.outcome import Ended

TIMING = Timing.of(30.0)
DONE = Ended(status="done", duration_s=0.5)
FAILED = Ended(status="failed", reason="no\n\u2028é", code="x")
KEYS = ("a", "b", "c")
WORKERS = ("one", "two", "three")


def joined(worker: str) -> Joined:
    return Joined(worker, f"host/{worker}", TIMING)


def state_of(*facts: JournalFact | tuple[float, JournalFact]) -> JournalState:
    """The state after these facts, each with the time it was written, or a second apart."""
    state, at_s = JournalState(), 0.0
    for position, fact in enumerate(facts, 1):
        at_s, fact = fact if isinstance(fact, tuple) else (at_s + 1, fact)
        state.apply(Fact(position, at_s, encode_fact(fact)))
    return state


def test_a_step_is_held_from_its_beginning_to_its_outcome() -> None:
    begun = (joined("one"), joined("two"), Begun("one", ("a", "b")))
    state = state_of(*begun)
    assert state.holder("a") == "one"
    assert state.holder("c") is None
    assert state.is_held("a", ["two"])
    assert not state.is_held("a", ["one"])
    state = state_of(*begun, Finished("one", {"a": DONE, "b": FAILED}))
    assert state.finished == {"a": DONE, "b": FAILED}
    assert (state.holder("a"), list(state.in_flight), state.failures) == (None, [], 1)


@pytest.mark.parametrize("end", [Left("one"), WorkerGone("one")])
def test_what_a_worker_that_is_gone_had_in_flight_is_held_by_nobody(end: JournalFact) -> None:
    state = state_of(joined("one"), (10.0, Begun("one", ("a",))), end)
    assert list(state.in_flight) == ["a"]
    assert state.holder("a") is None
    assert state.is_mine("a", ["one"]), "which it may still end, if nobody else has begun it"
    assert state.arrives_until_s("a") == 10.0 + 10.0 + 30.0
    assert state.arrives_until_s("b") == 0.0


def test_whoever_is_silent_for_too_long_is_lost() -> None:
    state = state_of((0.0, joined("one")), (5.0, joined("two")), (30.0, Alive("two")))
    assert state.silent() == []
    state.now_s = 30.1
    assert state.silent() == ["one"]
    state = state_of((0.0, joined("one")), (31.0, joined("two")), (31.0, WorkerGone("one")))
    assert state.silent() == [], "it is known already"
    assert list(state.present) == ["two"]


def test_that_a_worker_is_lost_is_not_a_sign_of_its_life() -> None:
    state = state_of((0.0, joined("one")), (40.0, WorkerGone("one")))
    assert state.workers["one"].heard_s == 0.0


def test_a_step_that_is_begun_anew_has_no_outcome_until_it_has_one() -> None:
    state = state_of(
        joined("one"), Begun("one", ("a",)), Finished("one", {"a": FAILED}), Begun("one", ("a",))
    )
    assert state.finished == {}
    assert state.holder("a") == "one"


def test_failures_are_counted_since_somebody_last_began_alone() -> None:
    failed = Finished("one", {"a": FAILED, "b": FAILED})
    state = state_of(joined("one"), failed, joined("two"), failed)
    assert state.failures == 2, "steps that share a request fail once"
    state = state_of(joined("one"), failed, Left("one"), joined("two"))
    assert state.failures == 0


def test_the_pace_is_that_of_the_last_minute_of_those_who_are_there() -> None:
    state = state_of((0.0, joined("one")), (10.0, Finished("one", dict.fromkeys("abcde", DONE))))
    assert state.pace() == 0.5
    state.now_s = 60.0
    assert state.pace() == pytest.approx(5 / 60)
    state.now_s = 80.0
    assert state.pace() is None
    assert state_of(joined("one")).pace() is None


@given(st.floats(0, 1e6))
def test_the_times_are_within_their_bounds(late_arrival_s: float) -> None:
    timing = Timing.of(late_arrival_s)
    assert 1.0 <= timing.silent_s <= 30.0
    assert 1.0 <= timing.send_within_s <= 10.0
    assert timing.arrives_within_s >= late_arrival_s + timing.send_within_s
    if late_arrival_s >= 30:
        assert (timing.silent_s, timing.send_within_s) == (30.0, 10.0)


@pytest.mark.parametrize("data", [b"", b"{}", b'["hello","x",1]', b'["begun","x"]', b"\xff"])
def test_what_is_no_fact_of_a_journal_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        JournalState().apply(Fact(1, 0.0, data))


FACTS = st.one_of(
    st.builds(joined, st.sampled_from(WORKERS)),
    st.builds(Begun, st.sampled_from(WORKERS), st.lists(st.sampled_from(KEYS)).map(tuple)),
    st.builds(
        Finished,
        st.sampled_from(WORKERS),
        st.dictionaries(st.sampled_from(KEYS), st.sampled_from([DONE, FAILED])),
    ),
    st.builds(Alive, st.sampled_from(WORKERS)),
    st.builds(Left, st.sampled_from(WORKERS)),
    st.builds(WorkerGone, st.sampled_from(WORKERS)),
)


@given(st.lists(FACTS, max_size=40), st.sampled_from(KEYS))
def test_a_step_is_in_flight_or_ended_and_what_was_seen_says_whether_it_moved(
    facts: list[JournalFact], key: str
) -> None:
    state = JournalState()
    for position, fact in enumerate(facts, 1):
        before: Any = (key in state.in_flight, state.finished.get(key))
        state.apply(Fact(position, float(position), encode_fact(fact)))
        concerns = (isinstance(fact, Begun) and key in fact.keys) or (
            isinstance(fact, Finished) and key in fact.outcomes
        )
        assert state.is_untouched(key, position - 1) != concerns  # JS5
        if not concerns:
            assert before == (key in state.in_flight, state.finished.get(key))
        assert not (key in state.in_flight and key in state.finished)
        holder = state.holder(key)
        if holder is not None:
            assert state.workers[holder].is_present
            assert state.is_mine(key, [holder])
            assert not state.is_held(key, [holder])
        assert state.is_untouched(key, position)


def test_a_fact_is_read_as_it_was_written() -> None:
    facts: list[JournalFact] = [
        Planned("", 3, "digest", msgspec.Raw(b'{"steps":[]}')),
        joined("one"),
        Begun("one", ("a",)),
        Finished("one", {"a": FAILED}),
    ]
    state = JournalState()
    for position, fact in enumerate(facts, 1):
        assert state.apply(Fact(position, 1.0, encode_fact(fact))) == fact
    assert bytes(state.plan or b"") == b'{"steps":[]}'
    assert state.workers["one"].timing == TIMING
    assert math.isclose(state.now_s, 1.0)
