"""Why a request may not be sent now: the same questions as `Ledger.admission`, answered in a word.

Asked for people only, so it may cost more than an admission. It changes nothing.

Invariants:
 1. There is a cause exactly where the admission is later than now.
 2. A cause of the windows is that of the window that the admission waits for.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from .ledger import Ledger

__all__ = ["Cause", "WaitKind", "cause_of"]

WaitKind: TypeAlias = Literal[
    "ready",
    "queue",
    "pace",
    "minute",
    "hour",
    "reserve",
    "others",
    "pause",
    "probe",
    "cold_start",
    "turn",
    "store",
]


class Cause(NamedTuple):
    """What a request waits for.

    Attributes:
        kind: see `WaitReason`.
        window_s: length of the window it is about, seconds; None where it is about none.
        names: of the processes whose turn it is.
    """

    kind: WaitKind
    window_s: float | None = None
    names: tuple[str, ...] = ()


def cause_of(ledger: Ledger, now: float, background: bool) -> Cause | None:
    """Tell what keeps one more request from being sent now; None if nothing does.

    Args:
        ledger: the budget.
        now: seconds, of the ledger's time.
        background: whether the request is bulk.
    """
    full_at = [window.full_at for window in ledger.windows]
    admission = ledger.admission(now, background)
    cause = _cause(ledger, now, background) if admission.at > now else None
    for window, at in zip(ledger.windows, full_at, strict=True):
        window.full_at = at  # the ledger notes when it was looked at; this look does not count
    return cause


def _cause(ledger: Ledger, now: float, background: bool) -> Cause:
    gate = ledger.gate
    if gate.closed and gate.until(now, ledger.in_flight) > now:
        if gate.paused_until > now:
            return Cause("pause")
        return Cause("probe") if gate.probing else Cause("cold_start")
    latest_at, cause = now, Cause("probe" if gate.probing else "hour", ledger.longest.length_s)
    for index, window in enumerate(ledger.windows):
        is_longest = window is ledger.longest
        free = window.limit - ledger.in_flight - window.closed(now)
        kept = ledger.reserved_slots(window, now) if background else 0
        if is_longest:
            at, _ = ledger._long_admission(now, background, free - kept, kept)
        elif free - kept <= window.edge or not ledger.others.idle:
            at, _ = ledger._short_admission(now, index, free - kept)
        else:
            continue
        if gate.probing:
            at = window.next_release() if free - kept <= 0 else now
        if at > latest_at:
            latest_at = at
            own: WaitKind = "hour" if is_longest and index else "minute"
            if free <= 0:
                kind = own
            elif free - kept <= 0:
                kind = "reserve"
            else:
                kind = "others"
            cause = Cause(kind, window.length_s)
    return cause
