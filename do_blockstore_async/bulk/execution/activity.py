"""What the requests of a run are doing, from the events of its calls.

One task works on one step at a time, so its newest call tells what that step waits for. A query
that is made inside of a call, to find out what became of it, belongs to that call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import attrs

from ...events import (
    AttemptFinished,
    AttemptSent,
    CallFinished,
    CallStarted,
    Event,
    RetryScheduled,
)

__all__ = ["ActivityObserver", "CallActivity"]

_State: TypeAlias = Literal["waiting", "in_flight", "retrying", "looking_up", "ending"]


@attrs.define(eq=False)
class _Call:
    number: int
    is_change: bool
    state: _State
    retry_at_s: float = 0.0
    status: int | None = None


@attrs.frozen(kw_only=True)
class CallActivity:
    """How many calls are in which state, and when those that are retried are sent again."""

    waiting: int
    in_flight: int
    looking_up: int
    retry_at_s: tuple[float, ...]
    retry_status: int | None


class ActivityObserver:
    """The calls of one run.

    Attributes:
        given_up: how many were cancelled before they were sent, or while they waited to be sent
            again.
    """

    __slots__ = ("_calls", "_now_s", "given_up")

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._calls: dict[asyncio.Task[Any] | None, _Call] = {}
        self.given_up = 0

    def observe(self, event: Event) -> None:
        """Take in an event, in the task of its call."""
        if isinstance(event, CallStarted):
            task = asyncio.current_task()
            outer = self._calls.get(task)
            if outer is None:
                is_change = event.method != "GET"
                state: _State = "waiting" if is_change else "looking_up"
                self._calls[task] = _Call(event.call_id, is_change, state)
            else:
                outer.state = "looking_up"
            return
        if not isinstance(event, AttemptSent | AttemptFinished | RetryScheduled | CallFinished):
            return
        task = asyncio.current_task()
        call = self._calls.get(task)
        if call is None or call.number != event.call_id:
            return
        if isinstance(event, CallFinished):
            del self._calls[task]
            is_unsent = call.state in {"waiting", "retrying"}
            self.given_up += call.is_change and is_unsent and event.error == "CancelledError"
        elif not call.is_change:
            return
        elif isinstance(event, AttemptSent):
            call.state = "in_flight"
        elif isinstance(event, RetryScheduled):
            call.state, call.retry_at_s = "retrying", self._now_s() + event.delay_s
        elif call.state != "waiting" or event.failure != "CancelledError":
            call.status = event.status
            is_lost = event.failure is not None and (event.status is None or event.status >= 500)
            call.state = "looking_up" if is_lost else "ending"

    def now(self) -> CallActivity:
        """Count them."""
        found = dict.fromkeys(("waiting", "in_flight", "retrying", "looking_up", "ending"), 0)
        retried: list[tuple[float, int | None]] = []
        now_s = self._now_s()
        for call in self._calls.values():
            # Once its delay is over, a retry waits for the budget like any other request.
            if call.state == "retrying" and call.retry_at_s <= now_s:
                call.state = "waiting"
            found[call.state] += 1
            if call.state == "retrying":
                retried.append((call.retry_at_s, call.status))
        retried.sort(key=lambda each: each[0])
        return CallActivity(
            waiting=found["waiting"],
            in_flight=found["in_flight"] + found["ending"],
            looking_up=found["looking_up"],
            retry_at_s=tuple(at_s for at_s, _ in retried),
            retry_status=retried[0][1] if retried else None,
        )
