"""What a piece of work costs: CPU, memory, requests, and the longest stop of the event loop.

A timer of the loop runs again and again. A stop is the time between two of its runs, by the CPU
time of the process: on a machine that others use too, the wall clock would count their turns. Work
in a thread counts as well: it stops the loop for as long as it keeps the interpreter to itself, and
until then the loop's timer does not run. The wall clock is measured beside it.

CPU time is not quite free of the others either: a core whose twin is busy, or a machine that the
host shares out, does half as much in a second. So a small fixed work is timed again and again
beside what is measured; where CPU is compared, it is compared in units of it. It touches next to no
memory, so what a large fleet costs by its own misses of the cache stays in.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

__all__ = ["Figures", "Probe", "merged", "peak_mib", "reset_peak", "resident_mib"]

_EVERY_S = 0.001
_PACE_EVERY_S = 0.05
_PACED_LOOPS = range(4_000)


def _pace_s() -> float:
    """Return the CPU of a small fixed work: a tenth of a millisecond on an idle core."""
    began, total = time.thread_time(), 0
    for number in _PACED_LOOPS:
        total += number
    return time.thread_time() - began


@attrs.define
class Figures:
    """What was measured of one piece of work.

    Attributes:
        group: the case that the piece belongs to; those of one ran in one process.
        items: how many things it was about; figures for each are of these.
        cpu_s: of the process, making responses left out; of a piece that was repeated, the median.
        kernel_s: the part of it in the kernel: mostly memory that is touched for the first time.
        fixed_s: the part of it that is the same in a fleet of any size, if that was measured.
        wall_s: from beginning to end.
        above_mib: peak of the resident memory above that at the beginning.
        peak_mib: peak of the resident memory.
        base_mib: resident memory when the case began, before its first piece.
        held_mib: resident memory at the end above that at the beginning, when it first ran.
        stop_ms: longest stop of the loop, by CPU time; none of a process of its own.
        stop_wall_ms: the same by the wall clock.
        collector_ms: longest run of the garbage collector.
        requests: how many were sent.
        pace_us: what the small fixed work took meanwhile, on average; 0 if it was not timed.
        freed: blocks of the interpreter's memory that there were more at the beginning.
        repetitions: how often it was done.
    """

    case: str
    volumes: int
    items: int = 0
    group: str = ""
    cpu_s: float = 0.0
    kernel_s: float = 0.0
    fixed_s: float = 0.0
    wall_s: float = 0.0
    above_mib: float = 0.0
    peak_mib: float = 0.0
    base_mib: float = 0.0
    held_mib: float = 0.0
    stop_ms: float | None = 0.0
    stop_wall_ms: float | None = 0.0
    collector_ms: float | None = 0.0
    requests: int = 0
    pace_us: float = 0.0
    freed: int = 0
    repetitions: int = 1
    note: str = ""


def merged(several: list[Figures], *, are_rounds: bool = False) -> Figures:
    """Return the figures of a piece that was repeated: the median of its CPU, the worst of stops.

    Of a floor the median of the stops too: what is never undercut, not what happened once. And of
    rounds, of which each has its own worst; and of those the median of the memory too.
    """
    first = several[0]
    if len(several) == 1:
        return first
    largest = statistics.median if are_rounds else max
    worst = statistics.median if are_rounds or first.group == "floors" else max

    def of(name: str, choose: Callable[[list[float]], float] = max) -> Any:
        values = [getattr(one, name) for one in several]
        return None if None in values else choose(values)

    return attrs.evolve(
        first,
        cpu_s=of("cpu_s", statistics.median),
        pace_us=of("pace_us", statistics.median),
        kernel_s=of("kernel_s", statistics.median),
        wall_s=of("wall_s", statistics.median),
        above_mib=of("above_mib", largest),
        peak_mib=of("peak_mib", largest),
        base_mib=of("base_mib", largest),
        held_mib=first.held_mib if not are_rounds else of("held_mib", largest),
        fixed_s=of("fixed_s", largest),
        stop_ms=of("stop_ms", worst),
        stop_wall_ms=of("stop_wall_ms", worst),
        collector_ms=of("collector_ms", worst),
        repetitions=first.repetitions if are_rounds else len(several),
    )


def _status(field: str) -> float:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024
    return 0.0


def resident_mib() -> float:
    """What the process holds now."""
    return _status("VmRSS")


def peak_mib() -> float:
    """What it held at most since `reset_peak`."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Begin anew to measure the peak."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


class Probe:
    """Measures what is done inside of `async with`.

    Args:
        figures: filled in at the end.
        spent_s: returns the CPU that is not the package's.
        sent: returns how many requests were sent.
    """

    def __init__(
        self,
        figures: Figures,
        spent_s: Callable[[], float] = lambda: 0.0,
        sent: Callable[[], int] = lambda: 0,
    ) -> None:
        self.figures = figures
        self._spent_s = spent_s
        self._sent = sent
        self._is_over = False
        self._stop_ms = self._stop_wall_ms = self._collector_ms = 0.0

    async def __aenter__(self) -> Self:
        gc.callbacks.append(self._on_collection)
        self._collecting = 0.0
        self._loop = asyncio.get_running_loop()
        self._blocks = sys.getallocatedblocks()
        reset_peak()
        self._start_mib = resident_mib()
        self._paces_s = [_pace_s() for _ in range(3)]
        self._paced_s = 0.0
        self._spent_before_s, self._sent_before = self._spent_s(), self._sent()
        self._kernel_s = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._last = (self._wall, self._cpu, self._spent_before_s)
        self._pace_at = self._cpu + _PACE_EVERY_S
        self._timer = self._loop.call_later(_EVERY_S, self._tick)
        return self

    def _tick(self) -> None:
        wall, cpu, spent_s = time.perf_counter(), time.process_time(), self._spent_s()
        last_wall, last_cpu, last_spent_s = self._last
        others_s = spent_s - last_spent_s
        self._stop_ms = max(self._stop_ms, (cpu - last_cpu - others_s) * 1e3)
        gap_s = wall - last_wall - others_s - _EVERY_S
        self._stop_wall_ms = max(self._stop_wall_ms, gap_s * 1e3)
        self._last = (wall, cpu, spent_s)
        if cpu > self._pace_at and not self._is_over:
            self._paces_s.append(_pace_s())
            self._last = (time.perf_counter(), time.process_time(), spent_s)
            self._paced_s += self._paces_s[-1]
            self._pace_at = self._last[1] + _PACE_EVERY_S
        if not self._is_over:
            self._timer = self._loop.call_later(_EVERY_S, self._tick)

    def _on_collection(self, phase: str, info: dict[str, Any]) -> None:
        del info
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            took_ms = (time.thread_time() - self._collecting) * 1e3
            self._collector_ms = max(self._collector_ms, took_ms)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over = True
        self._timer.cancel()
        self._tick()
        figures = self.figures
        figures.cpu_s = time.process_time() - self._cpu - (self._spent_s() - self._spent_before_s)
        figures.cpu_s -= self._paced_s
        self._paces_s += [_pace_s() for _ in range(3)]
        figures.pace_us = statistics.fmean(self._paces_s) * 1e6
        figures.kernel_s = resource.getrusage(resource.RUSAGE_SELF).ru_stime - self._kernel_s
        figures.stop_ms, figures.stop_wall_ms = self._stop_ms, self._stop_wall_ms
        figures.collector_ms = self._collector_ms
        figures.wall_s = time.perf_counter() - self._wall
        figures.peak_mib = peak_mib()
        figures.above_mib = figures.peak_mib - self._start_mib
        figures.held_mib = resident_mib() - self._start_mib
        figures.freed = max(0, self._blocks - sys.getallocatedblocks())
        figures.requests = self._sent() - self._sent_before
        gc.callbacks.remove(self._on_collection)
