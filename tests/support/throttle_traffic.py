"""A small world for the throttle's tests: scaled windows, strict judges, requests of every fate.

The windows are 25 requests in 6 s and 100 in 60 s, so that an hour's worth of behaviour takes a
minute of virtual time and milliseconds of ours.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from do_blockstore_async._context import current_job
from do_blockstore_async._ratelimit import local_budget as budget_module
from do_blockstore_async._ratelimit.pure.ledger import Admission, LeaseRecord, Ledger
from do_blockstore_async._ratelimit.throttle import Throttle
from do_blockstore_async.config import Config
from tests.support.strict_servers import Judge, Model

SHORT, LONG = (25, 6.0), (100, 60.0)
GUARD_S, LINGER_S = 0.25, 1.5


def scaled(**settings: Any) -> Config:
    """The scaled windows, no reserve unless asked for."""
    values = {
        "windows": (SHORT, LONG),
        "window_margin_s": GUARD_S,
        "late_arrival_s": LINGER_S,
        "reserve": (0.0, 0.0),
    }
    return Config(**{**values, **settings})


def judge(model: Model = "sliding", phase_s: float = 0.0) -> Judge:
    """A strict server of the scaled windows that keeps time in ticks as coarse as the guard."""
    return Judge(model, SHORT, LONG, tick_s=GUARD_S, phase_s=phase_s)


def now() -> float:
    return asyncio.get_running_loop().time()


class Traffic:
    """Requests through one throttle to one judge, each with a fate of its own.

    Attributes:
        sent: how many transmissions went on the wire.
        log: (background, asked, granted) of every lease.
    """

    def __init__(
        self,
        throttle: Throttle,
        server: Judge,
        seed: int,
        lost_share: float,
        unused_share: float = 0.05,
        latency_s: tuple[float, float] = (0.02, 0.4),
    ) -> None:
        self.throttle = throttle
        self.server = server
        self.random = random.Random(seed)
        self.lost_share = lost_share
        self.unused_share = unused_share
        self.latency_s = latency_s
        self.sent = 0
        self.log: list[tuple[bool, float, float]] = []
        self._late: set[asyncio.Task[None]] = set()

    async def _arrive(self, delay_s: float) -> tuple[int, dict[str, str]]:
        await asyncio.sleep(delay_s)
        return self.server.ask(now())

    async def _arrive_late(self, delay_s: float) -> None:
        await self._arrive(delay_s)

    async def call(self, delay_s: float = 0.0) -> None:
        """One request; a refused one is not repeated."""
        await asyncio.sleep(delay_s)
        draw = self.random
        asked = now()
        async with self.throttle.acquire() as lease:
            self.log.append((current_job() is not None, asked, now()))
            fate = draw.random()
            if fate < self.unused_share:
                lease.cancel()
                return
            self.sent += 1
            latency_s = draw.uniform(*self.latency_s)
            if fate < self.unused_share + self.lost_share:
                # The client gives up after `latency_s`; the request arrives any time until the
                # linger is over.
                arrival_s = draw.uniform(0.0, latency_s + LINGER_S)
                late = asyncio.create_task(self._arrive_late(arrival_s))
                self._late.add(late)
                await asyncio.sleep(latency_s)
                if draw.random() < 0.5:
                    lease.abandon()
                return  # or leave without closing, which is the same
            way_s = latency_s * draw.random()
            status, headers = await self._arrive(way_s)
            await asyncio.sleep(latency_s - way_s)
            lease.complete(headers, status)
            lease.abandon()  # harmless

    async def settle(self) -> None:
        """Wait for requests still under way to the server."""
        await asyncio.gather(*self._late)


class WatchedLedger(Ledger):
    """A ledger that notes the state around each grant."""

    grants: list[dict[str, Any]]
    asked_background = False

    def admission(self, now: float, background: bool) -> Admission:
        self.asked_background = background
        return super().admission(now, background)

    def open(self, lease: LeaseRecord, now: float, admission: Admission) -> None:
        super().open(lease, now, admission)
        self.grants.append(
            {
                "at": now,
                "background": self.asked_background,
                "probing": self.gate.probing,
                "in_flight": self.in_flight,
                "room": [
                    w.limit - self.in_flight - w.closed(now) - w.reserved for w in self.windows
                ],
            }
        )


@contextmanager
def ledger_class(kind: type[Ledger]) -> Iterator[None]:
    """Throttles made inside keep their books in a ledger of this class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget_module, "Ledger", kind)
        yield


def watched(config: Config) -> tuple[Throttle, WatchedLedger]:
    """A throttle and its ledger, which notes every grant; a mutant's ledger stays a mutant."""
    # Not what is imported here: a mutant may have been put in its place.
    kind = vars(budget_module)["Ledger"]
    with ledger_class(type("Watched", (WatchedLedger, kind), {})):
        throttle = Throttle(config)
    ledger = throttle._ledger
    assert isinstance(ledger, WatchedLedger)
    ledger.grants = []
    return throttle, ledger
