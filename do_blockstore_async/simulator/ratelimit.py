"""Enforce a token's request budget: strictly, and selectably where the real rule is unknown.

Theory: a budget is a few windows. The longest (the hour) is documented as a sliding log: each
request counts from the moment it was made until a window later. How the shorter one (the minute)
is counted is not documented, so it can be a sliding log, a fixed calendar window or a token bucket.
A request passes when every window has a free slot, and only then is it counted, in all of them.

Invariants:
1. With a sliding log no interval (t - window, t] ever holds more than `limit` accepted requests.
2. With fixed windows no calendar window does.
3. With a token bucket no interval of length x holds more than limit + x * limit / window.
4. `remaining` is limit minus accepted requests in the longest window, `reset` the whole second in
   which the oldest of them expires.
5. Requests of other clients are judged in the order of their times between ours, as if each had
   arrived by itself; how many of them were refused is counted.

GUESS: refused requests do not count; the reset is rounded down; where both windows are full the
hour is named.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, NamedTuple, Protocol

__all__ = ["Decision", "MinuteModel", "RequestBudget", "Window", "WindowUsage"]

MinuteModel = Literal["sliding", "fixed", "bucket"]


class Window(NamedTuple):
    """A limit of requests in a number of seconds."""

    limit: int
    seconds: float


class WindowUsage(NamedTuple):
    """What a window holds: `used` of `limit`; None for what it does not hold anything of.

    `next_free_in_s` is when the next slot is free again, `all_free_in_s` when all are, were nothing
    more sent.
    """

    limit: int
    seconds: float
    used: int
    next_free_in_s: float | None
    all_free_in_s: float | None


class Decision(NamedTuple):
    """The decision on one request.

    `refused` is None, `burst` or `hourly`; `reset_s` is in whole seconds since the epoch;
    `retry_after_s` only comes with `burst`.
    """

    refused: str | None
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int | None


class _WindowCounter(Protocol):
    def usage(self, now: float) -> WindowUsage: ...
    def full(self, now: float) -> bool: ...
    def take(self, now: float) -> None: ...
    def room_in_s(self, now: float) -> float: ...


class _SlidingLog:
    __slots__ = ("_log", "_window")

    def __init__(self, window: Window) -> None:
        self._window = window
        self._log: deque[float] = deque()

    def used(self, now: float) -> int:
        log, expired = self._log, now - self._window.seconds
        while log and log[0] <= expired:
            log.popleft()
        return len(log)

    def usage(self, now: float) -> WindowUsage:
        used = self.used(now)
        all_in_s = self._log[-1] + self._window.seconds - now if used else None
        return WindowUsage(*self._window, used, self.room_in_s(now) if used else None, all_in_s)

    def full(self, now: float) -> bool:
        return self.used(now) >= self._window.limit

    def take(self, now: float) -> None:
        self._log.append(now)

    def oldest_expires(self, now: float) -> float:
        return (self._log[0] if self._log else now) + self._window.seconds

    def room_in_s(self, now: float) -> float:
        return self.oldest_expires(now) - now


class _FixedWindow:
    """Counts in calendar windows: from one multiple of the window's length to the next."""

    __slots__ = ("_count", "_number", "_window")

    def __init__(self, window: Window) -> None:
        self._window = window
        self._number = -1
        self._count = 0

    def usage(self, now: float) -> WindowUsage:
        self.full(now)
        in_s = self.room_in_s(now) if self._count else None
        return WindowUsage(*self._window, self._count, in_s, in_s)

    def full(self, now: float) -> bool:
        number = math.floor(now / self._window.seconds)
        if number != self._number:
            self._number, self._count = number, 0
        return self._count >= self._window.limit

    def take(self, now: float) -> None:
        self._count += 1

    def room_in_s(self, now: float) -> float:
        return (self._number + 1) * self._window.seconds - now


class _TokenBucket:
    """Starts full, refills evenly."""

    __slots__ = ("_at", "_tokens", "_window")

    def __init__(self, window: Window) -> None:
        self._window = window
        self._tokens = float(window.limit)
        self._at = -math.inf

    def usage(self, now: float) -> WindowUsage:
        self.full(now)
        limit, seconds = self._window
        missing = limit - self._tokens
        if missing <= 0:
            return WindowUsage(limit, seconds, 0, None, None)
        each_s = seconds / limit
        next_in_s = (missing - math.ceil(missing) + 1) * each_s
        return WindowUsage(limit, seconds, math.ceil(missing), next_in_s, missing * each_s)

    def full(self, now: float) -> bool:
        limit, seconds = self._window
        if self._at > -math.inf:
            self._tokens = min(limit, self._tokens + (now - self._at) * limit / seconds)
        self._at = now
        return self._tokens < 1

    def take(self, now: float) -> None:
        self._tokens -= 1

    def room_in_s(self, now: float) -> float:
        return (1 - self._tokens) * self._window.seconds / self._window.limit


_MODELS: dict[str, type[_SlidingLog | _FixedWindow | _TokenBucket]] = {
    "sliding": _SlidingLog,
    "fixed": _FixedWindow,
    "bucket": _TokenBucket,
}


class RequestBudget:
    """The budget of one token.

    Args:
        windows: the shortest first, at least one.
        minute_model: how every window but the longest is counted (the only one, if there is one).
        other_clients_per_s: requests per second that other clients make with the same token,
            evenly spaced, beginning one interval after the first request that is judged.

    Attributes:
        other_clients_sent, other_clients_refused: requests that other clients made, and
            those of them that were refused.
    """

    def __init__(
        self,
        windows: tuple[Window, ...],
        minute_model: MinuteModel = "sliding",
        other_clients_per_s: float = 0.0,
    ) -> None:
        if minute_model not in _MODELS:
            raise ValueError(f"minute_model must be one of {sorted(_MODELS)}, not {minute_model!r}")
        short = windows[:-1] or windows
        self._limit = windows[-1].limit
        self._hour = _SlidingLog(windows[-1])
        self._has_hour = len(windows) > 1
        self._bursts: list[_WindowCounter] = [_MODELS[minute_model](window) for window in short]
        self._now = -math.inf
        self.other_clients_sent = 0
        self.other_clients_refused = 0
        self._other_clients_every_s = math.inf
        self._other_clients_next = math.inf
        self._other_clients_per_s = 0.0
        self.set_other_clients(other_clients_per_s)

    def set_other_clients(self, per_s: float) -> None:
        """Change the rate of other clients, from the last request on; 0 for none."""
        if not 0 <= per_s < math.inf:
            raise ValueError(f"other_clients_per_s must be 0 or more, not {per_s!r}")
        self._other_clients_per_s = per_s
        self._other_clients_every_s = 1 / per_s if per_s else math.inf
        self._other_clients_next = self._now + self._other_clients_every_s if per_s else math.inf

    def check(self, now: float) -> Decision:
        """Decide on one request that arrives at `now`, in seconds since the epoch."""
        if self._now == -math.inf and self._other_clients_per_s:
            self._other_clients_next = now + self._other_clients_every_s
        # A clock that steps back must not break the order of the logs.
        now = self._now = max(now, self._now)
        while self._other_clients_next <= now:
            self.other_clients_sent += 1
            self.other_clients_refused += self._pass(self._other_clients_next)[0] is not None
            self._other_clients_next += self._other_clients_every_s
        refused, retry_after_s = self._pass(now)
        remaining = 0 if refused else self._limit - self._hour.used(now)
        reset_s = int(self._hour.oldest_expires(now))
        return Decision(refused, self._limit, max(0, remaining), reset_s, retry_after_s)

    def usage(self, now: float) -> tuple[WindowUsage, ...]:
        """Tell what each window holds at `now`, the shortest first; it counts no request."""
        now = max(now, self._now)
        windows = [counter.usage(now) for counter in self._bursts]
        return (*windows, self._hour.usage(now)) if self._has_hour else tuple(windows)

    def _pass(self, now: float) -> tuple[str | None, int | None]:
        if self._has_hour and self._hour.full(now):
            return "hourly", None
        for counter in self._bursts:
            if counter.full(now):
                return "burst", max(1, math.ceil(counter.room_in_s(now)))
        for counter in self._bursts:
            counter.take(now)
        self._hour.take(now)
        return None, None
