"""`do-blockstore jobs` without a database: cron's friend."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from do_blockstore_async._log.places import state_folder
from do_blockstore_async.bulk.model.outcome import Ended
from do_blockstore_async.bulk.model.plan import Plan
from do_blockstore_async.bulk.model.selection import Selection
from do_blockstore_async.bulk.planning.snapshots import snapshot_steps
from do_blockstore_async.cli.jobs.here import _due_journals, _run_name
from do_blockstore_async.jobs import Job, load_jobs, parse_jobs
from do_blockstore_async.simulator import Simulator, parse_faults
from tests.sockets.test_job_queue import Program
from tests.support.bulk_models import NOW, policy_of, volume
from tests.support.cli import CANARY, Here, Server, environment
from tests.support.journals import write_journal
from tests.support.web_services import until


@attrs.frozen
class Place:
    """A jobs file for one account, its simulator and the environment to run it in."""

    path: Path
    simulator: Simulator
    env: dict[str, str]

    async def run(self, *words: str) -> Program:
        return await Program.start("jobs", "run", str(self.path), *words, env=self.env)

    def journals(self) -> list[Path]:
        return sorted((self.path.parent / ".local/state/do-blockstore/jobs").glob("*.db"))


@asynccontextmanager
async def place(tmp_path: Path, more: str = "", **options: Any) -> AsyncIterator[Place]:
    async with Simulator(token=CANARY, limits="none", **options) as simulator:
        path = tmp_path / "cron.toml"
        path.write_text(
            f'budget = "process"\n[accounts.shop]\ntoken_env = "SHOP"\n'
            f'base_url = "{simulator.url}"\n'
            f'[jobs.nightly]\nkind = "snapshot"\nreport = "out/{{account}}.json"\n{more}'
        )
        yield Place(path, simulator, environment(tmp_path, SHOP=CANARY))


async def test_a_run_ends_with_its_report_and_without_a_journal(tmp_path: Path) -> None:
    async with place(tmp_path, volumes=5) as here:
        code, said = await (await here.run("nightly")).result()
        assert (code, here.journals()) == (0, []), said
        assert "nightly of shop: done: 5 done" in said
        assert json.loads((tmp_path / "out/shop.json").read_text())["counts"]["done"] == 5
        assert CANARY not in said
        # Again on the same day: all have theirs.
        code, said = await (await here.run()).result()
        assert (code, "5 skipped" in said) == (0, True)


async def test_a_killed_run_is_gone_on_with_and_two_at_once_are_refused(tmp_path: Path) -> None:
    # The first run does not end by itself, however slow the others are.
    faults = parse_faults("stall:POST /v2/volumes/*/snapshots:skip=3")
    async with place(tmp_path, "concurrency = 2", volumes=14, faults=faults) as here:
        world = here.simulator.world
        old = set(world.snapshots)
        first = await here.run("nightly")
        await until(lambda: len(world.snapshots) > len(old) + 2)
        code, said = await (await here.run("nightly")).result()
        assert code == 2
        assert "nightly of shop is already running in another process" in said
        first.process.send_signal(signal.SIGKILL)
        await first.result()
        assert len(here.journals()) == 1
        assert len(world.snapshots) < len(old) + 14
        faults.clear()
        code, said = await (await here.run("nightly")).result()
        assert code == 0, said
        assert "resuming an earlier run" in said
        taken = Counter(world.snapshots[each].volume_id for each in world.snapshots.keys() - old)
        assert (len(taken), set(taken.values())) == (14, {1})
        assert here.journals() == []


async def test_a_run_that_is_stopped_says_so_and_goes_on_later(tmp_path: Path) -> None:
    slow: dict[str, Any] = {"volumes": 14, "latency_s": 0.4}
    async with place(tmp_path, "concurrency = 2", **slow) as here:
        world = here.simulator.world
        old = len(world.snapshots)
        run = await here.run("nightly")
        await until(lambda: len(world.snapshots) > old + 2)
        code, said = await run.end()
        assert code == 143
        assert "nightly of shop: stopped" in said
        code, said = await (await here.run("nightly")).result()
        assert (code, len(world.snapshots)) == (0, old + 14)


def test_what_is_left_of_an_earlier_night_does_not_stand_for_this_one() -> None:
    nightly = parse_jobs(
        '[accounts.a]\ntoken_env = "A"\n[jobs.n]\nkind = "snapshot"\ncron = "30 2 * * *"',
        Path("x.toml"),
    ).jobs["n"]
    fresh = Path("x-n-20261128T023001Z.db")
    now = datetime(2026, 11, 28, 2, 30, 2, tzinfo=UTC)

    def to_run(job: Job, *left: str) -> list[Path | None]:
        return list(_due_journals(job, [Path(f"x-n-{stamp}.db") for stamp in left], fresh, now))

    assert to_run(nightly) == [fresh]
    # Of this night: that is the run. Of the one before: that one first, then this night's.
    assert to_run(nightly, "20261128T023000Z") == [Path("x-n-20261128T023000Z.db")]
    assert to_run(nightly, "20261127T023000Z") == [Path("x-n-20261127T023000Z.db"), fresh]
    # Without a schedule nobody knows which night it is: what is left is the run.
    unscheduled = attrs.evolve(nightly, schedule=None)
    assert to_run(unscheduled, "20261101T023000Z") == [Path("x-n-20261101T023000Z.db")]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    monkeypatch.setenv("A", CANARY)
    return Here.at(Server("http://127.0.0.1:1", CANARY), tmp_path, monkeypatch, capsys)


TEXT = """
[accounts.a]
token_env = "A"
base_url = "http://127.0.0.1:1"
[jobs.nightly]
kind = "snapshot"
cron = "30 2 * * *"
keep = { daily = 7 }
select = { tags = ["prod"] }
[jobs.prune]
kind = "prune"
keep = { last = 1 }
[jobs.all]
kind = "inventory"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "jobs.toml").write_text(TEXT)
    return tmp_path / "jobs.toml"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nightlyy",), 2, "did you mean nightly?"),
        (("nightly", "--account", "lab"), 2, "no account 'lab'; it has a"),
        (("nightly", "--token-file", "x"), 2, "token_env for each account"),
        (("nightly", "--budget-store", "machine"), 2, "budget at its top"),
        (("all", "--simulate"), 0, "done: 20 volumes"),
        ((), 2, "pass --yes"),
    ],
)
def test_words_and_exit_codes(
    here: Here, path: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    done = here("jobs", "run", str(path), *words)
    assert (done.code, says in done.err) == (code, True), done.err


def test_the_failure_of_an_account_is_told_in_a_line(here: Here, path: Path) -> None:
    path.write_text(TEXT.replace("http://127.0.0.1:1", "http://127.0.0.1"))
    done = here("jobs", "run", str(path), "all", "--limits", "1000/1")
    assert done.code == 1
    assert "all of a: " in done.err


def test_every_mistake_is_told_by_every_command(here: Here, path: Path) -> None:
    path.write_text(TEXT.replace('"A"', f'"{CANARY}"').replace('"prune"', '"prun"'))
    for command in ("check", "run", "worker", "schedule", "migrate"):
        wrong = here("jobs", command, str(path))
        assert wrong.code == 2
        assert f"{path}:3: token_env: " in wrong.err
        assert f"{path}:11: kind: must be one of" in wrong.err
        assert "2 mistakes; nothing was done" in wrong.err


def test_what_a_queue_needs_is_said(
    here: Here, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("worker", "schedule", "migrate"):
        none = here("jobs", command, str(path))
        assert (none.code, "set DO_BLOCKSTORE_DATABASE" in none.err) == (2, True)
    assert here("jobs", "worker", str(path), "--concurrency", "0").code == 2
    monkeypatch.setenv("DO_BLOCKSTORE_DATABASE", "postgresql://u:hunter2@127.0.0.1:1/x")
    for command in ("worker", "schedule", "migrate", "run"):
        away = here("jobs", command, str(path), *(("all",) if command == "run" else ()))
        assert (away.code, "does not answer" in away.err) == (1, True)
        assert "hunter2" not in away.err
    monkeypatch.delenv("A")
    missing = here("jobs", "worker", str(path))
    assert (missing.code, "set the environment variable A" in missing.err) == (2, True)
    path.write_text(TEXT.replace("cron", "# cron"))
    none = here("jobs", "schedule", str(path))
    assert (none.code, 'write cron = "30 2 * * *"' in none.err) == (2, True)


def test_check_shows_what_is_due_when(here: Here, path: Path) -> None:
    table = here("jobs", "check", str(path))
    assert table.code == 0
    assert "take snapshots of tag prod (keep daily 7)" in table.out
    first, second, third = json.loads(here("jobs", "check", str(path), "-o", "json").out)
    assert first["next"].endswith("T02:30:00Z")
    assert (second["schedule"], third["next"]) == ("", None)
    assert here("jobs", "check", str(path), "-o", "csv").out.count("\n") == 4


# How far runs are.


def plan_of(count: int) -> Plan:
    steps, _ = snapshot_steps([volume(n) for n in range(count)], [], policy_of(), None)
    return Plan(
        kind="snapshots", job="nightly", made_at=NOW, selection=Selection(), steps=tuple(steps)
    )


async def half_done(path: Path) -> None:
    plan = plan_of(4)
    keys = [step.key for step in plan.steps]
    ended = {keys[0]: Ended(status="done"), keys[1]: Ended(status="failed", reason="no")}
    await write_journal(path, plan, keys[:3], ended)


def test_the_status_of_a_journal(here: Here, tmp_path: Path) -> None:
    journal = tmp_path / "nightly.db"
    asyncio.run(half_done(journal))
    table = here("jobs", "status", str(journal))
    assert table.code == 0

    assert "nightly" in table.out
    assert "waiting" in table.out
    found = json.loads(here("jobs", "status", str(journal), "-o", "json").out)
    assert (found["total"], found["done"], found["failed"], found["remaining"]) == (4, 1, 1, 2)
    assert (found["in_doubt"], found["workers"], found["ends_in_s"]) == (1, [], None)
    for name in (str(tmp_path / "none.db"), "redis://h/0"):
        none = here("jobs", "status", name)
        assert none.code == 2, none.err
    away = here("jobs", "status", "postgresql://u:hunter2@127.0.0.1:1/x#nightly")
    assert away.code == 2
    assert "hunter2" not in away.err


def test_a_journal_is_watched_to_its_end(here: Here, tmp_path: Path) -> None:
    journal = tmp_path / "nightly.db"
    plan = plan_of(3)
    ended = {step.key: Ended(status="done") for step in plan.steps}
    asyncio.run(write_journal(journal, plan, list(ended), ended))
    done = here("jobs", "status", str(journal), "--watch")
    assert done.code == 0
    assert "nightly: 3 of 3; 3 done, 0 skipped, 0 failed, 0 unknown; no worker" in done.err


def test_the_status_of_a_file_shows_what_was_cut_off(here: Here, path: Path) -> None:
    none = here("jobs", "status", str(path))
    assert (none.code, "no runs in progress" in none.err) == (0, True)
    folder = state_folder() / "jobs"
    folder.mkdir()
    file = load_jobs(path)
    name = _run_name(file, file.jobs["nightly"], file.accounts["a"])
    asyncio.run(half_done(folder / f"{name}-20261128T023000Z.db"))
    (run,) = json.loads(here("jobs", "status", str(path), "-o", "json").out)
    assert (run["account"], run["job"], run["state"]) == ("a", "nightly", "waiting")
    assert run["counts"] == {"done": 1, "skipped": 0, "failed": 1, "unknown": 0, "remaining": 2}
    assert run["journal"].endswith("20261128T023000Z.db")
    watched = here("jobs", "status", str(path), "--watch")
    assert (watched.code, "name its journal" in watched.err) == (2, True)
