"""Single calls, listings and errors, as an application makes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from do_blockstore_async import (
    Action,
    AsyncListing,
    BlockStore,
    Config,
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    Page,
    QuotaStatus,
    QuotaWaitTooLongError,
    RateLimitedError,
    Region,
    Response,
    Volume,
    VolumeSnapshot,
    make_converter,
)


async def main() -> None:
    async with BlockStore.from_env(config=Config(timeout_s=30, max_attempts=3)) as store:
        assert_type(store, BlockStore)
        async for volume in store.volumes.list(region="nyc3"):
            assert_type(volume, Volume)
            assert_type(volume.tags, tuple[str, ...])
        async for page in store.volumes.pages(per_page=200):
            assert_type(page, Page[Volume])
            assert_type(page.items, tuple[Volume, ...])
        found = await store.volumes.find("orders-db", region="nyc3")
        assert_type(found, Volume | None)
        made = await store.volumes.create(
            "orders-db", region="nyc3", size_gigabytes=100, filesystem_type="ext4", timeout=10
        )
        snapshot = await store.snapshots.create(made.id, "orders-db-1", tags=["nightly"])
        assert_type(snapshot, VolumeSnapshot)
        action = await store.volumes.resize(made.id, 200)
        assert_type(await store.actions.wait(action, timeout=120), Action)
        slugs = [region.slug async for region in store.regions.list()]
        assert_type(slugs, list[str])
        regions: list[Region] = [region async for region in store.regions.list()]
        print(regions)
        response = await store.request("GET", "/v2/droplets", params={"per_page": 10})
        assert_type(response, Response)
        assert_type(store.quota, QuotaStatus)
        assert_type(store.forecast(1_000), timedelta)
        with store.background(), store.deadline(5.0):
            await store.volumes.delete(made.id)


async def handle(store: BlockStore, volume_id: str) -> float | None:
    try:
        await store.volumes.get(volume_id)
    except NotFoundError as error:
        assert_type(error.status, int)
    except ConflictError as error:
        print(error.id, error.request_id)
    except QuotaWaitTooLongError as error:
        return error.retry_after
    except RateLimitedError as error:
        return error.retry_after
    except OutcomeUnknownError as error:
        print(error.candidate)
    return None


def convert(volume: Volume) -> Volume:
    converter = make_converter()
    return converter.structure(converter.unstructure(volume), Volume)


async def read_well(store: BlockStore, volume: Volume, droplet_id: int) -> None:
    assert_type(store.volumes.list(), AsyncListing[Volume])
    assert_type(await store.volumes.list(), list[Volume])
    assert_type(await store.snapshots.list(volume).first(), VolumeSnapshot | None)
    async for page in store.actions.list(volume).pages():
        assert_type(page, Page[Action])
    async with store.volumes.attached(volume, droplet_id, timeout=timedelta(minutes=1)) as action:
        assert_type(action, Action)
    snapshot = await store.snapshots.create(volume, "s", tags=None)
    copy = await store.volumes.restore(snapshot, "copy", region=volume.region)
    await store.volumes.delete(copy, timeout=timedelta(seconds=5))
    assert_type(copy.to_dict(), dict[str, Any])
