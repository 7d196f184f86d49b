"""How far a run is, as its journal tells anybody. Pure data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import attrs

from .plan import Plan, Step

__all__ = ["RunActivity", "RunDetails", "RunStatus", "RunStep", "RunWorker"]

StepState: TypeAlias = Literal[
    "done", "skipped", "failed", "unknown", "in_flight", "in_doubt", "not_started"
]


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


@attrs.frozen(kw_only=True)
class RunStep:
    """One step of a plan, and what its journal says of it.

    Attributes:
        step: of the plan.
        state: `done`, `skipped`, `failed` or `unknown`; `in_flight` with a worker; `in_doubt`: it
            was in flight when its worker died, and is looked up when the run is resumed; or
            `not_started`.
        reason, code: as in `Outcome`; empty without an outcome.
        duration_s: seconds from its start to its end; 0 without an outcome.
        worker: the host and process id of the worker that has it in flight, or had; else empty.
    """

    step: Step
    state: StepState
    reason: str = ""
    code: str = ""
    duration_s: float = 0.0
    worker: str = ""


@attrs.frozen(kw_only=True)
class RunDetails:
    """All that a journal says of a run: how far it is, its plan, and the state of each step.

    Attributes:
        status: the same in numbers.
        plan: as it was made.
        steps: in the plan's order.
    """

    status: RunStatus
    plan: Plan
    steps: Sequence[RunStep]
    _pending: Sequence[Step] = attrs.field(repr=False)
    _failed: Sequence[Step] = attrs.field(repr=False)

    def remainder(self, *, retry_failed: bool = False) -> Plan:
        """Return what resuming the run would do, as a plan to be shown; to do it, `Bulk.resume`.

        Steps that other workers hold are in it, and those in doubt: they are looked up first, and
        are done only if the account does not show them.

        Args:
            retry_failed: what a resumption with `retry_failed` would do: only what failed, is
                unknown, or depended on such a step.
        """
        steps = self._failed if retry_failed else self._pending
        return attrs.evolve(
            self.plan, steps=steps, skips=(), warnings=(), duration_s=0.0, sighting=None
        )


@attrs.frozen(kw_only=True)
class RunActivity:
    """What a run is doing at this moment, and what it waits for; see `Run.activity`.

    Attributes:
        waiting: requests of this worker that wait for the budget.
        in_flight: requests of this worker that were sent, and have no response yet.
        retrying: requests that were rejected, and are sent again after a delay.
        retry_in_s: seconds until the first of these is sent again; 0 without any.
        retry_status: the HTTP status it was rejected with; None without any, or without a response.
        looking_up: requests whose responses were lost: the account is asked what became of them.
        in_doubt: steps that were in flight when their worker died, and are still to be looked up.
        look_up_in_s: seconds until the first of these can be; 0 without any.
        elsewhere: steps that other workers have in flight.
        given_up: requests that waited, for the budget or to be sent again, when the run was
            stopped: their steps remain to be done.
        ends_in_s: seconds until every step would have an outcome, by the throttle's forecast and
            the delays above; 0 once nothing remains.
    """

    waiting: int = 0
    in_flight: int = 0
    retrying: int = 0
    retry_in_s: float = 0.0
    retry_status: int | None = None
    looking_up: int = 0
    in_doubt: int = 0
    look_up_in_s: float = 0.0
    elsewhere: int = 0
    given_up: int = 0
    ends_in_s: float = 0.0
