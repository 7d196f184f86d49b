"""Run a plan: checked, guarded, journaled, and possible to stop and resume at any moment.

Theory: the plan says what is to be done, the journal what was done, and one reading of the account
what has changed since. From these the run knows before it starts what remains, and the rest is a
pool of tasks. Each step goes: permit of the budget, intent to the journal, request, outcome to the
journal, outcome to the reader.

Several workers may run one plan with one journal. Each of them goes through all that remains, in
the plan's order, and leaves to the others what they have begun. A step that a worker had in flight
when it died is looked up by another one, once its request cannot arrive any more.

X1. Nothing is changed before the guards, the opening of the journal and the reading of the account
    have passed.
X2. A step's request is only sent after its intent is on disk, and an outcome is only given to the
    reader after it is on disk. When the disk fails, the run raises `JournalError`.
X3. Each step is started at most once in a run, by one of its workers. In all runs of one journal, a
    step that has an outcome is not started again, but for `retry_failed` and for those whose
    outcome is unknown; these, and steps in flight when a worker died, are reconciled first and
    repeated only if the account does not show them.
X4. A step with `depends_on` only starts once that step was done (`step_queue.py`, G1).
X5. However a run ends, each step whose request has left has an outcome, `unknown` at worst.
    Stopping gives up those whose request waits: for quota, or to be sent again. What the server
    has provably refused, or never received, remains to be done; the rest is `unknown`.
X6. A run that is not stopped ends when every step that it is about has an outcome, this worker's or
    another's; `max_failures` and `per_region` count those of all workers (`shared_steps.py`).
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from ..._clock import run_to_completion
from ..._context import gated
from ..._export import visible
from ..._http.engine import Engine
from ..._interop.habits import AsyncOnly
from ..._lazy import ModuleLater, needs_extra
from ..._ratelimit.throttle import Throttle
from ...errors import ConfigError, InvalidArgumentError
from ...events import (
    AttemptFinished,
    AttemptSent,
    CallFinished,
    CallStarted,
    Event,
    RetryScheduled,
    observing,
)
from ..account import AccountReader
from ..concurrency.map import check_bounds
from ..concurrency.pool import TaskPool
from ..concurrency.thread import in_thread
from ..errors import JournalError, PlanError
from ..model.guards import Guards
from ..model.outcome import Ended, Outcome
from ..model.plan import Plan, Step
from ..model.report import Report, report_of
from ..model.run_status import RunActivity
from .activity import ActivityObserver
from .executor import Executor, StepsTakenError, outcome_of
from .journal import Journal
from .resume import compute_remaining
from .shared_steps import SharedSteps
from .step_queue import RequestGroup, StepQueue

if TYPE_CHECKING:
    from rich import console as _rich
else:
    # Found where somebody resolves the annotations, and imported only then.
    _rich = ModuleLater("rich.console")

__all__ = ["Run", "RunOptions"]

_TOO_MANY: Final = 429


@attrs.frozen(kw_only=True)
class RunOptions:
    """How a plan is run: the one place of all its options, their defaults and their checks.

    `Bulk.run` and `Bulk.resume` spell them out, so that an IDE shows them; see there what they do.

    Raises:
        InvalidArgumentError: a value out of range.
        PlanError: `retry_failed` without a journal.
    """

    # The URL of a database holds a password.
    journal: str | os.PathLike[str] | None = attrs.field(default=None, repr=False)
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


@attrs.define
class _GroupTask:
    """A task that carries out steps that share a request.

    Attributes:
        is_waiting: their request waits, for quota or to be sent again.
        is_in_doubt: an earlier request of theirs may have taken effect, or may still.
    """

    group: RequestGroup
    is_waiting: bool = True
    is_in_doubt: bool = False

    @property
    def is_unsent(self) -> bool:
        """Whether nothing of theirs can have taken effect."""
        return self.is_waiting and not self.is_in_doubt


class Run(AsyncOnly):
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
        # With a journal.
        self._shared: SharedSteps | None = None
        # While it is entered.
        self._pool: TaskPool[RequestGroup, list[Outcome[Step]]] | None = None
        self._is_left = False
        self._steps = StepQueue()
        self._unread: deque[Outcome[Step]] = deque()
        # What is under way here.
        self._tasks: dict[asyncio.Task[Any], _GroupTask] = {}
        self._settler: asyncio.Task[None] | None = None
        self._failures = 0
        self._broken: Exception | None = None
        self._started_s = self._ended_s = 0.0
        self._requests = self._rate_limited = 0
        self._stopped: str | None = None
        self._calls = ActivityObserver(engine.clock.monotonic)

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
        """Why nothing more starts; None while more does.

        `stopped`, `max_failures`, `cancelled`, `journal`; or `account`: it could not be read to see
        what became of steps in doubt.
        """
        return self._stopped

    @property
    def activity(self) -> RunActivity:
        """What the run does at this moment, what it waits for, and when it would be done."""
        calls, now_s = self._calls.now(), self._clock.monotonic()
        elsewhere, pace = 0, None
        doubtful_s: list[float] = []
        if self._shared is not None:
            pace = self._shared.journal.state.pace()
            elsewhere, doubtful_s = self._shared.elsewhere()
        in_doubt = len(doubtful_s)
        retries_in_s = [at_s - now_s for at_s in calls.retry_at_s]
        ends_in_s = 0.0
        if self._steps.open and self._stopped is None:
            # What waits goes first in the forecast; a retry will ask for its slot once more.
            known = calls.waiting + calls.in_flight + calls.looking_up + elsewhere
            ends_in_s = max(
                self._throttle._served_in_s(max(0, len(self._steps.open) - known)),
                # With little concurrency it is the responses that take the time, not the budget.
                (len(self._steps.open) - elsewhere - in_doubt)
                / self._options.concurrency
                * self._throttle._latency_s,
                *(in_s + self._throttle._response_s for in_s in (*doubtful_s, *retries_in_s)),
                elsewhere / pace if pace else 0.0,
            )
        return RunActivity(
            waiting=calls.waiting,
            in_flight=calls.in_flight,
            retrying=len(retries_in_s),
            retry_in_s=max(0.0, min(retries_in_s, default=0.0)),
            retry_status=calls.retry_status,
            looking_up=calls.looking_up,
            in_doubt=in_doubt,
            look_up_in_s=max(0.0, min(doubtful_s, default=0.0)),
            elsewhere=elsewhere,
            given_up=self._calls.given_up,
            ends_in_s=ends_in_s,
        )

    def progress(self, *, console: _rich.Console | None = None) -> AsyncIterator[Outcome[Step]]:
        """Iterate the run, entered already, and show how far it has come.

            async with store.bulk.run(plan) as run:
                async for outcome in run.progress(): ...

        One bar with what is done, failed and skipped, how long it will take, and what the run waits
        for where it waits; in a terminal and in a notebook. In a pipe or a log file nothing is
        drawn. Extra `cli`, for rich.

        Args:
            console: where to draw; by default standard output, or the cell of the notebook.

        Returns:
            An async iterator of the outcomes, as of the run itself.

        Raises:
            ConfigError: rich is not installed.
        """
        try:
            from ..._interop.progress import shown
        except ModuleNotFoundError:
            raise ConfigError(needs_extra("run.progress() needs", "cli")) from None

        def waits_for() -> str:
            kind = self._throttle.explain(background=True).kind
            return "" if kind == "ready" else kind

        return shown(self, visible(self.plan.job), waits_for, console)

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
        if self._pool is not None or self._is_left:
            raise PlanError("a run is entered once; make another one, with the same journal")
        self._started_s = self._clock.monotonic()
        options = self._options
        # Before the journal is created: a plan that may not run leaves no file behind.
        if self._plan is not None:
            await in_thread(partial(options.guards.check, self._plan))
        try:
            if options.journal is not None:
                await self._join(options.journal)
            with self._throttle.background(self.plan.job), observing(self._observe):
                await self._prepare()
                context = copy_context()
                if self._shared is not None:
                    self._settler = asyncio.create_task(
                        self._settle(self._shared), name="bulk journal settle"
                    )
        except BaseException:
            await run_to_completion(self._close_journal())
            raise
        self._pool = TaskPool(
            self._work,
            lambda group: [],
            self._steps,
            concurrency=options.concurrency,
            per_region=options.per_region,
            region_of=lambda group: group[0].region,
            context=context,
        )
        if self._stopped is not None:
            # `stop` was called while the account was read: the pool did not exist yet.
            self._pool.stop()
        return self

    async def _join(self, journal: str | os.PathLike[str]) -> None:
        """Open the journal, and take the plan from it if none was given."""
        opened = await Journal.open(
            journal, self._plan, late_arrival_s=self._engine.config.late_arrival_s
        )
        self._shared = SharedSteps(
            opened,
            self._steps,
            self._account,
            self._clock,
            per_region=self._options.per_region,
            changed=self._on_change,
        )
        if self._stopped is not None:
            self._shared.stop()
        if self._plan is None:
            self._plan = opened.plan
            await in_thread(partial(self._options.guards.check, opened.plan))

    async def _prepare(self) -> None:
        """Find out what remains, and what is known of the others."""
        shared = self._shared
        known = 0 if shared is None else shared.journal.state.position
        remaining = await compute_remaining(
            self.plan,
            None if shared is None else shared.journal,
            retry_failed=self._options.retry_failed,
            max_plan_age_s=self._options.max_plan_age_s,
            engine=self._engine,
            account=self._account,
        )
        await in_thread(partial(self._steps.start, self.plan, remaining))
        if shared is not None:
            await shared.start(self.plan, remaining, known)

    # Iterating.

    def __aiter__(self) -> AsyncIterator[Outcome[Step]]:
        return self

    async def __anext__(self) -> Outcome[Step]:
        while not self._unread:
            if self._is_left:
                raise self._broken or StopAsyncIteration
            pool = self._entered()
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
            for task, state in self._tasks.items():
                if state.is_waiting:
                    task.cancel()
            if self._shared is not None:
                self._shared.stop()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_left:
            return
        pool = self._entered()
        if exc_type is not None and self._shared is not None:
            self._shared.journal.hurry()
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
            # Both refer to the run. Of a large one the garbage collector would have to let go, at
            # some other time, and the loop would stand still meanwhile.
            self._pool, self._settler, self._is_left = None, None, True

    async def _close_journal(self) -> None:
        if self._settler is not None:
            self._settler.cancel()
            await asyncio.wait([self._settler])
        if self._shared is not None:
            await self._shared.close()

    # What the other workers do.

    def _on_change(self, shared: SharedSteps) -> None:
        """Give up what others have begun meanwhile, and stop if all together failed too often."""
        if shared.journal.broken is not None:
            self._fail(shared.journal.broken, "journal")
        for task, current in self._tasks.items():
            if current.is_unsent and not any(shared.may(step.key) for step in current.group):
                task.cancel()
        self._check_failures(shared.journal.state.failures)

    async def _settle(self, shared: SharedSteps) -> None:
        try:
            await shared.settle(self.plan)
        except Exception as error:  # noqa: BLE001 -- raised to the reader
            self._fail(error, "account")

    # One request group.

    def _observe(self, event: Event) -> None:
        """Count the requests of the run, and note which tasks wait before a request that changes.

        While such a request is in flight, stopping must not cancel its task: its step would be
        `unknown` for nothing. Between two of them it must: the second would be something new.
        """
        self._calls.observe(event)
        if isinstance(event, AttemptSent):
            self._requests += 1
        elif isinstance(event, AttemptFinished):
            self._rate_limited += event.status == _TOO_MANY
        if not isinstance(event, AttemptSent | CallStarted | CallFinished | RetryScheduled):
            return
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment] # never None
        current = self._tasks.get(task)
        if current is None or event.method == "GET":
            return
        if isinstance(event, CallFinished):
            # A batch that is sent again without one of its volumes is a new call after an error:
            # what was in doubt still is.
            current.is_in_doubt = current.is_in_doubt and event.error is not None
            return
        if isinstance(event, RetryScheduled):
            current.is_in_doubt = current.is_in_doubt or event.is_in_doubt
        current.is_waiting = not isinstance(event, AttemptSent)
        if current.is_waiting and self._stopped is not None:
            task.cancel()

    async def _work(self, group: RequestGroup) -> list[Outcome[Step]]:
        if self._stopped is not None:
            return []  # stopped after this task was created and before it first ran
        shared = self._shared
        if shared is None:
            return await self._work_on(group)
        group = shared.take(group)
        try:
            return await self._work_on(group) if group else []
        finally:
            shared.let_go(group)

    async def _work_on(self, group: RequestGroup) -> list[Outcome[Step]]:
        outcomes: list[Outcome[Step]] = []
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment] # TaskPool's
        current = self._tasks[task] = _GroupTask(group)
        try:
            await self._execute(group, outcomes)
        except (asyncio.CancelledError, JournalError, StepsTakenError) as error:
            # Ended before its request left (X5): no outcome, so the step remains to be done.
            is_sent = not current.is_unsent
            if not isinstance(error, asyncio.CancelledError) and task.cancelling():
                # Cancelled by `_observe`, and ended by the gate before that could be met: left
                # pending, it would take the outcomes from the reader.
                with suppress(asyncio.CancelledError):
                    await self._clock.sleep(0)
            if not is_sent and self._shared is not None:
                self._shared.journal.give_up(step.key for step in group)
            if isinstance(error, JournalError):
                self._fail(error, "journal")
                why = str(error)
            elif current.is_waiting:
                why = "the response was lost, and the run stopped before it was sent again"
            else:
                why = "cancelled while in flight"
            text = "; ".join([why, *getattr(error, "__notes__", ())])
            known = {outcome.key for outcome in outcomes}
            outcomes.extend(
                Outcome(step, "unknown", step.key, step.region, text, error=error)
                for step in (group if is_sent else ())
                if step.key not in known
            )
        finally:
            del self._tasks[task]
        outcomes = await self._write(outcomes)
        # After the journal: a dependent must not start before this outcome would survive a crash.
        for outcome in outcomes:
            self._steps.record(outcome)
        # Steps that share a request fail together: that counts as one failure.
        self._failures += any(outcome.status in {"failed", "unknown"} for outcome in outcomes)
        shared = self._shared
        self._check_failures(self._failures if shared is None else shared.journal.state.failures)
        return outcomes

    def _check_failures(self, failures: int) -> None:
        most = self._options.max_failures
        if most is not None and failures > most:
            self._stop("max_failures")

    def _fail(self, error: Exception, why: str) -> None:
        """Start nothing more, and raise `error` once what is in flight has ended."""
        if self._broken is None:
            self._broken = error
        self._stop(why)

    async def _execute(self, group: RequestGroup, outcomes: list[Outcome[Step]]) -> None:
        # Steps that no verdict resolves go into the one request; the others end here.
        live: list[Step] = []
        for step in group:
            verdict = self._steps.resolve(step)
            if verdict is None:
                live.append(step)
            else:
                outcomes.append(outcome_of(step, verdict, resumed=verdict.status == "done"))
        shared = self._shared
        if shared is None:
            if live:
                with gated(self._check_stopped):
                    outcomes.extend(await self._executor.execute(live))
            return
        # Without a journal that can be written, no intent can be recorded: nothing more is sent.
        while live and shared.journal.broken is None:
            await shared.wait_for_room(live[0].key)
            try:
                with gated(shared.gate([step.key for step in live])):
                    outcomes.extend(await self._executor.execute(live))
            except StepsTakenError:
                if self._stopped is not None:
                    raise
                # Nothing was sent. What is free all the same waits for room, or for the journal.
                live = [step for step in live if shared.may(step.key)]
                shared.unclaim(group)
            else:
                return

    async def _check_stopped(self) -> Callable[[], bool]:
        """Let nothing more be sent once the run is stopped, nor anything sent again."""
        if self._stopped is not None:
            raise StepsTakenError
        return lambda: False

    async def _write(self, outcomes: list[Outcome[Step]]) -> list[Outcome[Step]]:
        """Write outcomes to the journal, if there is one; return those that may be seen."""
        shared = self._shared
        if shared is None or not outcomes:
            return outcomes
        ended = {outcome.key: Ended.of(outcome) for outcome in outcomes}
        try:
            # The request is over; a cancellation now must not lose the record of what it did.
            with suppress(asyncio.CancelledError):
                await run_to_completion(shared.journal.finish(ended, shared.may))
        except JournalError as error:
            self._fail(error, "journal")
            for outcome in outcomes:
                self._steps.record(outcome)
            return []
        return [outcome for outcome in outcomes if outcome.key in shared.journal.finished_here]
