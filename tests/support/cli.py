"""The real program `do-blockstore`, as a subprocess and at a pseudo-terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pexpect
import pytest

from do_blockstore_async.cli.main import run

PATIENCE_S = 30.0
_SCRIPT = Path(sys.executable).with_name("do-blockstore")
PROGRAM = [str(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "do_blockstore_async.cli"]
CANARY = "dop_v1_" + "ca9a47" * 10 + "beef"


class Done(NamedTuple):
    """How a run of the program ended."""

    code: int
    out: str
    err: str


class Server(NamedTuple):
    """A running `do-blockstore simulator`."""

    url: str
    token: str

    def env(self, home: Path, **more: str) -> dict[str, str]:
        return environment(
            home, DIGITALOCEAN_API_URL=self.url, DIGITALOCEAN_TOKEN=self.token, **more
        )


def environment(home: Path, **more: str) -> dict[str, str]:
    """A clean environment with a home of its own, as a new user of the machine has it."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "COVERAGE_PROCESS_CONFIG",
            "PYTHONPATH") if name in os.environ}  # fmt: skip
    plain = {"HOME": str(home), "LANG": "C.UTF-8", "PYTHONWARNINGS": "error", "TERM": "xterm"}
    # Programs that share a simulator would share its budget, over several tests.
    plain["DO_BLOCKSTORE_BUDGET"] = "process"
    return {**kept, **plain, **more}


def do(*words: str, env: dict[str, str], stdin: str | None = None, out: Any = None) -> Done:
    """Run the program to its end."""
    done = subprocess.run(  # noqa: S603 -- our own program
        [*PROGRAM, *words],
        env=env,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        stdout=subprocess.PIPE if out is None else out,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    for text in (done.stdout or "", done.stderr):
        assert CANARY not in text
        assert "Traceback" not in text or "--verbose" in words
    return Done(done.returncode, done.stdout or "", done.stderr)


@contextmanager
def serving(home: Path, *words: str) -> Iterator[Server]:
    """A simulator in a process of its own; ended as a user would, by Ctrl-C."""
    with subprocess.Popen(  # noqa: S603 -- our own program
        [*PROGRAM, "simulator", "--port", "0", "--token", CANARY, *words],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip().removeprefix("export DIGITALOCEAN_API_URL=")
        token = process.stdout.readline().strip().removeprefix("export DIGITALOCEAN_TOKEN=")
        try:
            yield Server(url, token)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0


class Terminal:
    """The program at a pseudo-terminal of 80 by 40."""

    def __init__(self, *words: str, env: dict[str, str], columns: int = 80) -> None:
        # An interrupt drops what is on its way through the terminal, half of a character too.
        self.child: pexpect.spawn[str] = pexpect.spawn(
            PROGRAM[0], [*PROGRAM[1:], *words], env=env, dimensions=(40, columns),
            encoding="utf-8", codec_errors="replace", timeout=PATIENCE_S,
        )  # fmt: skip
        self.child.delaybeforesend = None
        self.seen = ""

    def until(self, text: str) -> str:
        """Read until `text` (a regular expression) has come; what was read since the last time."""
        self.child.expect(text)
        found = str(self.child.before) + str(self.child.after)
        self.seen += found
        return found

    def rest(self) -> str:
        """Everything up to the program's end."""
        self.child.expect(pexpect.EOF)
        self.seen += str(self.child.before)
        self.child.close()
        return str(self.child.before)

    @property
    def code(self) -> int | None:
        return int(self.child.exitstatus) if self.child.exitstatus is not None else None

    def type(self, text: str) -> None:
        self.child.send(text)

    def interrupt(self) -> None:
        self.child.sendintr()


def without_styles(text: str) -> str:
    """What a terminal's text says, without how it looks."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def has_colour(text: str) -> bool:
    """Whether anything sets a colour or another style."""
    return re.search(r"\x1b\[(?!0?m)[0-9;]*m", text) is not None


BASH = shutil.which("bash")


class Here:
    """The program inside of this process: as `do`, without the price of a new one."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Done:
        code = run(words)
        out, err = self._capsys.readouterr()
        assert CANARY not in out + err
        assert "Traceback" not in out + err
        return Done(code, out, err)

    @classmethod
    def at(
        cls,
        server: Server,
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> Here:
        """With the environment of somebody who uses this server."""
        for name in ("DIGITALOCEAN_ACCESS_TOKEN", "NO_COLOR", "FORCE_COLOR", "XDG_CONFIG_HOME",
                     "XDG_STATE_HOME"):  # fmt: skip
            monkeypatch.delenv(name, raising=False)
        for name, value in server.env(home).items():
            if name not in ("PATH", "PYTHONWARNINGS"):
                monkeypatch.setenv(name, value)
        return cls(capsys)
