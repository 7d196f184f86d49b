"""Look into the journal of a run that others carry out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from typing import TypeVar

from ..._clock import pause
from ..._log.store import LogStoreError
from ..concurrency.thread import in_thread
from ..errors import JournalError
from ..model.plan import Plan, Step
from ..model.rows import CompactRows, kept
from ..model.run_status import RunDetails, RunStatus, RunStep, RunWorker
from .journal_reader import JournalPlace, JournalReader
from .journal_state import JournalState
from .resume import pending_steps

__all__ = ["read_details", "read_status", "watch_status"]

T = TypeVar("T")


async def read_details(journal: str | os.PathLike[str]) -> RunDetails | None:
    """Return all that a journal says of its run, as `Bulk.details` does; no client is needed.

    Args:
        journal: a path, or `postgresql://host/database#NAME`.

    Returns:
        None if there is no such journal, or nothing in it yet.

    Raises:
        JournalError: something else is there, or it is not accessible.
    """
    return await _read(journal, _details)


async def read_status(journal: str | os.PathLike[str]) -> RunStatus | None:
    """Return how far the run of a journal is, as `Bulk.status` does; no client is needed.

    Args:
        journal: a path, or `postgresql://host/database#NAME`.

    Returns:
        None if there is no such journal, or nothing in it yet.

    Raises:
        JournalError: something else is there, or it is not accessible.
    """
    return await _read(journal, _status)


async def _read(
    journal: str | os.PathLike[str], make: Callable[[JournalReader, Plan], T]
) -> T | None:
    place = JournalPlace.of(journal)
    if place.is_missing():
        return None
    reader = JournalReader(place, place.open_store(create=False))
    try:
        await reader.read()
        if not reader.state.position:
            return None
        plan = await reader.read_plan()
        return await in_thread(lambda: make(reader, plan))
    except LogStoreError as error:
        raise JournalError(f"the journal {place} cannot be read: {error}") from None
    finally:
        await reader.aclose()


async def watch_status(journal: str | os.PathLike[str], every_s: float) -> AsyncIterator[RunStatus]:
    """Yield how far the run of a journal is, as `Bulk.watch` does; no client is needed.

    It ends once every step has an outcome, or the journal is removed.

    Args:
        journal: a path, or `postgresql://host/database#NAME`.
        every_s: seconds between two readings at least.

    Raises:
        JournalError: there is no journal, something else is there, or it is not accessible.
    """
    place = JournalPlace.of(journal)
    reader = JournalReader(place, place.open_store(create=False))
    try:
        plan: Plan | None = None
        position = -1
        while True:
            try:
                await reader.read()
            except LogStoreError as error:
                if plan is None:
                    raise JournalError(f"the journal {place} cannot be read: {error}") from None
                # A server that is being restarted.
                await pause(every_s)
                continue
            except JournalError:
                if plan is None or await read_status(journal) is not None:
                    raise
                return  # it was removed, as it is once nothing remains
            if plan is None:
                plan = await reader.read_plan()
            # Those who work write all the time; when nobody does, nothing changes.
            if reader.state.position != position:
                position = reader.state.position
                status = _status(reader, plan)
                yield status
                if status.is_finished:
                    return
            await pause(every_s)
            await reader.store.changed(position)
    finally:
        await reader.aclose()


def _status(reader: JournalReader, plan: Plan) -> RunStatus:
    state = reader.state
    counts = Counter(ended.status for ended in state.finished.values())
    silent = state.silent()
    held = Counter(state.holder(key) for key in state.in_flight)
    remaining = len(plan.steps) - len(state.finished)
    pace = state.pace()
    return RunStatus(
        kind=plan.kind,
        job=plan.job,
        made_at=plan.made_at,
        total=len(plan.steps),
        done=counts["done"],
        skipped=counts["skipped"],
        failed=counts["failed"],
        unknown=counts["unknown"],
        in_doubt=held[None] + sum(held[who] for who in silent),
        workers=tuple(
            RunWorker(
                name=worker.name,
                present_s=state.now_s - worker.joined_s,
                silent_s=state.now_s - worker.heard_s,
                in_flight=held[who],
            )
            for who, worker in state.present.items()
            if who not in silent
        ),
        ends_in_s=remaining / pace if pace and state.present else None,
    )


def _details(reader: JournalReader, plan: Plan) -> RunDetails:
    finished, silent = reader.state.finished, reader.state.silent()
    return RunDetails(
        status=_status(reader, plan),
        plan=plan,
        steps=kept(CompactRows(_run_step(reader.state, step, silent) for step in plan.steps)),
        pending=pending_steps(plan, finished),
        failed=pending_steps(plan, finished, retry_failed=True),
    )


def _run_step(state: JournalState, step: Step, silent: Collection[str]) -> RunStep:
    ended, holder = state.finished.get(step.key), state.holder(step.key)
    claim = state.claims.get(step.key)
    worker = "" if claim is None else state.workers[claim.worker].name
    if ended is not None:
        return RunStep(
            step=step,
            state=ended.status,
            reason=ended.reason,
            code=ended.code,
            duration_s=ended.duration_s,
            worker=worker,
        )
    if step.key not in state.in_flight:
        return RunStep(step=step, state="not_started")
    is_held = holder is not None and holder not in silent
    return RunStep(step=step, state="in_flight" if is_held else "in_doubt", worker=worker)
