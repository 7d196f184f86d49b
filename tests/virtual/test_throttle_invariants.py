"""I1 to I11 by Hypothesis, in virtual time. I12 is in tests/sockets/test_transmissions.py."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import tests.support.throttle_invariants as invariants
from tests.support.strict_servers import MODELS

seeds = st.integers(0, 2**32)
shares = st.floats(0.0, 0.5)


@given(
    seeds,
    st.integers(1, 130),
    st.sampled_from(MODELS),
    shares,
    st.floats(0.0, 30.0),
    st.floats(0.0, 6.0),
)
@settings(max_examples=150)
def test_i1_alone_nothing_is_refused(
    seed: Any, requests: Any, model: Any, lost_share: Any, spread_s: Any, phase_s: Any
) -> None:
    invariants.i1_no_refusal(seed, requests, model, lost_share, spread_s, phase_s)


@given(seeds, st.integers(1, 80), shares)
@settings(max_examples=30)
def test_i2_granted_is_done_lost_and_unused_and_all_slots_come_free(
    seed: Any, requests: Any, lost_share: Any
) -> None:
    invariants.i2_all_slots_come_free(seed, requests, lost_share)


@given(seeds, st.integers(1, 70), st.floats(0.0, 1.0))
@settings(max_examples=100)
def test_i3_no_stall_under_any_cancellation(seed: Any, requests: Any, cancelled_share: Any) -> None:
    invariants.i3_no_stall(seed, requests, cancelled_share)


@given(
    seeds,
    st.integers(10, 90),
    st.integers(1, 20),
    st.sampled_from([(0.1, 0.05), (0.4, 0.2), (0.9, 0.5)]),
)
@settings(max_examples=30)
def test_i4_and_i5_bulk_neither_passes_a_call_nor_enters_the_reserve(
    seed: Any, bulk: Any, calls: Any, reserve: Any
) -> None:
    invariants.i4_and_i5_classes(seed, bulk, calls, reserve)


@given(
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.5, 10.0]), min_size=2, max_size=4),
    st.integers(3, 15),
    st.integers(0, 2),
)
@settings(max_examples=80)
def test_i6_jobs_share_by_weight(weights: Any, requests: Any, cancelled: Any) -> None:
    invariants.i6_fair_shares(weights, requests, cancelled)


@given(seeds, st.integers(1, 80), st.sampled_from([0.05, 0.2, 0.4]))
@settings(max_examples=80)
def test_i7_granted_by_the_deadline_or_refused_at_once(
    seed: Any, requests: Any, latency_s: Any
) -> None:
    invariants.i7_deadlines(seed, requests, latency_s)


@given(seeds, st.integers(2, 60), st.integers(1, 150), st.booleans())
@settings(max_examples=80)
def test_i8_the_forecast_is_right(seed: Any, before: Any, requests: Any, background: Any) -> None:
    invariants.i8_forecast(seed, before, requests, background)


@given(seeds, st.integers(2, 50), st.integers(1, 25), st.integers(1, 20))
@settings(max_examples=80)
def test_i9_nothing_is_sent_during_a_pause(
    seed: Any, requests: Any, refuse_at: Any, retry_after_s: Any
) -> None:
    invariants.i9_silence(seed, requests, refuse_at, retry_after_s)


@given(seeds, st.integers(2, 40), st.floats(0.1, 20.0))
@settings(max_examples=80)
def test_i10_at_most_one_in_flight_while_probing(seed: Any, requests: Any, dry_s: Any) -> None:
    invariants.i10_one_probe(seed, requests, dry_s)


@given(seeds, st.integers(1, 20))
@settings(max_examples=20)
def test_i11_a_burst_429_leaves_the_hour_alone(seed: Any, answers: Any) -> None:
    invariants.i11_hour_untouched(seed, answers)
