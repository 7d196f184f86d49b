"""Models for ids, listings that are awaited, timedeltas, `restore` and `attached`."""

from __future__ import annotations

import asyncio
import inspect
import operator
from collections.abc import AsyncIterable, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import (
    ActionTimeoutError,
    AsyncListing,
    BlockStore,
    InvalidArgumentError,
    NotFoundError,
    RequestTimeoutError,
    UnprocessableEntityError,
    Volume,
)
from do_blockstore_async.bulk import Selection, VolumeSpec
from tests.support.virtual_client import Scene, play


def test_a_model_goes_wherever_an_id_is_wanted() -> None:
    scene = Scene(volumes=0)
    scene.world.add_volume("db")

    async def body(store: BlockStore) -> None:
        droplet = scene.world.add_droplet(region="nyc3").id
        regions = {region.slug: region for region in await store.regions.list()}
        nyc3 = regions["nyc3"]
        (volume,) = await store.volumes.list(region=nyc3)
        assert await store.volumes.get(volume) == volume
        assert await store.volumes.find("db", region=nyc3) == volume
        action = await store.volumes.attach(volume, droplet, region=nyc3, wait=True)
        assert await store.actions.get(volume, action) == action
        assert await store.actions.list(volume) == [action]
        await store.volumes.detach_by_name("db", droplet, region=nyc3, wait=True)
        await store.volumes.resize(volume, 200, region=nyc3, wait=True)
        snapshot = await store.snapshots.create(volume, "s", tags=None)
        assert await store.snapshots.get(snapshot) == snapshot
        assert await store.snapshots.list(volume) == [snapshot]
        copied = await store.volumes.create("copy", region=nyc3, snapshot_id=snapshot, tags=None)
        assert copied.size_gigabytes == 200
        await store.snapshots.delete(snapshot)
        await store.volumes.delete(copied)
        await store.volumes.delete_by_name("db", region=nyc3)
        assert await store.volumes.list() == []
        selection = Selection(regions=[nyc3, "fra1"])
        assert selection.regions == ("nyc3", "fra1")
        spec = VolumeSpec(name="a", region=nyc3, snapshot_id=snapshot)
        assert (spec.region, spec.snapshot_id) == ("nyc3", snapshot.id)

    play(scene, body)


def test_the_wrong_model_is_rejected_and_sends_nothing() -> None:
    scene = Scene(volumes=1)

    async def body(store: BlockStore) -> None:
        volume = await store.volumes.list().first()
        assert volume is not None
        sent = len(scene.world.requests)
        wrong: Any = volume
        for call in (
            lambda: store.snapshots.get(wrong),
            lambda: store.snapshots.delete(wrong),
            lambda: store.volumes.delete(wrong.region),
            lambda: store.volumes.find("a", region=wrong),
            lambda: store.actions.get(wrong, wrong),
        ):
            with pytest.raises(InvalidArgumentError):
                await call()
        assert len(scene.world.requests) == sent

    play(scene, body)


def test_a_listing_is_iterated_awaited_paged_or_asked_for_its_first() -> None:
    scene = Scene(volumes=450)

    async def body(store: BlockStore) -> None:
        assert isinstance(store.volumes.list(), AsyncListing)
        everything = await store.volumes.list()
        assert len(everything) == 450
        listing = store.volumes.list(per_page=200)
        assert [volume async for volume in listing] == everything
        assert [volume async for volume in listing] == everything, "each loop reads it anew"
        assert [len(page.items) async for page in listing.pages()] == [200, 200, 50]
        begun = len(scene.world.requests)
        assert await listing.first() == everything[0]
        assert await store.volumes.list(name="nobody").first() is None
        assert len(scene.world.requests) == begun + 2
        assert scene.world.requests[begun].target.endswith("per_page=1")
        both = await asyncio.gather(store.volumes.list(), store.snapshots.list())
        assert both[0] == everything
        rows = await store.volumes.list(region="nyc3").to_dicts()
        assert {row["region"] for row in rows} == {"nyc3"}
        assert inspect.isawaitable(listing)
        assert isinstance(listing, AsyncIterable)
        assert not isinstance(listing, Iterable)

    play(scene, body)


def test_nothing_is_sent_before_a_listing_is_read_and_a_loop_left_early_leaves_nothing() -> None:
    scene = Scene(volumes=3000)

    async def body(store: BlockStore) -> None:
        begun = len(scene.world.requests)
        listing = store.volumes.list(per_page=100)
        await asyncio.sleep(5)
        assert len(scene.world.requests) == begun
        async for _ in listing:
            break
        await listing.aclose()
        await asyncio.sleep(5)
        assert len(scene.world.requests) <= begun + 13, "the first page, and twelve ahead at most"
        assert await anext(listing) is not None
        async for _ in listing:
            break
        await listing.aclose()
        async for _ in store.volumes.list(per_page=100):
            break
        await asyncio.sleep(5)  # the loop closes the generator that was left
        assert store.quota.in_flight == 0

    play(scene, body)


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (len, r"len\(await store\.volumes\.list\(\)\)"),
        (bool, r"first\(\) is not None"),
        (list, "async for item in"),
        (lambda listing: next(iter(listing)), "async for item in"),
        (operator.itemgetter(0), "awaited for a list"),
        (operator.attrgetter("items"), "has no 'items'"),
    ],
)
def test_a_listing_says_how_it_is_read(mistake: Any, says: str) -> None:
    async def body(store: BlockStore) -> None:
        listing = store.volumes.list()
        with pytest.raises((TypeError, AttributeError), match=says):
            mistake(listing)

    play(Scene(volumes=0), body, warm=False)


def test_timeouts_are_seconds_or_timedeltas_everywhere() -> None:
    scene = Scene(volumes=0, latency_s=(2.0, 2.0), action_s=(3.0, 3.0))
    scene.world.add_volume("db")
    short, long = timedelta(seconds=0.5), timedelta(minutes=2)

    async def body(store: BlockStore) -> None:
        (volume,) = await store.volumes.list(timeout=long)
        droplet = scene.world.add_droplet(region=volume.region.slug).id
        with pytest.raises(RequestTimeoutError):
            await store.volumes.get(volume, timeout=short)
        with pytest.raises(RequestTimeoutError):
            await store.request("GET", "/v2/account", timeout=short)
        with pytest.raises(RequestTimeoutError), store.deadline(short):
            await store.volumes.get(volume)
        action = await store.volumes.attach(volume, droplet, timeout=long)
        with pytest.raises(ActionTimeoutError):
            await store.actions.wait(action, timeout=short)
        with pytest.raises(ActionTimeoutError):
            await store.actions.wait_all([action], timeout=short)
        await store.actions.wait(action, timeout=long)
        async with store.throttle.acquire(timeout=long) as lease:
            lease.cancel()
        for wrong in ("5", -1, timedelta(seconds=-1), float("nan"), float("inf"), 0):
            with pytest.raises(InvalidArgumentError, match="timeout must be"):
                await store.volumes.get(volume, timeout=wrong)  # type: ignore[arg-type]

    play(scene, body)


def test_a_snapshot_is_restored_grown_and_waited_for() -> None:
    scene = Scene(volumes=0)
    scene.world.add_volume("db", size_gigabytes=100)

    async def body(store: BlockStore) -> None:
        snapshot = await store.snapshots.create((await store.volumes.list())[0], "s")
        same = await store.volumes.restore(snapshot, "same", tags=["a"], description="b")
        assert (same.size_gigabytes, same.region.slug, same.tags) == (100, "nyc3", ("a",))
        grown = await store.volumes.restore(
            snapshot.id, "grown", size_gigabytes=250, timeout=timedelta(minutes=1)
        )
        assert grown.size_gigabytes == 250
        assert await store.volumes.get(grown) == grown
        sent = len(scene.world.requests)
        with pytest.raises(InvalidArgumentError, match="100 or more"):
            await store.volumes.restore(snapshot, "small", size_gigabytes=50)
        assert len(scene.world.requests) == sent
        with pytest.raises(NotFoundError):
            await store.volumes.restore("00000000-0000-0000-0000-000000000000", "none")
        with pytest.raises(ActionTimeoutError) as slow:
            await store.volumes.restore(snapshot, "slow", size_gigabytes=300, timeout=1)
        (left,) = scene.named("slow")
        assert left.id in slow.value.__notes__[0]

    play(scene, body)


def attached(scene: Scene) -> list[int]:
    (volume,) = scene.world.volumes.values()
    return list(volume.droplet_ids)


def scene_with_droplet() -> tuple[Scene, str, int]:
    scene = Scene(volumes=0, action_s=(2.0, 2.0), latency_s=(0.1, 0.1))
    volume = scene.world.add_volume("db").id
    return scene, volume, scene.world.add_droplet(region="nyc3").id


def test_attached_detaches_at_the_end() -> None:
    scene, volume, droplet = scene_with_droplet()

    async def body(store: BlockStore) -> None:
        async with store.volumes.attached(volume, droplet, region="nyc3") as action:
            assert action.status == "completed"
            assert attached(scene) == [droplet]
        assert attached(scene) == []
        with suppress(ZeroDivisionError):
            async with store.volumes.attached(volume, droplet):
                assert attached(scene) == [droplet]
                raise ZeroDivisionError
        assert attached(scene) == []

    play(scene, body)


def test_attached_leaves_alone_what_was_attached_before() -> None:
    scene, volume, droplet = scene_with_droplet()

    async def body(store: BlockStore) -> None:
        await store.volumes.attach(volume, droplet, wait=True)
        with pytest.raises(UnprocessableEntityError) as error:
            async with store.volumes.attached(volume, droplet):
                pytest.fail("never entered")
        assert error.value.refusal == "already"
        assert attached(scene) == [droplet]

    play(scene, body)


def test_attached_does_not_mind_that_somebody_else_detached_or_deleted() -> None:
    scene, volume, droplet = scene_with_droplet()

    async def body(store: BlockStore) -> None:
        async with store.volumes.attached(volume, droplet):
            await store.volumes.detach(volume, droplet, wait=True)
        async with store.volumes.attached(volume, droplet):
            await store.volumes.detach(volume, droplet, wait=True)
            await store.volumes.delete(volume)

    play(scene, body)


def test_a_detach_that_fails_is_noted_on_what_ended_the_block() -> None:
    scene, volume, droplet = scene_with_droplet()

    async def body(store: BlockStore) -> None:
        context = store.volumes.attached(volume, droplet, detach_timeout=0.3)
        with pytest.raises(ZeroDivisionError) as error:
            async with context:
                raise ZeroDivisionError
        assert f"volume {volume} may still be attached" in error.value.__notes__[0]
        await asyncio.sleep(10)  # the detach was sent, and ends by itself

    play(scene, body)


@settings(max_examples=25, deadline=None)
@given(cancel_s=st.floats(0.0, 9.0), again_s=st.floats(0.05, 3.0), limit_s=st.floats(0.5, 9.0))
def test_whatever_ends_the_block_the_volume_is_detached(
    cancel_s: float, again_s: float, limit_s: float
) -> None:
    """Cancelled twice, or out of time: unless the attach itself was cut, which its error says."""
    scene, volume, droplet = scene_with_droplet()

    async def body(store: BlockStore) -> None:
        async def work() -> None:
            with store.deadline(limit_s):
                async with store.volumes.attached(volume, droplet):
                    while True:
                        await store.volumes.get(volume)
                        await asyncio.sleep(0.3)

        task = asyncio.create_task(work())
        await asyncio.sleep(cancel_s)
        task.cancel()
        await asyncio.sleep(again_s)
        task.cancel()
        (error,) = await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(5)
        assert isinstance(error, BaseException)
        told = "may have taken effect" in "".join(getattr(error, "__notes__", ()))
        told = told or type(error).__name__ == "OutcomeUnknownError"
        assert attached(scene) == [] or told

    play(scene, body)


def test_volumes_of_a_listing_are_typed() -> None:
    async def body(store: BlockStore) -> None:
        found: list[Volume] = await store.volumes.list()
        assert found == []

    play(Scene(volumes=0), body, warm=False)


@pytest.mark.parametrize("cancel_s", [0.0, 0.05, 0.1, 0.2])
def test_cancelled_while_the_attach_is_on_its_way_nothing_stays_attached(cancel_s: float) -> None:
    scene, volume, droplet = scene_with_droplet()

    async def body(store: BlockStore) -> None:
        async def use() -> None:
            async with store.volumes.attached(volume, droplet):
                pytest.fail("cancelled before")

        using = asyncio.create_task(use())
        await asyncio.sleep(cancel_s)
        using.cancel()
        await asyncio.wait([using])
        assert using.cancelled()
        await asyncio.sleep(30)
        assert attached(scene) == []

    play(scene, body)
