"""Make every picture of the documentation: `python docs/pictures.py [NAME ...]`.

They are committed, so that the repository shows them too: captures of the command line, what other
ways of keeping the limit do, and drawings. Needs what the tests need (`pip install -e '.[test]'`).
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
sys.path[:0] = [str(ROOT)]

from tests.support.svg import Drawing  # noqa: E402 -- from this tree

COLUMNS = 80


def _screen(output: str) -> str:
    """What stands on the terminal at the end; colors stay as escape codes."""
    rows, row = [""], 0
    for part in re.split(r"(\r\n|\n|\x1b\[\d*[AK]|\x1b\[\?25[lh]|\r)", output):
        if part in {"\n", "\r\n"}:
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif match := re.fullmatch(r"\x1b\[(\d*)A", part):
            row = max(0, row - int(match[1] or 1))
        elif part.endswith("K") and part.startswith("\x1b["):
            rows[row] = ""
        elif part and part != "\r" and not part.startswith("\x1b[?"):
            rows[row] += part
    return "\n".join(line.rstrip() for line in rows).strip("\n")


def _capture(name: str, *words: str) -> None:
    """Run the command line at a terminal, and keep what it shows in the end."""
    import pexpect
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.text import Text

    with tempfile.TemporaryDirectory() as home:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "do_blockstore_async.cli", *words],
            dimensions=(60, COLUMNS),
            encoding="utf-8",
            timeout=60,
            env={
                **{key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ},
                "HOME": home,
                "LANG": "C.UTF-8",
                "TERM": "xterm-256color",
                "DO_BLOCKSTORE_BUDGET": "process",
            },
        )
        child.expect(pexpect.EOF)
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(Text(f"$ do-blockstore {' '.join(words)}", style="bold"))
    console.print(Text.from_ansi(_screen(str(child.before))))
    # The template fetches its font from elsewhere; the reader's own will do.
    template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = template.replace("Fira Code,", "ui-monospace, 'DejaVu Sans Mono',")
    (PICTURES / f"{name}.svg").write_text(
        console.export_svg(title="do-blockstore", code_format=template, unique_id=name)
    )


def snapshot() -> None:
    """A nightly job at a terminal."""
    _capture("snapshot", "--simulate", "bulk", "snapshot", "--keep-last", "2", "--yes")


def quota() -> None:
    """The budget at a terminal."""
    _capture("quota", "--simulate", "quota")


def budget() -> None:
    """Four ways to keep the limit."""
    from benchmarks.quota.plot import draw

    draw(PICTURES / "budget.svg")


def slot() -> None:
    """Why a slot that is held from sending until a window after the response is enough."""
    drawing = Drawing(720, 330, "A slot is held from sending until one window after the response")
    sent, answered, window = 150.0, 230.0, 330.0
    counted = 196.0

    def request(y: float, start: float, name: str) -> None:
        drawing.text(16, y + 20, name, "bold", 14)
        drawing.box(start, y, answered - sent, 30, "box", 3)
        drawing.box(start + answered - sent, y, window, 30, "held", 3)

    request(70, sent, "request 1")
    drawing.text(sent, 56, "sent", "quiet", 13, "middle")
    drawing.text(answered, 56, "response", "quiet", 13, "middle")
    drawing.text(answered + window, 56, "slot free", "quiet", 13, "middle")
    drawing.text(answered + window / 2, 90, "its slot stays taken: 60 s", "", 14, "middle")
    later = answered + window
    drawing.text(16, 150, "request 251", "bold", 14)
    drawing.box(later, 130, answered - sent, 30, "box", 3)
    drawing.text(later - 10, 150, "waits for that slot", "quiet", 14, "end")
    drawing.line([(counted, 100), (counted, 240)], "curve dashed", 1.5)
    drawing.text(counted - 6, 122, "counted", "fine", 13, "end")
    drawing.line([(counted, 226), (counted + window, 226)], "curve", 3)
    drawing.text(counted + window / 2, 217, "the server's 60 s", "fine", 14, "middle")
    drawing.line([(counted + window, 240), (counted + window, 170)], "curve dashed", 1.5)
    drawing.line([(later, 170), (later, 240)], "ink dashed", 1.5)
    drawing.text(
        16, 276, "The server counts request 1 at some moment between its sending and its response:",
        "", 14,
    )  # fmt: skip
    drawing.text(
        16, 297, "unknown which. Whichever it is, its 60 s are over before the slot is used again,",
        "", 14,
    )  # fmt: skip
    drawing.text(16, 318, "so no 60 s hold more than 250 requests.", "", 14)
    drawing.text(16, 28, "A window of 250 requests in 60 s", "bold", 15)
    drawing.write(PICTURES / "slot.svg")


LAYERS = {
    "cli": "the command line",
    "integrations": "web frameworks, monitoring, a job queue",
    "jobs": "jobs of a TOML file",
    "simulator": "the API in miniature; shares no code with the client",
    "accounts": "a client for each of several accounts",
    "client": "BlockStore: builds the parts, owns their lifetime",
    "bulk": "plans, runs, journals: many requests, one outcome for each item",
    "resources": "what a user calls: volumes, snapshots, actions, regions",
    "_schema": "bytes to models and back; arguments",
    "_http": "one request: the engine, retries, lost responses, the transport",
    "_ratelimit": "the budget of a token: who may send, and when",
    "_log": "append-only logs that processes share",
    "foundations": "config, events, models, errors, the clock",
}


def architecture() -> None:
    """The layers of `pyproject.toml`, from the top; each knows those below it only."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = contracts["tool"]["importlinter"]["contracts"][0]["layers"]
    shown = [name for name in names if name in LAYERS]
    if set(shown) != set(LAYERS) - {"foundations"}:
        sys.exit("a layer has come or gone: correct LAYERS")
    drawing = Drawing(720, 60 + 44 * (len(shown) + 1), "The layers of do_blockstore_async")
    drawing.text(16, 30, "Each layer knows those below it only", "bold", 15)
    for index, name in enumerate([*shown, "foundations"]):
        y = 48 + 44 * index
        drawing.box(16, y, 660, 36)
        drawing.text(30, y + 23, name, "mono bold", 14)
        drawing.text(170, y + 23, LAYERS[name], "quiet", 13.5)
    drawing.arrow((698, 52), (698, 48 + 44 * len(shown) + 36))
    drawing.write(PICTURES / "architecture.svg")


def call() -> None:
    """The trip of one call."""
    lanes = {
        "your code": 60, "resources": 185, "engine": 310, "transport": 435, "throttle": 560,
        "the API": 670,
    }  # fmt: skip
    steps = [
        ("your code", "resources", "volumes.create(...)", ""),
        ("resources", "engine", "call(Request)", ""),
        ("engine", "transport", "send", ""),
        ("transport", "throttle", "acquire a lease", ""),
        ("throttle", "transport", "once a slot is free", "dashed"),
        ("transport", "the API", "POST /v2/volumes", ""),
        ("the API", "transport", "201, headers, body", "dashed"),
        ("transport", "throttle", "lease completed", ""),
        ("transport", "engine", "RawResponse", "dashed"),
        ("engine", "resources", "decoded", "dashed"),
        ("resources", "your code", "Volume", "dashed"),
    ]
    height = 84 + 40 * len(steps)
    drawing = Drawing(740, height + 16, "The trip of one call")
    for name, x in lanes.items():
        drawing.line([(x, 52), (x, height)], "line dashed")
        drawing.box(x - 52, 16, 104, 34)
        drawing.text(x, 38, name, "bold", 13.5, "middle")
    for index, (source, target, words, style) in enumerate(steps):
        y = 88 + 40 * index
        start, end = lanes[source], lanes[target]
        drawing.arrow((start, y), (end, y), style)
        drawing.text((start + end) / 2, y - 7, words, "", 13, "middle")
    drawing.write(PICTURES / "call.svg")


MADE: dict[str, Callable[[], None]] = {
    made.__name__: made for made in (snapshot, quota, budget, slot, architecture, call)
}


def main(*names: str) -> None:
    """Make the pictures that are named, or all."""
    PICTURES.mkdir(exist_ok=True)
    for name in names or MADE:
        MADE[name]()


if __name__ == "__main__":
    main(*sys.argv[1:])
