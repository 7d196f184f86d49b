"""A small service that provisions volumes for tenants, with a nightly job in the background.

    pip install 'do-blockstore-async[fastapi,prometheus]' uvicorn
    DIGITALOCEAN_TOKEN=... uvicorn --factory examples.fastapi_service:create_app \
        --timeout-graceful-shutdown 60

All requests and the nightly job share one client, and all workers (`--workers 4`), the command line
and other jobs of this machine share the token's one budget. Tenants go first; the job takes what
they leave. A tenant's request that the budget cannot serve in time is told when
to come back. At shutdown the job begins nothing new, and what is under way ends.

A tenant's volumes are named `TENANT-NAME` and tagged `tenant:TENANT`; nothing is stored here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Path, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field

from do_blockstore_async import BlockStore, BlockStoreError, Config, Volume
from do_blockstore_async.bulk import Report, Retention, Run
from do_blockstore_async.integrations.fastapi import (
    BlockStoreDep,
    add_blockstore,
    blockstore_lifespan,
    budget_router,
    request_deadline,
)
from do_blockstore_async.integrations.logging import LoggingHook
from do_blockstore_async.integrations.prometheus import PrometheusHook

# Tests and accounts with other limits: "25/3,150/30" is 25 requests in 3 s and 150 in 30 s.
WINDOWS = os.environ.get("BLOCKSTORE_WINDOWS", "250/60,5000/3600")
# For workers on several machines: "redis://..." or "postgresql://...".
BUDGET = os.environ.get("DO_BLOCKSTORE_BUDGET", "machine")
TIMEOUT_S = float(os.environ.get("REQUEST_TIMEOUT_S", "10"))
GRACE_S = float(os.environ.get("SHUTDOWN_GRACE_S", "20"))

Tenant = Annotated[str, Path(pattern="^[a-z][a-z0-9]{0,19}$")]


class NewVolume(BaseModel):
    """What a tenant asks for."""

    name: str = Field(pattern="^[a-z0-9-]{1,40}$")
    region: str = "nyc3"
    size_gigabytes: int = Field(ge=1, le=16_384)


class Attachment(BaseModel):
    """Where a volume goes."""

    droplet_id: int


class NewSize(BaseModel):
    """What a volume becomes."""

    size_gigabytes: int


class NewSnapshot(BaseModel):
    """What a snapshot is called."""

    name: str


class VolumeOut(BaseModel):
    """A tenant's volume."""

    id: str
    name: str
    region: str
    size_gigabytes: int
    droplet_ids: list[int]


class ActionOut(BaseModel):
    """Something under way."""

    id: int
    status: str
    type: str


class SnapshotOut(BaseModel):
    """A tenant's snapshot."""

    id: str
    name: str
    created_at: datetime
    size_gigabytes: float


class Nightly:
    """The nightly job: a snapshot of every volume, the newest seven of each kept.

    One run at a time. It is begun by a request but belongs to the app.
    """

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._run: Run | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.report: Report | None = None
        self.error: str | None = None

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> bool:
        """Begin a run, unless one is under way."""
        if self.running or self._stopping:
            return False
        self.report = self.error = None
        # The job outlives the request that begins it: neither its deadline nor its client counts.
        with self._store.detached():
            self._task = asyncio.create_task(self._work())
        return True

    async def _work(self) -> None:
        try:
            plan = await self._store.bulk.plan_snapshots(job="nightly", keep=Retention(last=7))
            async with self._store.bulk.run(plan, max_failures=None) as run:
                self._run = run
                if self._stopping:
                    run.stop()
                async for _ in run:
                    pass
            self.report = run.report()
        except BlockStoreError as error:
            self.error = str(error)
        finally:
            self._run = None

    def progress(self) -> dict[str, Any]:
        """What a person wants to see."""
        told: dict[str, Any] = {"running": self.running, "error": self.error}
        seen = self.report if self._run is None else self._run
        if seen is not None:
            told.update(counts=dict(seen.counts), remaining=seen.remaining)
        return told

    async def aclose(self, grace_s: float) -> None:
        """Begin nothing new; let what is under way end; give up after `grace_s`."""
        self._stopping = True
        if self._run is not None:
            self._run.stop()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=grace_s)
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task


def open_store(metrics: PrometheusHook) -> BlockStore:
    """The client, from the environment."""
    windows = tuple(
        (int(requests), float(seconds))
        for requests, seconds in (window.split("/") for window in WINDOWS.split(","))
    )
    return BlockStore.from_env(
        config=Config(windows=windows, budget=BUDGET, hooks=(LoggingHook(), metrics))
    )


def nightly_of(request: Request) -> Nightly:
    """The app's nightly job."""
    job: Nightly = request.state.nightly
    return job


NightlyDep = Annotated[Nightly, Depends(nightly_of)]


async def owned(tenant: Tenant, volume_id: str, store: BlockStoreDep, request: Request) -> str:
    """The id of a volume that is the tenant's. Costs a request the first time, then none."""
    owners: dict[str, str] = request.state.owners
    if volume_id not in owners:
        note(owners, await store.volumes.get(volume_id))
    if owners.get(volume_id) != tenant:
        raise HTTPException(404, "There is no such volume")
    return volume_id


OwnedVolume = Annotated[str, Depends(owned)]


def note(owners: dict[str, str], volume: Volume) -> str | None:
    """Remember whose a volume is, which never changes; only ids of existing volumes get here."""
    tenant = next((tag[7:] for tag in volume.tags if tag.startswith("tenant:")), None)
    if tenant is not None:
        owners[volume.id] = tenant
    return tenant


def show(volume: Volume) -> VolumeOut:
    """A volume as tenants see it."""
    return VolumeOut(
        id=volume.id,
        name=volume.name.partition("-")[2],
        region=volume.region.slug,
        size_gigabytes=volume.size_gigabytes,
        droplet_ids=list(volume.droplet_ids),
    )


def create_app(make_store: Callable[[PrometheusHook], BlockStore] = open_store) -> FastAPI:
    """The app. `make_store` makes the client, not yet opened."""
    registry = CollectorRegistry()
    metrics = PrometheusHook(registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        opened = blockstore_lifespan(lambda: make_store(metrics), grace_s=GRACE_S)
        async with opened(app) as state:
            assert state is not None  # noqa: S101 -- for the type checker
            store: BlockStore = state["blockstore"]
            metrics.collect_quota(store)
            nightly = Nightly(store)
            try:
                yield {**state, "nightly": nightly, "owners": {}}
            finally:
                await nightly.aclose(GRACE_S)

    app = FastAPI(title="Volumes for tenants", lifespan=lifespan)
    add_blockstore(app, default_timeout_s=TIMEOUT_S)
    app.include_router(budget_router())

    @app.post("/tenants/{tenant}/volumes", status_code=201)
    async def create(
        tenant: Tenant, new: NewVolume, store: BlockStoreDep, request: Request
    ) -> VolumeOut:
        volume = await store.volumes.create(
            f"{tenant}-{new.name}",
            region=new.region,
            size_gigabytes=new.size_gigabytes,
            filesystem_type="ext4",
            tags=[f"tenant:{tenant}"],
        )
        request.state.owners[volume.id] = tenant
        return show(volume)

    @app.get("/tenants/{tenant}/volumes", dependencies=[request_deadline(5.0)])
    async def list_volumes(
        tenant: Tenant, store: BlockStoreDep, request: Request
    ) -> list[VolumeOut]:
        owners = request.state.owners
        return [show(v) async for v in store.volumes.list() if note(owners, v) == tenant]

    @app.get("/tenants/{tenant}/volumes/{volume_id}")
    async def get(
        tenant: Tenant, volume_id: str, store: BlockStoreDep, request: Request
    ) -> VolumeOut:
        volume = await store.volumes.get(volume_id)
        if note(request.state.owners, volume) != tenant:
            raise HTTPException(404, "There is no such volume")
        return show(volume)

    @app.delete("/tenants/{tenant}/volumes/{volume_id}", status_code=204, response_model=None)
    async def delete(volume_id: OwnedVolume, store: BlockStoreDep, request: Request) -> None:
        await store.volumes.delete(volume_id)
        request.state.owners.pop(volume_id, None)

    @app.post("/tenants/{tenant}/volumes/{volume_id}/attachment", status_code=202)
    async def attach(volume_id: OwnedVolume, where: Attachment, store: BlockStoreDep) -> ActionOut:
        action = await store.volumes.attach(volume_id, where.droplet_id)
        return ActionOut(id=action.id, status=action.status, type=action.type)

    @app.post("/tenants/{tenant}/volumes/{volume_id}/size", status_code=202)
    async def resize(volume_id: OwnedVolume, new: NewSize, store: BlockStoreDep) -> ActionOut:
        action = await store.volumes.resize(volume_id, new.size_gigabytes)
        return ActionOut(id=action.id, status=action.status, type=action.type)

    @app.post("/tenants/{tenant}/volumes/{volume_id}/snapshots", status_code=201)
    async def snapshot(
        volume_id: OwnedVolume, new: NewSnapshot, store: BlockStoreDep
    ) -> SnapshotOut:
        made = await store.snapshots.create(volume_id, new.name)
        return SnapshotOut(
            id=made.id,
            name=made.name,
            created_at=made.created_at,
            size_gigabytes=made.size_gigabytes,
        )

    @app.post("/jobs/nightly", status_code=202)
    async def start_nightly(nightly: NightlyDep) -> dict[str, bool]:
        return {"started": nightly.start()}

    @app.get("/jobs/nightly")
    async def show_nightly(nightly: NightlyDep) -> dict[str, Any]:
        return nightly.progress()

    @app.get("/metrics")
    async def scrape() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app
