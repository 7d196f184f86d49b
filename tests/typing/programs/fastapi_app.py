"""A FastAPI service, as its author writes it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from do_blockstore_async import BlockStore
from do_blockstore_async.integrations.fastapi import (
    BlockStoreDep,
    add_blockstore,
    blockstore_lifespan,
    budget_router,
    request_deadline,
)

app = FastAPI(lifespan=blockstore_lifespan())
add_blockstore(app, default_timeout_s=10.0, max_timeout_s=60.0)
app.include_router(budget_router())


@app.get("/volumes/{volume_id}", dependencies=[request_deadline(2.5)])
async def show(volume_id: str, store: BlockStoreDep) -> dict[str, Any]:
    volume = await store.volumes.get(volume_id)
    return {"name": volume.name, "size_gigabytes": volume.size_gigabytes}


@asynccontextmanager
async def mine(app: FastAPI) -> AsyncGenerator[Mapping[str, Any], None]:
    async with blockstore_lifespan(BlockStore.from_env)(app) as state:
        yield {**state, "started": True}


composed = FastAPI(lifespan=mine)


@asynccontextmanager
async def stateless(app: FastAPI) -> AsyncGenerator[None, None]:
    yield


nested = FastAPI(lifespan=blockstore_lifespan(inner=stateless))
