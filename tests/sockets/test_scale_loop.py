"""How much is done in one turn of the event loop, and what a service holds: neither may grow.

Counted, not timed: lines of Python that run in the loop's thread between two of its turns.
"""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from benchmarks.scale.fleet import ROOMY, Fleet, open_store
from benchmarks.scale.service import calls_of_a_service
from do_blockstore_async import Config
from do_blockstore_async.bulk import Retention
from do_blockstore_async.bulk.concurrency.thread import in_thread
from tests.support.virtual_time import run_virtual
from tests.support.web_services import until


class Turns:
    """The most lines that ran in one turn of the loop, and where most of them were."""

    def __init__(self) -> None:
        self.most = 0
        self.where: dict[str, int] = {}
        self._here: dict[str, int] = {}

    def trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if "do_blockstore_async" not in frame.f_code.co_filename:
            return None
        if event == "line":
            name = frame.f_code.co_qualname
            self._here[name] = self._here.get(name, 0) + 1
        return self.trace

    def turn(self) -> None:
        lines = sum(self._here.values())
        if lines > self.most:
            self.most, self.where = lines, self._here
        self._here = {}


async def a_night(volumes: int, folder: Path) -> Turns:
    """Plan a night, enter it with a journal, leave it, and resume it."""
    turns, loop, is_over = Turns(), asyncio.get_running_loop(), False

    def beat() -> None:
        turns.turn()
        if not is_over:
            loop.call_soon(beat)

    # What comes in one turn is decoded in one: few pages, so that a small fleet has more of them.
    store, _ = open_store(Fleet(volumes), Config(**ROOMY, page_concurrency=2))
    journal = folder / f"{volumes}.db"
    async with store:
        loop.call_soon(beat)
        before = sys.gettrace()
        sys.settrace(turns.trace)
        try:
            plan = await store.bulk.plan_snapshots(keep=Retention(last=4))
            run = store.bulk.run(plan, journal=journal, max_items=math.inf)
            await run.__aenter__()
            await anext(run)
            run.stop()
            await run.__aexit__(None, None, None)
            run = store.bulk.resume(journal, max_items=math.inf)
            await run.__aenter__()
            run.stop()
            await run.__aexit__(None, None, None)
            await store.bulk.inventory()
        finally:
            sys.settrace(before)
            is_over = True
    return turns


def test_a_turn_of_the_loop_takes_no_longer_in_a_large_fleet(tmp_path: Path) -> None:
    asyncio.run(a_night(5, tmp_path))  # imports
    small = asyncio.run(a_night(60, tmp_path))
    large = asyncio.run(a_night(240, tmp_path))
    assert large.most <= 1.3 * small.most, sorted(large.where.items(), key=lambda one: -one[1])[:5]


def test_a_service_holds_no_more_after_more_calls() -> None:
    first, second, third = run_virtual(calls_of_a_service(5_000, (0.5, 0.75, 1.0)))
    assert second.objects - first.objects < 20
    assert third.objects - second.objects < 20


def test_work_in_a_thread_begins_when_the_loop_has_turned() -> None:
    """Not while the loop still starts the thread: it would wait for it at each lock."""

    def work() -> list[str]:
        frame, names = sys._current_frames()[threading.main_thread().ident or 0], []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back  # type: ignore[assignment] # its end
        return names

    async def several() -> list[str]:
        return [name for _ in range(20) for name in await in_thread(work)]

    assert {"in_thread", "submit", "start", "_read_from_self"}.isdisjoint(asyncio.run(several()))


def test_work_in_a_thread_is_done_where_the_loop_turns_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("do_blockstore_async.bulk.concurrency.thread._LONGEST_S", 0.01)
    is_done = threading.Event()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(in_thread(is_done.set))
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert is_done.wait(60)
        loop.run_until_complete(task)


async def test_work_in_a_thread_that_fails_keeps_nothing() -> None:
    class Large:
        pass

    async def failing() -> weakref.ref[Large]:
        large = Large()

        def work() -> None:
            raise LookupError(large)

        with suppress(LookupError):
            await in_thread(work)
            pytest.fail("it was done")
        return weakref.ref(large)

    gc.collect()
    gc.disable()
    try:
        reference = await failing()
        await until(lambda: reference() is None)
    finally:
        gc.enable()
