"""One budget over real processes, real stores and a strict server over TCP: never a 429."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from do_blockstore_async import BlockStore, Config
from do_blockstore_async.simulator import Simulator
from tests.support.real_fleet import real_fleet
from tests.support.servers import restartable_redis
from tests.support.web_services import until
from tests.support.worker_service import visit_workers

# The real ones, a tenth of them in a sixtieth of the time.
WINDOWS = ((25, 1.0), (500, 60.0))


@pytest.fixture(params=["machine", "redis", "postgres"])
def budget(request: pytest.FixtureRequest) -> str:
    if request.param == "machine":
        return "machine"
    return str(request.getfixturevalue(f"{request.param}_url"))


async def test_processes_keep_the_limits_together(budget: str, tmp_path: Path) -> None:
    async with real_fleet(budget, tmp_path, WINDOWS) as fleet:
        processes = await fleet.begin(4, 25)
        seen = await asyncio.gather(*(process.result() for process in processes))
        assert [found["done"] for found in seen] == [25] * 4
        assert fleet.refused == 0
        assert len(fleet.simulator.requests) == 100
        # Whoever ended first saw all four; each was told of the others.
        assert max(found["processes"] for found in seen) == 4
        joined = [found["events"].get("PeerJoined", 0) for found in seen]
        assert sum(joined) >= 6, joined


async def test_one_that_is_killed_leaves_the_others_the_budget(budget: str, tmp_path: Path) -> None:
    async with real_fleet(budget, tmp_path, WINDOWS) as fleet:
        victim, *others = await fleet.begin(3, 40)
        await fleet.until_served(30)
        victim.send(signal.SIGKILL)
        seen = await asyncio.gather(*(process.result() for process in others))
        assert [found["done"] for found in seen] == [40, 40]
        assert fleet.refused == 0


async def test_one_that_was_stopped_takes_its_place_again(tmp_path: Path) -> None:
    async with real_fleet("machine", tmp_path, WINDOWS) as fleet:
        fleet.is_quick = True
        sleeper = await fleet.start(40)
        others = [await fleet.start(100), await fleet.start(100)]
        for process in fleet.processes:
            await process.go()
        await fleet.until_served(30)
        sleeper.send(signal.SIGSTOP)
        # Longer than the silence after which it counts as dead.
        await asyncio.sleep(6)
        sleeper.send(signal.SIGCONT)
        seen = await asyncio.gather(*(process.result() for process in (sleeper, *others)))
        assert [found["done"] for found in seen] == [40, 100, 100]
        assert fleet.refused == 0
        # The others went on; or, once in a hundred times, it was stopped while it held the file.
        events = Counter(seen[1]["events"])
        assert events["PeerLost"] or events["SharedBudgetAway"], events


async def test_a_store_that_restarts_empty_is_given_its_log_back(tmp_path: Path) -> None:
    with restartable_redis() as server:
        if server is None:
            pytest.skip("redis is not installed")
        async with real_fleet(server.url, tmp_path, WINDOWS) as fleet:
            processes = await fleet.begin(3, 40)
            await fleet.until_served(40)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            seen = await asyncio.gather(*(process.result() for process in processes))
            assert [found["done"] for found in seen] == [40] * 3
            assert fleet.refused == 0


async def test_a_stale_lease_is_given_back_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with Simulator(volumes=0, limits="none") as simulator:
        config = Config(budget="machine", backoff_base_s=0.01)
        async with BlockStore(simulator.token, base_url=simulator.url, config=config) as store:
            budget = store.throttle._budget
            asked: list[object] = []

            def is_stale(lease: object) -> bool:
                asked.append(lease)
                return len(asked) == 1

            # As after a stop of the process, for a request that may not be sent twice.
            monkeypatch.setattr(budget, "is_stale", is_stale)
            volume = await store.volumes.create("db", region="nyc3", size_gigabytes=1)
            assert [v.id for v in simulator.world.volumes.values()] == [volume.id]
            assert len(simulator.requests) == 1
            assert len(asked) == 2
            assert asked[0] is not asked[1]

            asked.clear()
            middleware = store.throttle.middleware
            async with aiohttp.ClientSession(middlewares=(middleware,)) as session:
                headers = {"Authorization": f"Bearer {simulator.token}"}
                async with session.get(f"{simulator.url}/v2/regions", headers=headers) as response:
                    assert response.status == 200
            assert len(asked) == 2
            assert len(simulator.requests) == 2
            await until(lambda: store.quota.in_flight == 0)

            # Another middleware may send the same request twice, each time with a lease of its own.
            async def twice(
                request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
            ) -> aiohttp.ClientResponse:
                (await handler(request)).release()
                return await handler(request)

            monkeypatch.undo()
            async with (
                aiohttp.ClientSession(middlewares=(twice, middleware)) as session,
                session.get(f"{simulator.url}/v2/regions", headers=headers) as response,
            ):
                assert response.status == 200
            assert len(simulator.requests) == 4


async def test_the_workers_of_a_service_share_one_budget(tmp_path: Path) -> None:
    statuses, refused = await visit_workers(tmp_path)
    assert set(statuses) <= {200, 201, 503}, statuses
    assert statuses[503] > 20, "the budget must bind"
    assert refused == 0
