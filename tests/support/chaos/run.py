"""One run of chaos: a client, a world, and a fifth of everything going wrong.

`books` notes what happens, `judging` compares it with what the callers were told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from typing import Any

from do_blockstore_async import (
    BlockStore,
    BlockStoreError,
    Config,
    Throttle,
    Volume,
)
from do_blockstore_async._http.request import Request
from do_blockstore_async.events import AttemptFinished, AttemptSent
from do_blockstore_async.simulator import FaultInjector, World, connect_in_process
from tests.support.virtual_time import run_virtual

from .books import Books, Intent, Options, Outcome, current_intent

__all__ = ["KINDS", "NAMES", "REGIONS", "SIZES", "Chaos", "run"]

KINDS = (
    "response_lost",
    "reset_before",
    "keepalive_drop",
    "stall",
    "drip",
    "truncated",
    "html_502",
    "html_503",
    "html_504",
    "error_500_after_commit",
    "error_500_before",
    "malformed_json",
    "empty_body",
    "wrong_content_type",
    "hostile_next",
    "redirect",
    "duplicate",
    "snapshot_errors",
    "action_errors",
    "retry_after_date",
    "headers_missing",
    "headers_negative",
    "headers_garbage",
    "reset_past",
    "reset_far",
)
NAMES = tuple(f"data-{number}" for number in range(40))
REGIONS = ("nyc3", "fra1", "sgp1")
SIZES = (10, 20, 50)


class Chaos:
    """One run under way."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.world = World(
            seed=options.seed,
            snapshot_cooldown_s=120.0,
            droplets=[f"{number}:{region}" for number, region in enumerate(REGIONS, 1000)],
        )
        self.books = Books()
        self.books.watch(self.world)
        self.faults = FaultInjector(seed=options.seed)
        share = 1 - (1 - options.fault_rate) ** (1 / len(KINDS))
        for kind in KINDS if share else ():
            self.faults.add(kind, rate=share)
        self.intents: list[Intent] = []
        self.config = Config(
            attempt_timeout_s=5.0,
            late_arrival_s=10.0,
            jitter_seed=options.seed,
            hooks=(self._hook,),
            retry_budget=1000,
        )
        self.store: BlockStore | None = None
        self.opened = asyncio.Event()
        self.leaked = 0
        self.generation = 0
        # What the token has used outlives a client: that is what `throttle=` is for.
        self.throttle = Throttle(self.config)

    def _hook(self, event: Any) -> None:
        if not isinstance(event, AttemptSent | AttemptFinished):
            return
        number = current_intent.get()
        if not number or event.method != "DELETE":
            return
        intent, now = self.intents[number - 1], asyncio.get_running_loop().time()
        if isinstance(event, AttemptSent):
            if intent.first_ended_s is not None and intent.repeated_s is None:
                intent.repeated_s = now
        elif event.failure != "RateLimitedError" and intent.first_ended_s is None:
            # A 429 is a refusal for certain: what is sent after it is a first attempt again.
            intent.first_ended_s = now

    async def main(self) -> Outcome:
        await self.open()
        left = self.options.operations
        try:
            async with asyncio.TaskGroup() as group:
                share, more = divmod(left, self.options.workers)
                workers = [
                    group.create_task(self._work(share + (number < more)))
                    for number in range(self.options.workers)
                ]
                restarter = group.create_task(self._restart())
                await asyncio.wait(workers)
                restarter.cancel()
        finally:
            await self.close()
        await asyncio.sleep(60)  # whatever is still under way has arrived
        self.leaked += len(asyncio.all_tasks()) - 1
        return self.outcome()

    def outcome(self) -> Outcome:
        """What is known so far."""
        return Outcome(
            self.options,
            self.intents,
            self.books,
            len(self.faults.log),
            self.world.handled,
            self.world.refused,
            self.leaked,
        )

    # One client after another.

    async def open(self) -> None:
        store = connect_in_process(
            self.world,
            config=self.config,
            faults=self.faults,
            throttle=self.throttle,
            seed=self.options.seed * 1000 + self.generation,
        )
        self.generation += 1
        await store.__aenter__()
        if self.options.blindly:
            _repeat_blindly(store)
        self.store = store
        self.opened.set()

    async def close(self) -> None:
        assert self.store is not None
        store, self.store = self.store, None
        self.opened.clear()
        await store.aclose()
        transport: Any = store._session
        self.leaked += store.quota.in_flight + len(transport._scopes)

    async def _restart(self) -> None:
        """Close the client in the middle of things, now and then."""
        every = max(1, self.options.operations // (self.options.restarts + 1))
        due = every
        while self.options.restarts:
            await asyncio.sleep(0.5)
            if len(self.intents) >= due:
                due += every
                await self.close()
                await self.open()

    # Operations.

    async def _work(self, operations: int) -> None:
        for _ in range(operations):
            await self.opened.wait()
            assert self.store is not None
            kind, target, call = self._draw(self.store)
            cancelled = self.random.random() < self.options.cancel_rate
            await self.carry_out(
                kind, target, call, 2 * self.random.random() if cancelled else None
            )

    async def carry_out(
        self, kind: str, target: str, call: Awaitable[Any], cancel_after_s: float | None = None
    ) -> Intent:
        """Do one operation and note what was told."""
        loop = asyncio.get_running_loop()
        intent = Intent(len(self.intents) + 1, kind, target)
        self.intents.append(intent)
        token = current_intent.set(intent.number)
        task = asyncio.ensure_future(call)
        current_intent.reset(token)
        if cancel_after_s is not None:
            loop.call_later(cancel_after_s, task.cancel)
        try:
            intent.told = await task
        except BlockStoreError as error:
            intent.told = error
        except asyncio.CancelledError as error:
            intent.told, intent.cancelled = error, True
        intent.told_at_s = loop.time()
        return intent

    def _draw(self, store: BlockStore) -> tuple[str, str, Awaitable[Any]]:
        draw = self.random
        name, region = draw.choice(NAMES), draw.choice(REGIONS)
        target = f"{name}@{region}"
        timeout = draw.choice((None, None, None, 20.0, 60.0))
        dice = draw.random()
        if dice < 0.27:
            size = draw.choice(SIZES)
            call = store.volumes.create(name, region=region, size_gigabytes=size, timeout=timeout)
            return "create", target, call
        if dice < 0.35:
            by_name = store.volumes.delete_by_name(name, region=region, timeout=timeout)
            return "delete by name", target, by_name
        if dice < 0.40:
            return "find", target, store.volumes.find(name, region=region)
        volume = self._any(self.world.volumes)
        if volume is None:
            return "find", target, store.volumes.find(name, region=region)
        droplet = 1000 + REGIONS.index(volume.region)
        if dice < 0.50:
            return "get", volume.id, store.volumes.get(volume.id, timeout=timeout)
        if dice < 0.53:
            return "list", region, _listed(store, region)
        if dice < 0.68:
            named = f"snapshot-{draw.randrange(4)}"
            return "snapshot", volume.id, store.snapshots.create(volume.id, named, timeout=timeout)
        if dice < 0.75:
            snapshot = self._any(self.world.snapshots)
            if snapshot is not None:
                return "delete snapshot", snapshot.id, store.snapshots.delete(snapshot.id)
        if dice < 0.81:
            return "attach", volume.id, store.volumes.attach(volume.id, droplet, timeout=timeout)
        if dice < 0.87:
            return "detach", volume.id, store.volumes.detach(volume.id, droplet, timeout=timeout)
        if dice < 0.92:
            size = volume.size_gigabytes + draw.randint(1, 50)
            return "resize", volume.id, store.volumes.resize(volume.id, size, timeout=timeout)
        return "delete", volume.id, store.volumes.delete(volume.id, timeout=timeout)

    def _any(self, things: Any) -> Any:
        ids = list(things)
        return things[self.random.choice(ids)] if ids else None


async def _listed(store: BlockStore, region: str) -> list[Volume]:
    return [volume async for volume in store.volumes.list(region=region)]


def _repeat_blindly(store: BlockStore) -> None:
    """Take the care out: every request may be repeated, and nothing is looked up."""
    engine: Any = store._engine
    careful = engine.call

    async def call(request: Request[Any], **limits: Any) -> Any:
        blind: Request[Any] = Request(
            method=request.method,
            path=request.path,
            route=request.route,
            decode=request.decode,
            params=request.params,
            json=request.json,
            scopes=request.scopes,
            idempotent=True,
        )
        return await careful(blind, **limits)

    engine.call = call


def run(options: Options) -> Outcome:
    """Do it, in virtual time."""
    return run_virtual(Chaos(options).main())
