"""Journals as tests need them: written by workers that are gone, and read back."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from do_blockstore_async._clock import boot_s, new_name
from do_blockstore_async._log.places import boot_id
from do_blockstore_async._log.sqlite import SqliteStore
from do_blockstore_async.bulk.execution.journal import Journal
from do_blockstore_async.bulk.execution.journal_reader import JournalPlace, JournalReader
from do_blockstore_async.bulk.execution.journal_state import (
    FORMAT,
    Begun,
    Finished,
    Joined,
    JournalFact,
    JournalState,
    Left,
    Planned,
    Timing,
    encode_fact,
)
from do_blockstore_async.bulk.model.outcome import Ended
from do_blockstore_async.bulk.model.plan import Plan

LATE_S = 0.05
LONG_AGO_S = 3600.0


def anything(key: str) -> bool:
    """Every step may be begun or ended."""
    return True


def opened(plan: Plan) -> Planned:
    """The first fact of a journal."""
    return Planned("", FORMAT, msgspec.Raw(plan.to_json().encode()))


async def write_journal(
    path: Path,
    plan: Plan,
    begun: Collection[str] = (),
    finished: Mapping[str, Ended] | None = None,
    *,
    ago_s: float = LONG_AGO_S,
    left: bool = True,
) -> None:
    """Write what a worker did that is gone: it `left`, or is as dead as after kill -9."""
    store = SqliteStore(
        path,
        clock=lambda: boot_s() - ago_s,
        boot=boot_id(),
        new_id=new_name,
        synchronous="full",
        is_own=False,
    )
    facts: list[JournalFact] = [opened(plan), Joined("gone", "host/1", Timing.of(LATE_S))]
    if begun:
        facts.append(Begun("gone", tuple(begun)))
    if finished:
        facts.append(Finished("gone", dict(finished)))
    if left:
        facts.append(Left("gone"))
    await store.exchange(0, [encode_fact(fact) for fact in facts])
    await store.aclose()


async def read_journal(journal: str | os.PathLike[str]) -> JournalState:
    """What a journal says, to whoever only looks."""
    place = JournalPlace.of(journal)
    reader = JournalReader(place, place.open_store(create=False))
    try:
        await reader.read()
        return reader.state
    finally:
        await reader.aclose()


async def open_journal(
    journal: str | os.PathLike[str], plan: Plan | None, late_arrival_s: float = 30.0
) -> Journal:
    """Open a journal, as a client with this `Config.late_arrival_s` does."""
    return await Journal.open(journal, plan, late_arrival_s=late_arrival_s)


def failing_exchange(
    error: Exception, after: int = 0, only: Callable[[bytes], bool] = lambda fact: True
) -> Callable[..., object]:
    """An `SqliteStore._exchange` that fails after so many exchanges that write what `only` says."""
    real, count = SqliteStore._exchange, 0

    def exchange(
        store: SqliteStore,
        position: int,
        facts: tuple[bytes, ...],
        *arguments: object,
        **options: object,
    ) -> object:
        nonlocal count
        count += any(only(fact) for fact in facts)
        if facts and count > after and any(only(fact) for fact in facts):
            raise error
        return real(store, position, facts, *arguments, **options)  # type: ignore[arg-type]

    return exchange
