"""A set of ids of any size, which never stops its caller for long.

A set of Python doubles its table when it is full, at once: with a million ids that takes 50 ms. And
each full garbage collection goes through it, though nothing in it can be garbage. This one is many
small dictionaries, each of which grows by itself, and which the collector passes by. Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

__all__ = ["IdSet"]

_PARTS: Final = 64


class IdSet:
    """A set of ids, in parts."""

    __slots__ = ("_parts",)

    def __init__(self, ids: Iterable[Hashable] = ()) -> None:
        self._parts: list[dict[Hashable, None]] = [{} for _ in range(_PARTS)]
        for each in ids:
            self.add(each)

    def add(self, each: Hashable) -> bool:
        """Add an id; return whether it is new."""
        part = self._parts[(hash(each) >> 40) % _PARTS]
        before = len(part)
        part[each] = None
        return len(part) > before

    def __contains__(self, each: Hashable) -> bool:
        return each in self._parts[(hash(each) >> 40) % _PARTS]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdSet) and self._parts == other._parts

    __hash__ = None  # type: ignore[assignment] # it changes
