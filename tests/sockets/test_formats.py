"""Files of older versions: each is read by this one, or refused with a sentence that helps.

`tests/data/formats` holds one file of each format that there ever was, as `tests.package.formats`
of its version wrote it. Whoever raises a format's number adds the new file and keeps the old ones.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from do_blockstore_async import BlockStore, Config
from do_blockstore_async._clock import boot_s
from do_blockstore_async._log import opening
from do_blockstore_async._log import sqlite as log_file
from do_blockstore_async._ratelimit.shared import facts
from do_blockstore_async._ratelimit.shared import opening as shared_opening
from do_blockstore_async._ratelimit.shared.opening import log_key
from do_blockstore_async.bulk import JournalError, PlanError
from do_blockstore_async.bulk.execution import journal_state
from do_blockstore_async.bulk.model import plan
from do_blockstore_async.errors import ConfigError
from do_blockstore_async.simulator import Simulator
from tests.package.formats import JOB, TOKEN

FORMATS = Path(__file__).parents[1] / "data" / "formats"


def fixture_of(name: str, folder: Path) -> Path:
    """A copy that may be written to."""
    return Path(shutil.copy(FORMATS / name, folder))


def changed(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement, values)


def client(simulator: Simulator, **settings: Any) -> BlockStore:
    config = Config(late_arrival_s=1.0, **settings)
    return BlockStore(simulator.token, base_url=simulator.url, config=config)


def test_each_format_of_this_version_has_its_file() -> None:
    now = {
        f"plan-{plan.FORMAT}.json",
        f"journal-{journal_state.FORMAT}.db",
        f"budget-{facts.FORMAT}.db",
        "state-1.json",
    }
    assert now <= {path.name for path in FORMATS.iterdir()}
    assert log_file._FORMAT == 1, "journals and budgets lie in it: add both, with the new number"


async def test_a_plan_and_its_half_finished_journal_are_gone_on_with(tmp_path: Path) -> None:
    journal, state = fixture_of("journal-3.db", tmp_path), fixture_of("state-1.json", tmp_path)
    async with Simulator(token=TOKEN, state=state, limits="none") as simulator:
        async with client(simulator) as store:
            made = store.bulk.load_plan(FORMATS / "plan-2.json")
            status = await store.bulk.status(journal)
            assert status is not None
            assert (status.total, status.done) == (12, 6)
            async with store.bulk.resume(journal) as run:
                assert run.plan == made
                async for _ in run:
                    pass
        report = run.report()
        snapshots = Counter(
            each.volume_id
            for each in simulator.world.snapshots.values()
            if any(JOB in tag for tag in each.tags)
        )
    assert report.conclusion == "done", report
    assert snapshots == dict.fromkeys([step.volume_id for step in made.steps], 1)


async def test_a_budget_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older version spent in this hour counts, and a newer client is told of."""
    folder = tmp_path / "do-blockstore" / "budget"
    folder.mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(opening, "boot_id", lambda: "then")
    old = fixture_of("budget-1.db", tmp_path)
    with closing(sqlite3.connect(old)) as database:
        (last_s,) = database.execute("select max(at_s) from facts").fetchone()
        spent = [facts.decode(data) for (data,) in database.execute("select data from facts")]
    since_s = boot_s()

    def then_s() -> float:
        return float(last_s) + 20.0 + boot_s() - since_s

    monkeypatch.setattr(opening, "boot_s", then_s)
    monkeypatch.setattr(shared_opening, "boot_s", then_s)
    async with Simulator(token=TOKEN) as simulator:
        old.rename(folder / f"{log_key(TOKEN, simulator.url)}-then.db")
        async with client(simulator, budget="machine") as store:
            async for _ in store.regions.list():
                pass
            hour = store.quota.windows[-1]
            assert hour.used >= sum(isinstance(fact, facts.Done) for fact in spent) + 1
            assert [process.name for process in store.quota.processes]


def content_of(journal: Path) -> object:
    if journal.suffix != ".db":
        return journal.read_bytes()
    with closing(sqlite3.connect(journal)) as database:
        return [database.execute(f"select * from {name}").fetchall() for name in ("log", "facts")]  # noqa: S608


async def refusal_of(journal: Path) -> str:
    """What is said of a journal that this version does not read; it stays as it is."""
    before = content_of(journal)
    async with Simulator(volumes=1) as simulator, client(simulator) as store:
        with pytest.raises(JournalError) as caught:
            async with store.bulk.resume(journal):
                pass
        with pytest.raises(JournalError):
            await store.bulk.remove_journal(journal)
        assert not [request for request in simulator.requests if request.method != "GET"]
    assert content_of(journal) == before
    return str(caught.value)


@pytest.mark.parametrize("name", ["journal-1.txt", "journal-2.txt"])
async def test_journals_that_were_text_are_refused_with_what_to_do(
    name: str, tmp_path: Path
) -> None:
    said = await refusal_of(fixture_of(name, tmp_path))
    assert "written by an earlier version" in said
    assert "plan again; what exists already is skipped" in said


async def test_journals_of_a_later_format_are_refused_with_what_to_do(tmp_path: Path) -> None:
    journal = fixture_of("journal-3.db", tmp_path)
    with closing(sqlite3.connect(journal)) as database:
        (first,) = database.execute("select data from facts where position = 1").fetchone()
    later = bytes(first).replace(b'["plan","",3,', b'["plan","",4,')
    changed(journal, "update facts set data = ? where position = 1", later)
    assert "format 4, this version reads 3: resume it with the version" in await refusal_of(journal)


async def test_a_file_of_a_later_log_is_refused_with_what_to_do(tmp_path: Path) -> None:
    journal = fixture_of("journal-3.db", tmp_path)
    changed(journal, "update log set format = 2")
    before = journal.read_bytes()
    assert "use one version of the package for all processes" in await refusal_of(journal)
    assert journal.read_bytes() == before


async def test_plans_of_another_format_are_refused(tmp_path: Path) -> None:
    later = json.loads((FORMATS / "plan-2.json").read_text())
    later["format"] += 1
    (tmp_path / "later.json").write_text(json.dumps(later))
    async with Simulator(volumes=1) as simulator, client(simulator) as store:
        for path, number in ((FORMATS / "plan-1.json", 1), (tmp_path / "later.json", 3)):
            with pytest.raises(PlanError, match=f"format {number}, this version reads 2"):
                store.bulk.load_plan(path)


def test_facts_of_a_later_budget_are_refused() -> None:
    with closing(sqlite3.connect(FORMATS / "budget-1.db")) as database:
        (hello,) = database.execute("select data from facts where position = 1").fetchone()
    known = facts.decode(hello)
    assert isinstance(known, facts.Hello)
    with pytest.raises(ConfigError, match="use one version for all processes of a token"):
        facts.decode(facts.encode(msgspec.structs.replace(known, format=2)))


async def test_a_state_of_a_later_simulator_is_refused(tmp_path: Path) -> None:
    state = fixture_of("state-1.json", tmp_path)
    state.write_text(state.read_text().replace('"format":1', '"format":2'))
    with pytest.raises(ValueError, match="has format 2; this version reads format 1"):
        async with Simulator(state=state):
            pass
