"""How many requests a run has sent, and how many of them were refused."""

from __future__ import annotations

from ..events import AttemptFinished, AttemptSent, Event

__all__ = ["Tally"]

_TOO_MANY = 429


class Tally:
    """An observer of the calls of one run.

    Attributes:
        requests: transmissions, pages and retries included.
        refused: how many of them were answered 429, of whatever kind.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.refused = 0

    def __call__(self, event: Event, /) -> None:
        """Count what is of interest."""
        if isinstance(event, AttemptSent):
            self.requests += 1
        elif isinstance(event, AttemptFinished) and event.status == _TOO_MANY:
            self.refused += 1
