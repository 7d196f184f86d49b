"""The command line without its programs: credentials, doctl's file, words, exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
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
from do_blockstore_async.bulk import GuardError, JournalError, PlanError
from do_blockstore_async.cli.app import Call, read
from do_blockstore_async.cli.auth import doctl
from do_blockstore_async.cli.auth.credentials import find_token
from do_blockstore_async.cli.bulk.options import Keep, Pick, RunFlags, shown_journal
from do_blockstore_async.cli.exit_codes import CommandError, UsageError
from do_blockstore_async.cli.options import Settings
from do_blockstore_async.cli.output.errors import describe, exit_code
from do_blockstore_async.cli.output.terminal import redact
from do_blockstore_async.cli.output.text import bar, budget_left, clock_text, waiting_reason
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
    with pytest.raises(UsageError, match="it has: default, quoted name, team-two") as caught:
        doctl.token_of("nobody", env)
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
        ("[" * 5000, "invalid YAML"),
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
    with pytest.raises(UsageError, match="it has: none"):
        doctl.token_of("default", env)


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
    with pytest.raises(UsageError, match="there is none at"):
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
    assert waiting_reason(status(waiting=0)) == ""

    def reason(next_s: float, **changes: object) -> str:
        return waiting_reason(status(background_available_in_s=next_s, **changes))

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
        (RunFlags(resume=True, journal=there, dry_run=True), "--dry-run"),
        (RunFlags(journal=there), "add --resume to continue"),
        (RunFlags(journal=str(tmp_path / "no" / "a.db")), "folder of the journal .* not exist"),
        (RunFlags(report=tmp_path / "no" / "r.json"), "cannot be written"),
    ]:
        with pytest.raises(UsageError, match=words):
            running.check()
    RunFlags(journal=there, resume=True, report=tmp_path / "r.json").check()


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
