"""How far a run is, as its journal tells anybody. Pure data."""

from __future__ import annotations

from datetime import datetime

import attrs

__all__ = ["RunStatus", "RunWorker"]


@attrs.frozen(kw_only=True)
class RunWorker:
    """One process that works on a plan.

    Attributes:
        name: its host and process id.
        present_s: seconds since it joined.
        silent_s: seconds since it was last heard of.
        in_flight: how many steps it has in flight.
    """

    name: str
    present_s: float
    silent_s: float
    in_flight: int


@attrs.frozen(kw_only=True)
class RunStatus:
    """How far a run is.

    Attributes:
        kind, job, made_at: of the plan.
        total: how many steps it has.
        done, skipped, failed, unknown: how many of them ended so.
        in_doubt: how many were in flight when their worker died; they are looked up.
        workers: who works on it now.
        ends_in_s: seconds until the rest is done at the pace of the last minute; None if nobody
            works on it, or nothing has ended yet.
    """

    kind: str
    job: str
    made_at: datetime
    total: int
    done: int
    skipped: int
    failed: int
    unknown: int
    in_doubt: int
    workers: tuple[RunWorker, ...]
    ends_in_s: float | None

    @property
    def remaining(self) -> int:
        """How many steps have no outcome."""
        return self.total - self.done - self.skipped - self.failed - self.unknown

    @property
    def is_finished(self) -> bool:
        """Whether every step has an outcome."""
        return not self.remaining
