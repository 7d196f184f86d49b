"""What a server's clock should show, by the measure of whoever it answered before.

A clock that is more than half a second ahead of that was set, and is corrected. Where it is behind,
only who was answered within 5 s is believed, or anybody in a new log: a machine that was paused, or
a slow request, looks the same. So time passes a little slower at most, which frees slots later,
never earlier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["Expected", "ServerClock", "correction"]

_HEARD_S: Final = 5.0
_STEP_S: Final = 0.5


class Expected(NamedTuple):
    """What the server's clock should show now, and whether that was heard just now."""

    now_s: float
    is_fresh: bool


class ServerClock:
    """Remembers when a server last told its time.

    Args:
        clock: returns seconds, on a clock that nobody sets.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heard: tuple[float, float] | None = None

    def heard(self, now_s: float) -> None:
        """Note what the server's clock shows."""
        self._heard = (now_s, self._clock())

    def expected(self) -> Expected | None:
        """Return what it should show now; None if it was never heard."""
        if self._heard is None:
            return None
        server_s, own_s = self._heard
        elapsed_s = self._clock() - own_s
        return Expected(server_s + elapsed_s, 0 <= elapsed_s <= _HEARD_S)


def correction(now_s: float, expected: Expected | None, *, is_new: bool) -> float:
    """Return the seconds to add to a clock that shows `now_s`; `redis.py` says the same in Lua.

    Args:
        now_s: with the corrections so far.
        expected: by the one who asks.
        is_new: whether the log has no time of its own yet.
    """
    if expected is None:
        return 0.0
    step_s = now_s - expected.now_s
    is_set = step_s > _STEP_S or (step_s < -_STEP_S and (expected.is_fresh or is_new))
    return -step_s if is_set else 0.0
