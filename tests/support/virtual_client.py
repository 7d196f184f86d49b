"""A client, a world and what goes wrong between them, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from do_blockstore_async import BlockStore, events
from do_blockstore_async.simulator import FaultInjector, World, connect_in_process
from tests.support.scripted_server import quick
from tests.support.virtual_time import run_virtual

T = TypeVar("T")

__all__ = ["Scene", "play"]


class Scene:
    """One client of one world. `seen` holds every event."""

    def __init__(
        self,
        *,
        seed: int = 0,
        latency_s: tuple[float, float] = (0.02, 0.1),
        config: dict[str, Any] | None = None,
        **world: Any,
    ) -> None:
        options = {"limits": "none", "action_s": (1.0, 2.0), "seed": seed, **world}
        self.world = World(**options)
        self.faults = FaultInjector(seed=seed)
        self.seen: list[events.Event] = []
        self.latency_s, self.seed = latency_s, seed
        self.config = quick(
            **{
                "backoff_base_s": 0.5,
                "backoff_cap_s": 5.0,
                "attempt_timeout_s": 10.0,
                "hooks": (self.seen.append,),
                "jitter_seed": seed,
                **(config or {}),
            }
        )

    def connect(self, seed: int = 0) -> BlockStore:
        """A client to be opened; several share the world and the faults."""
        return connect_in_process(
            self.world,
            config=self.config,
            faults=self.faults,
            latency_s=self.latency_s,
            seed=self.seed + seed,
        )

    def named(self, name: str) -> list[Any]:
        return [volume for volume in self.world.volumes.values() if volume.name == name]

    def sent(self, method: str) -> list[str]:
        return [r.target for r in self.world.requests if r.method == method]


def play(scene: Scene, body: Callable[[BlockStore], Awaitable[T]], warm: bool = True) -> T:
    """Run `body` with an open client; afterwards no task, no request and no lease is left.

    Args:
        scene: the world and its faults.
        body: what is done.
        warm: lets the client learn the server's clock first, as any client that lives does.
    """

    async def main() -> T:
        async with scene.connect() as store:
            if warm:
                [_ async for _ in store.regions.list()]
                await asyncio.sleep(1.5)  # virtual
            result = await body(store)
            assert store.quota.in_flight == 0
        assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()
        return result

    return run_virtual(main())
