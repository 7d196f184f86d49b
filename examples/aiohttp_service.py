"""The same idea with aiohttp: volumes over HTTP, one client, one budget.

    DIGITALOCEAN_TOKEN=... python examples/aiohttp_service.py --port 8000

Its workers, the command line and other jobs of this machine share the token's budget; for several
machines set DO_BLOCKSTORE_BUDGET to `redis://...` or `postgresql://...`.

A request says with `X-Request-Timeout: 2.5` how long it may take.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from aiohttp import web

from do_blockstore_async import BlockStore, Config, InvalidArgumentError, Volume
from do_blockstore_async.integrations.aiohttp import (
    BLOCKSTORE,
    blockstore_cleanup_ctx,
    blockstore_middleware,
    budget_handler,
)

routes = web.RouteTableDef()


def show(volume: Volume) -> dict[str, object]:
    """A volume as callers see it."""
    return {
        "id": volume.id,
        "name": volume.name,
        "region": volume.region.slug,
        "size_gigabytes": volume.size_gigabytes,
        "droplet_ids": list(volume.droplet_ids),
    }


async def body_of(request: web.Request) -> dict[str, object]:
    """The request's JSON object."""
    try:
        body = await request.json()
    except ValueError as error:
        raise InvalidArgumentError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise InvalidArgumentError("the body is not a JSON object")
    return body


@routes.get("/volumes/{id}")
async def get(request: web.Request) -> web.Response:
    store = request.config_dict[BLOCKSTORE]
    return web.json_response(show(await store.volumes.get(request.match_info["id"])))


@routes.get("/volumes")
async def list_volumes(request: web.Request) -> web.Response:
    store = request.config_dict[BLOCKSTORE]
    region = request.query.get("region")
    return web.json_response([show(v) async for v in store.volumes.list(region=region)])


@routes.post("/volumes")
async def create(request: web.Request) -> web.Response:
    store = request.config_dict[BLOCKSTORE]
    match await body_of(request):
        case {"name": str(name), "region": str(region), "size_gigabytes": int(size)}:
            volume = await store.volumes.create(name, region=region, size_gigabytes=size)
            return web.json_response(show(volume), status=201)
    raise InvalidArgumentError("needed: name, region, size_gigabytes")


@routes.post("/volumes/{id}/snapshots")
async def snapshot(request: web.Request) -> web.Response:
    store = request.config_dict[BLOCKSTORE]
    match await body_of(request):
        case {"name": str(name)}:
            made = await store.snapshots.create(request.match_info["id"], name)
            return web.json_response({"id": made.id, "name": made.name}, status=201)
    raise InvalidArgumentError("needed: name")


def open_store() -> BlockStore:
    """The client, from the environment."""
    budget = os.environ.get("DO_BLOCKSTORE_BUDGET", "machine")
    return BlockStore.from_env(config=Config(budget=budget))


def create_app(
    make_store: Callable[[], BlockStore] = open_store,
    *,
    timeout_s: float = 10.0,
    grace_s: float = 20.0,
) -> web.Application:
    """The application. `make_store` makes the client, not yet opened."""
    app = web.Application(middlewares=[blockstore_middleware(default_timeout_s=timeout_s)])
    app.cleanup_ctx.append(blockstore_cleanup_ctx(make_store, grace_s=grace_s))
    app.add_routes(routes)
    app.router.add_get("/health/budget", budget_handler)
    return app


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    # A request whose client has left is cancelled; never one that has begun to change something.
    web.run_app(create_app(), host=options.host, port=options.port, handler_cancellation=True)


if __name__ == "__main__":
    main()
