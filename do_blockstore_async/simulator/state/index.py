"""An ordered collection with cheap slices and cheap deletions.

Theory: items carry a sequence number that only grows, so an item is always appended at the end and
the whole is sorted by it. The items lie in chunks; an offset is found by walking chunks (a hundred
for 100,000 items) and an item by bisecting twice. A plain list would pay for each deletion with a
walk, and a dict would pay for each page with one.

Invariants:
1. The items, read in order, have strictly growing sequence numbers.
2. `len` is the number of items; no chunk is empty.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

__all__ = ["OrderedIndex"]


class _Sequenced(Protocol):
    @property
    def seq(self) -> int: ...


T = TypeVar("T", bound=_Sequenced)


class OrderedIndex(Generic[T]):
    """Items in the order of their `seq`.

    Args:
        chunk: how many items a chunk holds at most.
    """

    __slots__ = ("_chunk", "_chunks", "_size")

    def __init__(self, chunk: int = 1024) -> None:
        self._chunk = chunk
        self._chunks: list[list[T]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[T]:
        for chunk in self._chunks:
            yield from chunk

    def append(self, item: T) -> None:
        """Add an item; its `seq` must be larger than every other."""
        if not self._chunks or len(self._chunks[-1]) >= self._chunk:
            self._chunks.append([])
        self._chunks[-1].append(item)
        self._size += 1

    def remove(self, item: T) -> None:
        """Take an item out; KeyError where it is not in."""
        at = bisect_right(self._chunks, item.seq, key=lambda chunk: chunk[0].seq) - 1
        chunk = self._chunks[at] if at >= 0 else []
        inside = bisect_left(chunk, item.seq, key=lambda other: other.seq)
        if inside == len(chunk) or chunk[inside] is not item:
            raise KeyError(item.seq)
        del chunk[inside]
        self._size -= 1
        if not chunk:
            del self._chunks[at]
        elif (
            at + 1 < len(self._chunks)
            and len(chunk) + len(self._chunks[at + 1]) <= self._chunk // 2
        ):
            # Without merging, long churn would leave many thin chunks to walk.
            chunk.extend(self._chunks.pop(at + 1))

    def slice(self, start: int, count: int) -> list[T]:
        """Up to `count` items from offset `start` on; empty past the end."""
        found: list[T] = []
        for chunk in self._chunks:
            if start >= len(chunk):
                start -= len(chunk)
                continue
            found += chunk[start : start + count - len(found)]
            if len(found) >= count:
                break
            start = 0
        return found
