"""The books of a run of chaos: what was asked, what was told, what really happened.

Theory: every operation is an intent with a number. The number travels as a context variable: from
the task that asks, through the client and the transport, into the timer with which a request
arrives at the world. So the world's own books say which intent made, changed or deleted what,
without a mark in any request that the client could profit from.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import attrs

from do_blockstore_async import Action, OutcomeUnknownError, Volume, VolumeSnapshot
from do_blockstore_async.simulator import World

__all__ = ["Books", "Intent", "Options", "Outcome", "current_intent", "told_id", "told_unknown"]

current_intent: ContextVar[int] = ContextVar("current_intent", default=0)


@attrs.frozen(kw_only=True)
class Options:
    """A run: the same options give the same run.

    Args:
        operations: how many.
        seed: for everything.
        fault_rate: the share of requests that something happens to.
        workers: tasks that ask at the same time.
        cancel_rate: the share of operations that are cancelled at a random moment.
        restarts: how often the client is closed in the middle of things and a new one begins.
        blindly: repeats everything blindly, POSTs included, as other SDKs do.
    """

    operations: int = 10_000
    seed: int = 0
    fault_rate: float = 0.2
    workers: int = 8
    cancel_rate: float = 0.03
    restarts: int = 20
    blindly: bool = False


@attrs.define
class Intent:
    """One operation: what was asked, and what the caller was told."""

    number: int
    kind: str
    target: str
    told: Any = None
    cancelled: bool = False
    told_at_s: float = 0.0
    # Of a delete, in loop time: when its first attempt had ended that was not refused for certain,
    # and when it was sent again after that.
    first_ended_s: float | None = None
    repeated_s: float | None = None


@attrs.define
class Books:
    """What really happened: intent to things, in the order of happening."""

    made: defaultdict[int, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    deleted: defaultdict[int, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    made_at_s: dict[str, float] = attrs.field(factory=dict)
    deleted_at_s: dict[str, float] = attrs.field(factory=dict)

    def watch(self, world: World) -> None:
        """Write down whatever the world's state goes through from now on."""
        state = world.state
        for name in ("add_volume", "add_snapshot", "add_action"):
            setattr(state, name, self._noting(getattr(state, name), self._note_made))
        for name in ("remove_volume", "remove_snapshot"):
            setattr(state, name, self._noting(getattr(state, name), self._note_deleted))

    @staticmethod
    def _noting(real: Callable[[Any], None], note: Callable[[str], None]) -> Callable[[Any], None]:
        def noting(thing: Any) -> None:
            real(thing)
            note(str(thing.id))

        return noting

    def _note_made(self, identity: str) -> None:
        self.made[current_intent.get()].append(identity)
        self.made_at_s[identity] = asyncio.get_running_loop().time()

    def _note_deleted(self, identity: str) -> None:
        self.deleted[current_intent.get()].append(identity)
        self.deleted_at_s[identity] = asyncio.get_running_loop().time()

    def held(self, identity: str, at_s: float) -> bool:
        """Whether a thing was there at that moment."""
        return self.made_at_s[identity] <= at_s < self.deleted_at_s.get(identity, float("inf"))


@attrs.define
class Outcome:
    """A run, over: what was told, what happened, and what was left behind."""

    options: Options
    intents: list[Intent]
    books: Books
    faults: int
    requests: int
    refused: Counter[str]
    leaked: int


def told_id(told: Any) -> str | None:
    """The id of what the caller was given."""
    if isinstance(told, Volume | VolumeSnapshot | Action):
        return str(told.id)
    return None


def told_unknown(intent: Intent) -> bool:
    """Whether the caller was told that it cannot be told."""
    if intent.cancelled:
        return bool(getattr(intent.told, "__notes__", ()))
    return isinstance(intent.told, OutcomeUnknownError)
