"""`python -m benchmarks --quick` runs to its end and prints its tables. Times are not judged."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks.scale.cases import CASES as SCALE
from benchmarks.scale.floors import COLLECTING, KEEPING_WIDE, LETTING_GO
from benchmarks.scale.judgement import exponent, growth_of, judged, over_rounds
from benchmarks.scale.probe import Figures
from benchmarks.scale.service import Census, verdict
from benchmarks.side_by_side.cases import BARS, CASES
from benchmarks.side_by_side.decoding import prepare
from benchmarks.side_by_side.measure import Measured
from benchmarks.side_by_side.report import bars_table

ROOT = Path(__file__).parents[2]
ANSWERS = {"yes", "**no**"}


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


def test_the_scale_runs_every_case_and_judges_it(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 -- this project's own command
        [sys.executable, "-m", "benchmarks.scale", "--quick",
         "--json", str(tmp_path / "scale.json")],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4_000:]
    (found,) = json.loads((tmp_path / "scale.json").read_text())
    assert {one["group"] for one in found["50"]} == set(SCALE)
    assert [one["case"] for one in found["20"]] == [one["case"] for one in found["50"]]
    sent = {one["case"]: one["requests"] for one in found["50"]}
    # 1 and 3 pages; 50 snapshots taken, and 50 pruned.
    assert sent["command line: bulk snapshot, run for 100 volumes"] == 104
    verdicts = {(row[0], row[1]): row[3] for row in rows(done.stdout, "case | must")}
    assert verdicts["50: night: plan", "400 B an item at the peak, above its model"] in ANSWERS
    assert verdicts["50: list snapshots whole", "no stop over 25 ms"] in ANSWERS


def piece(case: str, cpu_s: float = 1.0, **more: Any) -> Figures:
    return Figures(case, 1_000, 1_000, cpu_s=cpu_s, **more)


def test_growth_is_that_of_the_cost_of_an_item() -> None:
    small = piece("night: run")
    in_proportion = attrs.evolve(small, volumes=10_000, items=10_000, cpu_s=10.0)
    assert exponent(small, in_proportion) == pytest.approx(1)
    assert exponent(small, attrs.evolve(in_proportion, cpu_s=100.0)) == pytest.approx(2)
    assert exponent(small, attrs.evolve(small, volumes=10_000)) == pytest.approx(1)
    paced = attrs.evolve(small, pace_us=100.0)
    slower = attrs.evolve(in_proportion, cpu_s=20.0, pace_us=200.0)
    assert exponent(paced, slower) == pytest.approx(1)
    start = attrs.evolve(small, fixed_s=0.9)
    assert exponent(start, attrs.evolve(in_proportion, fixed_s=0.9)) > 1.9


def test_of_several_rounds_the_medians_count_and_of_growth_that_of_each() -> None:
    small = piece("night: run", stop_ms=10.0)
    large = attrs.evolve(small, volumes=10_000, items=10_000, cpu_s=10.0, stop_ms=20.0)
    # In the third round everything took ten times as long, and in the second one collection came.
    rounds = [
        {1_000: [small], 10_000: [large]},
        {1_000: [small], 10_000: [attrs.evolve(large, cpu_s=12.0, stop_ms=40.0)]},
        {
            1_000: [attrs.evolve(small, cpu_s=10.0)],
            10_000: [attrs.evolve(large, cpu_s=100.0, stop_ms=22.0)],
        },
    ]
    (found,) = over_rounds(rounds)[10_000]
    assert (found.cpu_s, found.stop_ms, found.repetitions) == (12.0, 22.0, 1)
    assert growth_of("night: run", rounds) == pytest.approx(1)
    verdicts = {row[0]: row[2] for row in rows("\n".join(judged(*rounds).lines), "case | must")}
    assert verdicts["growth from 1,000 to 10,000: night: run"] == "1.00"


def test_a_stop_that_python_itself_takes_is_told_from_one_that_it_does_not() -> None:
    floors = [
        piece(COLLECTING, stop_ms=15.0, group="floors"),
        piece(KEEPING_WIDE, stop_ms=200.0, group="floors"),
        piece(LETTING_GO, stop_ms=100.0, freed=2_000, group="floors"),
    ]
    measured = [
        piece("inventory", stop_ms=30.0, collector_ms=14.0),
        piece("list snapshots whole", stop_ms=210.0, collector_ms=205.0),
        piece("let go of both lists", stop_ms=60.0, freed=1_000),
        piece("let go of half of it", stop_ms=90.0, freed=1_000),
        piece("command line: volumes list", stop_ms=None),
    ]
    table = judged({1_000: [*floors, *measured]})
    verdicts = {row[0]: row[3] for row in rows("\n".join(table.lines), "case | must")}
    assert verdicts == {
        "1,000: inventory": "**no**",
        "1,000: list snapshots whole": "**no**: floor 200 ms",
        "1,000: let go of both lists": "**no**: floor 50 ms",
        "1,000: let go of half of it": "**no**: above a floor of 50 ms",
    }
    assert table.missed == 4


def test_the_memory_of_a_plan_is_what_it_needs_beyond_the_models_of_its_listings() -> None:
    models = [
        piece("list volumes whole", held_mib=600 * 1_000 / 2**20),
        piece("list snapshots whole", held_mib=800 * 1_000 / 2**20),
    ]
    plan = piece("night: plan", cpu_s=0.01, base_mib=40, peak_mib=40 + 650 * 1_000 / 2**20)
    table = judged({1_000: [*models, plan]})
    assert "| -50 B (650 B, a model 700 B) | yes |" in "\n".join(table.lines)
    table = judged({1_000: [plan]})
    assert "| the case `models` is missing |  |" in "\n".join(table.lines)


def test_a_service_is_flat_if_next_to_nothing_comes_after_the_first_tenth() -> None:
    first = Census(1_000, 40.0, 30_000, 100_000, 1.0)
    assert verdict([first, attrs.evolve(first, resident_mib=40.9, objects=30_099)])[1]
    assert not verdict([first, attrs.evolve(first, resident_mib=41.0)])[1]
    assert not verdict([first, attrs.evolve(first, objects=30_100)])[1]


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
