"""The configuration file: what it may say, what beats it, and that no token stands in it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async.cli.auth.credentials import find_token, source_of
from do_blockstore_async.cli.auth.source import API, SourceOptions, account_key, find_source
from do_blockstore_async.cli.config_file import TEMPLATE, config_path, load, parse
from do_blockstore_async.cli.exit_codes import UsageError
from do_blockstore_async.cli.options import Settings
from do_blockstore_async.cli.session import settled

TOKEN = "dop_v1_" + "0123456789abcdef" * 4
PLACE = Path("/home/me/.config/do-blockstore/config.toml")
CONTEXTS = """
context = "work"
[defaults]
output = "csv"
api_url = "https://default.example"
[contexts.work]
token_file = "work.token"
api_url = "https://work.example"
budget_store = "process"
[contexts.play]
token_env = "PLAY_TOKEN"
[contexts.vault]
token_command = ["{python}", "-c", "print('from-command')"]
"""


def env_with(home: Path, text: str) -> dict[str, str]:
    folder = home / ".config" / "do-blockstore"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(text)
    (folder / "work.token").write_text("from-file\n")
    return {"HOME": str(home)}


def test_the_template_says_nothing_and_every_line_of_it_can_be_used() -> None:
    assert parse(TEMPLATE, PLACE)._replace(exists=False, path=None) == parse("", PLACE)._replace(
        exists=False, path=None
    )
    lines = [
        line.removeprefix("# ") if " = " in line or "[" in line else line
        for line in TEMPLATE.splitlines()
    ]
    found = parse("\n".join(lines), PLACE)
    assert found.context == "production"
    assert set(found.contexts) == {"production", "staging", "vault"}
    assert found.contexts["production"].token_file == PLACE.parent / "production.token"
    assert found.defaults.timeout == "5m"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("contxt = 'a'", "unknown key contxt; did you mean context"),
        ("[defaults]\noutptu = 'csv'", "unknown key defaults.outptu; did you mean output"),
        ("[defaults]\nzebra = 1", "known are api_url, budget_store"),
        ("[contexts.a]\ntoken_fil = 'x'", "did you mean token_file"),
        (f"token = '{TOKEN}'", "does not belong in this file"),
        (f"[contexts.a]\ntoken = '{TOKEN}'", "contexts.a.token: a token does not belong"),
        (f"[defaults]\nAccess_Token = '{TOKEN}'", "mode 0600"),
        ("[contexts.a]", "needs one of token_file, token_env and token_command; it has none"),
        ("[contexts.a]\ntoken_env = 'A'\ntoken_file = 'b'", "token_env and token_file"),
        ("[contexts.a]\ntoken_command = []", "must be a command"),
        ('[contexts.a]\ntoken_command = "pass \'show"', "must be a command"),
        ("context = 'b'\n[contexts.a]\ntoken_env = 'A'", "there is no .contexts.b."),
        ("contexts = 3", "contexts must be a table"),
        ("[contexts]\na = 'b'", "contexts.a must be a table"),
        ("context = 3", "context must be some text"),
        ("[defaults]\ntimeout = true", "defaults.timeout must be some text"),
        ("[defaults]\ntimeout_s = 3", "did you mean timeout"),
        ('[contexts.a]\ntoken_command = [" ", "x"]', "must be a command"),
        ('[contexts.a]\ntoken_command = ["a\\u0000b"]', "must be a command"),
        ("refresh_completions = 1", "true or false"),
        (f"token = '{TOKEN}", "invalid TOML .at end of document"),
        (f"'{TOKEN}' {{", "invalid TOML"),
    ],
)
def test_what_the_file_must_not_say_is_named_and_no_token_quoted(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse(text, PLACE)
    assert TOKEN not in str(caught.value)


@given(text=st.text("[]=.\"'#\\\n 1atoken_file\x00\u00e9", max_size=80))
def test_whatever_the_file_holds_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        parse(text, PLACE)


def test_an_option_beats_the_environment_beats_the_context_beats_the_defaults(
    tmp_path: Path,
) -> None:
    env = env_with(tmp_path, CONTEXTS.format(python=sys.executable))
    chosen = source_of(Settings(), env)
    assert (find_token(Settings(), env), chosen.api_url) == ("from-file", "https://work.example")
    assert chosen.budget_store == "process"

    # A token of the environment goes to the environment's API, never to that of a context.
    token = {**env, "DIGITALOCEAN_TOKEN": "from-env"}
    assert find_token(Settings(), token) == "from-env"
    assert source_of(Settings(), token).api_url == "https://default.example"
    both = {**token, "DIGITALOCEAN_API_URL": "https://env.example"}
    assert source_of(Settings(), both).api_url == "https://env.example"
    # Nor does the environment send a context's token to another address than its own.
    address = {**env, "DIGITALOCEAN_API_URL": "https://env.example"}
    assert source_of(Settings(), address).api_url == "https://work.example"

    # A context that an option names beats the environment, and its API does too.
    named = Settings(context="work")
    assert find_token(named, both) == "from-file"
    assert source_of(named, both).api_url == "https://work.example"
    play = {**both, "PLAY_TOKEN": "from-play"}
    assert find_token(Settings(context="play"), play) == "from-play"
    assert source_of(Settings(context="play"), play).api_url == "https://env.example"
    assert source_of(Settings(api_url="https://o.example"), both).api_url == "https://o.example"
    assert source_of(Settings(budget="machine"), env).budget_store == "machine"

    file = tmp_path / "mine"
    file.write_text("from-option\n")
    assert find_token(Settings(token_file=file), both) == "from-option"
    assert source_of(Settings(), {"HOME": str(tmp_path / "nobody")}).api_url == API


def test_a_command_has_the_token(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def told(code: str) -> str:
        env = env_with(tmp_path, f"[contexts.a]\ntoken_command = ['{sys.executable}', '-c', '''{code}''']")  # fmt: skip  # noqa: E501
        return find_token(Settings(context="a"), env)

    assert told("print('secret')") == "secret"
    for code, says in [
        ("exit(3)", "failed with exit code 3"),
        ("print('a'); print('b')", "not 2 lines"),
        ("pass", "not 0 lines"),
    ]:
        with pytest.raises(UsageError, match=says):
            told(code)
    env = env_with(tmp_path, "[contexts.a]\ntoken_command = 'no-such-program-of-ours'")
    with pytest.raises(UsageError, match="context 'a': no-such-program-of-ours cannot be run"):
        find_token(Settings(context="a"), env)
    env = env_with(tmp_path, "[contexts.a]\ntoken_env = 'UNSET'")
    with pytest.raises(UsageError, match="variable UNSET is not set"):
        find_token(Settings(context="a"), env)
    assert "secret" not in capfd.readouterr().out


def test_the_key_of_an_account_tells_accounts_apart_and_holds_no_token(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    env = env_with(tmp_path, f"[contexts.a]\ntoken_command = ['touch', '{marker}']")

    def key(**asked: object) -> str | None:
        options = SourceOptions(**asked)  # type: ignore[arg-type]
        given = {**env, "DIGITALOCEAN_TOKEN": TOKEN}
        return account_key(find_source(options, given), given)

    keys = {key(), key(api_url="https://other.example"), key(context="a")}
    keys.add(key(token_file=tmp_path / ".config" / "do-blockstore" / "work.token"))
    assert len(keys) == 4
    assert None not in keys
    assert not any(TOKEN[10:20] in str(each) for each in keys)
    assert not marker.exists()
    assert key(token_file=tmp_path / "absent") is None
    assert key(token_file=Path("-")) is None
    # Reading a pipe a second time would wait for somebody who writes.
    os.mkfifo(tmp_path / "pipe")
    assert key(token_file=tmp_path / "pipe") is None


def test_the_file_is_where_the_platform_has_such_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert config_path({"HOME": "/home/me"}) == PLACE
    assert config_path({"HOME": "/home/me", "XDG_CONFIG_HOME": "/x"}) == Path(
        "/x/do-blockstore/config.toml"
    )
    assert config_path({"HOME": "/home/me", "XDG_CONFIG_HOME": "relative"}) == PLACE
    assert config_path({"DO_BLOCKSTORE_CONFIG": "/c.toml"}) == Path("/c.toml")
    monkeypatch.setattr(sys, "platform", "win32")
    assert config_path({"APPDATA": "/appdata"}) == Path("/appdata/do-blockstore/config.toml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("'5m'", 300), ("90", 90), ("0.5", 0.5), ("'0s'", None), ("-1", None), ("inf", None)],
)
def test_a_time_is_written_as_in_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, seconds: float | None
) -> None:
    place = tmp_path / "config.toml"
    place.write_text(f"[defaults]\ntimeout = {text}\nca_file = 'absent.pem'\n")
    monkeypatch.setenv("DO_BLOCKSTORE_CONFIG", str(place))
    asked = Settings(simulate=True)
    if seconds is None:
        with pytest.raises(UsageError, match=r"defaults\.timeout takes a time above 0"):
            settled(asked)
    else:
        assert settled(asked).timeout_s == seconds
        # A simulator has no certificate.
        assert settled(asked).ca_file is None


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"names .* which does not exist"):
        load({"DO_BLOCKSTORE_CONFIG": str(tmp_path / "absent.toml")})
    with pytest.raises(UsageError, match="Is a directory"):
        load({"DO_BLOCKSTORE_CONFIG": str(tmp_path)})
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not a text file"):
        load({"DO_BLOCKSTORE_CONFIG": str(tmp_path / "binary")})
    assert not load({"HOME": str(tmp_path)}).exists
