"""The pieces of work, by name: each runs in a process of its own, for one size of the fleet."""

from __future__ import annotations

import asyncio
import gc
import math
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from do_blockstore_async import BlockStore
from do_blockstore_async.bulk import Inventory, Plan, Retention, Run, Selection
from do_blockstore_async.resources._disposal import all_freed

from .command_line import run_commands
from .fleet import SNAPSHOTS_EACH, Fleet, FleetTransport, open_store
from .floors import COLLECTING, KEEPING, KEEPING_WIDE, LETTING_GO, Small, Wide
from .probe import Figures, Probe, merged, resident_mib

__all__ = ["CASES", "ENOUGH_S", "RULES", "TEMPLATE", "run_case"]

ENOUGH_S: Final = 0.3
_LEAST_REPETITIONS: Final = 3
_MOST_REPETITIONS: Final = 50
# Nothing is gained by repeating what takes so long.
_LONG_S: Final = 3.0
# Larger than the caches of processors; a turn of the timer that measures stops.
_CACHE_BYTES: Final = 1 << 26
_PIECE_BYTES: Final = 1 << 20
_TURN_S: Final = 0.002
_FLOOR_REPETITIONS: Final = 5
_SLICE: Final = 1_000

RULES: Final[dict[str, dict[str, Any]]] = {
    "last": {"last": 10},
    "hourly": {"hourly": 10},
    "daily": {"daily": 10},
    "weekly": {"weekly": 6},
    "monthly": {"monthly": 5},
    "yearly": {"yearly": 2, "last": 5},
    "within": {"within": "30d"},
    "tags": {"tags": ["keep"], "last": 5},
    "all": {"last": 3, "hourly": 2, "daily": 4, "weekly": 3, "monthly": 3, "yearly": 2,
            "within": "3d"},
}  # fmt: skip
# With the hour: a rule needs it.
TEMPLATE: Final = "{volume}-{region}-{date}-{time}"
_RUN_STEPS: Final = 3_000
_FREELY: Final[dict[str, Any]] = {"max_items": math.inf, "max_failures": None}


class _Bench:
    """One process: a fleet, a client of it, and what was measured.

    Args:
        name: of the case.
        volumes: of the fleet.
        enough_s: how much CPU a piece must have cost in all before its figure is trusted.
    """

    def __init__(self, name: str, volumes: int, enough_s: float) -> None:
        self.fleet = Fleet(volumes)
        self.volumes = volumes
        self.snapshots = volumes * SNAPSHOTS_EACH
        self.enough_s = enough_s
        self._name = name
        self._found: dict[str, list[Figures]] = {}
        gc.collect()
        self._base_mib = resident_mib()

    @property
    def found(self) -> list[Figures]:
        return [merged(several) for several in self._found.values()]

    @asynccontextmanager
    async def store(self) -> AsyncIterator[tuple[BlockStore, FleetTransport]]:
        store, transport = open_store(self.fleet)
        async with store:
            yield store, transport

    def add(self, figures: Figures) -> None:
        """Add figures; those of the same name are repetitions of each other."""
        figures.group, figures.base_mib = self._name, self._base_mib
        self._found.setdefault(figures.case, []).append(figures)

    @asynccontextmanager
    async def measured(
        self, case: str, items: int, transport: FleetTransport | None = None
    ) -> AsyncIterator[Figures]:
        # What a task has awaited last is held until it pauses.
        await asyncio.sleep(0)
        await all_freed()
        if self.enough_s:
            gc.collect()
        figures = Figures(case, self.volumes, items)
        sent = (lambda: transport.sent) if transport is not None else (lambda: 0)
        async with Probe(figures, lambda: self.fleet.spent_s, sent):
            yield figures
        self.add(figures)

    def repetitions(self, case: str) -> Iterator[int]:
        """Count until the piece was measured for long enough: what is short is noise else."""
        for number in range(_MOST_REPETITIONS):
            yield number
            spent_s = sum(one.cpu_s for one in self._found[case])
            is_enough = spent_s >= self.enough_s and number + 1 >= _LEAST_REPETITIONS
            if not self.enough_s or is_enough or spent_s >= _LONG_S:
                return

    async def repeat(
        self,
        case: str,
        items: int,
        work: Callable[[], Awaitable[Any]],
        transport: FleetTransport | None = None,
        note: Callable[[Any], str] = lambda result: "",
    ) -> Any:
        """Measure `work` until it was long enough; return what it returned the last time."""
        result: Any = None
        for _ in self.repetitions(case):
            # Dropped before, outside of what is measured.
            del result
            async with self.measured(case, items, transport) as figures:
                result = await work()
            figures.note = note(result)
        return result


def _steps(plan: Plan) -> str:
    return f"{len(plan.steps)} steps"


async def _floors(bench: _Bench) -> None:
    # With everything imported, as in the other cases.
    await _nightly(_Bench("", 50, 0))
    others = bytearray(_CACHE_BYTES)
    for _ in range(_FLOOR_REPETITIONS):
        async with bench.measured(COLLECTING, len(gc.get_objects())):
            # After other work, what the collector visits is not in the processor's cache.
            for start in range(0, _CACHE_BYTES, _PIECE_BYTES):
                others.count(1, start, start + _PIECE_BYTES)
                await asyncio.sleep(0)
            await asyncio.sleep(_TURN_S)
            gc.collect()
    del others
    for _ in range(_FLOOR_REPETITIONS):
        kept: list[Small] = []
        await _keep(bench, KEEPING, Small, kept)
        async with bench.measured(LETTING_GO, bench.snapshots):
            kept.clear()
    for _ in range(_FLOOR_REPETITIONS):
        await _keep(bench, KEEPING_WIDE, Wide, [])


async def _keep(bench: _Bench, case: str, kind: Callable[[int], Any], kept: list[Any]) -> None:
    async with bench.measured(case, bench.snapshots):
        for start in range(0, bench.snapshots, _SLICE):
            kept += [kind(n) for n in range(start, min(start + _SLICE, bench.snapshots))]
            await asyncio.sleep(0)


async def _listing(bench: _Bench) -> None:
    async with bench.store() as (store, transport):

        async def volumes() -> None:
            async for _ in store.volumes.list():
                pass

        async def pages() -> None:
            async for _page in store.snapshots.list().pages():
                pass

        await bench.repeat("iterate volumes", bench.volumes, volumes, transport)
        await bench.repeat("iterate snapshots by pages", bench.snapshots, pages, transport)


async def _models(bench: _Bench) -> None:
    """Both listings whole: what the models of a fleet hold, in a process that held none before."""
    async with bench.store() as (store, transport):
        for _ in bench.repetitions("list volumes whole"):
            async with bench.measured("list volumes whole", bench.volumes, transport):
                volumes: Any = await store.volumes.list()
            async with bench.measured("list snapshots whole", bench.snapshots, transport):
                snapshots: Any = await store.snapshots.list()
            assert len(volumes) == bench.volumes
            assert len(snapshots) == bench.snapshots
            async with bench.measured("let go of both lists", bench.volumes + bench.snapshots):
                del volumes, snapshots


async def _inventory(bench: _Bench) -> None:
    items = bench.volumes + bench.snapshots
    async with bench.store() as (store, transport):
        inventory: Inventory = await bench.repeat(
            "inventory", items, store.bulk.inventory, transport
        )

        async def as_json() -> None:
            await asyncio.to_thread(inventory.to_json)

        await bench.repeat("inventory as JSON, in a thread", bench.volumes, as_json)


async def _rules(bench: _Bench) -> None:
    items = bench.volumes + bench.snapshots
    async with bench.store() as (store, transport):
        for name, rule in RULES.items():

            async def make(rule: dict[str, Any] = rule) -> Plan:
                return await store.bulk.plan_snapshots(
                    keep=Retention(**rule), name_template=TEMPLATE, max_pruned_share=1.0
                )

            await bench.repeat(f"plan snapshots, keep {name}", items, make, transport, _steps)


async def _others(bench: _Bench) -> None:
    items = bench.volumes + bench.snapshots
    free = Selection(attached=False)
    async with bench.store() as (store, transport):
        bulk = store.bulk
        plans: dict[str, tuple[int, Callable[[], Awaitable[Plan]]]] = {
            "plan prune": (items, lambda: bulk.plan_prune(Retention(last=5))),
            "plan deletions": (bench.volumes, lambda: bulk.plan_deletions(free)),
            "plan deletions, snapshot first": (
                items, lambda: bulk.plan_deletions(free, snapshot_first=True),
            ),
            "plan orphan tags": (bench.volumes, lambda: bulk.plan_orphan_tags()),
            "plan orphan deletions": (bench.volumes, lambda: bulk.plan_orphan_deletions()),
        }  # fmt: skip
        for name, (count, make) in plans.items():
            await bench.repeat(name, count, make, transport, _steps)


async def _nightly(bench: _Bench) -> None:
    """Plan, save, load, enter, run, stop, resume, report: a night that keeps ten."""
    items = bench.volumes + bench.snapshots
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        async with bench.store() as (store, transport):
            bulk = store.bulk

            async def make() -> Plan:
                return await bulk.plan_snapshots(keep=Retention(last=10))

            plan: Plan = await bench.repeat("night: plan", items, make, transport, _steps)
            steps = len(plan.steps)
            save = partial(asyncio.to_thread, bulk.save_plan, plan, path)
            await bench.repeat("night: save the plan, in a thread", steps, save)
            load = partial(asyncio.to_thread, bulk.load_plan, path)
            assert plan == await bench.repeat("night: load the plan, in a thread", steps, load)
            case = "night: enter, with a journal"
            run = await _entered(bench, case, plan, store, transport, Path(folder))
            count = min(steps, _RUN_STEPS)
            async with bench.measured("night: run, journaled", count, transport):
                for _ in range(count):
                    await anext(run)
            async with bench.measured("night: killed", count, transport):
                await _kill(run)
            journal = max(Path(folder).glob("??.db"))  # noqa: ASYNC240 -- nothing else is running
            report = await bench.repeat(
                "night: report, in a thread", steps, partial(asyncio.to_thread, run.report)
            )
            as_json = partial(asyncio.to_thread, report.to_json)
            await bench.repeat("night: report as JSON, in a thread", count, as_json)
            del save, load, as_json
            async with bench.measured("night: let go of the plan, the run and its report", steps):
                # What is in a circle goes when the collector comes: now.
                del run, plan, report
                # The tasks of a killed run need a few turns to end.
                await asyncio.sleep(0.05)
                await all_freed()
                gc.collect()
        async with bench.store() as (store, transport):
            run = store.bulk.resume(journal, **_FREELY)
            async with bench.measured("night: resume, with the reading", items, transport):
                await run.__aenter__()
            left = min(count, steps - count)
            async with bench.measured("night: run on", left, transport):
                for _ in range(left):
                    await anext(run)
            run.stop()
            await run.__aexit__(None, None, None)


async def _entered(
    bench: _Bench,
    case: str,
    plan: Plan,
    store: BlockStore,
    transport: FleetTransport,
    folder: Path | None = None,
) -> Run:
    """Enter runs of a plan until it was measured for long enough; return the last.

    Each has a journal of its own, if there is a folder for them.
    """
    run: Run | None = None
    for number in bench.repetitions(case):
        if run is not None:
            await _kill(run)
        journal = None if folder is None else folder / f"{number:02d}.db"
        run = store.bulk.run(plan, **_FREELY, journal=journal, max_plan_age_s=math.inf)
        async with bench.measured(case, len(plan.steps), transport):
            await run.__aenter__()
    assert run is not None
    return run


async def _kill(run: Run) -> None:
    killed = RuntimeError("killed")
    await run.__aexit__(type(killed), killed, None)


async def _prune_all(bench: _Bench) -> None:
    """The largest plan: most of the snapshots go. Entered, and run without a journal."""
    items = bench.volumes + bench.snapshots
    async with bench.store() as (store, transport):

        async def make() -> Plan:
            return await store.bulk.plan_snapshots(keep=Retention(last=4))

        plan: Plan = await bench.repeat("large: plan", items, make, transport, _steps)
        steps = len(plan.steps)
        run = await _entered(bench, "large: enter", plan, store, transport)
        # In a fleet of any size creations: those come first, one for each volume.
        count = min(bench.volumes, 20_000)
        async with bench.measured("large: run", count, transport):
            for _ in range(count):
                await anext(run)
        run.stop()
        await run.__aexit__(None, None, None)
        async with bench.measured("large: let go of the plan and the run", steps):
            del run, plan
            await asyncio.sleep(0.05)
            await all_freed()
            gc.collect()


async def _command_line(bench: _Bench) -> None:
    for several in run_commands(bench.volumes, is_trial=not bench.enough_s):
        for figures in several:
            bench.add(figures)


CASES: Final[dict[str, Callable[[_Bench], Coroutine[Any, Any, None]]]] = {
    "floors": _floors,
    "models": _models,
    "listing": _listing,
    "inventory": _inventory,
    "rules": _rules,
    "plans": _others,
    "night": _nightly,
    "large": _prune_all,
    "command-line": _command_line,
}
"""By name; the name is also the group of what is measured in it."""


def run_case(
    name: str,
    volumes: int,
    *,
    enough_s: float = ENOUGH_S,
    uvloop: bool = False,
    freeze: bool = False,
) -> list[Figures]:
    """Run one case in this process.

    Args:
        name: of the case.
        volumes: of the fleet.
        enough_s: short pieces are repeated until they have cost so much; 0 for a trial, which
            does not begin with a run in small either.
        uvloop: run it in a loop of uvloop.
        freeze: hide what is imported from the collector, as a service may once it is.
    """
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if uvloop:
        import uvloop as fast

        factory = fast.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        if enough_s and name != "command-line":
            # Once in small: what is imported late is no cost of the case.
            runner.run(CASES[name](_Bench(name, 50, 0)))
        if freeze:
            gc.collect()
            gc.freeze()
        bench = _Bench(name, volumes, enough_s)
        runner.run(CASES[name](bench))
    return bench.found
