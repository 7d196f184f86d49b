"""aiohttp's runner, over real sockets, against the simulator."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from do_blockstore_async import ClientClosedError
from do_blockstore_async.integrations.aiohttp import (
    BLOCKSTORE,
    blockstore_cleanup_ctx,
    blockstore_middleware,
    budget_handler,
)
from do_blockstore_async.simulator import Simulator
from tests.support.web_services import DRY, Opened, Visitor, serving_aiohttp, until

NEW = {"name": "db", "region": "nyc3", "size_gigabytes": 1}
UNKNOWN = "00000000-0000-0000-0000-000000000000"


def make_app(
    opened: Opened, notes: list[str], *, grace_s: float = 5.0, **options: Any
) -> web.Application:
    options = {"default_timeout_s": None, "max_timeout_s": None, **options}
    app = web.Application(middlewares=[blockstore_middleware(**options)])
    app.cleanup_ctx.append(blockstore_cleanup_ctx(opened, grace_s=grace_s))
    app.router.add_get("/health/budget", budget_handler)

    async def listed(request: web.Request) -> web.Response:
        store = request.config_dict[BLOCKSTORE]
        try:
            return web.json_response([volume.name async for volume in store.volumes.list()])
        except asyncio.CancelledError:
            notes.append("list cancelled")
            raise

    async def get(request: web.Request) -> web.Response:
        store = request.config_dict[BLOCKSTORE]
        return web.json_response((await store.volumes.get(request.match_info["id"])).name)

    async def create(request: web.Request) -> web.Response:
        store = request.config_dict[BLOCKSTORE]
        new = await request.json()
        try:
            volume = await store.volumes.create(new.pop("name"), **new)
            await asyncio.sleep(0)
            notes.append(f"created {volume.name}")
        except asyncio.CancelledError:
            notes.append("create cancelled")
            raise
        return web.json_response(volume.id, status=201)

    async def together(request: web.Request) -> web.Response:
        store = request.config_dict[BLOCKSTORE]
        async with asyncio.TaskGroup() as group:
            group.create_task(store.volumes.get(UNKNOWN))
        return web.Response()

    async def bug(request: web.Request) -> web.Response:
        raise ExceptionGroup("a bug of the service", [OSError()])

    async def teapot(request: web.Request) -> web.Response:
        raise web.HTTPGone(text="gone for good")

    app.add_routes(
        [
            web.get("/volumes", listed),
            web.get("/volumes/{id}", get),
            web.post("/volumes", create),
            web.get("/together", together),
            web.get("/bug", bug),
            web.get("/gone", teapot),
        ]
    )
    return app


async def fetch(url: str, method: str = "GET", **options: Any) -> tuple[int, Any, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, **options) as response,
    ):
        return response.status, response.headers, await response.read()


async def test_errors_are_problems_and_those_of_others_stay() -> None:
    async with Simulator(volumes=3) as simulator:
        taken = next(iter(simulator.world.volumes.values()))
        opened = Opened(simulator)
        app = make_app(opened, [])
        async with serving_aiohttp(app) as url:
            assert app[BLOCKSTORE] is opened.store
            new = {**NEW, "name": taken.name, "region": taken.region}
            cases = [
                ("GET", f"/volumes/{UNKNOWN}", None, 404, "not-found"),
                ("GET", "/together", None, 404, "not-found"),
                ("POST", "/volumes", new, 409, "conflict"),
                ("POST", "/volumes", {**NEW, "region": "nowhere1"}, 422, "not-possible"),
                ("POST", "/volumes", {**NEW, "size_gigabytes": 0}, 422, "invalid-argument"),
            ]
            for method, path, body, status, kind in cases:
                got, headers, raw = await fetch(url + path, method, json=body)
                assert got == status, (path, raw)
                assert headers["Content-Type"] == "application/problem+json"
                assert json.loads(raw)["type"].endswith(f":{kind}")
                assert simulator.token not in raw.decode() + str(headers)
            simulator.faults.add("reset_before")
            status, _, raw = await fetch(f"{url}/volumes/{UNKNOWN}")
            assert (status, json.loads(raw)["type"].rpartition(":")[2]) == (502, "upstream")
            assert (await fetch(f"{url}/bug"))[0] == 500
            status, _, raw = await fetch(f"{url}/gone")
            assert (status, raw) == (410, b"gone for good")
        with pytest.raises(ClientClosedError):
            await opened.store.volumes.get(UNKNOWN)


async def test_a_subapplication_uses_the_same_client() -> None:
    async with Simulator() as simulator:
        opened = Opened(simulator)
        app, part = make_app(opened, []), web.Application()

        async def count(request: web.Request) -> web.Response:
            regions = [r async for r in request.config_dict[BLOCKSTORE].regions.list()]
            return web.json_response(len(regions))

        part.router.add_get("/regions", count)
        app.add_subapp("/part", part)
        async with serving_aiohttp(app) as url:
            status, _, raw = await fetch(f"{url}/part/regions")
            assert status == 200
            assert int(raw) > 5
        assert len(opened.stores) == 1


async def test_a_budget_that_is_used_up_is_a_503_with_a_time() -> None:
    async with Simulator(limits="2/60,1000/3600") as simulator:
        opened = Opened(simulator, DRY)
        async with serving_aiohttp(make_app(opened, [], default_timeout_s=5)) as url:
            await opened.use_up()
            told = []
            for _ in range(3):
                status, headers, raw = await fetch(f"{url}/volumes")
                assert status == 503
                told.append(int(headers["Retry-After"]))
                assert json.loads(raw)["retry_after"] == told[-1]
            assert told[0] in (60, 61)
            assert told[2] >= 119
            status, _, raw = await fetch(f"{url}/health/budget")
            assert (status, json.loads(raw)["status"]) == (200, "exhausted")
            assert len(simulator.requests) == 2


async def test_the_deadline_of_a_request_reaches_the_client() -> None:
    async with Simulator() as simulator:
        simulator.faults.add("stall")
        opened = Opened(simulator)
        async with serving_aiohttp(make_app(opened, [])) as url:
            status, _, raw = await fetch(f"{url}/volumes", headers={"X-Request-Timeout": "0.2"})
            assert status == 504
            assert json.loads(raw)["type"].endswith(":upstream-timeout")


async def test_a_client_that_leaves_gives_its_place_in_line_up() -> None:
    async with Simulator(limits="2/60,1000/3600") as simulator:
        opened, notes = Opened(simulator, DRY), list[str]()
        async with serving_aiohttp(make_app(opened, notes), handler_cancellation=True) as url:
            await opened.use_up()
            visitors = [
                await Visitor.ask(f"{url}/volumes"),
                await Visitor.ask(f"{url}/volumes", "POST", NEW),
            ]
            await until(lambda: opened.store.quota.waiting == 2)
            for visitor in visitors:
                await visitor.leave()
            await until(lambda: opened.store.quota.waiting == 0)
            await until(lambda: len(notes) == 2)
            assert sorted(notes) == ["create cancelled", "list cancelled"]
            assert len(simulator.requests) == 2


async def test_a_client_that_leaves_cuts_no_create_in_two() -> None:
    async with Simulator(latency_s=0.4) as simulator:
        opened, notes = Opened(simulator), list[str]()
        async with serving_aiohttp(make_app(opened, notes), handler_cancellation=True) as url:
            visitor = await Visitor.ask(f"{url}/volumes", "POST", NEW)
            await until(lambda: opened.store.quota.in_flight == 1)
            await visitor.leave()
            await until(lambda: notes)
        assert notes == ["created db"]
        assert len(simulator.world.volumes) == 1


async def test_a_runner_out_of_patience_cuts_no_create_in_two() -> None:
    async with Simulator(latency_s=1.0) as simulator:
        opened, notes = Opened(simulator), list[str]()
        async with serving_aiohttp(make_app(opened, notes), shutdown_timeout=0.1) as url:
            visitor = await Visitor.ask(f"{url}/volumes", "POST", NEW)
            await until(lambda: opened.store.quota.in_flight == 1)
        await until(lambda: notes)
        assert notes == ["created db"]
        await visitor.leave()


async def test_a_shutdown_lets_calls_under_way_end() -> None:
    async with Simulator(latency_s=0.4) as simulator:
        opened, notes = Opened(simulator), list[str]()
        async with serving_aiohttp(make_app(opened, notes)) as url:
            visitor = await Visitor.ask(f"{url}/volumes", "POST", NEW)
            await until(lambda: opened.store.quota.in_flight == 1)
        assert (await visitor.answer())[0] == 201
        assert notes == ["created db"]
