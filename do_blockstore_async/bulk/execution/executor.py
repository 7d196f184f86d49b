"""Execute steps: send their request, time it, and turn its result or error into outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._clock import Clock
from ...errors import NotFoundError
from ..account import AccountWriter
from ..errors import JournalError
from ..model.outcome import Outcome, StepVerdict
from ..model.plan import Step
from .step_actions import handler_of

__all__ = ["Executor", "StepsTakenError", "outcome_of"]


class StepsTakenError(Exception):
    """Steps were not granted to this worker, or it stops: the transmission was not made."""


class Executor:
    """Executes the steps of one run; nothing is sent twice without reading the account first."""

    def __init__(self, clock: Clock, account: AccountWriter) -> None:
        self._clock = clock
        self._account = account

    async def execute(self, steps: Sequence[Step]) -> list[Outcome[Step]]:
        """Execute steps that share a request; mostly that is one step.

        Returns:
            An outcome for each, whatever happens.

        Raises:
            StepsTakenError: others have the steps, or the run stops.
            JournalError: the intent could not be written.
        """
        started_s = self._clock.monotonic()
        try:
            value, vanished = await self._execute_existing(steps)
        except (StepsTakenError, JournalError):
            raise  # of the gate: this transmission was not made
        except Exception as error:  # noqa: BLE001 -- of whatever kind, it is the steps' outcome
            took_s = self._clock.monotonic() - started_s
            return [
                outcome_of(step, handler_of(step).classify_error(error), error, took_s)
                for step in steps
            ]
        took_s = self._clock.monotonic() - started_s
        done = StepVerdict("done", "", "", value)
        not_found = StepVerdict("skipped", "not_found", "changed: the volume was deleted")
        return [
            outcome_of(step, not_found if step in vanished else done, took_s=took_s)
            for step in steps
        ]

    async def _execute_existing(self, steps: Sequence[Step]) -> tuple[Any, list[Step]]:
        """Return the result, and the steps left out of the batch because their volume was deleted.

        The API rejects a whole batch for one volume that does not exist, without saying which. So
        the volumes are listed, and the batch is sent again with those that exist. Each round leaves
        out at least one, or the error has another cause and is raised.
        """
        live = list(steps)
        while live:
            try:
                value = await handler_of(live[0]).execute(self._account, live)
            except NotFoundError:
                if not steps[0].batch:
                    raise
                existing = await self._account.volume_ids()
                left = [step for step in live if step.target_id in existing]
                if len(left) == len(live):
                    raise
                live = left
            else:
                return value, [step for step in steps if step not in live]
        return None, list(steps)


def outcome_of(
    step: Step,
    verdict: StepVerdict,
    error: Exception | None = None,
    took_s: float = 0.0,
    *,
    resumed: bool = False,
) -> Outcome[Step]:
    """Make the outcome of a step from its verdict.

    Args:
        step: the step.
        verdict: how it ended.
        error: what its request raised.
        took_s: seconds from its start to its end.
        resumed: it was found done, without a request of this run.
    """
    return Outcome(
        step,
        verdict.status,
        step.key,
        step.region,
        verdict.reason,
        verdict.code,
        error,
        verdict.value,
        took_s,
        resumed=resumed,
    )
