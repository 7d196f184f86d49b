"""FastAPI under uvicorn, over real sockets, against the simulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware

from do_blockstore_async import BlockStore, ClientClosedError, Config
from do_blockstore_async.integrations.fastapi import (
    BlockStoreDep,
    add_blockstore,
    blockstore_lifespan,
    budget_router,
    get_store,
    request_deadline,
)
from do_blockstore_async.simulator import Simulator
from tests.support.service_load import serving
from tests.support.web_services import DRY, ROOMY, Opened, Visitor, until

NEW = {"name": "db", "region": "nyc3", "size_gigabytes": 1}
UNKNOWN = "00000000-0000-0000-0000-000000000000"


class Notes:
    """What handlers got to do."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.go_on = asyncio.Event()

    @asynccontextmanager
    async def taking(self, name: str) -> AsyncIterator[None]:
        self.begun.append(name)
        try:
            yield
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        self.ended.append(name)


def make_app(opened: Opened, notes: Notes, **options: Any) -> FastAPI:
    grace_s = options.pop("grace_s", 5.0)
    app = FastAPI(lifespan=blockstore_lifespan(opened, grace_s=grace_s))
    add_blockstore(app, **{"default_timeout_s": None, "max_timeout_s": None, **options})
    app.include_router(budget_router())

    @app.get("/volumes")
    async def listed(store: BlockStoreDep) -> list[str]:
        async with notes.taking("list"):
            return [volume.name async for volume in store.volumes.list()]

    @app.get("/quick", dependencies=[request_deadline(0.2)])
    async def quick(store: BlockStoreDep) -> list[str]:
        return [volume.name async for volume in store.volumes.list()]

    @app.get("/volumes/{volume_id}")
    async def get(volume_id: str, store: BlockStoreDep) -> str:
        return (await store.volumes.get(volume_id)).name

    @app.post("/volumes", status_code=201)
    async def create(new: dict[str, Any], store: BlockStoreDep) -> str:
        async with notes.taking("create"):
            volume = await store.volumes.create(new.pop("name"), **new)
            # The record that must not be missing when the volume is there.
            await asyncio.sleep(0)
            notes.ended.append(volume.name)
            return volume.id

    @app.post("/attach-wrongly")
    async def attach_wrongly(store: BlockStoreDep) -> None:
        await store.volumes.attach(UNKNOWN, 0)

    @app.get("/together")
    async def together(store: BlockStoreDep) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(store.volumes.get(UNKNOWN))
            group.create_task(store.volumes.get(UNKNOWN))

    @app.get("/bug")
    async def bug() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.wait_for(_raise(), 1))

    @app.get("/thinks")
    async def thinks(store: BlockStoreDep) -> None:
        async with notes.taking("thinks"):
            await notes.go_on.wait()
            notes.ended.append("thought")
            await store.volumes.get(UNKNOWN)

    @app.post("/upload")
    async def upload(request: Request, store: BlockStoreDep) -> dict[str, Any]:
        regions = [region.slug async for region in store.regions.list()]
        size = 0
        async for part in request.stream():
            size += len(part)
        return {"size": size, "regions": len(regions)}

    @app.get("/streamed")
    async def streamed(store: BlockStoreDep) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            async for volume in store.volumes.list():
                yield volume.name + "\n"

        return StreamingResponse(lines())

    @app.get("/later")
    async def later(tasks: BackgroundTasks, store: BlockStoreDep) -> str:
        async def after() -> None:
            async with notes.taking("after"):
                await notes.go_on.wait()
                async for _region in store.regions.list():
                    pass

        tasks.add_task(after)
        return "soon"

    return app


async def _raise() -> None:
    raise OSError("a bug of the service")


@pytest.fixture
def notes() -> Notes:
    return Notes()


def problem_in(body: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(body)
    assert {"type", "title", "status", "detail"} <= set(told)
    return told


async def fetch(url: str, method: str = "GET", **options: Any) -> tuple[int, Any, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, **options) as response,
    ):
        return response.status, response.headers, await response.read()


# The client's life.


async def test_the_lifespan_opens_and_closes_one_client(notes: Notes) -> None:
    async with Simulator(volumes=3) as simulator:
        opened = Opened(simulator)
        async with serving(make_app(opened, notes)) as (url, _):
            for _ in range(3):
                assert (await fetch(f"{url}/volumes"))[0] == 200
        assert len(opened.stores) == 1
        with pytest.raises(ClientClosedError):
            await opened.store.volumes.get(UNKNOWN)


async def test_the_lifespan_composes_with_the_users_own_both_ways() -> None:
    order: list[str] = []

    @asynccontextmanager
    async def mine(app: Any) -> AsyncIterator[dict[str, Any]]:
        order.append("mine opens")
        yield {"mine": 1}
        order.append("mine closes")

    async with Simulator() as simulator:
        opened = Opened(simulator)
        theirs = blockstore_lifespan(opened)

        @asynccontextmanager
        async def outer(app: Any) -> AsyncIterator[dict[str, Any]]:
            async with theirs(app) as state:
                assert state is not None
                assert isinstance(state["blockstore"], BlockStore)
                yield {**state, "mine": 2}

        for lifespan, expected in ((blockstore_lifespan(opened, inner=mine), 1), (outer, 2)):
            app = FastAPI(lifespan=lifespan)

            @app.get("/")
            async def seen(request: Request, store: BlockStoreDep) -> list[Any]:
                return [request.state.mine, get_store(request) is store]

            async with serving(app) as (url, _):
                assert json.loads((await fetch(url))[2]) == [expected, True]
    assert order == ["mine opens", "mine closes"]


async def test_the_client_is_closed_when_the_users_part_fails_to_start() -> None:
    @asynccontextmanager
    async def broken(app: Any) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    async with Simulator() as simulator:
        opened = Opened(simulator)
        with pytest.raises(OSError, match="no database"):
            async with blockstore_lifespan(opened, inner=broken)(None):
                pass
        with pytest.raises(ClientClosedError):
            await opened.store.volumes.get(UNKNOWN)


async def test_a_missing_lifespan_is_named() -> None:
    app = FastAPI()
    add_blockstore(app)

    @app.get("/")
    async def seen(store: BlockStoreDep) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    with pytest.raises(RuntimeError, match="lifespan=blockstore_lifespan"):
        await app(scope, _receive, _send)


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Any) -> None: ...


# Errors.


async def test_errors_are_problems(notes: Notes) -> None:
    async with Simulator(volumes=3) as simulator:
        taken = next(iter(simulator.world.volumes.values()))
        opened = Opened(simulator)
        async with serving(make_app(opened, notes)) as (url, _):
            new = {**NEW, "name": taken.name, "region": taken.region}
            simulator.faults.add("html_502", path="/v2/regions")
            cases = [
                ("GET", f"/volumes/{UNKNOWN}", None, 404, "not-found"),
                ("POST", "/volumes", new, 409, "conflict"),
                ("POST", "/volumes", {**NEW, "region": "nowhere1"}, 422, "not-possible"),
                ("POST", "/volumes", {**NEW, "size_gigabytes": 0}, 422, "invalid-argument"),
                ("POST", "/attach-wrongly", None, 422, "invalid-argument"),
                ("GET", "/together", None, 404, "not-found"),
                ("POST", "/upload", None, 502, "upstream"),
            ]
            for method, path, body, status, kind in cases:
                got, headers, raw = await fetch(url + path, method, json=body)
                assert got == status, (path, raw)
                assert headers["Content-Type"].startswith("application/problem+json")
                assert problem_in(raw)["type"].endswith(f":{kind}")
                assert simulator.token not in raw.decode() + str(headers)
                assert simulator.url not in raw.decode()
            assert (await fetch(f"{url}/bug"))[0] == 500, "errors of others stay what they are"


async def test_a_token_that_is_refused_is_no_business_of_the_caller(notes: Notes) -> None:
    async with Simulator() as simulator:
        opened = Opened(simulator)
        app = make_app(opened, notes)
        simulator.world.token = "dop_v1_" + "0" * 64
        async with serving(app) as (url, _):
            simulator.world.token = "dop_v1_" + "1" * 64
            status, _, raw = await fetch(f"{url}/volumes")
        assert status == 502
        assert "0000" not in raw.decode()


async def test_a_budget_that_is_used_up_is_a_503_with_a_time(notes: Notes) -> None:
    async with Simulator(limits="2/60,1000/3600") as simulator:
        opened = Opened(simulator, DRY)
        async with serving(make_app(opened, notes, default_timeout_s=5)) as (url, _):
            await opened.use_up()
            before = len(simulator.requests)
            told = []
            for _ in range(3):
                status, headers, raw = await fetch(f"{url}/volumes")
                assert status == 503
                assert problem_in(raw)["retry_after"] == int(headers["Retry-After"])
                told.append(int(headers["Retry-After"]))
            # Two slots come free after a minute, the third one a minute later.
            assert told[0] in (60, 61)
            assert told[1] in (60, 61)
            assert told[2] >= 119
            assert len(simulator.requests) == before
            status, _, raw = await fetch(f"{url}/health/budget")
            assert status == 200
            report = json.loads(raw)
            assert report["status"] == "exhausted"
            assert report["remaining"] == 0
            assert report["available_in_s"] > 50
            assert len(simulator.requests) == before, "a health check spends nothing"


# Deadlines.


@pytest.mark.parametrize("path", ["/volumes", "/quick"])
async def test_the_deadline_of_a_request_reaches_the_client(notes: Notes, path: str) -> None:
    async with Simulator(volumes=3) as simulator:
        simulator.faults.add("stall", times=None)
        opened = Opened(simulator)
        async with serving(make_app(opened, notes)) as (url, _):
            loop = asyncio.get_running_loop()
            began = loop.time()
            headers = {"X-Request-Timeout": "0.3"} if path == "/volumes" else {}
            status, _, raw = await fetch(url + path, headers=headers)
            assert status == 504
            assert problem_in(raw)["type"].endswith(":upstream-timeout")
            assert loop.time() - began < 2


# Clients that leave.


async def test_a_client_that_leaves_gives_its_place_in_line_up(notes: Notes) -> None:
    async with Simulator(limits="2/60,1000/3600") as simulator:
        opened = Opened(simulator, DRY)
        async with serving(make_app(opened, notes)) as (url, _):
            await opened.use_up()
            sent = len(simulator.requests)
            visitors = [await Visitor.ask(f"{url}/volumes") for _ in range(3)]
            visitors.append(await Visitor.ask(f"{url}/volumes", "POST", NEW))
            await until(lambda: opened.store.quota.waiting == 4)
            for visitor in visitors:
                await visitor.leave()
            await until(lambda: opened.store.quota.waiting == 0)
            await until(lambda: len(notes.cancelled) == 4)
            assert sorted(notes.cancelled) == ["create", "list", "list", "list"]
            assert opened.store.quota.granted == 2
            assert len(simulator.requests) == sent
            assert not notes.ended


async def test_a_client_that_leaves_cuts_no_create_in_two(notes: Notes) -> None:
    async with Simulator(latency_s=0.4) as simulator:
        opened = Opened(simulator)
        async with serving(make_app(opened, notes)) as (url, _):
            visitor = await Visitor.ask(f"{url}/volumes", "POST", NEW)
            await until(lambda: opened.store.quota.in_flight == 1)
            await visitor.leave()
            await until(lambda: "create" in notes.ended)
        assert notes.ended == ["db", "create"], "the volume is made and its record too"
        assert not notes.cancelled
        assert [volume.name for volume in simulator.world.volumes.values()] == ["db"]


async def test_a_client_that_leaves_ends_a_read_under_way(notes: Notes) -> None:
    async with Simulator() as simulator:
        simulator.faults.add("stall")
        opened = Opened(simulator)
        async with serving(make_app(opened, notes)) as (url, _):
            visitor = await Visitor.ask(f"{url}/volumes")
            await until(lambda: opened.store.quota.in_flight == 1)
            await visitor.leave()
            await until(lambda: notes.cancelled == ["list"])
            await until(lambda: opened.store.quota.in_flight == 0)
            assert opened.store.quota.lost == 1


async def test_a_client_that_leaves_troubles_no_middleware_around(
    notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    async with Simulator() as simulator:
        simulator.faults.add("stall")
        opened = Opened(simulator)
        app = make_app(opened, notes)
        statuses: list[int] = []

        @app.middleware("http")  # added last, so it is around ours
        async def around(request: Any, call_next: Any) -> Any:
            response = await call_next(request)
            statuses.append(response.status_code)
            return response

        async with serving(app) as (url, _):
            visitor = await Visitor.ask(f"{url}/volumes")
            await until(lambda: opened.store.quota.in_flight == 1)
            await visitor.leave()
            await until(lambda: notes.cancelled == ["list"])
            await until(lambda: statuses == [499])
    assert "No response returned" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_code_of_the_handlers_own_is_not_cancelled(notes: Notes) -> None:
    async with Simulator(limits="2/60,1000/3600") as simulator:
        opened = Opened(simulator, DRY)
        app = make_app(opened, notes)

        @app.get("/both")
        async def both(store: BlockStoreDep) -> None:
            async with notes.taking("both"):
                async for _region in store.regions.list():
                    pass
                await notes.go_on.wait()
                notes.ended.append("own code")
                async for _region in store.regions.list():
                    pass

        async with serving(app) as (url, server):
            async for _region in opened.store.regions.list():
                pass
            visitor = await Visitor.ask(f"{url}/both")
            await until(lambda: opened.store.quota.done == 2)
            await visitor.leave()
            await until(lambda: not server.server_state.connections)
            assert not notes.cancelled
            notes.go_on.set()
            await until(lambda: notes.cancelled == ["both"])
            assert notes.ended == ["own code"]
            assert opened.store.quota.granted == 2


async def test_a_handler_that_has_not_called_is_not_watched(notes: Notes) -> None:
    async with Simulator() as simulator:
        opened = Opened(simulator)
        async with serving(make_app(opened, notes)) as (url, _):
            visitor = await Visitor.ask(f"{url}/thinks")
            await until(lambda: notes.begun == ["thinks"])
            assert not [t for t in asyncio.all_tasks() if t.get_name() == "client gone?"]
            notes.go_on.set()
            assert (await visitor.answer())[0] == 404
        assert not [t for t in asyncio.all_tasks() if t.get_name() == "client gone?"]


# Messages pass unharmed.


@pytest.mark.parametrize("with_base_http_middleware", [False, True])
async def test_uploads_streams_and_other_middleware_still_work(
    notes: Notes, with_base_http_middleware: bool
) -> None:
    async with Simulator(volumes=30) as simulator:
        opened = Opened(simulator)
        app = make_app(opened, notes)
        if with_base_http_middleware:

            async def passing(request: Request, call_next: Any) -> Any:
                return await call_next(request)

            app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
        async with serving(app) as (url, _):
            payload = b"x" * 1_000_000
            status, _, raw = await fetch(f"{url}/upload", "POST", data=payload)
            assert (status, json.loads(raw)["size"]) == (200, len(payload))
            status, _, raw = await fetch(f"{url}/streamed")
            assert (status, len(raw.splitlines())) == (200, 30)


async def test_work_after_the_answer_has_no_deadline_and_no_client(notes: Notes) -> None:
    async with Simulator() as simulator:
        opened = Opened(simulator)
        async with serving(make_app(opened, notes, default_timeout_s=0.2)) as (url, _):
            loop = asyncio.get_running_loop()
            status, _, _ = await fetch(f"{url}/later")
            assert status == 200
            answered_at = loop.time()
            await until(lambda: loop.time() > answered_at + 0.25)
            notes.go_on.set()
            await until(lambda: notes.ended == ["after"])


# Shutdown.


async def test_a_shutdown_lets_calls_under_way_end(notes: Notes) -> None:
    async with Simulator(latency_s=0.4) as simulator:
        opened = Opened(simulator)
        async with serving(make_app(opened, notes)) as (url, server):
            visitor = await Visitor.ask(f"{url}/volumes", "POST", NEW)
            await until(lambda: opened.store.quota.in_flight == 1)
            server.should_exit = True
            status, _ = await visitor.answer()
        assert status == 201
        assert len(simulator.world.volumes) == 1


async def test_a_server_out_of_patience_cuts_no_create_in_two(notes: Notes) -> None:
    """uvicorn cancels its requests after its own grace; the create still ends, in ours."""
    async with Simulator(latency_s=1.6) as simulator:
        opened = Opened(simulator, ROOMY)
        app = make_app(opened, notes)
        async with serving(app, timeout_graceful_shutdown=1) as (url, server):
            visitor = await Visitor.ask(f"{url}/volumes", "POST", NEW)
            await until(lambda: opened.store.quota.in_flight == 1)
            waiting = await Visitor.ask(f"{url}/thinks")
            await until(lambda: "thinks" in notes.begun)
            server.should_exit = True
        await until(lambda: "create" in notes.ended)
        assert notes.ended == ["db", "create"]
        assert notes.cancelled == ["thinks"], "what has changed nothing is cancelled at once"
        assert len(simulator.world.volumes) == 1
        await visitor.leave()
        await waiting.leave()


async def test_the_grace_ends_what_does_not_end_by_itself(notes: Notes) -> None:
    config = Config(windows=ROOMY.windows, max_attempts=1, cold_start_concurrency=10)
    async with Simulator() as simulator:
        simulator.faults.add("stall", times=None)
        opened = Opened(simulator, config)
        app = make_app(opened, notes, grace_s=0.2)
        async with serving(app, timeout_graceful_shutdown=1) as (url, server):
            visitor = await Visitor.ask(f"{url}/volumes", "POST", NEW)
            await until(lambda: opened.store.quota.in_flight == 1)
            server.should_exit = True
        await until(lambda: not opened.store.quota.in_flight)
        assert "create" not in notes.cancelled
        await visitor.leave()
