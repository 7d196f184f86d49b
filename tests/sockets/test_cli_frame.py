"""What surrounds every command: pages, streams, signals, contexts and the configuration."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from do_blockstore_async.cli.registry import GROUPS
from tests.support.cli import BASH, CANARY, PROGRAM, Here, Server, Terminal, do, serving


@pytest.fixture(scope="module")
def api(home: Path) -> Iterator[Server]:
    with serving(home, "--volumes", "12", "--limits", "none", "--latency-ms", "2") as server:
        yield server


@pytest.fixture
def here(
    api: Server, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    return Here.at(api, home, monkeypatch, capsys)


def test_a_group_without_a_command_shows_its_help_and_is_a_usage_error(here: Here) -> None:
    for group in GROUPS:
        done = here(group)
        assert (done.code, done.out) == (2, "")
        assert f"Usage: do-blockstore {group} COMMAND" in done.err
        asked_for = here(group, "--help")
        assert (asked_for.code, asked_for.err) == (0, "")
        assert asked_for.out == done.err
        assert here("help", group).out == asked_for.out


def test_a_group_without_a_command_in_the_real_program(home: Path, api: Server) -> None:
    done = do("volumes", env=api.env(home))
    assert (done.code, done.out) == (2, "")
    assert "internal error" not in done.err


def test_help_and_version_in_the_ways_people_ask(here: Here) -> None:
    page = here("volumes", "list", "--help").out
    for words in (["help", "volumes", "list"], ["help", "vol", "ls"], ["vol", "ls", "-h"]):
        assert here(*words).out == page, words
    assert here("help").out == here("--help").out == here("-h").out
    assert here("-V").out == here("--version").out
    assert here("help", "volumes", "list", "more").code == 2
    assert "unknown command: volmes; did you mean volumes?" in here("help", "volmes").err
    assert ".SH COMMANDS" in here("man").out


def in_bash(line: str, env: dict[str, str]) -> tuple[int, str, str]:
    if BASH is None:
        pytest.skip("no bash")
    done = subprocess.run(  # noqa: S603 -- our own line
        [BASH, "-c", line.replace("PROGRAM", " ".join(PROGRAM))],
        env=env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_closed_streams_end_quietly(home: Path, api: Server, tmp_path: Path) -> None:
    env = api.env(home)
    piped = in_bash("PROGRAM --help | head -1; echo ${PIPESTATUS[0]}", env)
    assert piped[1].splitlines()[1:] == ["0"]
    assert piped[2] == ""
    assert in_bash("PROGRAM volumes list >&-", env) == (0, "", "")
    assert in_bash("PROGRAM volumes <&- >&- 2>&-", env) == (2, "", "")
    # What is opened first must not become stdout: here the journal.
    journal = tmp_path / "j.db"
    words = f"--simulate bulk snapshot --yes --journal {journal}"
    assert in_bash(f"PROGRAM {words} >&- 2>&-", env)[0] == 0
    assert journal.read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_command_with_its_own_code(
    home: Path, api: Server, number: signal.Signals
) -> None:
    with subprocess.Popen(  # noqa: S603 -- our own program
        [*PROGRAM, "quota", "--watch", "--interval", "60"],
        env=api.env(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err == ("terminated\n" if number == signal.SIGTERM else "interrupted\n")


def test_contexts_choose_token_and_api(
    here: Here, api: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("DIGITALOCEAN_API_URL", "")
    monkeypatch.setenv("DIGITALOCEAN_TOKEN", "")
    place = tmp_path / "do-blockstore" / "config.toml"
    assert here("config", "path").code == 1
    made = here("config", "init")
    assert (made.code, place.stat().st_mode & 0o777) == (0, 0o600)
    assert here("config", "path").out.strip() == str(place)
    again = here("config", "init")
    assert again.code == 2
    assert "exists already; it was not changed" in again.err

    (place.parent / "work.token").write_text(f"{CANARY}\n")
    (tmp_path / "doctl").mkdir()
    (tmp_path / "doctl" / "config.yaml").write_text("access-token: abc\nauth-contexts:\n  old: x\n")
    text = f"""# kept
[defaults]
output = "csv"
[contexts.work]
token_file = "work.token"
api_url = "{api.url}"
[contexts.vault]
token_command = ["{sys.executable}", "-c", "print('{CANARY}')"]
api_url = "{api.url}"
"""
    place.write_text(text)
    assert here("contexts", "use", "wrk").code == 2
    assert here("contexts", "use", "work").code == 0
    assert place.read_text() == f'context = "work"\n{text}'
    assert here("contexts", "use", "vault").code == 0
    assert place.read_text() == f'context = "vault"\n{text}'
    listed = json.loads(here("contexts", "ls", "-o", "json").out)
    assert [(each["name"], each["used"]) for each in listed] == [
        ("work", ""), ("vault", "*"), ("default", ""), ("old", ""),
    ]  # fmt: skip

    for words in ((), ("--context", "work")):
        done = here("volumes", "list", *words)
        assert done.code == 0, done.err
        assert done.out.startswith("id,name,")
    shown = json.loads(here("config", "show", "--context", "work", "-o", "json").out)
    assert {each["setting"]: each["source"] for each in shown}["api_url"] == "context work"
    unknown = here("volumes", "list", "--context", "wrok")
    assert unknown.code == 2
    assert "no context 'wrok'; did you mean work?" in unknown.err
    assert here("contexts", "list", "-o", "name").out.split() == ["work", "vault", "default", "old"]
    place.write_bytes(b'# a\r\n"context" = "vault"\r\n' + text.encode())
    assert "was not changed" in here("contexts", "use", "work").err
    place.write_bytes(text.replace("\n", "\r\n").encode())
    assert here("contexts", "use", "work").code == 0
    assert place.read_bytes() == f'context = "work"\n{text}'.replace("\n", "\r\n").encode()

    place.write_text("contxt = 'work'\n")
    broken = here("volumes", "list")
    assert broken.code == 2
    assert "unknown key contxt; did you mean context?" in broken.err
    place.write_text("[defaults]\noutput = 'yaml'\n")
    assert "output is one of table, " in here("volumes", "list").err
    # Whoever mends the file needs these.
    assert here("config", "path").code == 0


def test_headings_are_bold_at_a_terminal_only(home: Path, api: Server) -> None:
    terminal = Terminal("volumes", "--help", env=api.env(home), columns=40)
    assert "\x1b[1mCommands:\x1b[0m" in terminal.rest()
    plain = Terminal("volumes", "--help", env=api.env(home, NO_COLOR="1"))
    assert "\x1b" not in plain.rest()
