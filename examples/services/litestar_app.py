"""Litestar: uvicorn examples.services.litestar_app:app --workers 4"""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs
import litestar
from litestar import Litestar, Response, get, post

from do_blockstore_async import BlockStoreError, Volume
from do_blockstore_async.integrations.asgi import BlockStoreASGI, get_store, problem_of

Request: TypeAlias = litestar.Request[Any, Any, Any]


@attrs.define
class NewVolume:
    name: str
    size_gigabytes: int = 10


@get("/volumes")
async def list_volumes(request: Request) -> list[Volume]:
    return await get_store(request.scope).volumes.list()


@post("/volumes")
async def create_volume(data: NewVolume, request: Request) -> Volume:
    volumes = get_store(request.scope).volumes
    return await volumes.create(data.name, region="nyc3", size_gigabytes=data.size_gigabytes)


@get("/volumes/{volume_id:str}")
async def show_volume(volume_id: str, request: Request) -> Volume:
    return await get_store(request.scope).volumes.get(volume_id)


def failed(request: Request, error: BlockStoreError) -> Response[bytes]:
    found = problem_of(error, request.scope)
    body, media_type = found.encode(), found.content_type
    return Response(body, status_code=found.status, headers=found.headers, media_type=media_type)


handlers = [list_volumes, create_volume, show_volume]
app = BlockStoreASGI(Litestar(handlers, exception_handlers={BlockStoreError: failed}))
