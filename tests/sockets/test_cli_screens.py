"""What people see: the ten commands they use most, at four widths, as text in `tests/screens/`.

    SCREENS=write pytest tests/sockets/test_cli_screens.py     writes them anew

The account is that of `tests/screens/fleet.toml`, with a clock that stands still. What goes to
stderr stands behind `2>`.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from do_blockstore_async._clock import Clock
from do_blockstore_async.simulator import Simulator
from tests.support.cli import Done, Here, Server, Terminal, has_colour, without_styles

# ptyprocess forks; the child does nothing but exec.
pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")

FOLDER = Path(__file__).parents[1] / "screens"
WIDTHS = (40, 80, 120, 200)
COMMANDS = {
    "volumes-list": "volumes list",
    "volumes-get": "volumes get orders-db --region nyc3",
    "volumes-create": "volumes create reports --region fra1 --size 1TiB --tag staging",
    "volumes-delete": "volumes delete reports --yes",
    "snapshots-list": "snapshots list",
    "bulk-inventory": "bulk inventory",
    "bulk-snapshot": "bulk snapshot --dry-run",
    "quota": "quota --simulate",
    "regions-list": "regions list --storage",
    "actions-list": "actions list scratch-01",
}


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with Simulator.in_thread(scenario=FOLDER / "fleet.toml") as simulator:
        yield Server(simulator.url, simulator.token)


@pytest.fixture
def here(
    api: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    here = Here.at(api, tmp_path, monkeypatch, capsys)
    monkeypatch.setattr(Clock, "utc_now", lambda self: datetime(2026, 11, 2, 9, 30, tzinfo=UTC))
    return here


def at_width(here: Here, monkeypatch: pytest.MonkeyPatch, width: int, command: str) -> Done:
    """A command, in a terminal of this width as far as it can tell."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    words = shlex.split(command)
    if "--simulate" in words:
        # It has its own API.
        for name in ("DIGITALOCEAN_API_URL", "DIGITALOCEAN_TOKEN"):
            monkeypatch.delenv(name)
    return here(*words)


def screen(command: str, width: int, done: Done) -> str:
    said = "".join(f"2> {line}\n" for line in done.err.splitlines())
    return f"--- {width} columns\n$ do-blockstore {command}\n{done.out}{said}"


def test_the_screens_are_as_they_were(
    here: Here, monkeypatch: pytest.MonkeyPatch, api: Server
) -> None:
    attached = here("volumes", "attach", "scratch-01", "--droplet", "3164444")
    assert attached.code == 1, "a Droplet of another region"
    assert here("volumes", "resize", "scratch-01", "20GB").code == 0
    screens = dict.fromkeys(COMMANDS, "")
    too_long = []
    for width in WIDTHS:
        for name, command in COMMANDS.items():
            with monkeypatch.context() as patch:
                done = at_width(here, patch, width, command)
            assert done.code == 0, done.err
            assert "\x1b" not in done.out
            # A terminal would fold it, in the middle of a name or a number; a name that is longer
            # than the terminal has a line of its own.
            lines = done.out.splitlines()
            too_long += [(name, width, x) for x in lines if len(x) > width and " " in x]
            assert [x.rstrip() for x in lines] == lines
            screens[name] += screen(command, width, done)
    for name, text in screens.items():
        path = FOLDER / f"{name}.txt"
        if os.environ.get("SCREENS") == "write":
            path.write_text(text)
        assert path.read_text() == text, f"{path}: SCREENS=write shows the difference in git"
    assert not too_long


def test_a_real_terminal_shows_the_same(api: Server, tmp_path: Path) -> None:
    for width in (40, 80):
        shown = (FOLDER / "volumes-list.txt").read_text().split("--- ")[WIDTHS.index(width) + 1]
        terminal = Terminal("volumes", "list", env=api.env(tmp_path), columns=width)
        lines = without_styles(terminal.rest()).splitlines()
        assert lines == [line.removeprefix("2> ") for line in shown.splitlines()[2:]]
        assert terminal.code == 0
        assert has_colour(terminal.seen) is (width == 80)
