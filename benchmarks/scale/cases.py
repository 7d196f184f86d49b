"""The pieces of work, by name: each runs in a process of its own, for one size of the fleet."""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from do_blockstore_async import BlockStore
from do_blockstore_async.bulk import Plan, Retention, Selection

from .fleet import SNAPSHOTS_EACH, Fleet, FleetTransport, open_store
from .probe import Figures, Probe

__all__ = ["CASES", "RULES", "run_case"]

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
_TEMPLATE: Final = "{volume}-{region}-{date}-{time}"
_RUN_STEPS: Final = 3_000
_FREELY: Final[dict[str, Any]] = {"max_items": math.inf, "max_failures": None}


class _Bench:
    """One process: a fleet, a client of it, and what was measured."""

    def __init__(self, volumes: int) -> None:
        self.fleet = Fleet(volumes)
        self.volumes = volumes
        self.snapshots = volumes * SNAPSHOTS_EACH
        self.found: list[Figures] = []

    @asynccontextmanager
    async def store(self) -> AsyncIterator[tuple[BlockStore, FleetTransport]]:
        store, transport = open_store(self.fleet)
        async with store:
            yield store, transport

    @asynccontextmanager
    async def measured(
        self, case: str, items: int, transport: FleetTransport | None = None
    ) -> AsyncIterator[Figures]:
        figures = Figures(case, self.volumes, items)
        sent = (lambda: transport.sent) if transport is not None else (lambda: 0)
        async with Probe(figures, lambda: self.fleet.spent_s, sent):
            yield figures
        self.found.append(figures)


async def _listing(bench: _Bench) -> None:
    async with bench.store() as (store, transport):
        async with bench.measured("iterate volumes", bench.volumes, transport):
            async for _ in store.volumes.list():
                pass
        async with bench.measured("iterate snapshots by pages", bench.snapshots, transport):
            async for _page in store.snapshots.list().pages():
                pass
        async with bench.measured("list snapshots whole", bench.snapshots, transport):
            found: Any = await store.snapshots.list()
        assert len(found) == bench.snapshots


async def _inventory(bench: _Bench) -> None:
    items = bench.volumes + bench.snapshots
    async with bench.store() as (store, transport):
        async with bench.measured("inventory", items, transport):
            inventory = await store.bulk.inventory()
        async with bench.measured("inventory as JSON, in a thread", bench.volumes):
            await asyncio.to_thread(inventory.to_json)


async def _rules(bench: _Bench) -> None:
    items = bench.volumes + bench.snapshots
    async with bench.store() as (store, transport):
        for name, rule in RULES.items():
            async with bench.measured(f"plan snapshots, keep {name}", items, transport) as figures:
                plan = await store.bulk.plan_snapshots(
                    keep=Retention(**rule), name_template=_TEMPLATE, max_pruned_share=1.0
                )
            figures.note = f"{len(plan.steps)} steps"
            del plan


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
            async with bench.measured(name, count, transport) as figures:
                plan = await make()
            figures.note = f"{len(plan.steps)} steps"
            del plan


async def _nightly(bench: _Bench) -> None:
    """Plan, save, load, enter, run, stop, resume, report: a night that keeps ten."""
    items = bench.volumes + bench.snapshots
    with tempfile.TemporaryDirectory() as folder:
        journal, path = Path(folder) / "night.db", Path(folder) / "plan.json"
        async with bench.store() as (store, transport):
            bulk = store.bulk
            async with bench.measured("night: plan", items, transport) as figures:
                plan = await bulk.plan_snapshots(keep=Retention(last=10))
            steps = len(plan.steps)
            figures.note = f"{steps} steps"
            async with bench.measured("night: save the plan, in a thread", steps):
                await asyncio.to_thread(bulk.save_plan, plan, path)
            async with bench.measured("night: load the plan, in a thread", steps):
                loaded = await asyncio.to_thread(bulk.load_plan, path)
            assert loaded == plan
            del loaded
            run = bulk.run(plan, **_FREELY, journal=journal, max_plan_age_s=math.inf)
            async with bench.measured("night: enter, with a journal", steps, transport):
                await run.__aenter__()
            count = min(steps, _RUN_STEPS)
            async with bench.measured("night: run, journaled", count, transport):
                for _ in range(count):
                    await anext(run)
            async with bench.measured("night: killed", count, transport):
                killed = RuntimeError("killed")
                await run.__aexit__(type(killed), killed, None)
            async with bench.measured("night: report, in a thread", steps):
                report = await asyncio.to_thread(run.report)
            async with bench.measured("night: report as JSON, in a thread", count):
                await asyncio.to_thread(report.to_json)
            del run, plan, report
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


async def _prune_all(bench: _Bench) -> None:
    """The largest plan: most of the snapshots go. Entered, and run without a journal."""
    items = bench.volumes + bench.snapshots
    async with bench.store() as (store, transport):
        async with bench.measured("large: plan and enter", items, transport) as figures:
            plan = await store.bulk.plan_snapshots(keep=Retention(last=4))
            run = store.bulk.run(plan, **_FREELY, max_plan_age_s=math.inf)
            await run.__aenter__()
        figures.note = f"{len(plan.steps)} steps"
        count = min(len(plan.steps), 20_000)
        async with bench.measured("large: run", count, transport):
            for _ in range(count):
                await anext(run)
        run.stop()
        await run.__aexit__(None, None, None)


CASES: Final[dict[str, Callable[[_Bench], Coroutine[Any, Any, None]]]] = {
    "listing": _listing,
    "inventory": _inventory,
    "rules": _rules,
    "plans": _others,
    "night": _nightly,
    "large": _prune_all,
}


def run_case(name: str, volumes: int, *, uvloop: bool = False) -> list[Figures]:
    """Run one case in this process."""
    bench = _Bench(volumes)
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if uvloop:
        import uvloop as fast

        factory = fast.new_event_loop
    # Once in small: what is imported late is no cost of the case.
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(CASES[name](_Bench(50)))
        runner.run(CASES[name](bench))
    return bench.found
