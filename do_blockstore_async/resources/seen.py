"""Which ids a listing has shown, in little memory.

A set of texts needs about 130 bytes for each id: a listing of 100,000 volumes would hold more in
ids than in everything else. So only the first ids go into a set, which is quick, and enough for
most listings. An id of the API is 32 hexadecimal digits in five groups, which are 16 bytes. Further
ones are kept side by side in a few thousand byte strings, chosen by hash, each short enough to be
searched through. That takes about 20 bytes for each id, and is as exact. Whatever does not have
this form goes into the set too.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Final

__all__ = ["Seen"]

# As many as fit into a set before it grows to four times its size.
_PLAIN: Final = 9_600
_BUCKETS: Final = 4096
_WIDTH: Final = 16
_is_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII).fullmatch


class Seen:
    """A set of ids that only grows."""

    __slots__ = ("_buckets", "_plain")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self._plain: set[Hashable] = set()
        self._buckets: dict[int, bytearray] = {}

    def add(self, key: Hashable) -> bool:
        """Take note of `key`; whether it is new."""
        plain = self._plain
        if key in plain:
            return False
        if len(plain) < _PLAIN or (packed := _pack(key)) is None:
            plain.add(key)
            return True
        number = hash(packed) % _BUCKETS
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = bytearray(packed)
            return True
        if _holds(bucket, packed):
            return False
        bucket += packed
        return True

    def __contains__(self, key: Hashable) -> bool:
        if key in self._plain:
            return True
        if not self._buckets or (packed := _pack(key)) is None:
            return False
        bucket = self._buckets.get(hash(packed) % _BUCKETS)
        return bucket is not None and _holds(bucket, packed)

    def __iter__(self) -> Iterator[Hashable]:
        yield from self._plain
        for bucket in self._buckets.values():
            for at in range(0, len(bucket), _WIDTH):
                yield _unpack(bucket[at : at + _WIDTH])

    def __eq__(self, other: object) -> bool:
        return set(self) == set(other) if isinstance(other, Seen) else NotImplemented


def _pack(key: Hashable) -> bytes | None:
    if type(key) is not str or _is_id(key) is None:
        return None
    return bytes.fromhex(key.replace("-", ""))


def _unpack(packed: bytearray) -> str:
    digits = packed.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _holds(bucket: bytearray, packed: bytes) -> bool:
    at = bucket.find(packed)
    # The end of one id and the beginning of the next may look like a third.
    while at > 0 and at % _WIDTH:
        at = bucket.find(packed, at + 1)
    return at >= 0
