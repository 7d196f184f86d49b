"""The examples, run as they stand under real servers, with 200 clients at once."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from do_blockstore_async import BlockStore, Config
from do_blockstore_async.simulator import Simulator
from examples import aiohttp_service, fastapi_service, nightly_script
from tests.support.service_load import files, measure, serving
from tests.support.web_services import PATIENCE_S, Visitor, serving_aiohttp, until

ROOT = Path(__file__).parents[2]
ROOMY = Config(windows=((10**6, 60.0), (10**7, 3600.0)), cold_start_concurrency=100, burst=10**5)


# The main thing.


async def test_200_clients_and_a_bulk_job_with_a_budget_that_binds() -> None:
    timeout_s = 2.0
    figures = await measure(200, ((75, 2.0), (600, 30.0)), timeout_s, volumes=20)
    summary = json.dumps(figures.summary())
    # A machine that stands still meanwhile cannot keep deadlines of 2 s.
    late = {504} if figures.lag_s > timeout_s / 4 else set()
    assert set(figures.statuses) <= {200, 201, 503} | late, summary
    assert len({a.client for a in figures.answers if a.status < 400}) == 200, summary
    refused = [answer for answer in figures.answers if answer.status == 503]
    assert len(refused) > 20, "the budget must bind"
    assert all(answer.retry_after_s for answer in refused)
    assert all(answer.body["type"].endswith(":budget") for answer in refused)
    assert figures.refused_upstream == 0, summary
    # How right the promised times are is a matter of a machine's speed: benchmarks/service_load.py.
    assert figures.left_tasks == []
    assert figures.left_files <= 0


# FastAPI: what it offers.


@asynccontextmanager
async def fastapi_example(simulator: Simulator, **options: Any) -> AsyncIterator[str]:
    def make_store(metrics: Any) -> BlockStore:
        config = attrs.evolve(ROOMY, hooks=(metrics,))
        return BlockStore(simulator.token, base_url=simulator.url, config=config)

    async with serving(fastapi_service.create_app(make_store), **options) as (url, _):
        yield url


async def test_a_tenant_provisions_a_volume() -> None:
    async with (
        Simulator(volumes=0, action_s=(0.0, 0.0), limits="none") as simulator,
        fastapi_example(simulator) as url,
        aiohttp.ClientSession(f"{url}/tenants/") as session,
    ):
        droplet = next(d.id for d in simulator.world.droplets.values() if d.region == "nyc3")

        async def call(method: str, path: str, **body: Any) -> tuple[int, Any]:
            async with session.request(method, path, json=body or None) as response:
                return response.status, await response.json(content_type=None)

        status, volume = await call("POST", "acme/volumes", name="db", size_gigabytes=10)
        assert (status, volume["name"], volume["size_gigabytes"]) == (201, "db", 10)
        mine = f"acme/volumes/{volume['id']}"
        assert (await call("POST", f"{mine}/attachment", droplet_id=droplet))[0] == 202
        assert (await call("POST", f"{mine}/size", size_gigabytes=20))[0] == 202
        assert (await call("POST", f"{mine}/snapshots", name="before"))[0] == 201
        status, listed = await call("GET", "acme/volumes")
        assert (status, [v["size_gigabytes"] for v in listed]) == (200, [20])
        assert listed[0]["droplet_ids"] == [droplet]
        status, problem = await call("DELETE", mine)
        assert (status, problem["status"]) == (409, 409)

        # Another tenant sees nothing of it and can do nothing to it.
        theirs = f"evil/volumes/{volume['id']}"
        assert (await call("GET", "evil/volumes")) == (200, [])
        for method, path, body in (
            ("GET", theirs, {}),
            ("DELETE", theirs, {}),
            ("POST", f"{theirs}/size", {"size_gigabytes": 30}),
            ("POST", f"{theirs}/snapshots", {"name": "x"}),
            ("POST", f"{theirs}/attachment", {"droplet_id": droplet}),
        ):
            assert (await call(method, path, **body))[0] == 404
        assert (await call("POST", "acme/volumes", name="db", size_gigabytes=10))[0] == 409
        assert (await call("POST", "acme/volumes", name="x", size_gigabytes=0))[0] == 422
        assert (await call("GET", "acme/volumes/not an id"))[0] == 422


async def test_the_nightly_job_runs_beside_the_requests_and_metrics_tell() -> None:
    async with (
        Simulator(volumes=25, limits="none") as simulator,
        fastapi_example(simulator) as url,
        aiohttp.ClientSession() as session,
    ):

        async def get(path: str) -> Any:
            async with session.get(url + path) as response:
                assert response.status == 200
                return await response.json()

        async with session.post(f"{url}/jobs/nightly") as response:
            assert await response.json() == {"started": True}
        async with asyncio.timeout(PATIENCE_S):
            while True:
                seen = await get("/jobs/nightly")
                if not seen["running"]:
                    break
        assert seen["error"] is None
        assert seen["counts"]["done"] >= 25
        assert (await get("/health/budget"))["status"] == "ok"
        async with session.get(f"{url}/metrics") as response:
            text = await response.text()
        made = re.search(
            r'blockstore_calls_total\{method="POST",outcome="ok",route="[^"]+snapshots"\} (\S+)',
            text,
        )
        assert made is not None
        assert float(made[1]) == 25
        assert 'blockstore_quota_waiting{class="background"} 0.0' in text
        assert simulator.token not in text


async def test_a_shutdown_under_load_ends_the_job_and_leaves_nothing() -> None:
    tasks, open_files = asyncio.all_tasks(), files()
    async with Simulator(volumes=60, latency_s=(0.05, 0.15), limits="none") as simulator:
        async with fastapi_example(simulator) as url, aiohttp.ClientSession() as session:
            async with session.post(f"{url}/jobs/nightly") as response:
                assert response.status == 202
            new = {"size_gigabytes": 1}
            visitors = [
                await Visitor.ask(f"{url}/tenants/acme/volumes", "POST", {"name": f"v{i}", **new})
                for i in range(100)
            ]
            await until(lambda: len(simulator.requests) > 40)
        answers = [await visitor.answer() for visitor in visitors]
        made = {v.id for v in simulator.world.volumes.values() if v.name.startswith("acme-")}
    # Who was accepted was served; who came too late finds the door closed. No create is cut in two.
    assert {status for status, _ in answers} <= {201, 0}
    assert {json.loads(body)["id"] for status, body in answers if status == 201} == made
    assert len(made) > 10
    await until(lambda: asyncio.all_tasks() <= tasks)
    assert files() <= open_files


# FastAPI as a program: uvicorn in a process of its own, stopped by a signal.


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(simulator: Simulator, **more: str) -> dict[str, str]:
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("DIGITALOCEAN")},
        "DO_BLOCKSTORE_BUDGET": "process",
        "DIGITALOCEAN_TOKEN": simulator.token,
        "DIGITALOCEAN_API_URL": simulator.url,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        **more,
    }


@asynccontextmanager
async def program(
    *arguments: str, env: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=env,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_it_listens(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        while True:
            assert process.returncode is None, (await process.communicate())[0].decode()
            try:
                async with session.get(f"{url}/health/budget") as response:
                    assert response.status == 200
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", ["fastapi", "aiohttp"])
async def test_a_signal_under_load_stops_the_program_cleanly(kind: str) -> None:
    async with Simulator(volumes=30, latency_s=(0.05, 0.15), limits="40/2,400/30") as simulator:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        env = environment(simulator, BLOCKSTORE_WINDOWS="40/2,400/30", REQUEST_TIMEOUT_S="20")
        if kind == "fastapi":
            arguments = ["-m", "uvicorn", "--factory", "examples.fastapi_service:create_app"]
            arguments += ["--port", str(port), "--timeout-graceful-shutdown", "30"]
            path = "/tenants/acme/volumes"
            body: dict[str, Any] = {"size_gigabytes": 1}
        else:
            arguments = ["examples/aiohttp_service.py", "--port", str(port)]
            path = "/volumes"
            body = {"size_gigabytes": 1, "region": "nyc3"}
        async with program(*arguments, env=env) as process:
            await until_it_listens(url, process)
            if kind == "fastapi":
                async with (
                    aiohttp.ClientSession() as session,
                    session.post(f"{url}/jobs/nightly") as response,
                ):
                    assert response.status == 202
            visitors = [
                await Visitor.ask(f"{url}{path}", "POST", {"name": f"v{i}", **body})
                for i in range(30)
            ]
            await until(lambda: sum(r.method == "POST" for r in simulator.requests) > 5)
            process.send_signal(signal.SIGTERM)
            answers = [await visitor.answer() for visitor in visitors]
            async with asyncio.timeout(PATIENCE_S):
                output = (await process.communicate())[0].decode()
        statuses = {status for status, _ in answers}
        assert 201 in statuses
        assert statuses <= {201, 503, 0}, output
        told = {json.loads(raw)["id"] for status, raw in answers if status == 201}
        made = {v.id for v in simulator.world.volumes.values() if re.search(r"(^|-)v\d+$", v.name)}
        assert told == made, "every volume that was made was told of"
        assert process.returncode in (0, -signal.SIGTERM), output
        assert "Traceback" not in output, output
        assert "Warning" not in output, output
        assert simulator.token not in output


# aiohttp.


async def test_200_clients_of_the_aiohttp_service() -> None:
    tasks, open_files = asyncio.all_tasks(), files()
    config = Config(windows=((100, 2.0), (1000, 30.0)), window_margin_s=0.1, late_arrival_s=1.0)
    async with Simulator(volumes=5, limits="100/2,1000/30", latency_s=(0.01, 0.04)) as simulator:
        volumes = list(simulator.world.volumes)
        app = aiohttp_service.create_app(
            lambda: BlockStore(simulator.token, base_url=simulator.url, config=config),
            timeout_s=1.8,  # shorter than the window, longer than 100 requests take a slow machine
        )
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with (
            serving_aiohttp(app, handler_cancellation=True) as url,
            aiohttp.ClientSession(connector=connector) as session,
        ):

            async def visit(number: int) -> list[int]:
                seen: list[int] = []
                while True:
                    path = f"{url}/volumes/{volumes[number % 5]}"
                    async with session.get(path) as response:
                        await response.read()
                        seen.append(response.status)
                        if response.status != 503:
                            return seen
                        await asyncio.sleep(int(response.headers["Retry-After"]))

            visits = await asyncio.gather(*(visit(number) for number in range(200)))
        refused = sum(request.status == 429 for request in simulator.requests)
    answers = [answer for visit in visits for answer in visit]
    assert set(answers) == {200, 503}
    assert refused == 0
    await until(lambda: asyncio.all_tasks() <= tasks)
    assert files() <= open_files


async def test_the_aiohttp_service_takes_orders() -> None:
    async with Simulator(volumes=0, limits="none") as simulator:
        app = aiohttp_service.create_app(
            lambda: BlockStore(simulator.token, base_url=simulator.url, config=ROOMY)
        )
        async with serving_aiohttp(app) as url, aiohttp.ClientSession(url) as session:
            new = {"name": "db", "region": "nyc3", "size_gigabytes": 1}
            async with session.post("/volumes", json=new) as response:
                assert response.status == 201
                volume = await response.json()
            async with session.get(f"/volumes/{volume['id']}") as response:
                assert (await response.json())["name"] == "db"
            async with session.get("/volumes", params={"region": "nyc3"}) as response:
                assert len(await response.json()) == 1
            path = f"/volumes/{volume['id']}/snapshots"
            async with session.post(path, json={"name": "first"}) as response:
                assert response.status == 201
            wrongs: tuple[Any, ...] = ({}, {"name": 3}, [], "x")
            for wrong in wrongs:
                async with session.post(path, json=wrong) as response:
                    assert response.status == 422
            async with session.post(path, data=b"{") as response:
                assert response.status == 422
                assert response.content_type == "application/problem+json"


# The script.


async def test_the_script_takes_snapshots_and_reports() -> None:
    async with Simulator(volumes=40, seed=7) as simulator:
        before = set(simulator.world.snapshots)
        arguments = ["examples/nightly_script.py", "--region", "nyc3", "--keep-daily", "1"]
        async with program(*arguments, env=environment(simulator)) as process:
            async with asyncio.timeout(PATIENCE_S):
                output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output
        made = [s for i, s in simulator.world.snapshots.items() if i not in before]
        of_region = [v for v in simulator.world.volumes.values() if v.region == "nyc3"]
        assert len(made) == len(of_region) > 0
        assert re.search(r"\d+ steps, about \d+ s", output)
        assert re.search(rf"{len(made)} done|\d+ done", output)


def is_there(path: str) -> bool:
    return Path(path).exists()


async def test_the_script_stops_at_a_signal_and_goes_on(tmp_path: Path) -> None:
    journal = str(tmp_path / "nightly.db")
    arguments = ["examples/nightly_script.py", "--journal", journal]
    async with Simulator(volumes=60, latency_s=0.2) as simulator:
        earlier = set(simulator.world.snapshots)
        env = environment(simulator)
        async with program(*arguments, env=env) as process:
            await until(lambda: any(r.method == "POST" for r in simulator.requests))
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(PATIENCE_S):
                output = (await process.communicate())[0].decode()
        assert process.returncode == 1, output
        assert "Traceback" not in output, output
        assert is_there(journal)
        assert 0 < len(simulator.world.snapshots.keys() - earlier) < 60
        async with program(*arguments, env=env) as process:
            async with asyncio.timeout(PATIENCE_S):
                output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output
        assert output.startswith("going on with"), output
        assert not is_there(journal), "the next night makes a plan of its own"
        made = [s for i, s in simulator.world.snapshots.items() if i not in earlier]
        assert len(made) == len({s.volume_id for s in made}) == 60, "each volume once"


async def test_the_script_keeps_the_journal_while_something_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = argparse.Namespace(region=[], keep_daily=1, journal=tmp_path / "nightly.db")
    config = Config(windows=((10**6, 60.0),), late_arrival_s=0.05, max_attempts=1)
    monkeypatch.setattr(nightly_script, "stop_on_signal", lambda run: None)
    async with Simulator(volumes=6, limits="none") as simulator:
        monkeypatch.setattr(
            BlockStore,
            "from_env",
            lambda: BlockStore(simulator.token, base_url=simulator.url, config=config),
        )
        earlier = set(simulator.world.snapshots)
        # An answer is lost, and so is every look at what became of it.
        simulator.faults.add("response_lost", method="POST", times=1)
        simulator.faults.add("html_502", method="GET", path="/v2/volumes/*/snapshots")
        assert await nightly_script.nightly(options) == 1
        assert is_there(str(options.journal))
        simulator.faults.clear()
        assert await nightly_script.nightly(options) == 0
        assert not is_there(str(options.journal))
        made = [s for i, s in simulator.world.snapshots.items() if i not in earlier]
        assert len(made) == len({s.volume_id for s in made}) == 6


async def test_the_script_says_what_it_cannot_plan() -> None:
    async with (
        Simulator(volumes=0) as simulator,
        program("examples/nightly_script.py", env=environment(simulator)) as process,
    ):
        output = (await process.communicate())[0].decode()
    assert process.returncode == 2
    assert "Traceback" not in output
