"""Bulk jobs by the real program: plans, journals, reports, exit codes; then at a terminal."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from do_blockstore_async.bulk import Plan
from do_blockstore_async.bulk.model.outcome import Ended
from tests.support.cli import (
    PROGRAM,
    Here,
    Server,
    Terminal,
    do,
    environment,
    has_colour,
    serving,
    without_styles,
)
from tests.support.journals import write_journal

# ptyprocess forks; the child does nothing but exec.
pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")

MAIN_JOB = ("--simulate", "bulk", "snapshot", "--keep-last", "2", "--yes")


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
    assert re.search(r"180 requests, (about 0:0\d|less than a second) at", done.err)
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
        (["create", "absent", "--format", "csv", "--yes"], 2, "absent cannot be read"),
        (["snapshot", "--report", "/no/such/folder/r.csv", "--yes"], 2, "cannot be written"),
        (["snapshot", "--journal", "/no/such/folder/j.db", "--yes"], 2, "does not exist"),
        (["snapshot", "--journal", "/no/such.db", "--resume", "--yes"], 2, "there is no journal"),
        (["snapshot", "--concurrency", "0", "--yes"], 2, "1 or more, not 0"),
        (["delete", "--tag", "a", "--max-share", "25", "--yes"], 2, "25 % is 0.25 or 25%"),
        (["delete", "--tag", "a", "--max-items=-1", "--yes"], 2, "0 or more, not -1"),
        (["snapshot", "--max-failures=-1", "--yes"], 2, "0 or more, not -1"),
        (["snapshot", "--max-pruned-share", "75", "--yes"], 2, "75 % is 0.75 or 75%"),
        (["snapshot", "--progress", "json"], 2, "add --yes"),
        (["create", "-"], 2, "cannot ask: pass --yes"),
        (["prune", "--journal", "j.db", "--resume", "--keep-last", "2"], 2, "which --keep-last"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else None,
)
def test_what_bulk_refuses(here: Here, words: list[str], code: int, says: str) -> None:
    done = here("bulk", *words)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    # Options are told before the plan is begun.
    assert "Listing" not in done.err or says in {"nothing is selected", "same", "absent.csv"}


# Journals.


def half_done(here: Here, folder: Path, region: str) -> Path:
    """The journal of a `bulk snapshot` with one snapshot taken, one in doubt, one to be taken."""
    names = ("--job", "half", "--template", "{volume}-{job}-{time}")
    made = here("bulk", "snapshot", "--region", region, *names, "--dry-run", "-o", "json")
    plan = Plan.from_json(made.out)
    first, second, _ = (step.key for step in plan.steps)
    path = folder / "half.db"
    asyncio.run(write_journal(path, plan, [second], {first: Ended(status="done")}))
    return path


def test_a_journal_of_another_command_is_refused(here: Here, tmp_path: Path) -> None:
    """`bulk prune --resume` on the journal of a `bulk snapshot` took and deleted snapshots."""
    journal = half_done(here, tmp_path, "sfo3")
    before = journal.read_bytes()
    for command in ("prune", "delete", "create"):
        done = here("-v", "bulk", command, "--journal", str(journal), "--resume", "--yes")
        assert (done.code, done.out) == (2, "")
        assert f"is of `bulk snapshot`, not of `bulk {command}`" in done.err
        assert f"do-blockstore bulk snapshot --journal {journal} --resume" in done.err
        assert "AttemptSent" not in done.err
    assert journal.read_bytes() == before


def test_what_is_left_is_shown_and_asked_for_before_it_is_done(here: Here, tmp_path: Path) -> None:
    journal = half_done(here, tmp_path, "blr1")
    before = journal.read_bytes()
    resume = ("bulk", "snapshot", "--journal", str(journal), "--resume")
    nobody = here("-v", *resume)
    assert (nobody.code, nobody.out) == (2, "")
    assert "pass --yes to confirm" in nobody.err
    assert "AttemptSent" not in nobody.err
    shown = here("-v", *resume, "--dry-run", "-o", "csv")
    assert shown.code == 0, shown.err
    assert "Run of job half, planned" in shown.err
    assert "1 done of 3" in shown.err
    assert "1 step was in flight when it ended: looked up first" in shown.err
    assert "Left: take 2 snapshots in 1 region (region blr1)" in shown.err
    assert "dry run: nothing was changed" in shown.err
    assert "AttemptSent" not in shown.err
    assert [row["action"] for row in csv.DictReader(io.StringIO(shown.out))] == [
        "create_snapshot"
    ] * 2
    assert journal.read_bytes() == before
    early = here(*resume, "--retry-failed", "--dry-run")
    assert "Left: nothing to do" in early.err
    done = here(*resume, "--yes", "-o", "json")
    assert done.code == 0, done.err
    assert "Left: take 2 snapshots" in done.err
    assert json.loads(done.out)["counts"]["done"] == 3


def test_journals_are_listed_and_shown(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = half_done(here, tmp_path, "nyc2")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    empty = here("journals", "list")
    assert (empty.code, empty.err) == (0, "no journals: every recorded run is done\n")
    folder = tmp_path / "do-blockstore"
    shutil.copy(journal, folder / "half.db")
    (folder / "other.db").write_text("something else")
    listed = here("journals", "list")
    assert listed.code == 0
    assert "other.db is not a journal; it was not changed" in listed.err
    resume = f"do-blockstore bulk snapshot --journal {folder / 'half.db'} --resume"
    assert f"to continue: {resume}\n" in listed.err
    assert "half.db" in listed.out
    (found,) = json.loads(here("journals", "list", "-o", "json").out)
    assert {name: found[name] for name in ("command", "job", "state", "done", "remaining")} == {
        "command": "bulk snapshot", "job": "half", "state": "stopped", "done": 1, "remaining": 2,
    }  # fmt: skip
    assert found["resume"] == resume
    (named,) = json.loads(here("journals", "list", str(journal), "-o", "json").out)
    assert named["journal"] == str(journal)
    missing = here("journals", "list", str(tmp_path / "no.db"))
    assert (missing.code, missing.out) == (2, "")

    shown = here("journals", "show", str(journal), "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(shown.out)))
    assert [row["state"] for row in rows] == ["done", "in_doubt", "not_started"]
    assert "Left: take 2 snapshots" in shown.err
    assert "  2 requests\n" in shown.err
    left = here("journals", "show", str(journal), "--state", "not_started", "-o", "json")
    assert [row["state"] for row in json.loads(left.out)] == ["not_started"]
    assert here("journals", "show", str(tmp_path / "no.db")).code == 2


# What programs read and write.


def typed_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


@pytest.mark.parametrize("written", ["csv", "json", "jsonl", "told"])
def test_volumes_to_create_come_from_standard_input(
    here: Here, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    rows = [{"name": f"{written}-{n}", "region": "nyc3", "size_gigabytes": 10} for n in range(2)]
    lines = "\n".join(json.dumps(row) for row in rows)
    text = {
        "csv": "\ufeffname,region,size_gigabytes\ncsv-0,nyc3,10\ncsv-1,nyc3,10\n",
        "json": f" {json.dumps(rows)}",
        "jsonl": lines,
        "told": f"\n{lines}",
    }[written]
    typed_in(monkeypatch, text)
    more = ("--format", "jsonl") if written == "told" else ()
    done = here("bulk", "create", "-", "--yes", "-o", "json", *more)
    assert done.code == 0, done.err
    items = json.loads(done.out)["items"]
    assert [item["name"] for item in items] == [f"{written}-0", f"{written}-1"]
    typed_in(monkeypatch, text)
    again = here("bulk", "create", "-", "--dry-run", *more)
    assert "skipped: 2, already exists" in again.err
    typed_in(monkeypatch, " \n")
    assert "standard input is empty" in here("bulk", "create", "-", "--yes").err


def test_progress_as_json_is_one_event_a_line(here: Here) -> None:
    region = ("--region", "tor1", "--template", "{volume}-events-{time}")
    done = here("bulk", "snapshot", *region, "--yes", "--progress", "json", "-o", "csv")
    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.err.splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", event["time"]) for event in events)
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["message", "plan"]
    assert kinds[-1] == "done"
    assert kinds.count("step") == events[1]["total"] == 3
    last, end = [event for event in events if event["event"] == "progress"][-1], events[-1]
    assert (last["done"], last["remaining"], last["ends_in_s"]) == (3, 0, 0.0)
    assert (end["conclusion"], end["exit_code"], end["resume"]) == ("done", 0, "")
    guarded = here("bulk", "delete", "--region", "tor1", "--max-items", "0", "--yes",
                   "--progress", "json")  # fmt: skip
    assert guarded.code == 4
    error = json.loads(guarded.err.splitlines()[-1])
    assert (error["event"], error["exit_code"]) == ("error", 4)
    silent = here("bulk", "snapshot", *region, "--yes", "--progress", "none")
    assert "of 3;" not in silent.err
    assert "Listing" not in silent.err


def _told(home: Path, server: Server, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 -- our own program
        [*PROGRAM, "bulk", "snapshot", "--yes", "--progress", "json", "--concurrency", "4", *words],
        env=server.env(home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _events(told: subprocess.Popen[str], until: str = "") -> list[dict[str, object]]:
    """Every line is an event, up to the first that holds a text, or to the end."""
    assert told.stderr is not None
    events = []
    for line in told.stderr:
        events.append(json.loads(line))
        if until and until in line:
            break
    return events


def test_every_ending_has_its_event(home: Path, tmp_path: Path) -> None:
    faults = "stall:POST /v2/volumes/*/snapshots:skip=1, stall:GET /v2/volumes:skip=1"
    journal = ("--journal", str(tmp_path / "events.db"))
    with serving(home, "--volumes", "12", "--limits", "none", "--faults", faults) as server:
        # While its requests are in flight, twice.
        with _told(home, server, *journal) as told:
            _events(told, '"event": "step"')
            told.send_signal(signal.SIGINT)
            assert _events(told, "stopping")[-1]["event"] == "stopping"
            told.send_signal(signal.SIGINT)
            end = _events(told)[-1]
        assert (told.returncode, end["event"], end["exit_code"]) == (130, "error", 130)
        resume = f"to continue: do-blockstore bulk snapshot --journal {journal[1]} --resume"
        assert end["text"] == f"quit at once; {resume}"
        # While it reads the account before it goes on.
        with _told(home, server, *journal, "--resume") as told:
            _events(told, "Checking")
            told.send_signal(signal.SIGINT)
            end = _events(told)[-1]
        assert (told.returncode, end["event"], end["exit_code"]) == (130, "error", 130)
        assert end["text"] == f"interrupted; {resume}"
        # While it lists the account.
        with _told(home, server) as told:
            _events(told, "Listing")
            told.terminate()
            end = _events(told)[-1]
        assert (told.returncode, end["event"], end["exit_code"]) == (143, "error", 143)
        assert end["text"] == "interrupted; nothing was done"


def test_the_time_zone_is_that_of_the_names(here: Here) -> None:
    """These two are never on the same day."""
    names = set()
    for zone in ("Pacific/Kiritimati", "Pacific/Niue"):
        words = ("--template", "{volume}-{date}", "--time-zone", zone, "--keep-daily", "3")
        plan = here("bulk", "snapshot", "--region", "sgp1", *words, "--dry-run", "-o", "json")
        document = json.loads(plan.out)["plan"]
        names.add(document["steps"][0]["name"][-10:])
        assert document["options"]["time_zone"] == zone
    assert len(names) == 2


def test_a_job_ends_as_ever_where_nobody_reads_what_it_tells(home: Path) -> None:
    words = shlex.join([*PROGRAM, *MAIN_JOB, "--limits", "9000/60", "--region", "nyc3"])
    for stderr in ("2>/dev/full", "2> >(exec 0<&-)"):
        done = subprocess.run(  # noqa: S603 -- our own words
            ["/bin/bash", "-c", f"{words} --progress json {stderr}"], env=environment(home),
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, stderr
        assert done.stdout.splitlines()[-1].split() == ["all", "10", "6", "0", "0"]


def test_closed_streams_give_no_traceback(home: Path, api: Server) -> None:
    for words, code in (
        ("volumes lst 2>&-", 2),
        ("quota <&- >&- 2>&-", 0),
    ):
        done = subprocess.run(  # noqa: S602 -- our own words
            f"{shlex.join(PROGRAM)} {words}", shell=True, env=api.env(home), text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


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
        rest = do(*job, "--resume", "--retry-failed", "--yes", env=env)
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
def test_plain_terminals_stay_plain(home: Path, extra: dict[str, str]) -> None:
    terminal = Terminal(
        "--simulate", "bulk", "snapshot", "--region", "lon1", "--yes",
        env=environment(home, **extra),
    )  # fmt: skip
    terminal.rest()
    assert terminal.code == 0
    assert not has_colour(terminal.seen)
    if "TERM" in extra:
        assert "\x1b" not in terminal.seen


def test_the_question_and_its_answers(home: Path, api: Server) -> None:
    env = api.env(home)
    job = ("bulk", "prune", "--keep-last", "1", "--region", "nyc1", "--region", "lon1",
           "--region", "fra1", "--region", "sfo2")  # fmt: skip
    terminal = Terminal(*job, env=env)
    shown = terminal.until(r"Go ahead\? \[y/N\] ")
    assert "USD a month" in shown
    assert "To be deleted permanently:" in shown
    terminal.type("\n")
    assert "nothing was done" in terminal.rest()
    assert terminal.code == 4
    for number, word, code in (
        (signal.SIGINT, "interrupted", 130),
        (signal.SIGTERM, "terminated", 143),
    ):
        terminal = Terminal(*job, env=env)
        terminal.until(r"Go ahead\? \[y/N\] ")
        terminal.child.kill(number)
        assert word in terminal.rest()
        assert terminal.code == code
    terminal = Terminal(*job, env=env)
    terminal.until(r"Go ahead\? \[y/N\] ")
    terminal.type("y\n")
    assert "deleted" in terminal.rest()
    assert terminal.code == 0
    terminal = Terminal(*job, env=env)
    terminal.until(r"nothing to do")
    terminal.rest()
    assert terminal.code == 0


def test_many_deletions_are_named_and_their_number_is_typed(home: Path, tmp_path: Path) -> None:
    with serving(home, "--volumes", "8", "--limits", "none") as server:
        env = server.env(home)
        name = "a-name-as-long-as-names-of-volumes-may-be-and-that-is-64-char-"
        file = tmp_path / "many.csv"
        file.write_text(
            "name,region,size_gigabytes\n"
            + "".join(f"{name}{number:02},nyc3,10\n" for number in range(23))
        )
        assert do("bulk", "create", str(file), "--yes", env=env).code == 0
        job = ("bulk", "delete", "--name", "a-name-*", "--max-share", "90%")
        terminal = Terminal(*job, env=env, columns=40)
        shown = without_styles(terminal.until(r"Type 23 to confirm: "))
        # Whole names, one on each line, whatever the width.
        lines = [line.strip() for line in shown.splitlines() if name in line]
        assert lines == [f"nyc3 {name}{number:02}" for number in range(20)]
        assert "  ... and 3 more; --dry-run lists all" in shown
        assert "23 volumes in all: 230 GiB, 23.00 USD a month" in shown
        terminal.type("23\n")
        assert "23 volumes deleted" in terminal.rest()
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
        terminal.until(
            r"stopping: waiting for \d+ requests? in flight; press Ctrl-C again to quit now"
        )
        end = without_styles(terminal.rest())
        assert terminal.code == 130
        assert re.search(r"stopped in .* snapshots? taken, \d+ not started", end)
        assert f"do-blockstore bulk snapshot --journal {journal} --resume" in end

        done = do(*job[:4], "--resume", "--yes", "-o", "json", env=env)
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
        terminal.until(r"stopping: waiting for 16 requests in flight")
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
    terminal.child.kill(signal.SIGTERM)
    # What waits for the budget was not sent: stopping need not wait for it.
    assert "nothing to resume (no journal)" in terminal.rest()
    assert terminal.code == 143


def test_quota_watch_draws_until_it_is_ended(home: Path, api: Server) -> None:
    terminal = Terminal("quota", "--watch", "--interval", "1", env=api.env(home))
    terminal.until(r"minute .*1 of 250 used")
    terminal.until(r"minute .*2 of 250 used")
    terminal.child.kill(signal.SIGTERM)
    terminal.rest()
    assert terminal.code == 143
    assert "\x1b[?25h" in terminal.seen
    once = do("quota", env=api.env(home, NO_COLOR="1"))
    assert "1 of 250 used" in once.out


def test_a_night_that_takes_nothing_fails_and_says_why(home: Path, tmp_path: Path) -> None:
    scenario = tmp_path / "full.toml"
    snapshots = ", ".join(f'{{name = "s-{day}", age_s = {day * 86_400}}}' for day in range(1, 26))
    scenario.write_text(f'[[volumes]]\nname = "db"\nregion = "nyc3"\nsnapshots = [{snapshots}]\n')
    with serving(home, "--scenario", str(scenario), "--limits", "none") as api:
        done = do("bulk", "snapshot", "--yes", env=api.env(home))
        # As `| head` leaves it: nobody reads what is printed, and what is kept is kept.
        reader, writer = os.pipe()
        os.close(reader)
        kept = tmp_path / "report.json"
        unread = do(
            "bulk", "snapshot", "--yes", "--report", str(kept), env=api.env(home), out=writer
        )
        os.close(writer)
    assert done.code == unread.code == 1
    for each in (done, unread):
        assert "warning: 0 of 1 snapshots taken (1: it has 25 snapshots" in each.err
    assert json.loads(kept.read_text())["conclusion"] == "failed"


def test_after_a_429_the_first_interrupt_takes_no_more_snapshots(home: Path) -> None:
    # The client reckons with DigitalOcean's limits, so that a 429 comes.
    with serving(home, "--volumes", "120", "--limits", "25/6,1500/60") as api:
        env = api.env(home, DO_BLOCKSTORE_BUDGET="process")
        terminal = Terminal("-v", "bulk", "snapshot", "--yes", env=env)
        terminal.until("RetryScheduled")
        terminal.interrupt()
        begun = time.monotonic()
        terminal.rest()
        assert terminal.code == 130
        assert time.monotonic() - begun < 5, "nothing waits for the next window"
        assert "not started" in terminal.seen
