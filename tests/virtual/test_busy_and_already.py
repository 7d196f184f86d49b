"""Refusals that pass, refusals that say it is so already, and waiting for many actions."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from do_blockstore_async import (
    ActionTimeoutError,
    BlockStore,
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)
from do_blockstore_async.models import Action
from do_blockstore_async.simulator import connect_in_process
from tests.support.virtual_client import Scene, play
from tests.support.virtual_time import run_virtual


def made(scene: Scene, count: int) -> list[str]:
    return [scene.world.add_volume(f"busy-{number}").id for number in range(count)]


def test_three_volumes_go_to_one_droplet_at_once() -> None:
    scene = Scene(volumes=0, action_s=(3.0, 5.0))
    ids = made(scene, 3)

    async def body(store: BlockStore) -> None:
        droplet = scene.world.add_droplet(region="nyc3").id
        actions = await asyncio.gather(
            *(store.volumes.attach(each, droplet, wait=True, timeout=60) for each in ids)
        )
        assert [action.status for action in actions] == ["completed"] * 3
        assert all(v.droplet_ids == (droplet,) for v in scene.world.volumes.values())
        # Without a timeout it is refused at once, and says that it would pass.
        await store.volumes.detach(ids[0], droplet)
        with pytest.raises(UnprocessableEntityError) as error:
            await store.volumes.detach(ids[1], droplet)
        assert error.value.refusal == "busy"
        # With one that is too short, too.
        with pytest.raises(UnprocessableEntityError) as error:
            await store.volumes.detach(ids[1], droplet, timeout=0.4)
        assert error.value.refusal == "busy"

    play(scene, body)


def test_a_volume_is_deleted_right_after_its_detach() -> None:
    scene = Scene(volumes=0, action_s=(3.0, 5.0))
    (volume,) = made(scene, 1)

    async def body(store: BlockStore) -> None:
        droplet = scene.world.add_droplet(region="nyc3").id
        await store.volumes.attach(volume, droplet, wait=True)
        with pytest.raises(ConflictError) as attached:
            await store.volumes.delete(volume, timeout=30)
        assert attached.value.refusal is None, "really attached: waiting does not help"
        await store.volumes.detach(volume, droplet)
        with pytest.raises(ConflictError) as detaching:
            await store.volumes.delete(volume)
        assert detaching.value.refusal == "busy"
        await store.volumes.delete(volume, timeout=30)
        assert not scene.world.volumes

    play(scene, body)


def test_what_is_so_already_says_so_and_what_is_impossible_does_not() -> None:
    scene = Scene(volumes=0)
    first, second = made(scene, 2)

    async def refused(call: Any) -> str | None:
        with pytest.raises(UnprocessableEntityError) as error:
            await call
        return error.value.refusal

    async def body(store: BlockStore) -> None:
        volumes = store.volumes
        here, there = (scene.world.add_droplet(region="nyc3").id for _ in range(2))
        await volumes.attach(first, here, wait=True)
        assert await refused(volumes.attach(first, here)) == "already"
        assert await refused(volumes.attach_by_name("busy-0", here, region="nyc3")) == "already"
        assert await refused(volumes.attach(first, there)) is None
        assert await refused(volumes.detach(second, here)) == "already"
        assert await refused(volumes.detach(first, there)) == "already"
        assert await refused(volumes.resize(first, 10)) == "already"
        assert await refused(volumes.resize(first, 5)) is None

    play(scene, body)


def test_waiting_for_many_actions_costs_one_listing_a_round() -> None:
    scene = Scene(volumes=0, action_s=(6.0, 6.5))
    ids = made(scene, 60)

    async def body(store: BlockStore) -> None:
        begun = await asyncio.gather(*(store.volumes.resize(each, 20) for each in ids))
        before = len(scene.world.requests)
        ended = await store.actions.wait_all(begun)
        assert [action.id for action in ended] == [action.id for action in begun]
        assert {action.status for action in ended} == {"completed"}
        assert [action.volume_id for action in ended] == ids
        sent = scene.world.requests[before:]
        assert {request.target.partition("?")[0] for request in sent} == {"/v2/actions"}
        assert len(sent) <= 5
        late = [await store.volumes.resize(each, 30) for each in ids[:2]]
        with pytest.raises(ActionTimeoutError):
            await store.actions.wait_all(late, timeout=3)

    play(scene, body)


def test_an_action_that_does_not_exist_is_not_waited_for_for_ever() -> None:
    scene = Scene(volumes=0)
    (volume,) = made(scene, 1)

    async def body(store: BlockStore) -> None:
        begun = await store.volumes.resize(volume, 20)
        unknown = attrs.evolve(begun, id=begun.id + 1_000_000)
        with pytest.raises(NotFoundError):
            await store.actions.wait_all([begun, unknown], timeout=None)

    play(scene, body)


def test_a_token_without_the_scope_polls_each_action() -> None:
    scene = Scene(volumes=0, action_s=(3.0, 3.5))
    ids = made(scene, 3)
    scopes = {"block_storage_action:create", "block_storage_action:read", "regions:read"}
    scene.world.add_token("narrow", scopes=tuple(scopes))

    async def main() -> None:
        async with connect_in_process(scene.world, token="narrow", config=scene.config) as store:
            begun: list[Action] = [await store.volumes.resize(each, 20) for each in ids]
            ended = await store.actions.wait_all(begun)
        assert {action.status for action in ended} == {"completed"}
        targets = [request.target for request in scene.world.requests]
        assert sum(target.startswith("/v2/actions") for target in targets) == 1

    run_virtual(main())
