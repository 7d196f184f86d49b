"""aiohttp: gunicorn examples.services.aiohttp_app:app --worker-class aiohttp.GunicornWebWorker"""

from __future__ import annotations

from functools import partial

from aiohttp import web

from do_blockstore_async.integrations.aiohttp import (
    BLOCKSTORE,
    blockstore_cleanup_ctx,
    blockstore_middleware,
    dumps,
)

json_response = partial(web.json_response, dumps=dumps)


async def list_volumes(request: web.Request) -> web.Response:
    return json_response(await request.app[BLOCKSTORE].volumes.list())


async def create_volume(request: web.Request) -> web.Response:
    volumes = request.app[BLOCKSTORE].volumes
    return json_response(await volumes.create(region="nyc3", **await request.json()), status=201)


async def show_volume(request: web.Request) -> web.Response:
    volume_id = request.match_info["volume_id"]
    return json_response(await request.app[BLOCKSTORE].volumes.get(volume_id))


app = web.Application(middlewares=[blockstore_middleware(default_timeout_s=10.0)])
app.cleanup_ctx.append(blockstore_cleanup_ctx())
app.router.add_get("/volumes", list_volumes)
app.router.add_post("/volumes", create_volume)
app.router.add_get("/volumes/{volume_id}", show_volume)
