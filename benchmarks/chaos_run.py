"""One run of chaos: a client, a world, a fifth of everything going wrong, and a book of truth.

Theory: every operation of a run is an intent with a number. The number travels as a context
variable: from the task that asks, through the client and the transport, into the timer with which
a request arrives at the world. So the world's own books say which intent made, changed or deleted
what, without a mark in any request that the client could profit from. Afterwards `judge` compares
these books with what the callers were told.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import attrs

from do_blockstore_async import (
    Action,
    BlockStore,
    BlockStoreError,
    Config,
    OutcomeUnknownError,
    Throttle,
    Volume,
    VolumeSnapshot,
)
from do_blockstore_async.events import AttemptFinished, AttemptSent
from do_blockstore_async.simulator import Faults, World, connect_in_process
from do_blockstore_async.wire.messages import Request

from .virtual_time import run_virtual

__all__ = ["KINDS", "Books", "Chaos", "Intent", "Options", "Outcome", "run"]

KINDS = (
    "answer_lost",
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

_intent: ContextVar[int] = ContextVar("intent", default=0)


@attrs.frozen(kw_only=True)
class Options:
    """A run: the same options give the same run.

    Args:
        operations: how many.
        seed: for everything.
        fault_rate: the share of requests that something happens to.
        workers: tasks that ask at the same time.
        cancel_rate: the share of operations that are cancelled at a random moment.
        restarts: how often the client is closed in the middle of things and a new one begins.
        blindly: repeats everything blindly, POSTs included, as other SDKs do.
    """

    operations: int = 10_000
    seed: int = 0
    fault_rate: float = 0.2
    workers: int = 8
    cancel_rate: float = 0.03
    restarts: int = 20
    blindly: bool = False


@attrs.define
class Intent:
    """One operation: what was asked, and what the caller was told."""

    number: int
    kind: str
    target: str
    told: Any = None
    cancelled: bool = False
    told_at_s: float = 0.0
    # Of a delete, in loop time: when its first attempt had ended that was not refused for certain,
    # and when it was sent again after that.
    first_ended_s: float | None = None
    repeated_s: float | None = None


@attrs.define
class Books:
    """What really happened: intent to things, in the order of happening."""

    made: defaultdict[int, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    deleted: defaultdict[int, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    made_at_s: dict[str, float] = attrs.field(factory=dict)
    deleted_at_s: dict[str, float] = attrs.field(factory=dict)

    def watch(self, world: World) -> None:
        """Write down whatever the world's state goes through from now on."""
        state = world.state
        for name in ("add_volume", "add_snapshot", "add_action"):
            setattr(state, name, self._noting(getattr(state, name), self._note_made))
        for name in ("remove_volume", "remove_snapshot"):
            setattr(state, name, self._noting(getattr(state, name), self._note_deleted))

    @staticmethod
    def _noting(real: Callable[[Any], None], note: Callable[[str], None]) -> Callable[[Any], None]:
        def noting(thing: Any) -> None:
            real(thing)
            note(str(thing.id))

        return noting

    def _note_made(self, identity: str) -> None:
        self.made[_intent.get()].append(identity)
        self.made_at_s[identity] = asyncio.get_running_loop().time()

    def _note_deleted(self, identity: str) -> None:
        self.deleted[_intent.get()].append(identity)
        self.deleted_at_s[identity] = asyncio.get_running_loop().time()

    def held(self, identity: str, at_s: float) -> bool:
        """Whether a thing was there at that moment."""
        return self.made_at_s[identity] <= at_s < self.deleted_at_s.get(identity, float("inf"))


@attrs.define
class Outcome:
    """A run, over: what was told, what happened, and what was left behind."""

    options: Options
    intents: list[Intent]
    books: Books
    faults: int
    requests: int
    refused: Counter[str]
    leaked: int


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
        self.faults = Faults(seed=options.seed)
        share = 1 - (1 - options.fault_rate) ** (1 / len(KINDS))
        for kind in KINDS if share else ():
            self.faults.add(kind, rate=share)
        self.intents: list[Intent] = []
        self.config = Config(
            attempt_timeout_s=5.0,
            linger_s=10.0,
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
        number = _intent.get()
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
        token = _intent.set(intent.number)
        task = asyncio.ensure_future(call)
        _intent.reset(token)
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
    """Take the care out: every request is repeatable, and nothing is looked up."""
    engine: Any = store._engine
    careful = engine.call

    async def call(request: Request[Any], *, timeout: float | None = None) -> Any:
        blind: Request[Any] = Request(
            method=request.method,
            path=request.path,
            route=request.route,
            decode=request.decode,
            params=request.params,
            json=request.json,
            scopes=request.scopes,
            repeatable=True,
        )
        return await careful(blind, timeout=timeout)

    engine.call = call


def run(options: Options) -> Outcome:
    """Do it, in virtual time."""
    return run_virtual(Chaos(options).main())


def told_id(told: Any) -> str | None:
    """The id of what the caller was given."""
    if isinstance(told, Volume | VolumeSnapshot | Action):
        return str(told.id)
    return None


def told_unknown(intent: Intent) -> bool:
    """Whether the caller was told that it cannot be told."""
    if intent.cancelled:
        return bool(getattr(intent.told, "__notes__", ()))
    return isinstance(intent.told, OutcomeUnknownError)
