"""The services of examples/services under their real servers, and in tests as users write them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import httpx2 as httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from do_blockstore_async import BlockStore, Simulator, Volume
from do_blockstore_async.integrations import asgi
from do_blockstore_async.integrations.asgi import BlockStoreASGI
from do_blockstore_async.integrations.fastapi import (
    BlockStoreDep,
    add_blockstore,
    blockstore_lifespan,
    get_store,
)
from examples.services import fastapi_app, fastapi_live
from tests.support.browser import chromium, open_tab
from tests.support.web_services import DRY, Opened, Visitor, until

ROOT = Path(__file__).parents[2]
SERVICES = {
    "fastapi": ("uvicorn", "fastapi_app:app", "--port", "{port}", "--workers", "2"),
    "starlette": ("uvicorn", "starlette_app:app", "--port", "{port}"),
    "litestar": ("uvicorn", "litestar_app:app", "--port", "{port}"),
    "django": ("uvicorn", "django_app:app", "--port", "{port}"),
    "quart": ("hypercorn", "quart_app:app", "--bind", "127.0.0.1:{port}"),
    "aiohttp": (
        *("gunicorn", "aiohttp_app:app", "--bind", "127.0.0.1:{port}"),
        *("--worker-class", "aiohttp.GunicornWebWorker", "--workers", "2"),
    ),
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def served(name: str, simulator: Simulator, folder: Path) -> AsyncIterator[str]:
    server, app, *options = SERVICES[name]
    port = str(free_port())
    arguments = [option.format(port=port) for option in options]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", server, f"examples.services.{app}", *arguments),
        cwd=ROOT,
        env={
            **os.environ,
            "DIGITALOCEAN_TOKEN": simulator.token,
            "DIGITALOCEAN_API_URL": simulator.url,
            "DO_BLOCKSTORE_BUDGET": "machine",
            "XDG_STATE_HOME": str(folder),
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    told = asyncio.create_task(process.communicate())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        async with asyncio.timeout(30):
            _, complaints = await told
        assert b"Traceback" not in complaints, complaints.decode()


async def visit(session: aiohttp.ClientSession, url: str, name: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            try:
                async with session.get(f"{url}/volumes") as response:
                    assert response.status == 200, (name, await response.text())
                    listed = await response.json()
                    break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
    new = {"name": f"of-{name}", "size_gigabytes": 12}
    async with session.post(f"{url}/volumes", json=new) as response:
        assert response.status in (200, 201), (name, await response.text())
        made = await response.json()
    async with session.get(f"{url}/volumes/{made['id']}") as response:
        assert await response.json() == made, name
    async with session.get(f"{url}/volumes/00000000-0000") as response:
        assert response.status == 404, (name, await response.text())
        assert response.content_type == "application/problem+json", name
        assert (await response.json())["status"] == 404
    assert len(listed) >= 3, name
    assert {*listed[0]} == {*made}, name
    return dict(made)


async def test_every_framework_serves_its_example_under_its_own_server(tmp_path: Path) -> None:
    """All at once, sharing one budget."""
    async with (
        Simulator(volumes=3, action_s=(0.0, 0.0)) as simulator,
        aiohttp.ClientSession() as session,
    ):

        async def one(name: str) -> dict[str, Any]:
            async with served(name, simulator, tmp_path) as url:
                return await visit(session, url, name)

        async with asyncio.TaskGroup() as group:
            made = {name: group.create_task(one(name)) for name in SERVICES}
        assert all(task.result()["name"] == f"of-{name}" for name, task in made.items())
        assert 429 not in {request.status for request in simulator.requests}


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "services").glob("*_*.py")))
def test_an_example_has_forty_lines_at_most(path: Path) -> None:
    assert len([line for line in path.read_text().splitlines() if line.strip()]) <= 40


@asynccontextmanager
async def uvicorn_of(app: Any) -> AsyncIterator[str]:
    """Serve an app in this loop."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="auto"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def environment(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    async with Simulator(volumes=5, seed=7, limits="none", action_s=(0.0, 0.0)) as simulator:
        monkeypatch.setenv("DIGITALOCEAN_TOKEN", simulator.token)
        monkeypatch.setenv("DIGITALOCEAN_API_URL", simulator.url)
        yield simulator


@pytest.mark.skipif(chromium() is None, reason="chromium is not installed")
async def test_a_browser_follows_a_bulk_run(environment: Simulator, tmp_path: Path) -> None:
    async with uvicorn_of(fastapi_live.app) as url, open_tab(tmp_path, url) as tab:
        await tab.until("document.title === 'done'")
        shown = await tab.evaluate("document.querySelector('ol').textContent")
    assert shown.count(" done; ") == 5
    assert sum("bulk-job:live" in s.tags for s in environment.world.snapshots.values()) == 5


async def test_a_websocket_is_served_beside_the_middleware(environment: Simulator) -> None:
    pytest.importorskip("websockets", reason="uvicorn needs it for websockets")
    async with (
        uvicorn_of(fastapi_live.app) as url,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/volumes") as ws,
    ):
        names = [message.json()["name"] async for message in ws]
    assert sorted(names) == sorted(v.name for v in environment.world.volumes.values())


async def test_a_browser_that_leaves_ends_the_run_it_followed(environment: Simulator) -> None:
    async with uvicorn_of(fastapi_live.app) as url:
        visitor = await Visitor.ask(f"{url}/snapshots")
        before = len(environment.world.requests)
        await until(lambda: len(environment.world.requests) > before)
        await visitor.leave()
    # The server waits for its requests, so this one has ended too.
    assert not any(task.get_name().startswith("quota") for task in asyncio.all_tasks())


# As users test their own services.


async def test_with_the_test_client(environment: Simulator) -> None:
    def use() -> None:
        with TestClient(fastapi_app.app) as client:
            found = client.get("/volumes")
            assert found.status_code == 200
            assert len(found.json()) == 5
            assert client.get("/volumes/00000000").status_code == 404
            assert client.post("/volumes", json={"name": "Not A Name"}).status_code == 422
            assert client.get("/health/budget").json()["reason"] == "ready"

    # It opens the client in a loop of its own, each time anew.
    await asyncio.to_thread(use)
    await asyncio.to_thread(use)


async def test_with_a_transport_and_an_overridden_dependency(environment: Simulator) -> None:
    async with BlockStore(environment.token, base_url=environment.url) as store:
        fastapi_app.app.dependency_overrides[get_store] = lambda: store
        transport = httpx.ASGITransport(app=fastapi_app.app)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                assert len((await client.get("/volumes")).json()) == 5
                missing = await client.get("/volumes/00000000")
                assert missing.headers["content-type"] == "application/problem+json"
        finally:
            fastapi_app.app.dependency_overrides.clear()


class Marking:
    """A middleware of a user: it adds a header to every response."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marking(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (self.name.encode(), b"1")]
            await send(message)

        await self.app(scope, receive, marking)


async def test_own_middlewares_stand_before_and_after_ours() -> None:
    async with Simulator(volumes=2, limits="none") as simulator:
        factory = Opened(simulator, DRY)
        app = FastAPI(lifespan=blockstore_lifespan(factory))
        app.add_middleware(Marking, name="x-inner")
        add_blockstore(app, default_timeout_s=1.0)
        app.add_middleware(Marking, name="x-outer")

        @app.get("/volumes")
        async def volumes(store: BlockStoreDep) -> list[Volume]:
            return await store.volumes.list()

        async with uvicorn_of(app) as url, aiohttp.ClientSession() as session:
            for status in (200, 200, 503):
                async with session.get(f"{url}/volumes") as response:
                    assert response.status == status
                    assert {"x-inner", "x-outer"} <= {*response.headers}
                    assert ("retry-after" in response.headers) == (status == 503)


# The ASGI wrapper by itself.


async def test_an_app_whose_own_start_fails_is_not_taken_for_one_without_a_lifespan() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("no database")

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    async with Simulator(volumes=0) as simulator:
        factory = Opened(simulator)
        with pytest.raises(RuntimeError, match="no database"):
            await BlockStoreASGI(app, factory)({"type": "lifespan"}, receive, send)
        assert not sent
        assert repr(factory.store).endswith("closed>")


async def test_errors_of_an_app_without_a_framework_are_answered() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asgi.get_store(scope).volumes.get("00000000")

    async with Simulator(volumes=0) as simulator:
        wrapped = BlockStoreASGI(app, Opened(simulator))
        async with (
            uvicorn_of(wrapped) as url,
            aiohttp.ClientSession() as session,
            session.get(url) as response,
        ):
            assert response.status == 404
            assert response.content_type == "application/problem+json"
