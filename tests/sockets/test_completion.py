"""Completion in the real shells, installed by the documented line of each, and its cache.

Names and ids come from a cache that lists write; a stale one is fetched anew in the background, and
a press of Tab never waits for that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from do_blockstore_async.cli.auth.source import SourceOptions, account_key, find_source
from do_blockstore_async.cli.completion.cache import FRESH_S, remember
from do_blockstore_async.cli.completion.scripts import SCRIPTS
from tests.support.cli import (
    CANARY,
    PROGRAM,
    Here,
    Server,
    do,
    environment,
    serving,
    without_styles,
)
from tests.support.web_services import until

LINES = {
    "bash": (".bashrc", "source <(do-blockstore completion bash)", ["--noprofile", "-i"]),
    "zsh": (".zshrc", "source <(do-blockstore completion zsh)", ["-i"]),
    "fish": (".config/fish/config.fish", "do-blockstore completion fish | source", ["-i"]),
}


def is_here(shell: str) -> bool:
    return shutil.which(shell) is not None and len(PROGRAM) == 1


shells = pytest.mark.parametrize(
    "shell",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(not is_here(name), reason=f"{name} is not installed"),
        )
        for name in LINES
    ],
)


@pytest.fixture(scope="module")
def api(home: Path) -> Iterator[Server]:
    with serving(home, "--volumes", "12", "--limits", "none", "--seed", "7") as server:
        yield server


@pytest.fixture
def here(
    api: Server, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return Here.at(api, home, monkeypatch, capsys)


def in_shell(api: Server, home: Path) -> dict[str, str]:
    env = api.env(home, PS1="> ", fish_greeting="")
    return {**env, "PATH": f"{Path(PROGRAM[0]).parent}{os.pathsep}{env['PATH']}"}


def offered(lines: list[str], env: dict[str, str]) -> list[list[str]]:
    """What bash's own completion makes of each line, without a terminal."""
    asked = "".join(
        f"COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}\n"
        # The word as bash cuts it: after a blank, `=` or `:`.
        f"_do_blockstore do-blockstore '{line.rpartition(' ')[2].rpartition('=')[2]}' ''\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\" ==\n"
        for line in lines
    )
    done = subprocess.run(  # noqa: S603 -- our own words
        ["bash", "--norc", "-c", f"source <(do-blockstore completion bash)\n{asked}"],  # noqa: S607
        env=env, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert done.stderr == ""
    answers = done.stdout.split("==\n")[: len(lines)]
    return [[each for each in answer.splitlines() if each] for answer in answers]


def test_words_values_and_names_complete(here: Here, api: Server, home: Path) -> None:
    if not is_here("bash"):
        pytest.skip("bash is not installed")
    volumes = json.loads(here("volumes", "list", "-o", "json").out)
    assert here("regions", "list").code == 0
    env = in_shell(api, home)
    lines = ["vol", "bulk snapshot --keep-l", "volumes list -o ", "volumes list --region nyc",
             "volumes list --region=nyc", "actions list "]  # fmt: skip
    one = volumes[0]
    lines += [f"volumes get {one['id'][:5]}", f"volumes get --region {one['region']} "]
    words, options, choices, regions, equals, names, ids, of_region = offered(
        [f"do-blockstore {line}" for line in lines], env
    )
    assert (words, options) == (["volumes"], ["--keep-last"])
    assert {"csv", "json", "table"} <= set(choices)
    assert regions == ["nyc1", "nyc2", "nyc3"]
    assert [each.removeprefix("--region=") for each in equals] == regions
    assert set(names) == {volume["name"] for volume in volumes}
    assert ids == [one["id"]]
    assert of_region == [one["name"]]


# Names as no API gives them, each with what is typed of it.
HOSTILE = {
    "a": "a$(touch pwned)`touch pwned`",
    "b": "b  c;touch pwned&",
    "d": "d'e\"f",
    "g": "g*[x]?",
    "i": "i\\h!!$HOME~",
    "'k": "k l$(touch pwned)",
    '"m': "m n$(touch pwned)",
}


@pytest.fixture
def typing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of somebody at a terminal; the program only shows what it was given."""
    program = tmp_path / "bin" / "do-blockstore"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ncase "$1" in __complete|completion) exec {PROGRAM[0]} "$@";; esac\n'
        "printf given:; printf '<%s>' \"$@\"; echo :end\n"
    )
    program.chmod(0o755)
    env = environment(
        tmp_path, DIGITALOCEAN_TOKEN=CANARY, ZDOTDIR=str(tmp_path), PS1="> ", fish_greeting=""
    )
    env["PATH"] = f"{program.parent}{os.pathsep}{env['PATH']}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    account = account_key(find_source(SourceOptions(), env), env)
    remember(account, "regions", [("lon1", "London 1")])
    rows = [(f"id-{name}", name, "lon1", "1 GiB", "p$(touch pwned) q") for name in HOSTILE.values()]
    remember(account, "volumes", rows)
    # What a star would be taken for.
    (tmp_path / "g*[x]? other").touch()
    return env


@shells
def test_the_documented_line_installs_completion_at_a_terminal(
    shell: str, typing: dict[str, str], tmp_path: Path
) -> None:
    file, line, arguments = LINES[shell]
    docs = (Path(__file__).parents[2] / "docs/howto/command-line.md").read_text(encoding="utf-8")
    assert line in docs
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(f"PS1='> '\n{line}\n" if shell != "fish" else f"{line}\n")
    quoted = HOSTILE if shell != "fish" else {typed[-1]: name for typed, name in HOSTILE.items()}
    lines = ["volumes lis\t--region=lon\t", "volumes list --tag p\t"]
    seen = at_terminal(
        shell, arguments, typing, tmp_path, [*lines, *(f"actions list {each}\t" for each in quoted)]
    )
    assert seen[0] == "<volumes><list><--region=lon1>"
    assert seen[1] == "<volumes><list><--tag><p$(touch pwned) q>"
    # Each name is one word, as it is; blanks that the cache has folded are folded.
    assert seen[2:] == [f"<actions><list><{' '.join(name.split())}>" for name in quoted.values()]
    assert not list(tmp_path.rglob("pwned"))


def at_terminal(
    shell: str, arguments: list[str], env: dict[str, str], folder: Path, lines: list[str]
) -> list[str]:
    """What the program is given when lines are typed that Tab completes."""
    child = pexpect.spawn(
        shell, arguments, env=env, cwd=str(folder), dimensions=(40, 200), encoding="utf-8",
        timeout=60,
    )  # fmt: skip
    child.sendline("echo re''ady")
    child.expect("ready")
    seen = []
    for line in lines:
        child.send(f"do-blockstore {line}\r")
        child.expect(r"given:[^\r\n]*:end")
        seen.append(str(child.after).removeprefix("given:").removesuffix(":end"))
    child.send("exit\r")
    child.expect(pexpect.EOF)
    child.close()
    return seen


def test_a_file_of_fpath_does_as_well_as_the_line(typing: dict[str, str], tmp_path: Path) -> None:
    if not is_here("zsh"):
        pytest.skip("zsh is not installed")
    (tmp_path / "_do-blockstore").write_text(SCRIPTS["zsh"])
    (tmp_path / ".zshrc").write_text(
        f"PS1='> '\nfpath=({tmp_path} $fpath)\nautoload -Uz compinit && compinit -i\n"
    )
    (seen,) = at_terminal("zsh", ["-i"], typing, tmp_path, ["volumes list --region lon\t"])
    assert seen == "<volumes><list><--region><lon1>"


def answered(here: Here, *words: str) -> list[list[str]]:
    """What the program answers a shell."""
    from do_blockstore_async.cli.completion.answer import complete

    complete("zsh", list(words))
    return [line.split("\t") for line in here._capsys.readouterr().out.splitlines()]


def test_lists_leave_names_and_ids_readable_by_this_user_alone(here: Here, home: Path) -> None:
    folder = home / ".cache" / "do-blockstore"
    shutil.rmtree(folder, ignore_errors=True)
    volumes = json.loads(here("volumes", "list", "-o", "json").out)
    of_region = json.loads(here("volumes", "list", "--region", "nyc3", "-o", "json").out)
    assert 0 < len(of_region) < len(volumes)
    (file,) = folder.iterdir()
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert CANARY not in file.read_text() + file.name
    found = answered(here, "actions", "list", "")
    # A list of one region does not take the place of the whole.
    assert {row[0] for row in found} == {volume["name"] for volume in volumes}
    assert volumes[0]["region"] in found[0][1]
    # Those of another API are others.
    assert answered(here, "--api-url", "https://other.example", "actions", "list", "") == []
    tags = {tag for volume in volumes for tag in volume["tags"]}
    assert {row[0] for row in answered(here, "volumes", "list", "--tag", "")} == tags
    # What could steer the terminal is left out.
    file.write_text('[["1", "a\\u001b[31m"], ["2", "b", "nyc\\u0007"]]')
    assert answered(here, "actions", "list", "") == [["b", "nyc"]]
    file.write_text("[[")
    assert answered(here, "actions", "list", "") == []
    file.unlink()
    os.mkfifo(file)
    assert answered(here, "actions", "list", "") == []
    file.unlink()


def test_contexts_and_journals_complete(
    here: Here, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[contexts.production]\ntoken_env = 'P'\n[contexts.play]\ntoken_env = 'Q'\n")
    monkeypatch.setenv("DO_BLOCKSTORE_CONFIG", str(config))
    found = answered(here, "volumes", "list", "--context", "p")
    assert [row[0] for row in found] == ["production", "play"]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "do-blockstore").mkdir()
    (tmp_path / "do-blockstore" / "nightly-1.db").touch()
    found = answered(here, "bulk", "prune", "--journal", "")
    assert found == [[":files"], [str(tmp_path / "do-blockstore" / "nightly-1.db"), "a journal"]]
    config.write_text("broken")
    assert answered(here, "volumes", "list", "--context", "p") == []


async def test_what_is_old_is_fetched_anew_and_nobody_waits(
    here: Here, api: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "do-blockstore"
    assert answered(here, "actions", "list", "") == []
    await until(lambda: list(folder.glob("*-volumes.json")), "the listing in the background")
    assert len(answered(here, "actions", "list", "")) >= 1
    (file,) = folder.glob("*-volumes.json")
    (marker,) = folder.glob("*-volumes.asked")
    file.write_text('[["id-of-old", "old", "nyc3"]]')
    past_s = file.stat().st_mtime - FRESH_S - 5
    os.utime(file, (past_s, past_s))
    # Asked a moment ago: what is there is shown, and nothing is fetched.
    assert answered(here, "actions", "list", "") == [["old", "nyc3"]]
    assert json.loads(file.read_text()) == [["id-of-old", "old", "nyc3"]]
    os.utime(marker, (past_s, past_s))
    assert answered(here, "actions", "list", "") == [["old", "nyc3"]]
    await until(lambda: len(json.loads(file.read_text())) == 12, "the new listing")


def test_a_program_without_network_or_home_answers_at_once(tmp_path: Path) -> None:
    # Nothing listens at this address; a wait for it would be seen.
    env = {"PATH": os.environ["PATH"], "DIGITALOCEAN_TOKEN": CANARY, "HOME": "/dev/null"}
    env["DIGITALOCEAN_API_URL"] = "http://127.0.0.1:9"
    env["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    done = do("__complete", "fish", "actions", "list", "", env=env)
    assert done == (0, "", "")
    assert do("__complete", "fish", "vol", env=env).out.startswith("volumes\t")


def test_completion_costs_little_more_than_python_itself(home: Path) -> None:
    """Counted in imported modules, which a busy machine does not change."""
    script = (
        "import os, sys; os._exit = print\n"
        "from do_blockstore_async.cli import main; main(); print(len(sys.modules))"
    )

    def modules(*words: str) -> int:
        done = subprocess.run(  # noqa: S603 -- our own words
            [sys.executable, "-c", script, *words],
            env={**os.environ, "HOME": str(home), "DIGITALOCEAN_TOKEN": CANARY},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return int(done.stdout.splitlines()[-1])

    assert modules("__complete", "zsh", "volumes", "") < 110
    assert without_styles(SCRIPTS["bash"]) == SCRIPTS["bash"]
