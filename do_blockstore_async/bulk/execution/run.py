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
    another's; `max_failures` and `per_region` count those of all workers.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from ..._clock import boot_s, run_to_completion, wait_for_event
from ..._context import Gate, gated
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
from ...resources._ids import IdMap
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
from .resume import compute_remaining, examine
from .step_queue import RequestGroup, StepQueue

if TYPE_CHECKING:
    from rich import console as _rich
else:
    # Found where somebody resolves the annotations, and imported only then.
    _rich = ModuleLater("rich.console")

__all__ = ["Run", "RunOptions"]

# A journal that is slow must not keep a permit of the budget for longer.
_CLAIM_S: Final = 5.0
# Steps in doubt that can be looked up within so many seconds share the listings.
_TOGETHER_S: Final = 2.0
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
        self._journal: Journal | None = None
        # While it is entered.
        self._pool: TaskPool[RequestGroup, list[Outcome[Step]]] | None = None
        self._is_left = False
        self._steps = StepQueue()
        self._unread: deque[Outcome[Step]] = deque()
        # What is under way here, by task and by key.
        self._tasks: dict[asyncio.Task[Any], _GroupTask] = {}
        self._in_hand: set[str] = set()
        self._claimed: set[str] = set()
        self._regions: IdMap[str] = IdMap()
        # Steps that other workers have begun, or that are in doubt, by key.
        self._parked: set[str] = set()
        # Up to where the journal was known when the account was read: for all steps, and for those
        # that were looked up later.
        self._known = 0
        self._known_of: dict[str, int] = {}
        # Since when they have been in doubt, on the loop's clock, by key.
        self._doubtful_since: dict[str, float] = {}
        self._dependencies: Mapping[str, Step] = {}
        self._is_account_known = False
        self._settler: asyncio.Task[None] | None = None
        self._stirred = asyncio.Event()
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
        journal = self._journal
        elsewhere = in_doubt = 0
        look_up_in_s = last_in_s = 0.0
        pace = None
        if journal is not None and self._plan is not None:
            pace = journal.state.pace()
            doubtful = [
                journal.remaining_s(key)
                for key in self._parked
                if key in self._steps.open and not journal.state.is_held(key, journal.mine)
            ]
            in_doubt = len(doubtful)
            elsewhere = sum(key in self._steps.open for key in self._parked) - in_doubt
            look_up_in_s = max(0.0, min(doubtful, default=0.0))
            last_in_s = max(doubtful, default=0.0)
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
                *(in_s + self._throttle._response_s for in_s in (last_in_s, *retries_in_s)),
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
            look_up_in_s=look_up_in_s,
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
                self._journal = await Journal.open(
                    options.journal,
                    self._plan,
                    late_arrival_s=self._engine.config.late_arrival_s,
                )
            if self._plan is None and self._journal is not None:
                self._plan = self._journal.plan
                await in_thread(partial(options.guards.check, self._plan))
            with self._throttle.background(self.plan.job), observing(self._observe):
                await self._prepare()
                context = copy_context()
                if self._journal is not None:
                    self._settler = asyncio.create_task(
                        self._settle(self._journal), name="bulk journal settle"
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

    async def _prepare(self) -> None:
        """Find out what remains, and what is known of the others."""
        journal = self._journal
        if journal is not None:
            self._known = journal.state.position
            journal.changed = partial(self._on_change, journal)
        remaining = await compute_remaining(
            self.plan,
            journal,
            retry_failed=self._options.retry_failed,
            max_plan_age_s=self._options.max_plan_age_s,
            engine=self._engine,
            account=self._account,
        )
        plan, steps = self.plan, self._steps

        def start() -> None:
            steps.start(plan, remaining)
            if self._options.per_region is not None:
                self._regions.update((step.key, step.region) for step in plan.steps)

        await in_thread(start)
        self._parked.update(remaining.parked)
        self._dependencies = remaining.dependencies
        self._is_account_known = remaining.is_account_known
        if journal is not None:
            # What the others did while the account was read.
            touched = await in_thread(partial(journal.state.touched_since, self._known))
            self._on_change(journal, [key for key in touched if key in steps.open])

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
            self._stirred.set()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_left:
            return
        pool = self._entered()
        if exc_type is not None and self._journal is not None:
            self._journal.hurry()
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
        if self._journal is not None:
            await self._journal.close()

    # What the other workers do.

    def _on_change(self, journal: Journal, keys: Collection[str]) -> None:
        """Take over what others began or ended; `keys` says of which steps."""
        if journal.broken is not None:
            self._fail(journal.broken, "journal")
        state, steps = journal.state, self._steps
        for key in keys:
            finished = state.finished.get(key)
            if finished is not None:
                self._parked.discard(key)
                steps.record_end(key, finished)
            else:
                steps.reopen(key)
                if key in steps.open:
                    self._parked.add(key)
        for task, current in self._tasks.items():
            if current.is_unsent and not any(self._may(step.key) for step in current.group):
                task.cancel()
        self._check_failures(state.failures)
        self._stirred.set()

    def _may(self, key: str) -> bool:
        """Whether a step may be begun or ended here, as far as the journal is known."""
        if self._journal is None:
            return True
        state, mine = self._journal.state, self._journal.mine
        known = self._known_of.get(key, self._known)
        is_free = key not in self._parked and state.is_untouched(key, known)
        return is_free or state.is_mine(key, mine)

    async def _settle(self, journal: Journal) -> None:
        """Look up what became of steps in doubt, and put them into the queue again."""
        try:
            plan = self.plan
            steps = await in_thread(lambda: IdMap((step.key, step) for step in plan.steps))
            while self._stopped is None:
                self._stirred.clear()
                due, wait_s = self._due(journal)
                if wait_s > 0:
                    await wait_for_event(self._stirred, wait_s)
                else:
                    await self._look_up(journal, [steps[key] for key in due])
        except Exception as error:  # noqa: BLE001 -- raised to the reader
            self._fail(error, "account")

    async def _look_up(self, journal: Journal, chosen: Sequence[Step]) -> None:
        known = journal.state.position
        verdicts = await examine(
            self.plan,
            chosen,
            {step.key for step in chosen},
            self._dependencies,
            journal.state,
            self._account,
            is_account_known=self._is_account_known,
        )
        self._is_account_known = True
        # What another worker has taken meanwhile stays parked.
        free = [step for step in chosen if journal.state.is_untouched(step.key, known)]
        for step in free:
            self._known_of[step.key] = known
            self._parked.discard(step.key)
        self._steps.add(free, verdicts)

    def _due(self, journal: Journal) -> tuple[list[str], float]:
        """Return the steps in doubt that this worker is to look up next, and in how many seconds.

        One worker's look is enough: whoever joined first begins, the others give it time. Those of
        one moment are looked up together.
        """
        state, mine, now_s = journal.state, journal.mine, self._clock.monotonic()
        self._doubtful_since = {
            key: self._doubtful_since.get(key, now_s)
            for key in self._parked
            if key in self._steps.open and key not in self._in_hand and not state.is_held(key, mine)
        }
        turn = list(state.present).index(mine[-1]) if journal.is_present else 1
        in_s = {
            key: max(journal.remaining_s(key), since_s + turn * journal.timing.silent_s - now_s)
            for key, since_s in self._doubtful_since.items()
        }
        first_s = min(in_s.values(), default=math.inf)
        due = {key: wait_s for key, wait_s in in_s.items() if wait_s <= first_s + _TOGETHER_S}
        return list(due), max(due.values(), default=math.inf)

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
        # Since it was put into the queue, another worker may have begun it.
        group = tuple(
            step for step in group if step.key not in self._in_hand and self._may(step.key)
        )
        if self._stopped is not None or not group:
            return []  # stopped after this task was created and before it first ran
        keys = [step.key for step in group]
        self._in_hand.update(keys)
        try:
            return await self._work_on(group)
        finally:
            self._in_hand.difference_update(keys)
            self._claimed.difference_update(keys)
            self._stirred.set()

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
            if not is_sent and self._journal is not None:
                self._journal.give_up(step.key for step in group)
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
        journal = self._journal
        self._check_failures(self._failures if journal is None else journal.state.failures)
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
        journal = self._journal
        if journal is None:
            if live:
                with gated(self._check_stopped):
                    outcomes.extend(await self._executor.execute(live))
            return
        # Without a journal that can be written, no intent can be recorded: nothing more is sent.
        while live and journal.broken is None:
            await self._wait_for_room(journal, live[0].key)
            try:
                with gated(self._gate(journal, [step.key for step in live])):
                    outcomes.extend(await self._executor.execute(live))
            except StepsTakenError:
                if self._stopped is not None:
                    raise
                # Nothing was sent. What is free all the same waits for room, or for the journal.
                live = [step for step in live if self._may(step.key)]
                self._claimed.difference_update(step.key for step in group)
            else:
                return

    async def _check_stopped(self) -> Callable[[], bool]:
        """Let nothing more be sent once the run is stopped, nor anything sent again."""
        if self._stopped is not None:
            raise StepsTakenError
        return lambda: False

    def _gate(self, journal: Journal, keys: Sequence[str]) -> Gate:
        """Claim steps once their permit is granted: a step may wait for that for an hour."""
        is_first = True

        async def claim() -> Callable[[], bool]:
            nonlocal is_first
            await self._check_stopped()
            began_s = boot_s()
            try:
                # Once something was sent, only the engine knows what may have become of it.
                async with asyncio.timeout(_CLAIM_S if is_first else None):
                    granted = await journal.claim(keys, self._may_begin)
            except TimeoutError:
                granted = ()
            if len(granted) < len(keys):
                raise StepsTakenError
            is_first = False
            until_s = began_s + journal.timing.send_within_s
            return lambda: boot_s() > until_s

        return claim

    def _may_begin(self, key: str) -> bool:
        """Whether a step may be begun now; its room in the region is taken with it."""
        journal = self._journal
        is_mine = journal is not None and journal.state.is_mine(key, journal.mine)
        if is_mine or (self._may(key) and self._has_room(key)):
            self._claimed.add(key)
            return True
        return False

    def _has_room(self, key: str) -> bool:
        """Whether `per_region` allows one more step, those of other workers counted."""
        most, journal = self._options.per_region, self._journal
        if most is None or journal is None:
            return True
        state, mine, region = journal.state, journal.mine, self._regions[key]
        busy = {other for other in state.in_flight if state.is_held(other, mine)} | self._claimed
        return sum(self._regions[other] == region for other in busy - {key}) < most

    async def _wait_for_room(self, journal: Journal, key: str) -> None:
        """Wait where a permit of the budget could not be used: for room, or for the journal."""
        while journal.broken is None and (journal.is_away or not self._has_room(key)):
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLAIM_S):
                    await journal.next_change()

    async def _write(self, outcomes: list[Outcome[Step]]) -> list[Outcome[Step]]:
        """Write outcomes to the journal, if there is one; return those that may be seen."""
        journal = self._journal
        if journal is None or not outcomes:
            return outcomes
        ended = {outcome.key: Ended.of(outcome) for outcome in outcomes}
        try:
            # The request is over; a cancellation now must not lose the record of what it did.
            with suppress(asyncio.CancelledError):
                await run_to_completion(journal.finish(ended, self._may))
        except JournalError as error:
            self._fail(error, "journal")
            for outcome in outcomes:
                self._steps.record(outcome)
            return []
        return [outcome for outcome in outcomes if outcome.key in journal.finished_here]
