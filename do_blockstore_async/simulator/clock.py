"""The simulator's clock: real time plus an offset that tests move."""

from __future__ import annotations

from collections.abc import Callable

from .._clock import Clock

__all__ = ["SimClock"]


class SimClock:
    """Seconds since the epoch, as the simulated servers count them.

    Args:
        told: called with the new time whenever a test moves the clock.
        at_s: the time at which it begins, in seconds since the epoch; None for the real time.
    """

    def __init__(
        self, told: Callable[[float], None] | None = None, *, at_s: float | None = None
    ) -> None:
        self._clock = Clock()
        self._told = told
        self._offset_s = 0.0 if at_s is None else at_s - self._clock.wall_s()
        self._frozen: float | None = None

    def now(self) -> float:
        """The time: it flows with the real one, unless frozen."""
        if self._frozen is not None:
            return self._frozen
        return self._clock.wall_s() + self._offset_s

    def advance(self, seconds: float) -> None:
        """Move forward at once: actions end, budgets and cooldowns expire."""
        if seconds < 0:
            raise ValueError("time only moves forward here; the fault clock_step turns it back")
        if self._frozen is not None:
            self._frozen += seconds
        else:
            self._offset_s += seconds
        if self._told is not None:
            self._told(self.now())

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._frozen is not None

    def freeze(self) -> None:
        """Stop the clock; `advance` still moves it."""
        self._frozen = self.now()

    def thaw(self) -> None:
        """Let the clock flow on from where it stands."""
        if self._frozen is not None:
            self._offset_s = self._frozen - self._clock.wall_s()
            self._frozen = None
