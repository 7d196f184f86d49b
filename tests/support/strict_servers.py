"""Strict servers for the throttle to face: three readings of "250 in a minute, 5,000 in an hour".

The hour is documented as a sliding log; how the minute is counted is not, so a client must be safe
with each of the plausible ways:

    sliding   at most N in any 60 s
    fixed     at most N in each calendar minute
    bucket    a bucket of N tokens, refilled at N per 60 s

A judge shares nothing with the throttle but the numbers. Refused requests are not counted. It may
count in ticks (`tick_s`), rounding each request's time up, so that it expires up to a tick late.
Others may use the same token: they call `ask` under another name.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, deque
from email.utils import formatdate
from typing import Literal

__all__ = ["EPOCH_S", "MODELS", "Judge", "Model"]

Model = Literal["sliding", "fixed", "bucket"]
MODELS: tuple[Model, ...] = ("sliding", "fixed", "bucket")

EPOCH_S = 1_800_000_000.0
"""What the server's clock shows when the virtual clock shows 0."""


class Judge:
    """One token's limits at the server.

    Args:
        model: how the short window counts.
        short, long: (requests, seconds) of the two windows.
        tick_s: times are kept in multiples of this, rounded up; 0 keeps them exactly.
        phase_s: where calendar minutes begin, for `fixed`.
    """

    def __init__(
        self,
        model: Model = "sliding",
        short: tuple[int, float] = (250, 60.0),
        long: tuple[int, float] = (5000, 3600.0),
        *,
        tick_s: float = 0.0,
        phase_s: float = 0.0,
    ) -> None:
        self.model = model
        self.limit, self.length_s = short
        self.long_limit, self.long_s = long
        self.tick_s = tick_s
        self.phase_s = phase_s
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.times: dict[str, list[float]] = {}
        self.refusals: list[tuple[float, str, str]] = []
        self._short: deque[float] = deque()
        self._long: deque[float] = deque()
        self._tokens = float(self.limit)
        self._refilled_at = 0.0
        self._minute = -1

    def _counted_at(self, now: float) -> float:
        return now if self.tick_s == 0 else math.ceil(now / self.tick_s - 1e-9) * self.tick_s

    def _short_wait(self, now: float) -> float:
        """Seconds until the short window takes one more; 0 when it does now."""
        if self.model == "sliding":
            while self._short and self._short[0] + self.length_s <= now:
                self._short.popleft()
            if len(self._short) < self.limit:
                return 0.0
            return self._short[0] + self.length_s - now
        if self.model == "fixed":
            minute = math.floor((now - self.phase_s) / self.length_s)
            if minute != self._minute:
                self._minute = minute
                self._short.clear()
            if len(self._short) < self.limit:
                return 0.0
            return (minute + 1) * self.length_s + self.phase_s - now
        rate = self.limit / self.length_s
        grown = self._tokens + (now - self._refilled_at) * rate
        self._tokens, self._refilled_at = min(float(self.limit), grown), now
        return 0.0 if self._tokens >= 1 - 1e-9 else (1 - self._tokens) / rate

    def ask(self, now: float, who: str = "us") -> tuple[int, dict[str, str]]:
        """One request arrives at `now`. Returns (status, headers with lower-case names)."""
        while self._long and self._long[0] + self.long_s <= now:
            self._long.popleft()
        wait_s = self._short_wait(now)
        if len(self._long) >= self.long_limit:
            return self._refuse(now, who, "hourly", None)
        if wait_s > 0:
            return self._refuse(now, who, "burst", wait_s)
        counted = self._counted_at(now)
        self._short.append(counted)
        self._long.append(counted)
        self._tokens -= 1
        self.accepted[who] += 1
        self.times.setdefault(who, []).append(now)
        return 200, self._headers(now, self.long_limit - len(self._long))

    def _refuse(
        self, now: float, who: str, kind: str, wait_s: float | None
    ) -> tuple[int, dict[str, str]]:
        self.refused[who] += 1
        self.refusals.append((now, who, kind))
        headers = self._headers(now, 0)
        if wait_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(wait_s)))
        return 429, headers

    def _headers(self, now: float, remaining: int) -> dict[str, str]:
        reset = (self._long[0] if self._long else now) + self.long_s
        return {
            "date": formatdate(int(EPOCH_S + now), usegmt=True),
            "ratelimit-limit": str(self.long_limit),
            "ratelimit-remaining": str(remaining),
            "ratelimit-reset": str(int(EPOCH_S + reset)),
        }

    def use(self, now: float, times: list[float], who: str = "predecessor") -> None:
        """Put requests into the books that happened at `times` (rising, at most `now`)."""
        for time in times:
            self._long.append(time)
            if time > now - self.length_s:
                self._short.append(time)
        self.times.setdefault(who, []).extend(times)
        self._tokens -= len(self._short)
        if self.model == "fixed":
            self._minute = math.floor((now - self.phase_s) / self.length_s)
            start = self._minute * self.length_s + self.phase_s
            self._short = deque(time for time in self._short if time >= start)
        self._refilled_at = now

    def most_in_any_window(self, length_s: float) -> int:
        """The most accepted requests in any sliding window of `length_s`, of everybody."""
        everybody = sorted(time for times in self.times.values() for time in times)
        return max(
            (
                index + 1 - bisect_right(everybody, time - length_s)
                for index, time in enumerate(everybody)
            ),
            default=0,
        )
