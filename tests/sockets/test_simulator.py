"""The simulator over real HTTP, met with a plain aiohttp session."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from do_blockstore_async.simulator import Simulator, serve

pytest_plugins = ["pytester"]


def session(sim: Simulator, **options: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        sim.url, headers={"Authorization": f"Bearer {sim.token}"}, **options
    )


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(volumes=25, seed=7) as simulator:
        yield simulator


@pytest.fixture
async def http(sim: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with session(sim) as opened:
        yield opened


async def test_volumes_are_created_listed_and_deleted(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    new = {"name": "db", "region": "nyc3", "size_gigabytes": 10, "description": "größer"}
    async with http.post("/v2/volumes", json=new) as response:
        assert response.status == 201
        volume = (await response.json())["volume"]
    assert volume["description"] == "größer"
    async with http.get("/v2/volumes", params={"name": "db"}) as response:
        assert (await response.json())["volumes"] == [volume]
    async with http.delete(f"/v2/volumes/{volume['id']}") as response:
        assert (response.status, await response.read()) == (204, b"")
    assert [record.method for record in sim.requests] == ["POST", "GET", "DELETE"]


async def test_links_lead_back_to_the_simulator(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    names: list[str] = []
    url: str | None = "/v2/volumes?per_page=10"
    while url is not None:
        async with http.get(url) as response:
            page = await response.json()
        names += [volume["name"] for volume in page["volumes"]]
        url = page["links"].get("pages", {}).get("next")
        assert url is None or url.startswith(sim.url)
    assert names == [volume.name for volume in sim.world.volumes.values()]


async def test_headers_of_the_answer(sim: Simulator, http: aiohttp.ClientSession) -> None:
    async with http.get("/v2/regions") as response:
        headers = response.headers
        assert headers.getall("Date") == [headers["Date"]]
    assert abs(parsedate_to_datetime(headers["Date"]).timestamp() - sim.clock.now()) < 5
    assert headers["RateLimit-Remaining"] == "4999"
    assert len(headers["X-Request-Id"]) == 36
    async with http.get("/v2/regions", headers={"Authorization": "Bearer x"}) as response:
        assert (response.status, (await response.json())["id"]) == (401, "unauthorized")


async def test_tests_move_the_clock(sim: Simulator, http: aiohttp.ClientSession) -> None:
    volume = next(v for v in sim.world.volumes.values() if not v.droplet_ids)
    droplet = next(d for d in sim.world.droplets.values() if d.region == volume.region)
    body = {"type": "attach", "droplet_id": droplet.id}
    sim.clock.freeze()
    async with http.post(f"/v2/volumes/{volume.id}/actions", json=body) as response:
        assert response.status == 202
        action = (await response.json())["action"]["id"]
    async with http.get(f"/v2/actions/{action}") as response:
        assert (await response.json())["action"]["status"] == "in-progress"
    before = sim.clock.now()
    sim.clock.advance(5)
    assert volume.droplet_ids == (droplet.id,)
    assert sim.clock.now() == before + 5
    sim.clock.thaw()
    assert before + 5 <= sim.clock.now() < before + 60
    with pytest.raises(ValueError, match="forward"):
        sim.clock.advance(-1)


async def test_reset_goes_back_to_the_seeded_state(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    ids = list(sim.world.volumes)
    sim.world.add_volume("more")
    sim.faults.add("html_502")
    sim.reset()
    assert list(sim.world.volumes) == ids
    async with http.get("/v2/volumes") as response:
        assert response.status == 200
    assert len(sim.requests) == 1


async def test_the_budget_is_kept_over_http() -> None:
    async with Simulator(limits="2/60,3/3600") as sim, session(sim) as http:
        statuses = []
        for seconds in (0, 0, 0, 60, 0):
            sim.clock.advance(seconds)
            async with http.get("/v2/volumes") as response:
                statuses.append((response.status, "Retry-After" in response.headers))
        ok = (200, False)
        assert statuses == [ok, ok, (429, True), ok, (429, False)]
        assert sim.world.refused == {"burst": 1, "hourly": 1}


async def test_many_at_once_with_latency() -> None:
    async with Simulator(volumes=3, latency_s=(0.01, 0.05)) as sim, session(sim) as http:

        async def one() -> int:
            async with http.get("/v2/volumes") as response:
                return response.status

        async with asyncio.timeout(5):
            assert set(await asyncio.gather(*(one() for _ in range(100)))) == {200}
        assert sim.world.handled == 100


async def test_a_request_is_handled_although_its_client_went() -> None:
    async with Simulator(latency_s=0.2, limits="none") as sim, session(sim) as http:
        body = {"name": "db", "region": "nyc3", "size_gigabytes": 1}
        with pytest.raises(TimeoutError):
            await http.post("/v2/volumes", json=body, timeout=aiohttp.ClientTimeout(0.05))
        async with asyncio.timeout(5), http.get("/v2/volumes") as response:
            assert (await response.json())["meta"]["total"] == 1


async def test_what_is_not_known_is_a_line_in_the_log(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async with http.get("/v2/domains?name=x") as response:
        assert response.status == 501
    assert "does not know GET /v2/domains, and answered 501" in caplog.text


async def test_odd_requests_are_answered(sim: Simulator, http: aiohttp.ClientSession) -> None:
    async with http.post("/v2/volumes", data=io.BytesIO(b"x" * (2 * 1024 * 1024))) as response:
        assert response.status == 413
    async with http.post("/v2/volumes", data={"name": "db"}) as response:
        assert response.status == 415
    async with http.patch("/v2/volumes") as response:
        assert response.status == 405
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sim.url.rpartition(":")[2]))
    writer.write(
        b"GET /v2/volumes/../droplets HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer " + sim.token.encode() + b"\r\n\r\n"
    )
    assert (await reader.read()).startswith(b"HTTP/1.1 501 ")
    writer.close()
    await writer.wait_closed()
    assert sim.requests[-1].target == "/v2/volumes/../droplets"


async def test_it_opens_and_closes_once(sim: Simulator) -> None:
    with pytest.raises(RuntimeError, match="running already"):
        await sim.start()
    with pytest.raises(OSError, match="address already in use"):
        await Simulator(port=int(sim.url.rpartition(":")[2])).start()
    await sim.aclose()
    await sim.aclose()
    with pytest.raises(RuntimeError, match="not running"):
        _ = sim.url
    assert "closed" in repr(sim)
    with pytest.raises(TypeError):
        Simulator(colour="red")
    with pytest.raises(ValueError, match="latency"):
        Simulator(latency_s=-1)


async def test_serve_runs_until_it_is_cancelled() -> None:
    running: asyncio.Future[Simulator] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(port=0, volumes=3, droplets=["7"], limits="none", announce=running.set_result)
    )
    async with asyncio.timeout(5):
        sim = await running
        async with session(sim) as http, http.get("/v2/volumes") as response:
            assert (await response.json())["meta"]["total"] == 3
    assert list(sim.world.droplets) == [7]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


SERVE = """
import asyncio
from do_blockstore_async.simulator import serve
asyncio.run(serve(port=0, announce=lambda sim: print(sim.url, flush=True)))
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_serve_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-c", SERVE),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert (await process.stdout.readline()).startswith(b"http://127.0.0.1:")
        os.kill(process.pid, number)
        rest, errors = await process.communicate()
    assert (process.returncode, rest, errors) == (0, b"ended\n", b"")


@pytest.mark.blockstore_simulator(volumes=5, limits="none")
class TestTheFixture:
    async def test_it_takes_options(self, blockstore_simulator: Simulator) -> None:
        assert len(blockstore_simulator.world.volumes) == 5
        assert blockstore_simulator.world.windows == ()

    @pytest.mark.blockstore_simulator(volumes=2)
    async def test_the_nearest_marker_counts(self, blockstore_simulator: Simulator) -> None:
        assert len(blockstore_simulator.world.volumes) == 2
        assert blockstore_simulator.world.windows == ()


async def test_the_fixture_begins_with_120_volumes(blockstore_simulator: Simulator) -> None:
    async with session(blockstore_simulator) as http, http.get("/v2/volumes") as response:
        assert (await response.json())["meta"]["total"] == 120


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fixture_works_in_either_mode(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makepyfile(
        """
        import json
        import urllib.request

        import pytest

        @pytest.mark.asyncio
        async def test_it(blockstore_simulator):
            assert len(blockstore_simulator.world.volumes) == 120

        @pytest.mark.blockstore_simulator(volumes=1)
        def test_without_a_loop(blockstore_simulator):
            assert len(blockstore_simulator.world.volumes) == 1

        @pytest.mark.blockstore_simulator(volumes=2, limits="none")
        def test_in_a_thread(blockstore_simulator_in_thread):
            sim = blockstore_simulator_in_thread
            with urllib.request.urlopen(f"{sim.url}/_simulator/state") as response:
                assert len(json.load(response)["volumes"]) == 2

        @pytest.mark.blockstore_simulator(5)
        def test_wrong(blockstore_simulator):
            pass
        """
    )
    result = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-p", "no:xdist", "--strict-markers", f"--asyncio-mode={mode}"
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*takes keywords only*"])


def test_loading_the_plugin_does_not_load_the_simulator() -> None:
    code = (
        "import sys, do_blockstore_async.simulator.pytest_plugin\n"
        "heavy = ['server', 'world', 'faults', 'in_process']\n"
        "print([n for n in heavy if 'do_blockstore_async.simulator.' + n in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603 -- this interpreter, fixed text
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
