"""Whether anything may be sent at all: cold start, pauses, and half-open probing.

The ledger counts slots; the gate comes before it and holds what a count cannot express.

 cold     What other clients did with the token is unknown, so only a few
          requests may be in flight until the first response has brought its headers.
 paused   The server named a time to wait (429 with retry-after): nothing is sent before it is over.
 probing  The server said that nothing is left without naming a time, or what it named has passed:
          one request at a time finds out whether there is budget again. Each 429 doubles the wait
          between probes up to a cap; any other response ends the probing.

Invariants:
 1. Nothing is granted while `now < paused_until` (I9).
 2. While probing a request is granted only when nothing else is in flight (I10).
 3. Every wait ends: a pause by its time, a probe by its own clock; neither needs a response.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from .headers import LONGEST_WAIT_S

__all__ = ["Gate"]

_NEVER = float("inf")
_TRUSTED_AFTER = 3


class Gate:
    """Cold start, pause and probing of one token. Times are seconds on the caller's clock.

    Args:
        cold_start_concurrency: requests in flight at most before the first response.
        shortest_probe_s, longest_probe_s: bounds on the wait between two probes.
    """

    __slots__ = (
        "backoff_s",
        "cold_start",
        "cold_start_concurrency",
        "longest_probe_s",
        "paused_until",
        "probe_at",
        "probing",
        "shortest_probe_s",
        "successes",
    )

    def __init__(
        self, cold_start_concurrency: int, shortest_probe_s: float, longest_probe_s: float
    ) -> None:
        self.cold_start = True
        self.cold_start_concurrency = cold_start_concurrency
        self.paused_until = -_NEVER
        self.probing = False
        self.probe_at = -_NEVER
        self.shortest_probe_s = shortest_probe_s
        self.longest_probe_s = longest_probe_s
        self.successes = 0
        self.backoff_s = shortest_probe_s

    @property
    def closed(self) -> bool:
        """Whether anything but the windows may hold requests back; in the common case nothing."""
        return self.cold_start or self.probing or self.paused_until > -_NEVER

    def until(self, now: float, in_flight: int) -> float:
        """When the gate opens: at most `now` if it is open, infinity if only a response helps."""
        if self.paused_until > now:
            return self.paused_until
        self.paused_until = -_NEVER
        if self.probing:
            return _NEVER if in_flight else self.probe_at
        if self.cold_start and in_flight >= self.cold_start_concurrency:
            return _NEVER
        return now

    def pause(self, now: float, wait_s: float) -> None:
        """Send nothing for `wait_s` seconds; of two pauses the later end counts."""
        wait_s = min(max(wait_s, 0.0), LONGEST_WAIT_S)
        self.paused_until = max(self.paused_until, now + wait_s)

    def begin_probing(self, now: float, wait_s: float | None) -> None:
        """Start probing, since nothing remains: the first probe after `wait_s`, or the back-off."""
        if not self.probing:
            self.probing = True
            self.probe_later(now, wait_s)

    def probe_later(self, now: float, wait_s: float | None) -> None:
        """Put the next probe off by `wait_s`, at least by the back-off."""
        self.probe_at = now + max(self.backoff_s, min(wait_s or 0.0, LONGEST_WAIT_S))

    def probe_failed(self, now: float, wait_s: float | None) -> None:
        """Take in a rejected probe: double the wait before the next, at least `wait_s`."""
        self.probing = True
        self.successes = 0
        self.backoff_s = min(self.backoff_s * 2, self.longest_probe_s)
        self.probe_later(now, wait_s)

    def probe_succeeded(self, now: float, contested: bool) -> None:
        """Take in an accepted probe; `contested`: other clients compete for the slots."""
        self.probing = False
        self.successes += 1
        if contested:
            self.backoff_s = min(self.backoff_s * 2, self.longest_probe_s)
        elif self.successes > _TRUSTED_AFTER:
            self.backoff_s = max(self.backoff_s / 2, self.shortest_probe_s)
        self.probe_later(now, None)
