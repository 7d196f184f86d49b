"""Bulk jobs by the real program: plans, journals, reports, exit codes; then at a terminal."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import (
    Here,
    Server,
    Terminal,
    do,
    environment,
    has_colour,
    serving,
    without_styles,
)

# ptyprocess forks; the child does nothing but exec.
pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")

MAIN_JOB = ("--simulate", "bulk", "snapshot", "--keep-last", "2", "--yes")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def api(home: Path) -> Iterator[Server]:
    """Slow enough that an interrupt meets something under way."""
    words = ("--volumes", "36", "--limits", "none", "--seed", "7", "--latency-ms", "20")
    with serving(home, *words) as server:
        yield server


@pytest.fixture
def here(
    api: Server, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    return Here.at(api, home, monkeypatch, capsys)


# Without a terminal.


def test_the_main_job_ends_with_a_table_for_each_region(home: Path) -> None:
    # A budget without waits; the terminal below has the real one.
    done = do(*MAIN_JOB, "--limits", "9000/60,99000/3600", env=environment(home))
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0] == ["region", "taken", "pruned", "skipped", "failed"]
    assert len(rows) == 1 + 12 + 1
    assert rows[-1] == ["all", "120", "60", "0", "0"]
    assert "Plan: take 120 snapshots, delete 60 snapshots in 12 regions" in done.err
    assert "180 requests, about 0:0" in done.err
    assert re.search(
        r"Snapshots: 180 of 180; 180 done, .* budget left [\d,]+/9,000 a minute", done.err
    )
    assert "120 snapshots taken, 60 snapshots deleted\n180 requests, 0 rate limited" in done.err
    assert "\x1b" not in done.out + done.err
    # An embedded simulator's job leaves no journal behind.
    assert not (home / ".local").exists()


def test_plans_and_reports_in_every_form(here: Here, home: Path, tmp_path: Path) -> None:
    region = ("--region", "ams3")
    plan = here("bulk", "snapshot", *region, "--dry-run", "-o", "json")
    assert plan.code == 0
    steps = json.loads(plan.out)["plan"]["steps"]
    assert [step["action"] for step in steps] == ["create_snapshot"] * 3
    rows = list(csv.reader(io.StringIO(
        here("bulk", "snapshot", *region, "--dry-run", "-o", "csv").out
    )))  # fmt: skip
    assert [row[0] for row in rows] == ["action", *["create_snapshot"] * 3]

    report = tmp_path / "report.csv"
    done = here("bulk", "snapshot", *region, "--yes", "-o", "json", "--report", str(report))
    assert done.code == 0
    document = json.loads(done.out)
    assert document["counts"] == {"done": 3, "failed": 0, "skipped": 0, "unknown": 0}
    assert len(report.read_text().splitlines()) == 4
    # Everything was done: the journal that nobody asked for is gone.
    assert not list((home / ".local" / "state" / "do-blockstore").iterdir())

    text = tmp_path / "report.txt"
    again = here("bulk", "snapshot", *region, "--yes", "--report", str(text))
    assert again.code == 0
    assert "nothing to do" in again.err
    assert "skipped: 3" in again.err
    assert text.read_text().count("skipped") == 3
    # Only results, for cron.
    quiet = here("bulk", "snapshot", *region, "--yes", "--quiet", "--job", "quiet")
    assert (quiet.code, quiet.err) == (0, "")
    assert quiet.out.startswith("region ")
    inventory = json.loads(here("bulk", "inventory", "-o", "json").out)
    assert inventory["total"]["volumes"] == 36
    table = here("bulk", "inventory", *region).out.splitlines()
    assert table[-1].startswith("all")
    assert len(table) == 5


@pytest.mark.parametrize("trouble", ["no folder", "a network drive", "a name too long", "no home"])
def test_a_default_journal_that_cannot_be_is_said_and_done_without(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if trouble == "no folder":
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    elif trouble == "a network drive":
        monkeypatch.setattr("do_blockstore_async._log.sqlite._file_system", lambda folder: "nfs")
    elif trouble == "no home":
        for name in ("XDG_STATE_HOME", "HOME", "USERPROFILE"):
            monkeypatch.delenv(name, raising=False)

        def nobody(path: Path) -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "expanduser", nobody)
    else:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ("n" * 300)))
    template = ("--template", "{volume}-" + trouble.replace(" ", "-"))
    done = here("bulk", "prune", "--region", "fra1", "--keep-last", "25", "--yes")
    assert done.code == 0, done.err
    assert done.err.count("no journal (") == 1
    assert "Traceback" not in done.err
    named = tmp_path / "named.db"
    if trouble == "a network drive":
        # One that the user named must work.
        words = ("bulk", "snapshot", "--region", "sfo3", *template, "--journal", str(named))
        refused = here(*words, "--yes")
        assert refused.code == 2
        assert "network file system (nfs), whose locks do not hold" in refused.err


def test_create_and_delete_many(here: Here, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "volumes.csv"
    file.write_text(
        "name,region,size_gigabytes,tags\n"
        + "".join(f"many-{number},nyc3,10,of-test;x\n" for number in range(5))
    )
    made = here("bulk", "create", str(file), "--yes")
    assert made.code == 0, made.err
    assert "5 volumes created" in made.err
    guarded = here("bulk", "delete", "--tag", "of-test", "--max-items", "2", "--yes")
    assert guarded.code == 4
    assert "--max-items" in guarded.err
    everything = here("bulk", "delete", "--yes")
    assert everything.code == 2
    assert "every volume" in everything.err
    which = ("--tag", "of-test", "--name", "many-*")
    gone = here("bulk", "delete", *which, "--snapshot-first", "--yes", "-o", "csv")
    assert gone.code == 0, gone.err
    rows = list(csv.DictReader(io.StringIO(gone.out)))
    assert [row["status"] for row in rows] == ["done"] * 10


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["prune", "--yes"], 2, "--keep-last 7"),
        (["prune", "--keep-last", "-2", "--yes"], 2, "-1 for all"),
        (["prune", "--keep-last", "-1"], 2, "--yes"),
        (["snapshot", "--keep-within", "soon", "--yes"], 2, "1y5m7d2h"),
        (["snapshot", "--name", "nobody-*", "--yes"], 2, "nothing is selected"),
        (["snapshot", "--template", "same", "--yes"], 2, "same"),
        (["snapshot", "--resume", "--yes"], 2, "--journal FILE"),
        (["create", "--yes"], 2, "missing FILE"),
        (["create", "absent.csv", "--yes"], 2, "absent.csv"),
        (["snapshot", "--report", "/no/such/folder/r.csv", "--yes"], 2, "cannot be written"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else None,
)
def test_what_bulk_refuses(here: Here, words: list[str], code: int, says: str) -> None:
    done = here("bulk", *words)
    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_partly_done_says_how_to_repeat_the_rest(home: Path, tmp_path: Path) -> None:
    # The second and third snapshot are sent elsewhere, which is never followed.
    faults = "redirect:POST /v2/volumes/*/snapshots:skip=1:times=2"
    with serving(home, "--volumes", "12", "--limits", "none", "--faults", faults) as server:
        env = server.env(home)
        journal = tmp_path / "partly.db"
        job = ("bulk", "snapshot", "--journal", str(journal))
        done = do(*job, "--yes", "--concurrency", "1", env=env)
        assert done.code == 3, done.err
        assert len([line for line in done.err.splitlines() if line.startswith("failed:")]) == 2
        assert f"--journal {journal} --resume --retry-failed" in done.err
        taken = do(*job, "--yes", env=env)
        assert taken.code == 2
        assert "add --resume" in taken.err
        rest = do(*job, "--resume", "--retry-failed", env=env)
        assert rest.code == 0, rest.err


def test_too_many_failures_stop_the_job(home: Path, tmp_path: Path) -> None:
    with serving(
        home,
        "--volumes",
        "12",
        "--limits",
        "none",
        "--faults",
        "redirect:POST /v2/volumes/*/snapshots",
    ) as api:
        report = ("--report", "/dev/full") if Path("/dev/full").exists() else ()
        done = do("bulk", "snapshot", "--yes", "--max-failures", "2", "--concurrency", "1", *report,
                  env=api.env(home))  # fmt: skip
        assert done.code == 4
        assert "too many failures" in done.err
        assert "to continue: do-blockstore bulk snapshot --journal" in done.err
        if report:
            assert "report could not be written to /dev/full: No space left" in done.err


# At a terminal.


def test_the_main_job_at_a_terminal(home: Path) -> None:
    terminal = Terminal(*MAIN_JOB, env=environment(home))
    terminal.until(r"Snapshots")
    terminal.until(r"to go")
    terminal.until(r"left: .*a minute")
    end = without_styles(terminal.rest())
    assert terminal.code == 0
    assert "180/180 100%" in end
    assert re.search(r"all +120 +60 +0 +0", end)
    assert has_colour(terminal.seen)
    assert terminal.seen.rstrip().endswith("a month")
    # The cursor is back, and no line was wider than the terminal.
    assert terminal.seen.rfind("\x1b[?25h") > terminal.seen.rfind("\x1b[?25l")
    bars = [line for line in re.split(r"[\r\n]+", without_styles(terminal.seen)) if "━" in line]
    assert bars
    assert max(map(len, bars)) < 80


@pytest.mark.parametrize("extra", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_plain_terminals_stay_plain(home: Path, api: Server, extra: dict[str, str]) -> None:
    terminal = Terminal(
        "bulk", "snapshot", "--region", "lon1" if "TERM" in extra else "tor1", "--yes",
        "--job", f"plain-{len(extra['TERM'])}" if "TERM" in extra else "plain",
        "--template", "{volume}-{job}-{time}",
        env=api.env(home, **extra),
    )  # fmt: skip
    terminal.rest()
    assert terminal.code == 0
    assert not has_colour(terminal.seen)
    if "TERM" in extra:
        assert "\x1b" not in terminal.seen


def test_the_question_and_its_answers(home: Path, api: Server) -> None:
    env = api.env(home)
    job = ("bulk", "prune", "--keep-last", "1")
    terminal = Terminal(*job, env=env)
    shown = terminal.until(r"Go ahead\? \[y/N\] ")
    assert "delete" in shown
    assert "USD a month" in shown
    terminal.type("\n")
    assert "nothing was done" in terminal.rest()
    assert terminal.code == 4
    terminal = Terminal(*job, env=env)
    terminal.until(r"Go ahead\? \[y/N\] ")
    terminal.interrupt()
    assert "interrupted" in terminal.rest()
    assert terminal.code == 130
    terminal = Terminal(*job, env=env)
    terminal.until(r"Go ahead\? \[y/N\] ")
    terminal.type("y\n")
    assert "snapshots deleted" in terminal.rest()
    assert terminal.code == 0
    terminal = Terminal(*job, env=env)
    terminal.until(r"nothing to do")
    terminal.rest()
    assert terminal.code == 0


def test_ctrl_c_ends_in_order_and_resume_goes_on(home: Path, tmp_path: Path) -> None:
    words = ("--volumes", "24", "--limits", "none", "--latency-ms", "200")
    journal = tmp_path / "a.db"
    with serving(home, *words) as server:
        env = server.env(home)
        job = ("bulk", "snapshot", "--journal", str(journal), "--job", "interrupted")
        terminal = Terminal(*job, "--yes", "--concurrency", "4", env=env, columns=200)
        terminal.until(r"snapshot taken")
        terminal.interrupt()
        terminal.until(r"stopping: waiting for \d+ in flight")
        end = without_styles(terminal.rest())
        assert terminal.code == 130
        assert re.search(r"stopped in .* snapshots? taken, \d+ not started", end)
        assert f"do-blockstore bulk snapshot --journal {journal} --resume" in end

        done = do(*job[:4], "--resume", "-o", "json", env=env)
        assert done.code == 0, done.err
        assert json.loads(done.out)["counts"]["done"] == 24
        listed = do("snapshots", "list", "-o", "json", env=env)
        mine = [
            each
            for each in json.loads(listed.out)
            if "bulk-job:interrupted" in (each["tags"] or ())
        ]
        assert len(mine) == len({each["resource_id"] for each in mine}) == 24


def test_a_second_ctrl_c_leaves_at_once(home: Path, tmp_path: Path) -> None:
    journal = tmp_path / "b.db"
    with serving(home, "--volumes", "24", "--limits", "none", "--faults",
                 "stall:POST /v2/volumes/*/snapshots") as server:  # fmt: skip
        job = ("bulk", "snapshot", "--journal", str(journal))
        terminal = Terminal(*job, "--yes", env=server.env(home), columns=200)
        terminal.until(r"Snapshots .*0/24")
        # Two listings and sixteen snapshots have left; what has not left is simply given up.
        terminal.until(r"232/250 a minute")
        terminal.interrupt()
        terminal.until(r"stopping: waiting for 16 in flight")
        terminal.interrupt()
        end = terminal.rest()
        assert terminal.code == 130
        assert f"quit at once; to continue: do-blockstore bulk snapshot --journal {journal}" in end
        assert "\x1b[?25h" in end
        assert b'["begun"' in Path(f"{journal}-wal").read_bytes() + journal.read_bytes()


def test_a_wait_for_the_budget_says_why(home: Path) -> None:
    terminal = Terminal(
        "--simulate", "--limits", "15/4,5000/3600", "bulk", "snapshot", "--region", "nyc3",
        "--region", "ams3", "--yes", env=environment(home),
    )  # fmt: skip
    terminal.until(r"4 s budget: next request in \d s")
    terminal.interrupt()
    # What waits for the budget was not sent: stopping need not wait for it.
    assert "nothing to resume (no journal)" in terminal.rest()
    assert terminal.code == 130


def test_quota_watch_draws_until_ctrl_c(home: Path, api: Server) -> None:
    terminal = Terminal("quota", "--watch", "--interval", "1", env=api.env(home))
    terminal.until(r"minute .*1 of 250 used")
    terminal.until(r"minute .*2 of 250 used")
    terminal.interrupt()
    assert "interrupted" in terminal.rest()
    assert terminal.code == 130
    assert "\x1b[?25h" in terminal.seen
    once = do("quota", env=api.env(home, NO_COLOR="1"))
    assert "1 of 250 used" in once.out
