"""One of the writers that share a budget, as every reader of the log sees it. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from ..pure.window import LeaseRecord
from .facts import Backlog

__all__ = ["DEAD_S", "Away", "Peer"]

DEAD_S: Final = 15.0
"""Seconds of silence after which a writer is dead, and what it had in flight lost (R3)."""


class Peer:
    """A living writer.

    Attributes:
        name: for people.
        heard_at: when its newest fact was appended.
        waiting: what waits there, as it said last.
        turns: its virtual times in fair queuing, of interactive and of bulk requests: how many
            were served, divided by its weight.
        is_passed: whether it did not take its turn, and has not been heard since.
        share, former_share: of the budget, that it may spend if it loses the log. It may not have
            heard of the one yet, and goes by the other, of the exchange before.
        number: of its newest lease.
        open: its leases in flight.
    """

    __slots__ = (
        "former_share",
        "heard_at",
        "is_passed",
        "name",
        "number",
        "open",
        "share",
        "turns",
        "waiting",
    )

    def __init__(self, name: str, at_s: float, turns: list[float]) -> None:
        self.name = name
        self.heard_at = at_s
        self.waiting = Backlog()
        self.turns = list(turns)
        self.is_passed = False
        self.share = self.former_share = 0.0
        self.number = 0
        self.open: dict[int, LeaseRecord] = {}

    @property
    def kept_share(self) -> float:
        """What others keep for it."""
        return max(self.share, self.former_share)


class Away(msgspec.Struct, array_like=True):
    """A writer that fell silent, and may be spending its share while it has no way to the log.

    Attributes:
        slots, until_s: how many slots of each window are kept for it, and until when.
    """

    share: float
    slots: tuple[int, ...]
    until_s: tuple[float, ...]
