"""The tables of what was measured, and what had to be shown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TypeAlias

from ..quota.table import Table
from .floors import floor_ms
from .probe import Figures, merged

__all__ = ["BySize", "exponent", "growth_of", "is_long_enough", "judged", "over_rounds", "tables"]

BySize: TypeAlias = dict[int, list[Figures]]

_MOST_EXPONENT = 1.05
_LEAST_SMALL_S, _LEAST_LARGE_S = 0.1, 0.2
_MOST_STOP_MS = 25.0
_NEAR_FLOOR = 1.25
_MOST_PEAK_MIB = 1.2 * 1024
_MOST_PLAN_US, _MOST_PLAN_BYTES = 20.0, 400.0
_PLANS = ("plan snapshots", "night: plan", "large: plan")


def _cost_s(one: Figures) -> float:
    return max(1e-9, one.cpu_s - one.fixed_s)


def exponent(small: Figures, large: Figures) -> float:
    """How the CPU grows from one size to the other: 1 is in proportion.

    It is 1 where an item costs the same in both: some pieces run the same number of steps in a
    larger plan. What is the same in a fleet of any size, such as the start of a program, is left
    out: it would hide the growth of the rest. CPU is in units of what a small fixed work took
    meanwhile, where that was timed: others share the machine.
    """
    pace = large.pace_us / small.pace_us if small.pace_us and large.pace_us else 1.0
    each = (_cost_s(large) / large.items) / (_cost_s(small) / small.items) / pace
    return 1 + math.log(each) / math.log(large.volumes / small.volumes)


def is_long_enough(small: Figures, large: Figures) -> bool:
    """Whether there was enough to be measured, all repetitions together, to tell the growth.

    What is repeated is repeated until there is. The median of the repetitions is compared: in a
    single short piece of 10 ms a collection of what was imported, which comes or does not, is as
    much again. A long piece has had its share of collections.
    """
    return (
        _cost_s(small) * small.repetitions >= _LEAST_SMALL_S
        and _cost_s(large) * large.repetitions >= _LEAST_LARGE_S
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def tables(by_size: BySize) -> list[str]:
    """Return a table for each size."""
    lines: list[str] = []
    for volumes, found in by_size.items():
        lines += [
            f"{volumes:,} volumes, {volumes * 10:,} snapshots",
            "",
            "| case | items | CPU | in the kernel | for each | memory: peak | above the start "
            "| for each | longest stop | by the wall clock | collector | requests | pace |",
            "| --- |" + 12 * " ---: |",
        ]
        for one in found:
            items = max(1, one.items)
            lines.append(
                f"| {one.case}{f' ({one.note})' if one.note else ''} | {one.items:,} "
                f"| {one.cpu_s:.2f} s | {one.kernel_s:.2f} s | {one.cpu_s / items * 1e6:.1f} µs "
                f"| {one.peak_mib:.0f} MiB | {one.above_mib:.0f} MiB "
                f"| {one.above_mib * 2**20 / items:.0f} B | {_ms(one.stop_ms)} "
                f"| {_ms(one.stop_wall_ms)} | {_ms(one.collector_ms)} | {one.requests:,} "
                f"| {one.pace_us:.0f} µs |"
            )
        lines.append("")
    return lines


def over_rounds(rounds: Sequence[BySize]) -> BySize:
    """Return the figures of all rounds together: their medians."""
    first = rounds[0]
    return {
        volumes: [
            merged([each[volumes][number] for each in rounds], are_rounds=True)
            for number in range(len(found))
        ]
        for volumes, found in first.items()
    }


def growth_of(case: str, rounds: Sequence[BySize]) -> float:
    """Return the exponent of a piece from the last size but one to the last: the rounds' median.

    In a round both sizes are measured one after the other, on a machine that is about the same.
    """
    small, large = sorted(rounds[0])[-2:]
    pairs = (
        [next(one for one in each[size] if one.case == case) for size in (small, large)]
        for each in rounds
    )
    return statistics.median(exponent(*pair) for pair in pairs)


def judged(*rounds: BySize) -> Table:
    """Return what must be shown, and whether it is."""
    table = Table()
    by_size = over_rounds(rounds)
    sizes = sorted(by_size)
    if len(sizes) > 1:
        _judge_growth(table, by_size[sizes[-2]], by_size[sizes[-1]], rounds)
    found = by_size[sizes[-1]]
    for one in found:
        if one.group != "floors":
            _judge_one(table, one, found)
    return table


def _judge_growth(
    table: Table, small: Sequence[Figures], large: Sequence[Figures], rounds: Sequence[BySize]
) -> None:
    before = {one.case: one for one in small}
    for after in large:
        is_judged = after.case in before and before[after.case].items and after.items > 1
        if not is_judged or after.group == "floors":
            continue
        growth = f"growth from {before[after.case].volumes:,} to {after.volumes:,}: {after.case}"
        bar = f"exponent {_MOST_EXPONENT}"
        if is_long_enough(before[after.case], after):
            grows = growth_of(after.case, rounds)
            table.row(growth, bar, f"{grows:.2f}", grows <= _MOST_EXPONENT)
        else:
            spent = [one.repetitions * _cost_s(one) * 1e3 for one in (before[after.case], after)]
            figure = f"too short to tell: {spent[0]:.0f} and {spent[1]:.0f} ms"
            table.row(growth, bar, figure, None)


def _judge_one(table: Table, one: Figures, found: Sequence[Figures]) -> None:
    name = f"{one.volumes:,}: {one.case}"
    if one.case.startswith(_PLANS):
        each_us = one.cpu_s / one.items * 1e6
        table.row(
            name, f"{_MOST_PLAN_US:.0f} µs an item", f"{each_us:.1f} µs", each_us <= _MOST_PLAN_US
        )
        _judge_memory_of_plan(table, one, found)
    if one.stop_ms is not None:
        bar, is_met = f"no stop over {_MOST_STOP_MS:.0f} ms", one.stop_ms <= _MOST_STOP_MS
        figure, why = _ms(one.stop_ms), ""
        if not is_met:
            figure += f", longest collection {_ms(one.collector_ms)}"
            why = _floor_in_words(one.stop_ms, floor_ms(one, found))
        table.row(name, bar, figure, is_met, why)
    if one.group in {"night", "large"}:
        is_met = one.peak_mib <= _MOST_PEAK_MIB
        table.row(name, "1.2 GiB at most", f"{one.peak_mib:.0f} MiB", is_met)


def _floor_in_words(stop_ms: float, floor_ms: float | None) -> str:
    """Say that Python itself stops the loop for so long, or that it is not the reason."""
    if floor_ms is None or floor_ms <= _MOST_STOP_MS:
        return ""
    is_near = stop_ms <= _NEAR_FLOOR * floor_ms
    return f"floor {floor_ms:.0f} ms" if is_near else f"above a floor of {floor_ms:.0f} ms"


def models_bytes(found: Sequence[Figures]) -> float | None:
    """Return what a volume or snapshot takes as a model, when a whole fleet of them is listed.

    It is the resident memory that both listings hold when they are there, divided by their
    items, in a process that has listed nothing before.
    """
    held = [one for one in found if one.case in {"list volumes whole", "list snapshots whole"}]
    if len(held) < 2:
        return None
    return sum(one.held_mib for one in held) * 2**20 / sum(one.items for one in held)


def _judge_memory_of_plan(table: Table, one: Figures, found: Sequence[Figures]) -> None:
    """Compare the peak of planning with the listings that it works on, as models.

    The peak is that of resident memory above what was there when the process had done nothing
    but a trial in small. From it goes what both listings hold as models, of the same fleet and in
    the same run. Below zero means that planning keeps of an item less than its model.
    """
    bar = f"{_MOST_PLAN_BYTES:.0f} B an item at the peak, above its model"
    if (models := models_bytes(found)) is None:
        table.row(f"{one.volumes:,}: {one.case}", bar, "the case `models` is missing", None)
        return
    peak = (one.peak_mib - one.base_mib) * 2**20 / one.items
    figure = f"{peak - models:+.0f} B ({peak:.0f} B, a model {models:.0f} B)"
    table.row(f"{one.volumes:,}: {one.case}", bar, figure, peak - models <= _MOST_PLAN_BYTES)
