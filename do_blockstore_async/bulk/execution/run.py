"""Run a plan: checked, guarded, journaled, and possible to stop and resume at any moment.

Theory: the plan says what is to be done, the journal what was done, and one reading of the account
what has changed since. From these the run knows before it starts what remains, and the rest is a
pool of tasks. Each step goes: intent to the journal, request, outcome to the journal, outcome to
the reader.

X1. Nothing is changed before the guards, the journal's lock and the reading of the account have
    passed.
X2. A step's request is only sent after its intent is on disk, and an outcome is only given to the
    reader after it is on disk. When the disk fails, the run raises `JournalError`.
X3. Each step is started at most once in a run. In all runs of one journal, a step that has an
    outcome is not started again, but for `retry_failed` and for those whose outcome is unknown;
    these, and steps in flight when a run died, are reconciled first and repeated only if the
    account does not show them.
X4. A step with `depends_on` only starts once that step was done (`dependencies.py`, G1).
X5. However a run ends, each step whose request has left has an outcome, `unknown` at worst.
    Stopping gives up those whose request still waits for quota: they remain to be done.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from itertools import groupby
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import attrs

from ..._http.engine import Engine
from ..._ratelimit.throttle import Throttle
from ...errors import InvalidArgumentError
from ...events import AttemptFinished, AttemptSent, Event, observing
from ..account import AccountReader
from ..concurrency.map import check_bounds
from ..concurrency.pool import TaskPool
from ..concurrency.shield import run_to_completion
from ..concurrency.thread import in_thread
from ..errors import JournalError, PlanError
from ..model.guards import Guards
from ..model.outcome import Ended, Outcome
from ..model.plan import Plan, Step
from ..model.report import Report, report_of
from .dependencies import StepTracker
from .executor import Executor, outcome_of
from .journal import Journal
from .resume import compute_remaining

__all__ = ["Run", "RunOptions"]

# Steps that share one request.
RequestGroup: TypeAlias = tuple[Step, ...]

_TOO_MANY: Final = 429


@attrs.frozen(kw_only=True)
class RunOptions:
    """How a plan is run: the one place of all its options, their defaults and their checks.

    `Bulk.run` and `Bulk.resume` spell them out, so that an IDE shows them; see there what they do.

    Raises:
        InvalidArgumentError: a value out of range.
        PlanError: `retry_failed` without a journal.
    """

    journal: str | os.PathLike[str] | None = None
    max_failures: int | None = 10
    concurrency: int = 16
    per_region: int | None = None
    retry_failed: bool = False
    max_items: float | None = None
    max_share: float | None = None
    max_plan_age_s: float = 60.0
    guards: Guards = attrs.field(init=False)

    @guards.default
    def _make_guards(self) -> Guards:
        return Guards(max_items=self.max_items, max_share=self.max_share)

    def __attrs_post_init__(self) -> None:
        check_bounds(self.concurrency, self.per_region)
        if self.max_failures is not None and not self.max_failures >= 0:
            raise InvalidArgumentError(f"max_failures must be 0 or more, not {self.max_failures!r}")
        if not self.max_plan_age_s >= 0:
            raise InvalidArgumentError(
                f"max_plan_age_s must be 0 or more, not {self.max_plan_age_s!r}"
            )
        if self.retry_failed and self.journal is None:
            raise PlanError("retry_failed repeats the failures in a journal: name the journal")


class Run:
    """A plan being run: enter it with `async with`, and iterate it for the outcomes, in one place.

    Leaving the block early is like `stop`: what was sent finishes, nothing more is sent. Leaving it
    by an exception or cancellation also cancels what is in flight: those steps are `unknown`, and
    the next run with the same journal reconciles them. Cancelling `anext` alone ends nothing.
    """

    def __init__(
        self,
        plan: Plan | None,
        options: RunOptions,
        *,
        engine: Engine,
        throttle: Throttle,
        account: AccountReader,
        executor: Executor,
    ) -> None:
        self._plan = plan
        self._options = options
        self._engine = engine
        self._clock = engine.clock
        self._throttle = throttle
        self._account = account
        self._executor = executor
        self._journal: Journal | None = None
        self._is_abandoned = False
        self._pool: TaskPool[RequestGroup, list[Outcome[Step]]] | None = None
        self._steps = StepTracker()
        self._unread: deque[Outcome[Step]] = deque()
        self._unsent: set[asyncio.Task[Any]] = set()
        self._failures = 0
        self._broken: JournalError | None = None
        self._started_s = self._ended_s = 0.0
        self._requests = self._rate_limited = 0
        self._stopped: str | None = None

    # Progress.

    @property
    def plan(self) -> Plan:
        """The plan; of a resumed run, known once it was entered."""
        if self._plan is None:
            raise PlanError("the plan is in the journal: enter the run first")
        return self._plan

    @property
    def total(self) -> int:
        """How many steps the plan has."""
        return len(self.plan.steps)

    @property
    def remaining(self) -> int:
        """How many of them have no outcome yet."""
        return self.total - len(self._steps.finished)

    @property
    def counts(self) -> Counter[str]:
        """How many steps have finished in each status, those of earlier runs included."""
        return self._steps.counts

    @property
    def stopped(self) -> str | None:
        """Why nothing more starts: `stopped`, `max_failures`, `cancelled`, `journal`; or None."""
        return self._stopped

    def report(self) -> Report:
        """Report what was done so far; complete once the run has ended."""
        until_s = self._ended_s or self._clock.monotonic()
        return report_of(
            self.plan,
            self._steps.finished,
            earlier=self._steps.earlier,
            stopped=self._stopped,
            requests=self._requests,
            rate_limited=self._rate_limited,
            duration_s=until_s - self._started_s,
        )

    # Entering.

    async def __aenter__(self) -> Self:
        if self._pool is not None:
            raise PlanError("a run is entered once; make another one, with the same journal")
        self._started_s = self._clock.monotonic()
        options = self._options
        # Before the journal is created: a plan that may not run leaves no file behind.
        if self._plan is not None:
            options.guards.check(self._plan)
        try:
            if options.journal is not None:
                await self._open_journal(options.journal)
            if self._plan is None and self._journal is not None:
                self._plan = self._journal.plan
                options.guards.check(self._plan)
            with self._throttle.background(self.plan.job), observing(self._observe):
                pending = await self._prepare()
                context = copy_context()
        except BaseException:
            await run_to_completion(self._close_journal())
            raise
        self._pool = TaskPool(
            self._work,
            lambda group: [],
            self._request_groups(pending),
            concurrency=options.concurrency,
            per_region=options.per_region,
            region_of=lambda group: group[0].region,
            context=context,
        )
        if self._stopped is not None:
            # `stop` was called while the account was read: the pool did not exist yet.
            self._pool.stop()
        return self

    async def _open_journal(self, path: str | os.PathLike[str]) -> None:
        def work() -> None:
            # In this order: either the run sees the journal, or this thread sees that it is over.
            self._journal = Journal.open(path, self._plan)
            if self._is_abandoned:
                self._journal.release()

        try:
            await in_thread(work)
        except asyncio.CancelledError:
            # The thread may still be at it; `_close_journal` closes what it has opened already.
            self._is_abandoned = True
            raise

    async def _prepare(self) -> Sequence[Step]:
        """Return the steps that remain; record what is known of the others."""
        remaining = await compute_remaining(
            self.plan,
            self._journal,
            retry_failed=self._options.retry_failed,
            max_plan_age_s=self._options.max_plan_age_s,
            engine=self._engine,
            account=self._account,
        )
        plan, steps = self.plan, self._steps
        loop = asyncio.get_running_loop()
        await in_thread(lambda: steps.start(plan, remaining, loop))
        return remaining.pending

    @staticmethod
    def _request_groups(pending: Sequence[Step]) -> Iterator[RequestGroup]:
        """Group the steps that share a request: those of one batch; else each by itself."""
        for batch, steps in groupby(pending, key=lambda step: step.batch):
            if batch:
                yield tuple(steps)
            else:
                yield from ((step,) for step in steps)

    # Iterating.

    def __aiter__(self) -> AsyncIterator[Outcome[Step]]:
        return self

    async def __anext__(self) -> Outcome[Step]:
        pool = self._entered()
        while not self._unread:
            try:
                self._unread.extend(await pool.__anext__())
            except StopAsyncIteration:
                if self._broken is not None:
                    raise self._broken from None
                raise
        return self._unread.popleft()

    def _entered(self) -> TaskPool[RequestGroup, list[Outcome[Step]]]:
        if self._pool is None:
            raise PlanError("enter the run first: async with store.bulk.run(plan) as run")
        return self._pool

    def stop(self) -> None:
        """Start nothing new; what was sent finishes and is yielded, then the loop is over.

        Before or while the run is entered: nothing is started at all.
        """
        self._stop("stopped")

    def _stop(self, why: str) -> None:
        if self._stopped is None:
            self._stopped = why
            if self._pool is not None:
                self._pool.stop()
            # These wait for quota only; nothing of theirs can take effect.
            for task in self._unsent:
                task.cancel()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pool = self._entered()
        is_early = self._stopped is None and not pool.is_over
        if is_early:
            self._stop("stopped" if exc_type is None else "cancelled")
        try:
            if exc_type is None:
                # Left early without an error: what was sent finishes, and is recorded.
                with suppress(StopAsyncIteration):
                    while True:
                        await pool.__anext__()
        finally:
            await run_to_completion(self._wind_up(pool))
            if is_early and not self.remaining:
                self._stopped = None  # all the rest had been sent: nothing was cut short
        if exc_type is None and self._broken is not None:
            raise self._broken

    async def _wind_up(self, pool: TaskPool[RequestGroup, list[Outcome[Step]]]) -> None:
        try:
            await pool.aclose()
        finally:
            self._ended_s = self._clock.monotonic()
            await self._close_journal()

    async def _close_journal(self) -> None:
        if self._journal is not None:
            await self._journal.close()

    # One request group.

    def _observe(self, event: Event) -> None:
        """Count the requests of the run, and note which task's request has left.

        From then on stopping must not cancel that task: its step would be `unknown` for nothing.
        """
        if isinstance(event, AttemptSent):
            self._requests += 1
            self._unsent.discard(asyncio.current_task())
        elif isinstance(event, AttemptFinished):
            self._rate_limited += event.status == _TOO_MANY

    async def _work(self, group: RequestGroup) -> list[Outcome[Step]]:
        if self._stopped is not None:
            return []  # stopped after this task was created and before it first ran
        outcomes: list[Outcome[Step]] = []
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment] # TaskPool's
        self._unsent.add(task)
        try:
            await self._execute(group, outcomes)
        except asyncio.CancelledError as error:
            text = "; ".join(["cancelled while in flight", *getattr(error, "__notes__", ())])
            known = {outcome.key for outcome in outcomes}
            # Cancelled before its request left (X5): no outcome, so the step remains to be done.
            outcomes.extend(
                Outcome(step, "unknown", step.key, step.region, text, error=error)
                for step in (() if task in self._unsent else group)
                if step.key not in known
            )
        except JournalError as error:
            self._broken = error
            self._unsent.discard(task)
            self._stop("journal")
        finally:
            self._unsent.discard(task)
        is_on_disk = await self._write(outcomes)
        # After the journal: a dependent must not start before this outcome would survive a crash.
        for outcome in outcomes:
            self._steps.record(outcome)
        # Steps that share a request fail together: that counts as one failure.
        self._failures += any(outcome.status in {"failed", "unknown"} for outcome in outcomes)
        most = self._options.max_failures
        if most is not None and self._failures > most:
            self._stop("max_failures")
        return outcomes if is_on_disk else []

    async def _execute(self, group: RequestGroup, outcomes: list[Outcome[Step]]) -> None:
        # Steps that no verdict resolves go into the one request; the others end here.
        live: list[Step] = []
        for step in group:
            verdict = await self._steps.resolve(step)
            if verdict is None:
                live.append(step)
            else:
                outcomes.append(outcome_of(step, verdict, resumed=verdict.status == "done"))
        # Without a journal that can be written, no intent can be recorded: nothing more is sent.
        if not live or self._broken is not None:
            return
        if self._journal is not None:
            await self._journal.start([step.key for step in live], self._clock.wall_s())
        outcomes.extend(await self._executor.execute(live))

    async def _write(self, outcomes: Sequence[Outcome[Step]]) -> bool:
        """Write outcomes to the journal, if there is one; tell whether they may be seen."""
        if self._journal is None or not outcomes:
            return True
        ended = {outcome.key: Ended.of(outcome) for outcome in outcomes}
        try:
            # The request is over; a cancellation now must not lose the record of what it did.
            with suppress(asyncio.CancelledError):
                await run_to_completion(self._journal.finish(ended))
        except JournalError as error:
            self._broken = error
            self._stop("journal")
            return False
        return True
