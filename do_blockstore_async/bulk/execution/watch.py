"""Look into the journal of a run that others carry out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator

from ..._clock import pause
from ..._log.store import LogStoreError
from ..errors import JournalError
from ..model.plan import Plan
from ..model.run_status import RunStatus, RunWorker
from .journal_reader import JournalPlace, JournalReader

__all__ = ["read_status", "watch_status"]


async def read_status(journal: str | os.PathLike[str]) -> RunStatus | None:
    """Return how far the run of a journal is, as `Bulk.status` does; no client is needed.

    Args:
        journal: a path, or `postgresql://host/database#NAME`.

    Returns:
        None if there is no such journal, or nothing in it yet.

    Raises:
        JournalError: something else is there, or it is not accessible.
    """
    place = JournalPlace.of(journal)
    if place.is_missing():
        return None
    reader = JournalReader(place, place.open_store(create=False))
    try:
        await reader.read()
        if not reader.state.position:
            return None
        return _status(reader, await reader.read_plan())
    except LogStoreError as error:
        raise JournalError(f"the journal {place} cannot be read: {error}") from None
    finally:
        await reader.aclose()


async def watch_status(journal: str | os.PathLike[str], every_s: float) -> AsyncIterator[RunStatus]:
    """Yield how far the run of a journal is, as `Bulk.watch` does; no client is needed.

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
        in_doubt=held[None],
        workers=tuple(
            RunWorker(
                name=worker.name,
                present_s=state.now_s - worker.joined_s,
                silent_s=state.now_s - worker.heard_s,
                in_flight=held[who],
            )
            for who, worker in state.present.items()
            if who not in state.silent()
        ),
        ends_in_s=remaining / pace if pace and state.present else None,
    )
