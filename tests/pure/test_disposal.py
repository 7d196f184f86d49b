"""Large values are freed in a thread: their last reference goes without a stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import pytest

from do_blockstore_async.bulk.model.rows import CompactRows, LongRows
from do_blockstore_async.resources import _disposal
from do_blockstore_async.resources._disposal import MANY, Disposal
from do_blockstore_async.resources._ids import IdMap, IdSet, PairMap

WITHIN_S = 20.0


class Freed:
    """In which threads values were freed; `count` of them are expected."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._are_all = threading.Event()
        self.threads: set[int] = set()

    def add(self) -> None:
        self.threads.add(threading.get_ident())
        self._left -= 1
        if not self._left:
            self._are_all.set()

    def wait(self) -> set[int]:
        assert self._are_all.wait(WITHIN_S), f"{self._left} are not freed"
        return self.threads


class Value:
    """Tells when it is freed."""

    def __init__(self, freed: Freed) -> None:
        self._freed = freed

    def __del__(self) -> None:
        self._freed.add()


@pytest.mark.parametrize("count", [MANY, MANY + 1])
@pytest.mark.parametrize(
    "make",
    [
        LongRows,
        CompactRows,
        IdSet,
        lambda values: IdMap((str(n), value) for n, value in enumerate(values)),
        lambda values: PairMap(((str(n), ""), value) for n, value in enumerate(values)),
    ],
)
def test_what_is_large_is_freed_in_a_thread(
    make: Callable[[Iterable[Value]], object], count: int
) -> None:
    freed = Freed(count)
    values = make(Value(freed) for _ in range(count))
    assert not freed.threads
    del values
    is_here = freed.wait() == {threading.get_ident()}
    assert is_here == (count <= MANY)
    assert len(freed.threads) == 1


def test_without_a_thread_what_is_large_is_freed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    freed, disposal = Freed(1), Disposal()
    with monkeypatch.context() as patched:
        patched.setattr(_disposal, "start_new_thread", refused)
        disposal.free_later([Value(freed)])
    assert freed.threads == {threading.get_ident()}
    later = Freed(1)
    disposal.free_later([Value(later)])
    assert later.wait() != freed.threads


def test_a_child_process_frees_in_a_thread_of_its_own() -> None:
    """The thread that was at work does not live on in it, but its lock does."""
    freed, disposal = Freed(2), Disposal()
    disposal._is_working.acquire()
    disposal.free_later([Value(freed)])
    assert not freed.threads
    disposal.begin_anew()
    disposal.free_later([Value(freed)])
    freed.wait()
