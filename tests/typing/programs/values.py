"""Models as plain data and back, the status of the budget, and errors with what they carry."""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_type

from do_blockstore_async import (
    BlockStore,
    OutcomeUnknownError,
    QuotaStatus,
    QuotaWaitTooLongError,
    RateLimitedError,
    Volume,
    make_converter,
)
from do_blockstore_async.events import AttemptSent, Event, observing

converter = make_converter()


async def plain_data(store: BlockStore) -> Volume:
    volume = await store.volumes.get("00000000-0000-0000-0000-000000000000")
    assert_type(volume.created_at, datetime)
    assert_type(volume.tags, tuple[str, ...])
    data: dict[str, Any] = converter.unstructure(volume)
    return converter.structure(data, Volume)


async def errors(store: BlockStore) -> float | None:
    try:
        await store.volumes.find("db", region="nyc3", timeout=1.5)
    except QuotaWaitTooLongError as error:
        return error.retry_after
    except RateLimitedError as error:
        return error.retry_after
    except OutcomeUnknownError as error:
        print(error.candidate)
    return None


async def observed(store: BlockStore) -> list[float]:
    waits: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, AttemptSent):
            waits.append(assert_type(event.waited_s, float))

    with observing(note):
        await store.volumes.find("db", region="nyc3")
    assert_type(store.quota, QuotaStatus)
    assert_type(store.quota.windows[0].used_by_others, int)
    return waits
