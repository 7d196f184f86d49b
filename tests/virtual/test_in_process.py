"""The transport without sockets: the whole client against the world in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from do_blockstore_async import (
    Config,
    ConflictError,
    DecodeError,
    RequestTimeoutError,
    Throttle,
    TransportError,
)
from do_blockstore_async._deadline import Deadline
from do_blockstore_async._http.request import Attempt, RawResponse, Request
from do_blockstore_async.simulator import (
    FaultInjector,
    InProcessTransport,
    World,
    connect_in_process,
    parse_faults,
)
from tests.support.virtual_time import run_virtual

FAST = Config(windows=((10**6, 60.0), (10**7, 3600.0)), attempt_timeout_s=5.0)
NEW = {"name": "db", "region": "nyc3", "size_gigabytes": 1}


def describe(method: str = "POST", path: str = "/v2/volumes", json: Any = None) -> Request[Any]:
    body = NEW if json is None and method == "POST" else json
    return Request(method=method, path=path, route=path, decode=lambda raw: raw, json=body)


class Case:
    """One transport against one world, with what became of its leases."""

    def __init__(self, faults: str = "", **options: Any) -> None:
        self.world = World(limits="none")
        self.throttle = Throttle(FAST)
        self.throttle._join()
        self.faults = parse_faults(faults)
        options = {"config": FAST, "latency_s": (0.1, 0.3), **options}
        self.transport = InProcessTransport(
            self.world, self.throttle, faults=self.faults, **options
        )

    async def send(self, timeout: float | None = None) -> RawResponse:
        deadline = Deadline.after(timeout, asyncio.get_running_loop().time())
        return await self.transport.send(describe(), Attempt(deadline=deadline))

    def leases(self) -> tuple[int, int, int]:
        status = self.throttle.status()
        assert status.in_flight == 0
        return status.done, status.lost, status.unused


def test_a_client_lists_creates_and_meets_errors() -> None:
    async def main() -> None:
        world = World(volumes=450)
        async with connect_in_process(world, seed=1) as store:
            listed = [volume.id async for volume in store.volumes.list()]
            assert listed == list(world.volumes)
            assert len(world.requests) == 3
            made = await store.volumes.create("new", region="nyc3", size_gigabytes=5)
            assert world.volumes[made.id].name == "new"
            with pytest.raises(ConflictError):
                await store.volumes.create("new", region="nyc3", size_gigabytes=5)
        first, last = world.requests[0], world.requests[-1]
        assert 0 < last.at - first.at < 10
        assert first.at >= world.options.now

    run_virtual(main())


def test_actions_end_as_virtual_time_goes_by() -> None:
    async def main() -> None:
        world = World(droplets=[7])
        volume = world.add_volume("db")
        async with connect_in_process(world) as store:
            action = await store.volumes.attach(volume.id, 7, region="nyc3")
            done = await store.actions.wait(action, timeout=60)
            assert done.status == "completed"
        assert volume.droplet_ids == (7,)

    run_virtual(main())


@pytest.mark.parametrize(
    ("faults", "error", "made", "leases"),
    [
        ("response_lost", TransportError, 1, (0, 1, 0)),
        ("reset_before", TransportError, 0, (0, 1, 0)),
        ("truncated", TransportError, 1, (1, 0, 0)),
        ("huge_body", DecodeError, 1, (1, 0, 0)),
        ("gzip_bomb", DecodeError, 1, (1, 0, 0)),
        ("stall:commit=1", RequestTimeoutError, 1, (0, 1, 0)),
        ("stall:commit=0", RequestTimeoutError, 0, (0, 1, 0)),
        ("drip:seconds=1", RequestTimeoutError, 1, (1, 0, 0)),
    ],
)
def test_faults_end_as_the_real_transport_ends_them(
    faults: str, error: type[Exception], made: int, leases: tuple[int, int, int]
) -> None:
    async def main() -> None:
        case = Case(faults)
        with pytest.raises(error) as caught:
            await case.send()
        assert getattr(caught.value, "sent", True)
        assert len(case.world.volumes) == made
        assert case.leases() == leases
        assert asyncio.get_running_loop().time() < 6

    run_virtual(main())


def test_a_request_arrives_although_its_sender_went() -> None:
    async def main() -> None:
        case = Case(latency_s=(0.2, 0.2), seed=3)
        with pytest.raises(RequestTimeoutError) as caught:
            await case.send(timeout=0.001)
        assert caught.value.sent
        assert not case.world.volumes
        await asyncio.sleep(0.3)
        assert len(case.world.volumes) == 1
        task = asyncio.create_task(case.send())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.3)
        assert case.world.handled == case.transport.transmissions == 2
        assert case.leases() == (0, 2, 0)

    run_virtual(main())


def test_closing_ends_what_is_under_way() -> None:
    async def main() -> None:
        case = Case("stall")
        task = asyncio.create_task(case.send())
        await asyncio.sleep(1)
        await case.transport.aclose()
        with pytest.raises(RequestTimeoutError):
            await task
        assert case.leases() == (0, 1, 0)

    run_virtual(main())


def test_the_same_seed_gives_the_same_arrivals() -> None:
    def run(seed: int) -> list[Any]:
        world = World(volumes=300, seed=2)

        async def main() -> None:
            faults = FaultInjector(seed=seed)
            faults.add("html_502", method="GET", rate=0.3)
            config = attrs.evolve(FAST, jitter_seed=seed)
            store = connect_in_process(world, config=config, faults=faults, seed=seed)
            async with store:
                for _ in range(5):
                    async for _volume in store.volumes.list(per_page=20):
                        pass

        run_virtual(main())
        return list(world.requests)

    assert run(1) == run(1)
    assert run(1) != run(2)
