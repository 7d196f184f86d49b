"""What Python itself takes, whatever a package does: measured in the same run as what it bounds.

| floor | what cannot be quicker |
| --- | --- |
| collect what is imported, after other work | any work in which a full collection falls due |
| keep as many objects, in slices | a listing whose models are kept: the collector visits them all |
| the same, with the attributes of a snapshot | it visits each attribute too: models have more |
| let go of as many objects | what is dropped at once, such as a plan |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from do_blockstore_async import VolumeSnapshot

from .probe import Figures

__all__ = ["COLLECTING", "KEEPING", "KEEPING_WIDE", "LETTING_GO", "Small", "Wide", "floor_ms"]

COLLECTING: Final = "floor: collect what is imported, after other work"
KEEPING: Final = "floor: keep as many objects as there are snapshots, in slices"
KEEPING_WIDE: Final = "floor: the same, with as many attributes as a snapshot has"
LETTING_GO: Final = "floor: let go of as many objects as there are snapshots"


class Small:
    """About the smallest object that a list of a million can be made of."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


_ATTRIBUTES: Final = tuple(one.name for one in attrs.fields(VolumeSnapshot))


class Wide:
    """As many attributes as a snapshot, with a text of its own in each."""

    __slots__ = _ATTRIBUTES

    def __init__(self, value: int) -> None:
        for name in _ATTRIBUTES:
            setattr(self, name, f"{value:x}")


def floor_ms(of: Figures, found: Sequence[Figures]) -> float | None:
    """Return the longest stop that Python itself brings into a piece; None if not measured."""
    stops = {one.case: one for one in found if one.stop_ms is not None}
    if not {COLLECTING, KEEPING_WIDE, LETTING_GO} <= stops.keys():
        return None
    collecting_ms = stops[COLLECTING].stop_ms or 0.0
    if of.case in {"list volumes whole", "list snapshots whole"}:
        keeping = stops[KEEPING_WIDE]
        # Volumes are fewer.
        share = of.items / max(1, keeping.items)
        return max(collecting_ms, share * (keeping.stop_ms or 0.0))
    if "let go" not in of.case:
        return collecting_ms
    # In proportion to the blocks of memory that are given back: an object has several, its texts
    # among them. What is in a circle goes when the collector comes.
    letting_go = stops[LETTING_GO]
    share = of.freed / max(1, letting_go.freed)
    circles_ms = collecting_ms if "plan" in of.case else 0.0
    return circles_ms + share * (letting_go.stop_ms or 0.0)
