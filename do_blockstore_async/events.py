"""What happens inside a client, to log or to measure it.

Each event is a frozen value; a hook is any callable that takes one. Hooks are given with
`Config(hooks=(...,))`, run synchronously where the event happens, and must be quick. A hook that
raises is logged and otherwise ignored: observing must never break what is observed.
No event carries a token, a header value or a body.

`observing(hook)` watches only the calls made inside its block: what one web request spent, say. The
hook is found through a context variable, so tasks started inside are observed too.

A hook runs in the task and the context of the call that the event is about; what concerns the
budget alone (`QuotaPaused` and the like) may come from any task, and goes to the hooks of `Config`
only.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

import attrs

from ._observers import observed

__all__ = [
    "AttemptFinished",
    "AttemptSent",
    "CallFinished",
    "CallStarted",
    "Event",
    "HeaderIgnored",
    "Hook",
    "LimitChanged",
    "ListingRestarted",
    "OutcomeReconciled",
    "PeerJoined",
    "PeerLost",
    "QuotaPaused",
    "QuotaResumed",
    "QuotaWaitBegan",
    "QuotaWaited",
    "RetryScheduled",
    "SharedBudgetAway",
    "SharedBudgetBack",
    "TurnPassed",
    "observing",
]


@attrs.frozen
class CallStarted:
    """A call entered the engine. `route` is the path with ids replaced, fit for a metric label."""

    call_id: int
    method: str
    route: str


@attrs.frozen
class AttemptSent:
    """An attempt got its lease after `waited_s` and goes out now: from here on it may arrive."""

    call_id: int
    method: str
    route: str
    attempt: int
    waited_s: float


@attrs.frozen
class AttemptFinished:
    """One attempt of a call ended: with an HTTP status, or with `failure` naming what broke.

    `duration_s` counts from its beginning, the wait for quota included.
    """

    call_id: int
    method: str
    route: str
    attempt: int
    duration_s: float
    status: int | None
    failure: str | None


@attrs.frozen
class RetryScheduled:
    """The call will be attempted again after `delay_s`.

    Attributes:
        reason: `refused` after attempts that provably changed nothing; else the class of the error
            that left it in doubt.
    """

    call_id: int
    method: str
    route: str
    attempt: int
    delay_s: float
    reason: str

    @property
    def is_in_doubt(self) -> bool:
        """Whether an earlier attempt may have taken effect, or may still."""
        return self.reason != "refused"


@attrs.frozen
class CallFinished:
    """A call left the engine; `error` is the class name of what it raised, or None."""

    call_id: int
    method: str
    route: str
    attempts: int
    duration_s: float
    error: str | None


@attrs.frozen
class OutcomeReconciled:
    """What became of a request whose response was lost. `resolution`: `adopted`, `not_found`,
    `conflict` or `unknown`.
    """

    call_id: int
    method: str
    route: str
    resolution: str


@attrs.frozen
class ListingRestarted:
    """A listing changed under its reader, and its pages are read once more (pass 2 or 3)."""

    route: str
    listing_pass: int
    reason: str


@attrs.frozen
class QuotaWaitBegan:
    """A request begins to wait for the budget, probably for `wait_s`; `kind` as in `WaitReason`.

    `window_s` is the length of the window it is about, None where it is about none.
    """

    kind: str
    wait_s: float
    background: bool
    window_s: float | None


@attrs.frozen
class QuotaWaited:
    """A lease was granted after waiting `wait_s` for the budget."""

    wait_s: float
    background: bool


@attrs.frozen
class QuotaPaused:
    """The throttle stopped granting for `pause_s`; `kind` is the kind of 429 or `remaining`."""

    pause_s: float
    kind: str


@attrs.frozen
class QuotaResumed:
    """The throttle grants again after a pause that was announced by `QuotaPaused`."""

    paused_s: float


@attrs.frozen
class LimitChanged:
    """The hourly limit in force changed: adopted from the headers, or given back after a 429."""

    limit: int
    previous: int
    reason: str


@attrs.frozen
class HeaderIgnored:
    """A response's budget header was invalid and not used."""

    name: str
    reason: str


@attrs.frozen
class PeerJoined:
    """Another process began to share the token's budget; `name` is its host and process id."""

    name: str


@attrs.frozen
class PeerLost:
    """A process of the shared budget has been silent for 15 s: what it had in flight is lost."""

    name: str


@attrs.frozen
class TurnPassed:
    """A process did not take its turn within 250 ms, and this one went first."""

    name: str


@attrs.frozen
class SharedBudgetAway:
    """The store of the shared budget does not answer: nothing is granted without it for now."""

    reason: str


@attrs.frozen
class SharedBudgetBack:
    """The store of the shared budget answers again, after `away_s` seconds."""

    away_s: float


Event: TypeAlias = (
    CallStarted
    | AttemptSent
    | AttemptFinished
    | RetryScheduled
    | CallFinished
    | OutcomeReconciled
    | ListingRestarted
    | QuotaWaitBegan
    | QuotaWaited
    | QuotaPaused
    | QuotaResumed
    | LimitChanged
    | HeaderIgnored
    | PeerJoined
    | PeerLost
    | TurnPassed
    | SharedBudgetAway
    | SharedBudgetBack
)


class Hook(Protocol):
    """Anything that can be called with an event."""

    def __call__(self, event: Event, /) -> None:
        """Handle `event`; quickly, and without awaiting."""


def observing(hook: Hook) -> AbstractContextManager[None]:
    """Give `hook` the events of every call made inside, of any client."""
    return observed(hook)
