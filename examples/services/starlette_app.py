"""Starlette: uvicorn examples.services.starlette_app:app --workers 4"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from do_blockstore_async.integrations.fastapi import (
    add_blockstore,
    blockstore_lifespan,
    get_store,
)


async def list_volumes(request: Request) -> JSONResponse:
    volumes = await get_store(request).volumes.list()
    return JSONResponse([volume.to_dict() for volume in volumes])


async def create_volume(request: Request) -> JSONResponse:
    new = await request.json()
    volume = await get_store(request).volumes.create(region="nyc3", **new)
    return JSONResponse(volume.to_dict(), 201)


async def show_volume(request: Request) -> JSONResponse:
    volume = await get_store(request).volumes.get(request.path_params["volume_id"])
    return JSONResponse(volume.to_dict())


routes = [
    Route("/volumes", list_volumes),
    Route("/volumes", create_volume, methods=["POST"]),
    Route("/volumes/{volume_id}", show_volume),
]
app = Starlette(routes=routes, lifespan=blockstore_lifespan())
add_blockstore(app, default_timeout_s=10.0)
