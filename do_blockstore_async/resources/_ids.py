"""Sets and mappings of ids of any size, which never stop their caller for long.

A set of Python doubles its table when it is full, at once: with a million ids that takes 50 ms. And
each full garbage collection goes through it, though nothing in it can be garbage. These are many
small dictionaries, each of which grows by itself, and which the collector passes by. Large
ones are freed part by part.
"""

from __future__ import annotations

from collections.abc import (
    Hashable,
    ItemsView,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    ValuesView,
)
from itertools import chain
from typing import Any, Final, TypeVar, overload

from ._disposal import free_parts

__all__ = ["IdMap", "IdSet", "PairMap"]

V = TypeVar("V")
D = TypeVar("D")

# The part of an id is found by the middle of its hash, written out where a million ids pass: to
# call a function for it would take as long as the rest.
_PARTS: Final = 64
_NOTHING: Final = object()


class _Parted:
    """Many small dictionaries, freed part by part."""

    __slots__ = ("_parts",)

    _parts: list[Any]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __del__(self) -> None:
        # A list of its own: an iterator may still have the other.
        parts, self._parts = [*getattr(self, "_parts", ())], []
        free_parts(parts)


class IdSet(_Parted):
    """A set of ids, in parts."""

    __slots__ = ()

    _parts: list[dict[Hashable, None]]

    def __init__(self, ids: Iterable[Hashable] = ()) -> None:
        self._parts = [{} for _ in range(_PARTS)]
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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdSet) and self._parts == other._parts

    __hash__ = None  # type: ignore[assignment] # it changes


class IdMap(_Parted, MutableMapping[str, V]):
    """What belongs to each id, in parts."""

    __slots__ = ()

    _parts: list[dict[str, V]]

    def __init__(self, items: Iterable[tuple[str, V]] = ()) -> None:
        self._parts = [{} for _ in range(_PARTS)]
        for key, value in items:
            self._parts[(hash(key) >> 40) % _PARTS][key] = value

    def part_of(self, key: str) -> dict[str, V]:
        """Return the dictionary that an id belongs into."""
        return self._parts[(hash(key) >> 40) % _PARTS]

    def __getitem__(self, key: str) -> V:
        return self.part_of(key)[key]

    def __setitem__(self, key: str, value: V) -> None:
        self.part_of(key)[key] = value

    def __delitem__(self, key: str) -> None:
        del self.part_of(key)[key]

    def __contains__(self, key: object) -> bool:
        return key in self._parts[(hash(key) >> 40) % _PARTS]

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._parts)

    def __bool__(self) -> bool:
        return any(self._parts)

    # Those of `MutableMapping` look twice, and raise and catch where there is nothing.

    @overload
    def get(self, key: str) -> V | None: ...
    @overload
    def get(self, key: str, default: V | D) -> V | D: ...
    def get(self, key: str, default: Any = None) -> Any:
        """Return what belongs to an id, or the default."""
        return self.part_of(key).get(key, default)

    @overload
    def pop(self, key: str) -> V: ...
    @overload
    def pop(self, key: str, default: V | D) -> V | D: ...
    def pop(self, key: str, default: Any = _NOTHING) -> Any:
        """Remove an id, and return what belonged to it; or the default, if one is given."""
        part = self.part_of(key)
        return part.pop(key) if default is _NOTHING else part.pop(key, default)

    def items(self) -> ItemsView[str, V]:
        """See `Mapping`."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """See `Mapping`."""
        return _Values(self)

    def copy(self) -> IdMap[V]:
        """Return another one with the same content."""
        other: IdMap[V] = IdMap()
        other._parts = [part.copy() for part in self._parts]
        return other


class _Items(ItemsView[str, V]):
    """The pairs of an `IdMap`, part by part."""

    _mapping: IdMap[V]

    def __iter__(self) -> Iterator[tuple[str, V]]:
        return chain.from_iterable(part.items() for part in self._mapping._parts)


class _Values(ValuesView[V]):
    """The values of an `IdMap`, part by part."""

    _mapping: IdMap[V]

    def __iter__(self) -> Iterator[V]:
        return chain.from_iterable(part.values() for part in self._mapping._parts)


class PairMap(Mapping[tuple[str, str], V]):
    """What belongs to each pair of texts, in parts."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[tuple[str, str], V]] = ()) -> None:
        # A pair is something to the collector, a text is not.
        self._items = IdMap((_joined(pair), value) for pair, value in items)

    def __getitem__(self, pair: tuple[str, str]) -> V:
        return self._items[_joined(pair)]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return map(_parted, self._items)

    def __len__(self) -> int:
        return len(self._items)


def _joined(pair: tuple[str, str]) -> str:
    first, second = pair
    return f"{len(first)}:{first}{second}"


def _parted(text: str) -> tuple[str, str]:
    length, _, rest = text.partition(":")
    return rest[: int(length)], rest[int(length) :]
