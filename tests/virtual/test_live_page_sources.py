"""What the live page of a budget knows of other processes, and of runs under way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from do_blockstore_async import Config
from do_blockstore_async.cli.pages.runs import RunsUnderWay
from do_blockstore_async.cli.pages.sources import BudgetSource
from do_blockstore_async.simulator import World, connect_in_process
from tests.support.fleet import Fleet, judge_for
from tests.support.virtual_time import virtual


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = tmp_path / "do-blockstore"
    home.mkdir()
    (home / "notes.db").write_text("no journal")
    return home


def notes(source: BudgetSource) -> list[str]:
    return [row["note"] for row in source.happened]


@virtual
async def test_of_other_processes_the_ledger_tells_how_much_and_who_waits() -> None:
    config = Config()
    fleet = Fleet(config, judge_for(config, "sliding"))
    here, other = fleet.process(), fleet.process()
    source = BudgetSource(RunsUnderWay())
    source.watch(here.throttle, "api.example")
    await here.call()
    await other.call()
    await source.state()
    other.start(300, background=True)
    await asyncio.sleep(5)
    state = await source.state()
    waiting = {process["name"]: process["background"] for process in state["processes"]}
    assert waiting[here.name] == 0
    # A burst is sent, the rest is paced.
    assert 0 < waiting[other.name] < 300
    (told,) = notes(source)
    assert told == f"{300 - waiting[other.name]} requests of other processes"
    assert state["counts"]["requests"] == 300 - waiting[other.name]
    minute = state["budgets"][0]["windows"][0]
    assert minute["used"] + minute["others"] + minute["remaining"] == minute["limit"]
    assert 0 < minute["next_free_in_s"] <= minute["all_free_in_s"] <= 62
    await fleet.finish()


@virtual
async def test_a_refusal_of_another_process_is_told() -> None:
    config = Config()
    stricter = Config(windows=((3, 60.0), (5000, 3600.0)))
    fleet = Fleet(config, judge_for(stricter, "sliding"))
    here, other = fleet.process(), fleet.process()
    source = BudgetSource(RunsUnderWay())
    source.watch(here.throttle, "api.example")
    await here.call()
    await source.state()
    for _ in range(3):
        await other.call()
    await asyncio.sleep(1.0)
    state = await source.state()
    assert state["counts"]["refused"] == 1
    assert any("a request of another process was refused" in note for note in notes(source))
    assert "asked to wait" in state["waiting"]["why"]["interactive"]
    await fleet.finish()


async def test_a_run_is_shown_while_it_lasts_and_once_it_has_ended(state_home: Path) -> None:
    journal = state_home / "nightly-\udcff.db"  # no name in UTF-8, but one in a file system
    runs = RunsUnderWay()
    world = World(volumes=30, seed=7, limits="none")
    async with connect_in_process(world, config=Config(), latency_s=(0.01, 0.01)) as store:
        plan = await store.bulk.plan_snapshots()
        during: list[dict[str, Any]] = []
        async with store.bulk.run(plan, journal=str(journal), concurrency=1) as run:
            async for _ in run:
                during = during or await runs.read()
    (shown,) = during
    assert (shown["name"], shown["total"], shown["is_over"]) == (r"nightly-\udcff", 30, False)
    assert msgspec.json.encode(shown)
    assert len(shown["workers"]) == 1
    assert [each["is_over"] for each in await runs.read()] == [True]
    journal.unlink()
    assert [each["is_over"] for each in await runs.read()] == [True]
    assert await RunsUnderWay([str(journal)]).missing() == [str(journal)]
    assert await RunsUnderWay().read() == []
