"""Deadlines as values, and as the context of a task."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async import InvalidArgumentError
from do_blockstore_async._context import background, current_job, detached
from do_blockstore_async._deadline import NEVER, Deadline, current_deadline, deadline, deadline_at

times = st.floats(min_value=0, max_value=1e9)


@given(now=times, timeout_s=times, later_s=times)
def test_what_is_left_never_falls_below_zero(now: float, timeout_s: float, later_s: float) -> None:
    until = Deadline.after(timeout_s, now)
    left_s = until.remaining(now + later_s)
    assert left_s >= 0
    assert until.timeout(now + later_s) == left_s
    assert until.expired(now + later_s) == (left_s == 0)


@given(now=times, whole_s=st.none() | times, part_s=st.none() | times)
def test_a_part_never_outlasts_the_whole(
    now: float, whole_s: float | None, part_s: float | None
) -> None:
    whole = Deadline.after(whole_s, now)
    part = whole.child(part_s, now)
    assert part.at <= whole.at
    assert part == whole.earlier_of(Deadline.after(part_s, now))


def test_no_deadline_is_a_deadline_that_never_comes() -> None:
    assert Deadline.after(None, 5.0) is NEVER
    assert NEVER.timeout(1e12) is None
    assert NEVER.when() is None
    assert Deadline.after(2.0, 5.0).when() == 7.0
    assert NEVER.remaining(1e12) == float("inf")
    assert not NEVER.expired(1e12)


async def test_the_earliest_of_nested_deadlines_counts() -> None:
    now = asyncio.get_running_loop().time()
    assert current_deadline() is NEVER
    with deadline_at(now + 10):
        with deadline_at(now + 20), deadline_at(None):
            assert current_deadline().at == now + 10
        with deadline(1):
            assert current_deadline().at < now + 5
            with background("nightly"), detached():
                assert current_deadline() is NEVER
                assert current_job() is None
        assert current_deadline().at == now + 10
    assert current_deadline() is NEVER


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), float("inf")])
async def test_a_deadline_is_a_number_of_seconds(timeout_s: float) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout_s must be seconds"):
        deadline(timeout_s).__enter__()
