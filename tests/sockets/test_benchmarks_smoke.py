"""`python -m benchmarks --quick` runs to its end and prints its tables. Times are not judged."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.side_by_side.cases import BARS, CASES
from benchmarks.side_by_side.decoding import prepare
from benchmarks.side_by_side.measure import Measured
from benchmarks.side_by_side.report import bars_table

ROOT = Path(__file__).parents[2]


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose head begins with `first`, without its head."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {first} |"))
    width = lines[start].count("|")
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        assert line.count("|") == width, line
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_quick_runs_every_case_and_prints_its_tables(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 -- this project's own command
        [sys.executable, "-m", "benchmarks", "--quick", "--plot", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4_000:]
    assert "CPython" in done.stdout.splitlines()[0]
    bars = rows(done.stdout, "case | against")
    assert len(bars) == len(BARS)
    assert {row[-1] for row in bars} <= {"yes", "no", "-"}
    for case in CASES:
        table = rows(done.stdout, f"{case.title} | median, {case.unit}")
        assert [row[0] for row in table] == list(case.quick_clients)
        for client, figure, *_ in table:
            if client == "project":
                assert re.fullmatch(r"[\d,]+(\.\d+)?", figure), (case.name, figure)
        picture = tmp_path / f"{case.name}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert rows(done.stdout, "throttle")[-1][:2] == ["**this throttle**", "0 · 190"]
    assert (tmp_path / "budget.svg").read_bytes().startswith(b"<svg")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("benchmarks.quota.blocks", "--blocks", "1000"), "last to first: "),
        (("benchmarks.quota.stores", "--exchanges", "10"), "| SQLite, durable | "),
        (("benchmarks.scale", "--inside", "night", "20"), '"case": "night: plan"'),
        (("benchmarks.simulator", "--volumes", "20"), "| requests over HTTP in a second of CPU"),
    ],
)
def test_the_small_ones_run_to_their_end(words: tuple[str, ...], says: str) -> None:
    done = subprocess.run(  # noqa: S603 -- this project's own command
        [sys.executable, "-m", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4_000:]
    assert says in done.stdout


def test_every_bar_is_about_a_case_that_both_take_part_in() -> None:
    cases = {case.name: case for case in CASES}
    assert len(cases) == len(CASES)
    for bar in BARS:
        assert {"project", bar.against} <= set(cases[bar.case].clients)
    for case in CASES:
        assert case.clients[0] == case.quick_clients[0] == "project"
        assert set(case.quick_clients) <= set(case.clients)


def test_a_bar_that_is_not_met_is_told_from_one_that_was_not_measured() -> None:
    case = next(case for case in CASES if case.name == "get-32")
    slow, fast, absent = Measured(cpu=[3.0]), Measured(cpu=[1.0]), Measured(missing="no such thing")
    results = {"get-32": (case, {"project": slow, "aiohttp": fast, "pydo-aio": absent})}
    verdicts = {row[1]: row[-1] for row in rows(bars_table(results), "case | against")}
    assert verdicts == {"aiohttp": "no", "pydo-aio": "-"}


@pytest.mark.parametrize("form", ["page", "one"])
def test_every_way_of_decoding_takes_the_same_bytes(form: str) -> None:
    pytest.importorskip("orjson")
    for client in next(case for case in CASES if case.name == "decode").clients:
        spec = {"client": client, "form": form, "count": 200}
        once, count = asyncio.run(prepare(spec))
        asyncio.run(_awaited(once))
        assert count == 200


async def _awaited(once: Callable[[], Awaitable[None]]) -> None:
    await once()
