"""Quart: hypercorn examples.services.quart_app:app, or uvicorn"""

from __future__ import annotations

from typing import Any

from quart import Quart, Response, request

from do_blockstore_async import BlockStoreError
from do_blockstore_async.integrations.asgi import BlockStoreASGI, get_store, problem_of

quart_app = Quart(__name__)
app = BlockStoreASGI(quart_app)


@quart_app.get("/volumes")
async def list_volumes() -> list[dict[str, Any]]:
    volumes = await get_store(request.scope).volumes.list()
    return [volume.to_dict() for volume in volumes]


@quart_app.post("/volumes")
async def create_volume() -> tuple[dict[str, Any], int]:
    new = await request.get_json()
    volume = await get_store(request.scope).volumes.create(region="nyc3", **new)
    return volume.to_dict(), 201


@quart_app.get("/volumes/<volume_id>")
async def show_volume(volume_id: str) -> dict[str, Any]:
    return (await get_store(request.scope).volumes.get(volume_id)).to_dict()


@quart_app.errorhandler(BlockStoreError)
async def failed(error: BlockStoreError) -> Response:
    problem = problem_of(error, request.scope)
    content_type = problem.content_type
    return Response(problem.encode(), problem.status, problem.headers, content_type=content_type)
