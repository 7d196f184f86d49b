"""Large values are freed part by part: their last reference goes without a stop."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable
from itertools import count

import pytest

from do_blockstore_async.bulk.model.rows import CompactRows, LongRows
from do_blockstore_async.resources import _disposal
from do_blockstore_async.resources._disposal import MANY, Disposal, all_freed
from do_blockstore_async.resources._ids import IdMap, IdSet, PairMap

# Of rows those that fill a page count.
LARGE = MANY + 2_000


class Value:
    """Tells when it is freed."""

    def __init__(self, freed: list[int], number: int) -> None:
        self._freed = freed
        self._number = number

    def __hash__(self) -> int:
        return hash(str(self._number))

    def __del__(self) -> None:
        self._freed.append(self._number)


Make = Callable[[Iterable[Value]], object]

each_kind = pytest.mark.parametrize(
    "make",
    [
        LongRows,
        CompactRows,
        IdSet,
        lambda values: IdMap((str(n), value) for n, value in enumerate(values)),
        lambda values: PairMap(((str(n), ""), value) for n, value in enumerate(values)),
    ],
    ids=["LongRows", "CompactRows", "IdSet", "IdMap", "PairMap"],
)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock takes 0.6 ms: a slice of 2 ms has three."""
    ticks = count()
    monkeypatch.setattr(_disposal, "boot_s", lambda: 0.0006 * next(ticks))


@each_kind
async def test_in_a_loop_it_takes_many_turns(make: Make) -> None:
    freed: list[int] = []
    values = make(Value(freed, n) for n in range(LARGE))
    del values
    assert len(freed) < 128  # rows that fill no page yet
    turns = 0
    while len(freed) < LARGE:
        before = len(freed)
        await asyncio.sleep(0)
        assert 0 <= len(freed) - before <= 3 * 500
        turns += 1
    assert turns > 10
    assert sorted(freed) == list(range(LARGE))


async def test_of_several_values_no_more_is_freed_in_a_turn() -> None:
    freed: list[int] = []
    values = [IdMap((str(n), Value(freed, n)) for n in range(LARGE)) for _ in range(3)]
    del values
    while len(freed) < 3 * LARGE:
        before = len(freed)
        await asyncio.sleep(0)
        assert 0 < len(freed) - before <= 3 * 500


async def test_what_was_dropped_can_be_waited_for() -> None:
    freed: list[int] = []
    await all_freed()
    values = LongRows(Value(freed, n) for n in range(LARGE))
    del values
    assert len(freed) < 128
    await all_freed()
    assert len(freed) == LARGE


async def test_a_large_part_is_freed_item_by_item() -> None:
    freed: list[int] = []
    disposal = Disposal()
    disposal.free_parts([{n: Value(freed, n) for n in range(LARGE)}])
    turns = 0
    while len(freed) < LARGE:
        await asyncio.sleep(0)
        turns += 1
    assert LARGE / 500 / 3 <= turns < LARGE / 500


@each_kind
async def test_what_is_small_is_freed_immediately(make: Make) -> None:
    freed: list[int] = []
    values = make(Value(freed, n) for n in range(MANY))
    del values
    assert len(freed) == MANY


@each_kind
def test_without_a_loop_it_is_freed_immediately(make: Make) -> None:
    freed: list[int] = []
    values = make(Value(freed, n) for n in range(LARGE))
    del values
    assert len(freed) == LARGE


def test_a_loop_that_is_closed_frees_the_rest() -> None:
    freed: list[int] = []

    async def leave() -> None:
        values = LongRows(Value(freed, n) for n in range(LARGE))
        del values

    asyncio.run(leave())
    assert len(freed) == LARGE


async def test_what_iterates_or_is_a_copy_keeps_what_it_needs() -> None:
    def many() -> IdMap[int]:
        return IdMap((str(n), n) for n in range(MANY + 1))

    left = iter(many().values())
    another = copy.copy(many())
    disposal, large = Disposal(), {str(n): n for n in range(LARGE)}
    disposal.free_parts([large])
    for _ in range(100):
        await asyncio.sleep(0)
    assert sum(1 for _ in left) == len(another) == MANY + 1
    assert len(large) == LARGE


@each_kind
def test_one_that_could_not_be_made_is_freed_in_silence(
    make: Make, recwarn: pytest.WarningsRecorder
) -> None:
    def broken() -> Iterable[Value]:
        yield Value([], 0)
        raise LookupError

    with pytest.raises(LookupError):
        make(broken())
    assert not recwarn.list
