"""What `store.quota` shows: a snapshot of the budget, as one frozen value. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from .._lazy import public_in
from .pure.causes import Cause, WaitKind
from .pure.ledger import Ledger
from .pure.window import Window

__all__ = [
    "ProcessStatus",
    "QuotaStatus",
    "SharedState",
    "WaitReason",
    "WindowStatus",
    "quota_status",
    "wait_reason",
]


@attrs.frozen
class WaitReason:
    """Why a call made now would wait for the budget, and until when.

    Attributes:
        kind: `ready`: it would not. `minute`, `hour`: our own requests fill the shortest window, or
            the longest. `others`: what other clients of the token use fills it. `reserve`: what is
            left is kept for interactive calls. `pause`: the API has asked to wait. `probe`: the API
            reports that nothing is left, and single requests ask again. `cold_start`: the first
            response is awaited, which tells what others have used. `pace`: calls leave evenly once
            a burst is spent. `queue`: others wait before it. `turn`: it is the turn of another
            process. `store`: the store of the shared budget is away.
        wait_s: seconds until it could be sent, as far as can be foreseen.
        until: the same as a time.
        background: whether the call would be bulk.
        ahead: calls of this process that would be served before it.
        window_s: length of the window it is about, seconds; None where it is about none.
        text: all of it in a sentence.
    """

    kind: WaitKind
    wait_s: float
    until: datetime
    background: bool
    ahead: int
    window_s: float | None
    text: str

    def __str__(self) -> str:
        return self.text


_TEXTS: Final[dict[WaitKind, str]] = {
    "ready": "it could be sent at once",
    "queue": "others wait before it",
    "pace": "calls leave evenly, since a burst is spent",
    "minute": "the requests of the last {window} are used up",
    "hour": "the requests of the last {window} are used up",
    "reserve": "what is left of the {window} is kept for interactive calls",
    "others": "other clients of the token use what is left of the {window}",
    "pause": "the API has asked to wait",
    "probe": "the API reports that nothing is left of the hour; single requests ask again",
    "cold_start": "the first response is awaited, which tells what others have used",
    "turn": "it is the turn of {names}",
    "store": "the store of the shared budget does not answer",
}


def wait_reason(
    cause: Cause, wait_s: float, until: datetime, *, background: bool, ahead: int
) -> WaitReason:
    """Say why a call would wait.

    Args:
        cause: what it waits for.
        wait_s: for how long.
        until: the same as a time.
        background: whether it is bulk.
        ahead: how many are served before it.
    """
    seconds = cause.window_s
    window = {60.0: "minute", 3600.0: "hour"}.get(seconds or 0.0, f"{seconds or 0:g} s")
    told = _TEXTS[cause.kind].format(window=window, names=", ".join(cause.names))
    queued = f", after {ahead} that wait" if ahead else ""
    text = told if cause.kind == "ready" else f"{told}; it could be sent in {wait_s:.1f} s{queued}"
    return WaitReason(cause.kind, wait_s, until, background, ahead, seconds, text)


@attrs.frozen
class WindowStatus:
    """One window of the budget.

    Attributes:
        limit: requests allowed in `length_s` seconds.
        used: slots we hold, requests in flight included.
        used_by_others: what other clients use of it, estimated from the response headers.
        reserved: slots background requests leave to interactive ones.
        next_free_in_s: seconds until the next of the slots we hold is free again.
        all_free_in_s: seconds until all of them are, were nothing more sent. Both are None where
            none of the requests that hold them has ended yet.
    """

    limit: int
    length_s: float
    used: int
    used_by_others: int
    reserved: int
    # They run with time: two looks at an unchanged budget are equal all the same.
    next_free_in_s: float | None = attrs.field(default=None, eq=False)
    all_free_in_s: float | None = attrs.field(default=None, eq=False)

    @property
    def remaining(self) -> int:
        """Slots still free for interactive requests."""
        return max(0, self.limit - self.used - self.used_by_others)


@attrs.frozen
class ProcessStatus:
    """One of the processes that share the token's budget.

    Attributes:
        name: its host and process id, such as `web-1:4711`.
        is_this: whether it is this very client.
        in_flight: requests it has sent that are not answered yet.
        waiting: requests that wait there, background ones included, as it said last.
        waiting_background: of these, the background ones.
        silent_s: seconds since it was last heard; after 15 it counts as gone.
    """

    name: str
    is_this: bool
    in_flight: int
    waiting: int
    waiting_background: int
    silent_s: float


@attrs.frozen
class SharedState:
    """What a shared budget knows of its processes and its store; see `QuotaStatus`."""

    processes: tuple[ProcessStatus, ...] = ()
    store_away_s: float = 0.0


@attrs.frozen
class QuotaStatus:
    """The budget of one token: as this process knows it, or as all know that share it.

    Attributes:
        windows: from the shortest to the longest.
        remaining: requests that could leave at once, were they interactive and not paced.
        waiting: requests that wait for a lease, background ones included.
        waiting_background: of these, the background ones.
        in_flight: requests sent and not yet answered.
        paused_for_s: seconds until a pause ends; 0 when there is none.
        probing: whether the server said that nothing is left, and single requests ask for more.
        available_in_s: seconds until an interactive request made now could leave.
        background_available_in_s: seconds until the first of the waiting background requests can
            be sent, or one asked for now, where none waits.
        reason, background_reason: the kind of wait of an interactive and of a background call made
            now; see `WaitReason.kind`, and `store.explain()` for more.
        granted: leases since the start; granted = in flight + done + lost + unused.
        done: leases completed by a response.
        lost: leases abandoned without one.
        unused: leases cancelled before anything was sent.
        processes: those that share the budget, this one included; empty where
            `Config.budget` is `process`. Then all figures above but the waiting ones count
            every process.
        store_away_s: seconds for which the store of the shared budget has been away; 0 if it is
            there.
    """

    windows: tuple[WindowStatus, ...]
    remaining: int
    waiting: int
    waiting_background: int
    in_flight: int
    paused_for_s: float
    probing: bool
    available_in_s: float
    background_available_in_s: float
    granted: int
    done: int
    lost: int
    unused: int
    processes: tuple[ProcessStatus, ...] = ()
    store_away_s: float = 0.0
    reason: WaitKind = "ready"
    background_reason: WaitKind = "ready"

    @property
    def limit(self) -> int:
        """The limit of the longest window: requests in an hour."""
        return self.windows[-1].limit

    @property
    def used(self) -> tuple[int, ...]:
        """Slots we hold in each window, from the shortest to the longest."""
        return tuple(window.used for window in self.windows)


public_in("do_blockstore_async", WaitReason, WindowStatus, ProcessStatus, QuotaStatus)


def quota_status(
    ledger: Ledger,
    now: float,
    waiting: Sequence[int],
    available_in_s: Sequence[float],
    shared: SharedState,
    reasons: tuple[WaitKind, WaitKind],
) -> QuotaStatus:
    """Describe `ledger` at `now`; the pairs are for interactive and background requests."""
    windows = tuple(
        _window_status(ledger, index, window, now) for index, window in enumerate(ledger.windows)
    )
    left = ledger.others.remaining(now, windows[-1].used)
    return QuotaStatus(
        windows=windows,
        remaining=int(max(0, min(left, *(window.remaining for window in windows)))),
        waiting=sum(waiting),
        waiting_background=waiting[1],
        in_flight=ledger.in_flight,
        paused_for_s=max(0.0, ledger.gate.paused_until - now),
        probing=ledger.gate.probing,
        available_in_s=max(0.0, available_in_s[0]),
        background_available_in_s=max(0.0, available_in_s[1]),
        granted=ledger.opened,
        done=ledger.done,
        lost=ledger.lost,
        unused=ledger.unused,
        processes=shared.processes,
        store_away_s=shared.store_away_s,
        reason=reasons[0],
        background_reason=reasons[1],
    )


def _window_status(ledger: Ledger, index: int, window: Window, now: float) -> WindowStatus:
    closed = window.closed(now)
    return WindowStatus(
        limit=window.limit,
        length_s=window.length_s,
        used=ledger.in_flight + closed,
        used_by_others=round(ledger.others_in(index, now)),
        reserved=window.reserved,
        next_free_in_s=window.next_release() - now if closed else None,
        all_free_in_s=window.last_release() - now if closed else None,
    )
