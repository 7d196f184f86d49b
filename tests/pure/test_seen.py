"""`Seen` is a set, whatever the ids are, before and after it begins to pack them."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async.resources import seen
from do_blockstore_async.resources.seen import Seen

# Few different bytes, so that ids overlap where they lie side by side.
ids = st.builds(
    lambda digits: str(UUID(hex="".join(digits))),
    st.lists(st.sampled_from(["00", "01", "10"]), min_size=16, max_size=16),
)
texts = (
    st.text(max_size=40) | ids.map(str.upper) | ids.map(lambda key: key.replace("-", "") + "٣--x")
)
keys = st.lists(ids | st.uuids().map(str) | st.integers() | texts | st.none())


@pytest.fixture(params=[0, 3], autouse=True, scope="module")
def plain(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen, "_PLAIN", request.param)
        # So few that several ids share one.
        patch.setattr(seen, "_BUCKETS", 2)
        yield


@given(keys)
def test_it_tells_what_is_new(found: list[object]) -> None:
    mine, known = Seen(), set[object]()
    for key in found:
        assert (key in mine) == (key in known)
        assert mine.add(key) == (key not in known)
        known.add(key)
        assert key in mine
    assert all(key in mine for key in known)
    assert sorted(map(repr, mine)) == sorted(map(repr, known))


@given(keys, keys)
def test_two_are_equal_when_they_hold_the_same(one: list[object], two: list[object]) -> None:
    first, second, again = Seen(), Seen(), Seen()
    for key in one:
        first.add(key)
    for key in two:
        second.add(key)
    for key in reversed(one):
        again.add(key)
    assert first == again
    assert (first == second) == (set(one) == set(two))
    assert first != set(one)


def test_ids_that_lie_side_by_side_do_not_make_a_third() -> None:
    one, two = bytes(8) + b"\x01" * 8, b"\x02" * 16
    between = one[8:] + two[:8]
    bucket = bytearray(one + two)
    assert seen._holds(bucket, one)
    assert seen._holds(bucket, two)
    assert not seen._holds(bucket, between)
    assert seen._holds(bucket + between, between)
