"""A service, a bulk job and a worker task in sixty lines, as their author writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from do_blockstore_async import Accounts, BlockStore, Config, NotFoundError, Page, Volume
from do_blockstore_async.bulk import Retention, Selection
from do_blockstore_async.integrations.fastapi import (
    BlockStoreDep,
    add_blockstore,
    blockstore_lifespan,
)

CONFIG = Config(budget="machine", timeout_s=timedelta(seconds=30), hooks=print)


class Order(BaseModel):
    volume: Volume
    copies: list[Volume] = []


async def nightly(store: BlockStore) -> int:
    plan = await store.bulk.plan_snapshots(Selection(regions=["nyc3"]), keep=Retention(last=7))
    async with store.bulk.run(plan) as run:
        async for outcome in run:
            print(outcome.item.volume_name, outcome.status, store.explain())
    return run.report().counts["done"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[Mapping[str, Any], None]:
    factory = lambda: BlockStore.from_env(config=CONFIG)  # noqa: E731
    async with blockstore_lifespan(factory)(app) as state:
        job = asyncio.create_task(nightly(state["blockstore"]))
        yield state
        job.cancel()


app = FastAPI(lifespan=lifespan)
add_blockstore(app, default_timeout_s=timedelta(seconds=10))


@app.get("/volumes")
async def volumes(store: BlockStoreDep) -> Page[Volume]:
    found = await store.volumes.list(region="nyc3")
    return Page(tuple(found), number=1, total=len(found))


@app.post("/orders/{volume_id}")
async def order(volume_id: str, store: BlockStoreDep) -> Order:
    volume = await store.volumes.get(volume_id)
    snapshot = await store.snapshots.create(volume, f"{volume.name}-order")
    copy = await store.volumes.restore(snapshot, f"{volume.name}-2", region=volume.region)
    return Order(volume=volume, copies=[copy])


async def everywhere(tokens: dict[str, str]) -> dict[str, int]:
    async with Accounts(tokens, config=CONFIG) as accounts:
        found = await accounts.gather(lambda store: store.volumes.list())
    return {name: len(outcome.unwrap()) for name, outcome in found.items() if not outcome.error}


def task(volume_id: str, droplet_id: int) -> bool:
    async def work() -> bool:
        async with BlockStore.from_env(config=CONFIG) as store:
            try:
                async with store.volumes.attached(volume_id, droplet_id) as action:
                    return action.status == "completed"
            except NotFoundError:
                return False

    return asyncio.run(work())
