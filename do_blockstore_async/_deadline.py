"""Deadlines: when something has to be done, as one value instead of arithmetic at each place.

A deadline is a time of the running event loop. `NEVER` stands for none, so that no caller needs a
branch of its own for it. The deadline of the surrounding `with deadline(...)` block is a context
variable (`_scope.py`): tasks started inside inherit it. Of nested deadlines the earliest counts.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Final, TypeAlias

import msgspec

from ._clock import Clock
from ._scope import ScopedValue
from .errors import ClientClosedError, InvalidArgumentError

__all__ = [
    "NEVER",
    "Deadline",
    "Timeout",
    "current_deadline",
    "deadline",
    "deadline_at",
    "no_deadline",
    "seconds_of",
]

_INFINITY: Final = float("inf")

Timeout: TypeAlias = float | timedelta | None
"""How long something may take: seconds, or a timedelta; None sets no bound."""


def seconds_of(value: float | timedelta, what: str) -> float:
    """Return a time span in seconds, 0 or more and finite.

    Args:
        value: seconds, or a timedelta.
        what: the argument's name, for the error.

    Raises:
        InvalidArgumentError: it is neither.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not isinstance(value, int | float) or not 0 <= value < _INFINITY:
        raise InvalidArgumentError(
            f"{what} must be seconds or a timedelta, 0 or more, not {value!r}"
        )
    return value


class Deadline(msgspec.Struct, frozen=True):
    """A moment by which something must have ended.

    Attributes:
        at: time of the event loop, seconds; infinity for no deadline.
    """

    at: float

    @classmethod
    def after(cls, timeout_s: float | None, now: float) -> Deadline:
        """Return the deadline `timeout_s` seconds after `now`; None sets no deadline."""
        return NEVER if timeout_s is None else cls(now + timeout_s)

    def remaining(self, now: float) -> float:
        """Seconds left, 0 once it has passed, infinity without a deadline."""
        return max(0.0, self.at - now)

    def timeout(self, now: float) -> float | None:
        """Seconds left, as a `timeout=` takes them: 0 once it has passed, None for no deadline."""
        return None if self.at == _INFINITY else self.remaining(now)

    def when(self) -> float | None:
        """Return the loop time as `asyncio.timeout_at` takes it: None for no deadline."""
        return None if self.at == _INFINITY else self.at

    def expired(self, now: float) -> bool:
        """Whether it has passed."""
        return self.at <= now

    def earlier_of(self, other: Deadline) -> Deadline:
        """Return the one of the two that comes first."""
        return self if self.at <= other.at else other

    def child(self, timeout_s: float | None, now: float) -> Deadline:
        """Return the deadline of a part that may take `timeout_s`, but no longer than the whole."""
        return self if timeout_s is None else self.earlier_of(Deadline(now + timeout_s))


NEVER: Final = Deadline(_INFINITY)

_deadline: ScopedValue[Deadline] = ScopedValue("do_blockstore_async_deadline", NEVER)

current_deadline = _deadline.get


def deadline_at(at: float | None) -> AbstractContextManager[None]:
    """Bound the calls made inside, and the waits for quota, by a time of the event loop.

    Args:
        at: time of the running event loop, seconds; None sets no deadline.
    """
    until = NEVER if at is None else Deadline(at)
    return _deadline.block(until.earlier_of)


def deadline(timeout_s: float | timedelta) -> AbstractContextManager[None]:
    """Bound the calls made inside, all together, by `timeout_s` seconds from now.

    Raises:
        InvalidArgumentError: `timeout_s` is not a number of seconds, 0 or more.
    """
    limit_s = seconds_of(timeout_s, "timeout_s")

    def ending(around: Deadline) -> Deadline:
        try:
            return around.child(limit_s, Clock().monotonic())
        except RuntimeError:
            raise ClientClosedError(
                "a deadline is set inside of the event loop that it bounds: in a coroutine"
            ) from None

    return _deadline.block(ending)


def no_deadline() -> AbstractContextManager[None]:
    """Free the calls made inside from the surrounding deadline."""
    return _deadline.block(lambda _: NEVER)
