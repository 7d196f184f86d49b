"""The command line without its programs: credentials, doctl's file, words, exit codes."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async import (
    AuthenticationError,
    ConfigError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QuotaWaitTooLongError,
    RateLimitedError,
    TransportError,
)
from do_blockstore_async._export import visible
from do_blockstore_async._ratelimit.status import QuotaStatus, WindowStatus
from do_blockstore_async.bulk import (
    GuardError,
    JournalError,
    Plan,
    PlanError,
    Report,
    Selection,
    SkippedStep,
    Step,
)
from do_blockstore_async.cli.app import Call, read
from do_blockstore_async.cli.auth import doctl
from do_blockstore_async.cli.auth.credentials import find_token
from do_blockstore_async.cli.bulk.notes import notes_in
from do_blockstore_async.cli.bulk.options import (
    Job,
    Keep,
    Pick,
    RunFlags,
    share_of,
    shown_journal,
)
from do_blockstore_async.cli.bulk.view import TYPED_FROM, confirm_plan, plan_lines, victim_lines
from do_blockstore_async.cli.exit_codes import CommandError, UsageError
from do_blockstore_async.cli.main import run
from do_blockstore_async.cli.options import Settings, using
from do_blockstore_async.cli.output import prompts
from do_blockstore_async.cli.output.errors import describe, exit_code, for_the_shell
from do_blockstore_async.cli.output.terminal import redact
from do_blockstore_async.cli.output.text import (
    bar,
    budget_left,
    budget_wait,
    clock_text,
    folded,
    span_text,
)
from do_blockstore_async.cli.registry import COMMANDS

TOKEN = "dop_v1_" + "0123456789abcdef" * 4
OTHER = "dop_v1_" + "fedcba9876543210" * 4


# doctl's configuration.


def config_at(home: Path, text: str) -> dict[str, str]:
    path = home / ".config" / "doctl" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}


WRITTEN_BY_DOCTL = f"""\
access-token: {TOKEN}
api-url: ""
app:
  create:
    spec: ""
    access-token: not-this-one
auth-contexts:
  team-two: {OTHER}
  "quoted name": '{OTHER}'
certificate:
  create:
    dns-names: []
context: default
output: text
"""


@pytest.fixture(autouse=True)
def _linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")


def test_tokens_come_out_of_what_doctl_writes(tmp_path: Path) -> None:
    env = config_at(tmp_path, WRITTEN_BY_DOCTL)
    assert doctl.current_token(env) == TOKEN
    assert doctl.token_of("default", env) == TOKEN
    assert doctl.token_of("team-two", env) == OTHER
    assert doctl.token_of("Team-Two", env) == OTHER
    assert doctl.token_of("quoted name", env) == OTHER
    assert doctl.current_token({**env, "DIGITALOCEAN_CONTEXT": "team-two"}) == OTHER
    says = (
        r"no context 'team-tow'; did you mean team-two\?.*doctl has default, quoted name, team-two"
    )
    with pytest.raises(UsageError, match=says) as caught:
        find_token(Settings(context="team-tow"), env)
    assert TOKEN not in str(caught.value)


def test_the_context_in_use_is_doctls_choice(tmp_path: Path) -> None:
    env = config_at(tmp_path, WRITTEN_BY_DOCTL.replace("context: default", "context: team-two"))
    assert doctl.current_token(env) == OTHER


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('access-token: "abc\n', "line 2: invalid YAML"),
        ("access-token: abc\n  b: [\n", "line 2: invalid YAML"),
        ("access-token: !!python/object/apply:os.system [abc]\n", "line 1: invalid YAML"),
        ("abc\n", "line 1: not a list of keys and values"),
        ("a: \x00abc\n", "invalid YAML"),
        ("[" * 1000, "invalid YAML"),
    ],
)
def test_what_is_not_a_configuration_is_named_without_showing_it(
    tmp_path: Path, text: str, reason: str
) -> None:
    env = config_at(tmp_path, text.replace("abc", TOKEN))
    with pytest.raises(UsageError, match=reason) as caught:
        doctl.token_of("default", env)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "access-token: 17\n", "auth-contexts: [a]\n", "auth-contexts:\naccess-token: ~\n"],
)
def test_a_configuration_without_a_token_has_none(tmp_path: Path, text: str) -> None:
    env = config_at(tmp_path, text)
    assert doctl.current_token(env) is None
    assert doctl.token_of("default", env) is None


names = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=20)


@given(
    contexts=st.dictionaries(names, st.from_regex(r"do[po]_v1_[0-9a-f]{8}", fullmatch=True)),
    default=st.from_regex(r"dop_v1_[0-9a-f]{8}", fullmatch=True),
    style=st.sampled_from([None, '"', "'", "|", ">"]),
)
def test_every_way_to_write_the_yaml_is_read(
    contexts: dict[str, str], default: str, style: Any
) -> None:
    document = {"access-token": default, "auth-contexts": contexts, "context": "default"}
    found = doctl.parse(yaml.safe_dump(document, default_style=style))
    assert found["access-token"] == default
    assert found["auth-contexts"] == contexts


def test_places_follow_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    home = {"HOME": "/home/me"}
    assert Path("/home/me/.config/doctl/config.yaml") in doctl.config_paths(home)
    assert Path("/home/me/snap/doctl/current/.config/doctl/config.yaml") in doctl.config_paths(home)
    assert doctl.config_paths({**home, "XDG_CONFIG_HOME": "/x"})[0] == Path("/x/doctl/config.yaml")
    assert doctl.config_paths({"DIGITALOCEAN_CONFIG": "/c.yaml"}) == [Path("/c.yaml")]
    monkeypatch.setattr(sys, "platform", "darwin")
    mac = Path("/home/me/Library/Application Support/doctl/config.yaml")
    assert doctl.config_paths(home)[0] == mac
    monkeypatch.setattr(sys, "platform", "win32")
    assert doctl.config_paths({**home, "APPDATA": "/appdata"})[0] == Path(
        "/appdata/doctl/config.yaml"
    )


# The token.


def test_the_token_comes_from_the_most_explicit_place(tmp_path: Path) -> None:
    env: Mapping[str, str] = config_at(tmp_path, WRITTEN_BY_DOCTL)
    file = tmp_path / "token"
    file.write_text("  from-file\n\n")
    access = {**env, "DIGITALOCEAN_ACCESS_TOKEN": "from-access"}
    both = {**access, "DIGITALOCEAN_TOKEN": "from-token\n"}
    assert find_token(Settings(), env) == TOKEN
    assert find_token(Settings(), access) == "from-access"
    assert find_token(Settings(), both) == "from-token"
    assert find_token(Settings(context="team-two"), both) == OTHER
    assert find_token(Settings(token_file=file), both) == "from-file"
    with pytest.raises(UsageError, match="exclude each other"):
        find_token(Settings(token_file=file, context="x"), both)


def test_no_token_says_where_one_could_be(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    with pytest.raises(UsageError, match=r"DIGITALOCEAN_TOKEN.*--token-file.*doctl.*--simulate"):
        find_token(Settings(), env)
    blank = {**env, "DIGITALOCEAN_TOKEN": " ", "DIGITALOCEAN_ACCESS_TOKEN": "second"}
    assert find_token(Settings(), blank) == "second"
    with pytest.raises(UsageError, match=r"config.toml has none, doctl has none"):
        find_token(Settings(context="x"), env)


@pytest.mark.parametrize("content", [b"", b"two\nlines\n", b"\xff\xfe\x00"])
def test_a_token_file_holds_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="token file"):
        find_token(Settings(token_file=file), {})
    with pytest.raises(UsageError, match="No such file"):
        find_token(Settings(token_file=tmp_path / "absent"), {})


# Words.


def test_nothing_steers_the_terminal_and_no_token_is_shown() -> None:
    assert visible("a\x1b[31mb\r\nc\u202e\x9b") == "a\\x1b[31mb\\r\\nc\\u202e\\x9b"
    assert visible("grün, 大, tab\there") == "grün, 大, tab\there"
    assert redact(f"Unknown option: {TOKEN}.") == "Unknown option: dop_v1_***."


def test_spans_and_bars() -> None:
    assert [clock_text(s) for s in (-1, 0.4, 7, 754, 3723)] == [
        "0:00",
        "0:00",
        "0:07",
        "12:34",
        "1:02:03",
    ]
    assert [span_text(s) for s in (0.4, 7)] == ["less than a second", "0:07"]
    for share in (-1.0, 0.0, 0.3, 1.0, 7.0):
        filled, rest = bar(40, share)
        assert len(filled) + len(rest) == 40
    assert bar(10, 1.0)[1] == ""


def status(**changes: object) -> QuotaStatus:
    values: dict[str, object] = {
        "windows": (WindowStatus(250, 60.0, 20, 0, 25), WindowStatus(5000, 3600.0, 20, 0, 250)),
        "remaining": 230, "waiting": 1, "waiting_background": 1, "in_flight": 0,
        "paused_for_s": 0.0, "probing": False, "available_in_s": 0.0,
        "background_available_in_s": 0.0,
        "granted": 20, "done": 20, "lost": 0, "unused": 0,
    }  # fmt: skip
    return QuotaStatus(**{**values, **changes})  # type: ignore[arg-type]


def test_a_wait_says_why() -> None:
    minute = (WindowStatus(250, 60.0, 225, 0, 25), WindowStatus(5000, 3600.0, 300, 0, 250))
    hour = (WindowStatus(250, 60.0, 0, 0, 25), WindowStatus(5000, 3600.0, 4000, 750, 250))
    assert budget_wait(status(waiting=0)) is None

    def reason(next_s: float, **changes: object) -> str:
        found = budget_wait(status(background_available_in_s=next_s, **changes))
        return "" if found is None else found.text

    assert reason(0.2) == ""
    assert reason(12.3, windows=minute) == "minute budget: next request in 12 s"
    assert reason(754.0, windows=hour) == "hourly budget: next request in 12:34"
    assert "asked for a pause: next request in 9 s" in reason(9.0, paused_for_s=9.0)
    assert "nothing is left of the hour" in reason(30.0, probing=True)
    assert budget_left(status()) == "230/250 a minute, 4,980/5,000 an hour"


# Failures.


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("u"), 2, "u"),
        (CommandError("c", 4), 4, "c"),
        (InvalidArgumentError("not an id"), 2, "not an id"),
        (ConfigError("bad token"), 2, "bad token"),
        (QuotaWaitTooLongError("too long", retry_after=12.2), 5, "try again in 12 s"),
        (RateLimitedError("slow", status=429, kind="burst", retry_after=3.0), 5, "in 3 s"),
        (RateLimitedError("slow", status=429, kind="hourly"), 5, "do-blockstore quota"),
        (RateLimitedError("slow", status=429, kind="capacity"), 1, "storage limit"),
        (RateLimitedError("slow", status=429, kind="snapshot_cooldown"), 1, "ten minutes"),
        (AuthenticationError("no", status=401), 1, "cloud.digitalocean.com"),
        (
            PermissionDeniedError("no", status=403, scopes=("block_storage:read",)),
            1,
            "block_storage:read",
        ),
        (NotFoundError("gone", status=404), 1, "gone"),
        (TransportError("refused", sent=False), 1, "check the network"),
        (ConfigError("base_url must be https"), 2, "the API's URL must be https"),
        (OutcomeUnknownError("lost"), 1, "check before you repeat it"),
        (PlanError("edited"), 2, "edited"),
        (JournalError("in use"), 2, "in use"),
        (
            GuardError("allow more with max_items", items=1, fleet=1, max_items=0, max_share=0),
            4,
            "--max-items",
        ),
        (OSError(28, "No space left on device"), 1, "No space left"),
        (TypeError("a defect"), 1, "internal error: TypeError: a defect; --verbose"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_failure_has_a_line_and_a_code(error: Exception, code: int, words: str) -> None:
    line = describe(error, Settings())
    assert words in line
    assert "\n" not in line
    assert exit_code(error) == code


# Options.


def test_options_become_the_values_of_bulk() -> None:
    assert Pick().selection().is_everything
    pick = Pick(region=("nyc3",), tag=("a", "b"), name="db-*", unattached=True).selection()
    assert (pick.regions, pick.tags, pick.name, pick.attached) == (
        ("nyc3",),
        ("a", "b"),
        "db-*",
        False,
    )
    with pytest.raises(UsageError, match="exclude each other"):
        Pick(attached=True, unattached=True).selection()
    assert Keep().retention() is None
    keep = Keep(keep_last=2, keep_weekly=4, keep_within="2d", keep_tag=("keep",)).retention()
    assert keep is not None
    assert (keep.last, keep.weekly, str(keep.within), keep.tags) == (2, 4, "2d", ("keep",))


def test_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    there = str(tmp_path / "a.db")
    for running, words in [
        (RunFlags(resume=True), "--journal FILE"),
        (RunFlags(retry_failed=True, journal=there), "add --resume"),
        (RunFlags(journal=there), "add --resume to continue"),
        (RunFlags(journal=str(tmp_path / "no" / "a.db")), "folder of the journal .* not exist"),
        (RunFlags(report=tmp_path / "no" / "r.json"), "cannot be written"),
    ]:
        with pytest.raises(UsageError, match=words):
            running.check()
    RunFlags(journal=there, resume=True, report=tmp_path / "r.json").check()


@pytest.mark.parametrize(
    ("text", "share"),
    [("0.25", 0.25), ("25%", 0.25), (" 100 % ", 1.0), ("0", 0.0), ("1", 1.0), (None, None)],
)
def test_a_share_is_a_number_up_to_one_or_a_percentage(
    text: str | None, share: float | None
) -> None:
    assert share_of("--max-share", text) == share


@pytest.mark.parametrize("text", ["25", "-1", "250%", "a", "", "nan", "inf", "%", "1%2", "5%%"])
def test_what_is_no_share_says_what_one_is(text: str) -> None:
    with pytest.raises(UsageError, match="--max-share takes a share between 0 and 1") as caught:
        share_of("--max-share", text)
    assert ("25 % is 0.25 or 25%" in str(caught.value)) == (text == "25")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"concurrency": 0}, "--concurrency takes a whole number, 1 or more, not 0"),
        ({"max_failures": -1}, "--max-failures takes a whole number, 0 or more, not -1"),
        ({"max_items": -1}, "--max-items takes a whole number, 0 or more, not -1"),
        ({"max_share": "25"}, "--max-share takes a share"),
        ({"progress": "json"}, "add --yes"),
    ],
)
def test_numbers_out_of_range_are_told_before_anything_is_sent(
    flags: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        RunFlags(**flags).check()


def test_options_that_would_change_the_plan_are_refused_with_resume(tmp_path: Path) -> None:
    running = RunFlags(resume=True, journal=str(tmp_path / "a.db"))
    given = (*Pick(region=("nyc3",), name="a").given, *Keep(keep_last=0, match_by="tag").given)
    assert given == ("--region", "--name", "--keep-last", "--match-by")
    # Also where what was typed is the default.
    assert Job(job="nightly", time_zone="UTC").given == ("--job", "--time-zone")
    with pytest.raises(UsageError, match="which --region, --name, --keep-last, --match-by would"):
        running.check(given)
    running.check()


@given(
    words=st.lists(st.text("a-", min_size=1, max_size=30), min_size=1, max_size=8),
    width=st.integers(20, 100),
)
def test_folding_never_breaks_a_word(words: list[str], width: int) -> None:
    text = "  " + " ".join(words)
    lines = folded(text, width, "    ")
    assert " ".join(lines).split() == words
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)
    assert folded(text, 0) == [text]


def test_texts_of_the_library_name_the_options_at_the_terminal() -> None:
    assert (
        for_the_shell("not kept by last 2, tag a,b") == "not kept by --keep-last 2, --keep-tag a,b"
    )
    assert for_the_shell("allow more with max_items") == "allow more with --max-items"
    for keep, words in (
        (Keep(keep_last=0), "such as --keep-last 2"),
        (Keep(keep_daily=-2), "--keep-daily takes a whole number, or -1 for all, not -2"),
        (Keep(keep_within="soon"), "--keep-within: not a duration such as 1y5m7d2h: 'soon'"),
        (Keep(keep_tag=(" ",)), "--keep-tag: not a tag"),
    ):
        with pytest.raises(UsageError, match=words):
            keep.retention()


def some_plan(count: int) -> Plan:
    steps = tuple(
        Step(
            key=f"delete-volume:{number}",
            action="delete_volume",
            name=f"db-{number:02}",
            region="nyc3",
            volume_id=f"{number}",
            volume_name=f"db-{number:02}",
            target_id=f"{number}",
            size_gigabytes=100,
            attached=number == 1,
            monthly_cost=-10.0,
        )
        for number in range(count)
    )
    skips = tuple(
        SkippedStep(name=f"web-{n}", region="ams3", code="attached", reason="attached")
        for n in range(7)
    )
    return Plan(
        kind="deletions",
        job="delete",
        made_at=datetime(2026, 11, 28, tzinfo=UTC),
        selection=Selection(tags=("old",)),
        steps=steps,
        skips=skips,
    )


def test_a_confirmation_names_the_victims_and_what_they_cost() -> None:
    lines = victim_lines(some_plan(24), 0)
    assert lines[1] == "  nyc3 db-00 (100 GiB)"
    assert lines[2] == "  nyc3 db-01 (100 GiB, attached)"
    assert lines[-2:] == [
        "  ... and 4 more; --dry-run lists all",
        "  24 volumes in all: 2,400 GiB, 240.00 USD a month",
    ]
    assert len(lines) == 1 + 20 + 2
    assert victim_lines(some_plan(1), 20)[1:3] == ["  nyc3 db-00", "      100 GiB"]
    assert victim_lines(some_plan(0), 80) == []
    # Attached ones are told before asking.
    told = "  skipped: 7, attached to a Droplet: ams3 web-0, ams3 web-1, ams3 web-2, ams3 web-3, "
    assert f"{told}ams3 web-4 and 2 more" in plan_lines(some_plan(1))


@pytest.mark.parametrize(
    ("count", "typed", "goes"),
    [(20, "y", True), (21, "y", False), (21, "21", True), (1200, "1,200", True), (21, "", False)],
)
def test_large_plans_ask_for_their_number(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    count: int,
    typed: str,
    goes: bool,
) -> None:
    assert TYPED_FROM == 20
    monkeypatch.setattr(prompts, "check_can_ask", lambda *, yes: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
    if goes:
        confirm_plan(some_plan(count), yes=False)
    else:
        with pytest.raises(CommandError, match="nothing was done") as caught:
            confirm_plan(some_plan(count), yes=False)
        assert caught.value.code == 4
    asked = capsys.readouterr().err
    assert (f"This deletes {count:,} items. Type {count} to confirm: " in asked) == (count > 20)


@pytest.mark.parametrize(
    ("number", "code"), [(None, 0), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
@pytest.mark.parametrize("is_handled", [False, True])
def test_sigterm_ends_like_ctrl_c_with_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, number: int | None, code: int, is_handled: bool
) -> None:
    def work(words: list[str]) -> int:
        try:
            if number is not None:
                signal.raise_signal(number)
        except KeyboardInterrupt:
            if not is_handled:
                raise
            return 130
        return 0

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("do_blockstore_async.cli.main._run", work)
    assert run([]) == code
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_journal_is_named_without_its_password() -> None:
    assert shown_journal("nightly.db") == "nightly.db"
    assert shown_journal("postgresql://me:pw@h:5/db?a=b#n") == "postgresql://me@h:5/db?a=b#n"
    assert shown_journal("postgresql://h/db#n") == "postgresql://h/db#n"
    for url in (
        "postgresql://me:se#cret@h/db#n",
        "postgresql://me:se/cret@h/db#n",
        "postgresql://me:se?cret@h/db#n",
        "postgresql://h/db?user=me&password=secret#n",
        "postgresql://[bad/db?password=secret",
    ):
        assert "cret" not in shown_journal(url)


def test_a_real_run_is_journalled_even_when_nobody_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path, ours = RunFlags().journal_path(Settings(), "a:b", "20261123T120000Z")
    assert path is not None
    assert Path(path).parent == tmp_path / "do-blockstore"
    assert Path(path).name.startswith("a-b-20261123T120000Z-")
    assert ours
    assert RunFlags().journal_path(Settings(simulate=True), "a", "s") == (None, False)
    mine = str(tmp_path / "mine")
    assert RunFlags(journal=mine).journal_path(Settings(), "a", "s") == (mine, False)


# The table of commands.


def test_quiet_keeps_the_way_to_go_on_after_a_stop(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(kind="snapshots", job="nightly", rows=())
    with using(Settings(quiet=True)):
        notes_in("none").done(report, 3, "to continue: this", None)
    assert capsys.readouterr().err == "to continue: this\n"


def test_every_example_parses() -> None:
    import shlex

    for command in COMMANDS:
        words = shlex.split(command.example)
        assert command.example.startswith(command.words), command
        asked = read(words[: words.index(">")] if ">" in words else words)
        assert isinstance(asked, Call), command
        assert asked.command == command


def test_help_and_usage_errors_load_no_http_client() -> None:
    script = (
        "import sys\n"
        "from do_blockstore_async.cli.main import run\n"
        "code = run(sys.argv[1:])\n"
        "heavy = {'aiohttp', 'msgspec', 'cattrs', 'asyncio', 'rich.console'}\n"
        "heavy = heavy & set(sys.modules)\n"
        "print('LOADED', sorted(heavy), code)"
    )
    for words in (["--help"], ["bulk", "snapshot", "--help"], ["volumes", "lst"]):
        done = subprocess.run(  # noqa: S603 -- our own words
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
        )
        code = 2 if "lst" in words else 0
        assert f"LOADED [] {code}" in done.stdout, (words, done.stdout[-300:])
