"""FastAPI: uvicorn examples.services.fastapi_app:app --workers 4

With DO_BLOCKSTORE_BUDGET=machine in the environment all workers share the token's one budget.
"""

from fastapi import FastAPI
from pydantic import BaseModel

from do_blockstore_async import Volume
from do_blockstore_async.integrations.fastapi import (
    BlockStoreDep,
    add_blockstore,
    blockstore_lifespan,
    budget_router,
)

app = FastAPI(lifespan=blockstore_lifespan())
add_blockstore(app)
app.include_router(budget_router())


class NewVolume(BaseModel):
    name: str
    size_gigabytes: int = 10


@app.get("/volumes")
async def list_volumes(store: BlockStoreDep) -> list[Volume]:
    return await store.volumes.list()


@app.post("/volumes", status_code=201)
async def create_volume(new: NewVolume, store: BlockStoreDep) -> Volume:
    size = new.size_gigabytes
    return await store.volumes.create(new.name, region="nyc3", size_gigabytes=size)


@app.get("/volumes/{volume_id}")
async def show_volume(volume_id: str, store: BlockStoreDep) -> Volume:
    return await store.volumes.get(volume_id)
