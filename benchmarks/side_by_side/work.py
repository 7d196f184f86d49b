"""One case of one client in a process of its own: the work is timed in here, and nothing else is.

    python -m benchmarks.side_by_side.work '{"work": "get", "client": "aiohttp", "url": "...", ...}'

Prints one JSON object: `wall` and `cpu`, each a list of seconds for one operation in each round
(`cpu` is the process's own, all its threads), or `value`. A client that is not installed makes it
print `{"missing": ...}`. The first round is a warm-up and not in the lists: for everybody
connections are open by then, lazy imports done and caches filled.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .answers import size_of, volume_id
from .peers import CLIENTS
from .server import pin

__all__: list[str] = []

Result = dict[str, Any]


class _Rounds:
    """Times rounds, each of `operations` operations."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    async def run(self, rounds: int, operations: int, once: Callable[[], Awaitable[None]]) -> None:
        await once()
        for _ in range(rounds):
            cpu, wall = time.process_time(), time.perf_counter()
            await once()
            self.wall.append((time.perf_counter() - wall) / operations)
            self.cpu.append((time.process_time() - cpu) / operations)

    def result(self) -> Result:
        return {"wall": self.wall, "cpu": self.cpu}


@contextlib.asynccontextmanager
async def _opened(spec: dict[str, Any]) -> Any:
    peer = CLIENTS[spec["client"]]()
    await peer.open(spec["url"], spec["token"])
    try:
        yield peer
    finally:
        await peer.close()


async def _workers(concurrency: int, count: int, call: Callable[[int], Awaitable[object]]) -> None:
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(worker() for _ in range(concurrency)))


async def list_volumes(spec: dict[str, Any]) -> Result:
    expected = spec["volumes"], sum(map(size_of, range(spec["volumes"])))
    rounds = _Rounds()
    async with _opened(spec) as peer:

        async def once() -> None:
            seen = await peer.list_all()
            assert seen == expected, f"{spec['client']} saw {seen}, not {expected}"

        await rounds.run(spec["rounds"], 1, once)
    return rounds.result()


async def get_volumes(spec: dict[str, Any]) -> Result:
    rounds = _Rounds()
    count, concurrency = spec["count"], spec["concurrency"]
    known = [volume_id(n) for n in range(min(1_000, spec["volumes"]))]
    ids = list(itertools.islice(itertools.cycle(known), count))
    async with _opened(spec) as peer:
        if spec.get("shared"):
            await _someone_else(spec)

        async def get(number: int) -> None:
            assert await peer.get(ids[number])

        await rounds.run(spec["rounds"], count, lambda: _workers(concurrency, count, get))
    return rounds.result()


async def _someone_else(spec: dict[str, Any]) -> None:
    """Somebody else has used the token: the client's account is no longer the whole story."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(spec["url"].rsplit(":")[-1]))
    for _ in range(50):
        writer.write(
            b"GET /v2/volumes/none HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n"
            % spec["token"].encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()


async def load(spec: dict[str, Any]) -> Result:
    """A server under load."""
    from .load import Load

    count = spec["count"]
    ids = list(itertools.islice(itertools.cycle(spec["ids"]), count))
    driver = await Load.open(spec["url"], spec["token"], ids, spec["concurrency"])
    rounds = _Rounds()
    await rounds.run(spec["rounds"], count, driver.run)
    driver.close()
    # The CPU is this process's own, and nobody asked for it.
    return {"wall": rounds.wall}


async def create_volumes(spec: dict[str, Any]) -> Result:
    rounds = _Rounds()
    count, concurrency, names = spec["count"], spec["concurrency"], itertools.count()
    async with _opened(spec) as peer:

        async def create(number: int) -> None:
            assert await peer.create(f"made-{next(names)}")

        await rounds.run(spec["rounds"], count, lambda: _workers(concurrency, count, create))
    return rounds.result()


async def memory(spec: dict[str, Any]) -> Result:
    """Peak memory of the process after listing everything, keeping nothing."""
    async with _opened(spec) as peer:
        before = _peak_bytes()
        count, _ = await peer.list_all()
        assert count == spec["volumes"]
        return {"value": _peak_bytes(), "before": before}


def _peak_bytes() -> int:
    # getrusage's peak is inherited from the parent on Linux; this one is the process's own.
    with contextlib.suppress(OSError), Path("/proc/self/status").open() as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


async def bulk(spec: dict[str, Any]) -> Result:
    from .bulk_work import snapshots

    rounds = _Rounds()
    async with _opened(spec) as peer:
        once = await snapshots(peer, spec)
        await rounds.run(spec["rounds"], spec["volumes"], once)
    return rounds.result()


async def local(spec: dict[str, Any]) -> Result:
    """What needs no server: decoding, and the throttle alone."""
    module = importlib.import_module(f".{spec['module']}", __package__)
    rounds = _Rounds()
    once, operations = await module.prepare(spec)
    await rounds.run(spec["rounds"], operations, once)
    return rounds.result()


_WORK: dict[str, Callable[[dict[str, Any]], Awaitable[Result]]] = {
    "list": list_volumes,
    "load": load,
    "get": get_volumes,
    "create": create_volumes,
    "memory": memory,
    "bulk": bulk,
    "local": local,
}


def main(spec: dict[str, Any]) -> Result:
    pin(0)
    try:
        return asyncio.run(_WORK[spec["work"]](spec))  # type: ignore[arg-type]
    except ImportError as error:
        return {"missing": str(error)}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
