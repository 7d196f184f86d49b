"""A service over a long time: many calls with everything that calls can have around them.

Hooks, deadlines, background blocks, detached tasks, cancellations, time that runs out, lost
responses: in virtual time, so that waits cost nothing. Counted are resident memory, the objects
that the garbage collector knows, and the blocks that the interpreter has allocated.

The throttle remembers every request of the last hour, of which the API allows 5,000. Here nothing
limits them, so the clock moves on by two hours after each 5,000: otherwise all that is measured is
how long the benchmark did not let an hour pass.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from typing import Any

import attrs

from do_blockstore_async import BlockStore, BlockStoreError, Config
from tests.support.virtual_time import run_virtual

from .fleet import ROOMY, Fleet, open_store
from .probe import resident_mib

__all__ = ["Census", "calls_of_a_service", "serve", "verdict"]

_CALLS_OF_AN_HOUR = 5_000
_WINDOW_S = 3_600
# Nothing else than the allocator's rounding may come after the first tenth.
_MOST_MORE_MIB, _MOST_MORE_OBJECTS = 1.0, 100


@attrs.frozen
class Census:
    """What the process holds after so many calls."""

    calls: int
    resident_mib: float
    objects: int
    blocks: int
    cpu_s: float


async def _one_call(store: BlockStore, number: int) -> None:
    volume = f"{number % 1_000:08x}-1111-4222-8333-{number % 1_000:012x}"
    kind = number % 10
    try:
        if kind < 4:
            await store.volumes.get(volume)
        elif kind == 4:
            with store.background(job=f"job {number % 7}"):
                await store.volumes.get(volume)
        elif kind == 5:
            with store.deadline(30), store.background():
                await store.volumes.get(volume)
        elif kind == 6:
            await store.volumes.get(volume, timeout=0.0001)
        elif kind == 7:
            task = asyncio.create_task(store.volumes.get(volume))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        elif kind == 8:
            with store.detached():
                await asyncio.create_task(store.volumes.get(volume))
        else:
            await store.snapshots.create(volume, f"call-{number}", tags=["service"])
    except BlockStoreError:
        pass


async def calls_of_a_service(calls: int, marks: tuple[float, ...]) -> list[Census]:
    """Make calls, 32 at a time, and count what is held at each share of them."""
    events = 0

    def count(event: Any) -> None:
        nonlocal events
        events += 1

    fleet = Fleet(1_000)
    config = Config(**ROOMY, hooks=(count,), retry_budget=10**6, backoff_base_s=0.001)
    store, transport = open_store(fleet, config, lost_every=53, latency_s=0.01)
    found: list[Census] = []
    began = time.process_time()
    async with store:
        made = 0
        for mark in marks:
            upto = int(calls * mark)
            while made < upto:
                block = range(made, min(made + 32, upto))
                await asyncio.gather(*(_one_call(store, number) for number in block))
                made = block[-1] + 1
                fleet.forget()
                if made // _CALLS_OF_AN_HOUR > block[0] // _CALLS_OF_AN_HOUR:
                    await _let_hours_pass(store)
            await _let_hours_pass(store)
            gc.collect()
            cpu_s = time.process_time() - began
            held = len(gc.get_objects()), sys.getallocatedblocks()
            found.append(Census(made, resident_mib(), *held, cpu_s))
    assert events > calls
    assert transport.sent > calls * 0.8
    return found


async def _let_hours_pass(store: BlockStore) -> None:
    """Until everything is answered and every slot is free again, which a call then notices."""
    await asyncio.sleep(2 * _WINDOW_S)
    await store.volumes.get(f"{0:08x}-1111-4222-8333-{0:012x}")


def verdict(found: list[Census]) -> tuple[str, bool]:
    """Say what came on top after the first tenth, and whether that is flat."""
    first, last = found[0], found[-1]
    more_mib, more = last.resident_mib - first.resident_mib, last.objects - first.objects
    is_flat = more_mib < _MOST_MORE_MIB and more < _MOST_MORE_OBJECTS
    return (
        f"after the first tenth: {more_mib:+.2f} MiB, {more:+,} objects; must be less than "
        f"{_MOST_MORE_MIB:.0f} MiB and {_MOST_MORE_OBJECTS} objects: {'yes' if is_flat else 'no'}"
    ), is_flat


def serve(calls: int) -> tuple[list[str], bool]:
    """Return the table of a service's memory, and whether it is flat."""
    marks = tuple(tenth / 10 for tenth in range(1, 11))
    lines = [
        "| calls | resident memory | objects | blocks | CPU of a call |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    found = run_virtual(calls_of_a_service(calls, marks))
    for one in found:
        each_us = one.cpu_s / one.calls * 1e6
        lines.append(
            f"| {one.calls:,} | {one.resident_mib:.1f} MiB | {one.objects:,} | {one.blocks:,} "
            f"| {each_us:.0f} µs |"
        )
    said, is_flat = verdict(found)
    return [*lines, "", said], is_flat
