"""Whether a failed request is sent again, and when: rules, not loops.

The rules, first match wins (the failure, then what is done):

1. All attempts used, or the shared retry budget is empty: give up.
2. Never written (connection refused, name not resolved, TLS failed): any method again.
3. 429 `capacity`: give up; waiting frees no capacity.
4. Refused as busy (`refusal`): without effect, and over within seconds. Waited out, however often,
   but only within a deadline; so is a 429 `snapshot_cooldown`.
5. Any other 429: provably refused, so any method again, after retry-after where given.
   `burst` and `hourly` without one are retried at once: the throttle knows when to send.
6. Connection lost, timeout, 500, 502, 503, 504, and 520 to 524, by which an edge says the same of
   its origin: again only what is idempotent (GET, DELETE). For the rest a query finds out what
   became of it (`settle.py`); nothing is repeated blindly.
7. Everything else is a response, not a failure: give up.

Delays are full jitter: a random share of min(cap, base * 2^(attempt-1)), so that clients that
failed together do not return together (M. Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015). A retry-after is honored whole. A delay that does not fit before the
deadline means giving up now: waiting for a certain failure is pointless.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from math import inf
from typing import Final

from ..config import Config
from ..errors import APIStatusError, BlockStoreError, RateLimitedError, TransportError

__all__ = ["RETRIED_STATUSES", "RetryBudget", "decide", "is_outcome_unknown"]

RETRIED_STATUSES: Final = frozenset({500, 502, 503, 504, *range(520, 525)})
_SNAPSHOT_COOLDOWN_S: Final = 600.0
# Actions take 3 to 5 s (rexray 1368).
_BUSY_CAP_S: Final = 4.0


def is_outcome_unknown(error: BlockStoreError) -> bool:
    """Whether the request may have taken effect although `error` came back."""
    if isinstance(error, TransportError):
        return error.sent
    return isinstance(error, APIStatusError) and error.status >= 500


def decide(
    error: BlockStoreError,
    *,
    repeatable: bool,
    attempt: int,
    jitter: float,
    remaining_s: float,
    retry_after_s: float | None,
    config: Config,
) -> float | None:
    """The delay in seconds before the next attempt, or None to give up.

    Args:
        error: what the attempt ended with.
        repeatable: sending it again is safe: it is idempotent, or was queried and not found.
        attempt: number of the attempt that failed, from 1.
        jitter: in [0, 1).
        remaining_s: seconds until the call's deadline; infinity without one.
        retry_after_s: what the response asked for, where it did.
        config: attempts and backoff.
    """
    if isinstance(error, APIStatusError) and error.refusal == "busy":
        busy_s = (0.5 + jitter) * min(_BUSY_CAP_S, 2.0 ** min(attempt - 1, 8))
        return busy_s if busy_s < remaining_s < inf else None
    if attempt >= config.max_attempts:
        return None
    delay_s = jitter * min(config.backoff_cap_s, config.backoff_base_s * 2.0 ** (attempt - 1))
    if isinstance(error, RateLimitedError):
        if error.kind == "capacity":
            return None
        if error.kind == "snapshot_cooldown":
            if remaining_s == inf:
                return None
            delay_s = _SNAPSHOT_COOLDOWN_S if retry_after_s is None else retry_after_s
        elif retry_after_s is not None:
            delay_s = retry_after_s
        elif error.kind in {"burst", "hourly"}:
            delay_s = 0.0
    elif isinstance(error, TransportError):
        if error.sent and not repeatable:
            return None
    elif isinstance(error, APIStatusError) and error.status in RETRIED_STATUSES and repeatable:
        if retry_after_s is not None:
            delay_s = retry_after_s
    else:
        return None
    return None if delay_s >= remaining_s else delay_s


class RetryBudget:
    """Bounds the retries of one client, so that an outage is not multiplied by its clients.

    Each retry takes one, each success gives back a tenth of one, up to the size. While the
    service is healthy the budget is full and has no effect; in an outage the retries end at the
    size, and afterwards they are at most a tenth of the traffic. Waiting out a 429 takes nothing:
    the server asked for it.
    """

    __slots__ = ("_left", "_size")

    def __init__(self, size: int) -> None:
        self._size = float(size)
        self._left = self._size

    def take(self) -> bool:
        """Whether one more retry is allowed; counts it if so."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def succeeded(self) -> None:
        """Give back a tenth of a retry, because an attempt succeeded."""
        if self._left < self._size:
            self._left = min(self._size, self._left + 0.1)
