"""The share of the budget that a process may spend while it has no way to the log. Pure.

Nobody may grant without the log. But a store that is away for minutes must not stop every service,
so each writer has a share (`Replica`, R7), which the others keep free once they take it for dead.
Times are seconds on the process's own clock.

O1. It begins when the others certainly keep the share: the last fact that may have been accepted is
    `DEAD_S` old, and what they had granted before has left the shortest window.
O2. It ends `grace_s` after the last fact that was certainly accepted: the others give the share up
    no earlier.
"""

from __future__ import annotations

import math

import attrs

from ..pure.ledger import Admission, Ledger
from ..pure.window import LeaseRecord
from .facts import SharedSettings
from .peer import DEAD_S
from .replica import FENCE_S, kept_slots

__all__ = ["Outage"]

_NEVER = math.inf


class Outage:
    """One outage, as one process lives through it.

    Args:
        settings: of the token.
        ledger: the budget as it was when the store was last heard.
        log_s: the log's time then, as far as it is known.
        share: of this writer.
        tried_at, wrote_at: when a fact was last sent, and last accepted.
    """

    def __init__(
        self,
        settings: SharedSettings,
        ledger: Ledger,
        log_s: float,
        share: float,
        *,
        tried_at: float,
        wrote_at: float,
    ) -> None:
        short, *longer = ledger.windows
        of_short, *of_longer = kept_slots(ledger, share, settings.grace_s)
        # Of a longer window only what is free can be shared, and the others may have gone on for a
        # while before they took this writer for dead.
        unseen = math.ceil((DEAD_S + FENCE_S) / short.length_s + 1) * short.limit
        allowed = [of_short]
        for window, kept in zip(longer, of_longer, strict=True):
            free = window.limit - ledger.in_flight - window.closed(log_s) - unseen
            allowed.append(min(kept, max(0, math.floor(share * free))))
        self.begins_at = tried_at + FENCE_S + DEAD_S + short.hold_s
        self.ends_at = wrote_at + settings.grace_s
        self.sent = 0
        self._ledger: Ledger | None = None
        if all(allowed) and self.begins_at < self.ends_at:
            lengths = [length_s for _, length_s in settings.windows]
            config = attrs.evolve(
                settings.config(), windows=tuple(zip(allowed, lengths, strict=True))
            )
            self._ledger = Ledger(config)

    @property
    def in_flight(self) -> int:
        """The requests of the share that are not answered yet."""
        return 0 if self._ledger is None else self._ledger.in_flight

    def admission(self, now: float, background: bool) -> Admission:
        """Tell when one more request may be sent; infinity: only with the store."""
        if self._ledger is None or now >= self.ends_at:
            return Admission(_NEVER)
        if now < self.begins_at:
            return Admission(self.begins_at)
        admission = self._ledger.admission(now, background)
        return admission if admission.at < self.ends_at else Admission(_NEVER)

    def open(self, now: float) -> LeaseRecord:
        """Take a slot, as `admission` allowed."""
        lease = LeaseRecord()
        if self._ledger is not None:
            self._ledger.open(lease, now, Admission(now))
            self.sent += 1
        return lease

    def close_done(self, lease: LeaseRecord, now: float, status: int) -> None:
        """A response came. Its figures speak of everybody's use, not of this share."""
        if self._ledger is not None:
            self._ledger.close_done(lease, now, {}, status, [])
            if status == 429:
                self.ends_at = now  # The share was not kept, whatever the reason.

    def close_lost(self, lease: LeaseRecord, now: float) -> None:
        """No response came."""
        if self._ledger is not None:
            self._ledger.close_lost(lease, now)

    def close_unused(self, lease: LeaseRecord, now: float) -> None:
        """Nothing was sent."""
        if self._ledger is not None:
            self._ledger.close_unused(lease, now)
            self.sent -= 1
