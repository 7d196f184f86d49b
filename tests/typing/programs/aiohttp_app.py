"""An aiohttp service, as its author writes it."""

from __future__ import annotations

from typing import assert_type

from aiohttp import ClientSession, web

from do_blockstore_async import BlockStore
from do_blockstore_async.integrations.aiohttp import (
    BLOCKSTORE,
    blockstore_cleanup_ctx,
    blockstore_middleware,
    budget_handler,
)


async def show(request: web.Request) -> web.Response:
    store = request.app[BLOCKSTORE]
    assert_type(store, BlockStore)
    volume = await store.volumes.get(request.match_info["volume_id"])
    return web.json_response({"name": volume.name})


application = web.Application(middlewares=[blockstore_middleware(max_timeout_s=60.0)])
application.cleanup_ctx.append(blockstore_cleanup_ctx())
application.router.add_get("/volumes/{volume_id}", show)
application.router.add_get("/health/budget", budget_handler)


async def share(store: BlockStore) -> None:
    async with ClientSession(middlewares=(store.throttle.middleware,)) as session:
        print(session)
    async with store.throttle.acquire(timeout=5.0) as lease:
        lease.complete({"ratelimit-remaining": "4000"}, 200)
