"""A response that belongs to another request is never taken for this one's."""

from __future__ import annotations

from typing import Any

import pytest

from do_blockstore_async import (
    BlockStore,
    BlockStoreError,
    ConflictError,
    OutcomeUnknownError,
    TransportError,
)
from do_blockstore_async.events import AttemptFinished, observing
from tests.support.virtual_client import Scene, play


@pytest.mark.parametrize("seed", range(4))
def test_another_answer_is_read_again_or_looked_up(seed: int) -> None:
    scene = Scene(volumes=3, seed=seed)

    async def body(store: BlockStore) -> None:
        known = next(iter(scene.world.volumes.values()))
        scene.faults.add("another_answer", times=1)
        assert (await store.volumes.get(known.id)).id == known.id
        scene.faults.add("another_answer", method="POST", path="/v2/volumes", times=1)
        mine = await store.volumes.create("mine", region="nyc3", size_gigabytes=1)
        assert (mine.name, mine.region.slug, mine.size_gigabytes) == ("mine", "nyc3", 1)
        assert len(scene.named("mine")) == 1
        scene.faults.add("another_answer", method="POST", path="/v2/volumes/*/snapshots", times=1)
        snapshot = await store.snapshots.create(mine.id, "first")
        assert (snapshot.name, snapshot.resource_id) == ("first", mine.id)
        scene.faults.add("another_answer", method="GET", path="/v2/volumes/snapshots/*", times=1)
        assert (await store.snapshots.get(snapshot.id)).id == snapshot.id
        action = await store.volumes.resize(mine.id, 2)
        scene.faults.add("another_answer", method="GET", path="/v2/volumes/*/actions/*", times=1)
        assert (await store.actions.wait(action)).id == action.id

    play(scene, body)


def test_a_connection_that_stays_out_of_step_is_an_error() -> None:
    scene = Scene(volumes=1)

    async def body(store: BlockStore) -> None:
        known = next(iter(scene.world.volumes.values()))
        scene.faults.add("another_answer")
        with pytest.raises(TransportError, match="belongs to another request"):
            await store.volumes.get(known.id)

    play(scene, body)


def test_another_owners_volume_is_not_adopted_if_the_descriptions_differ() -> None:
    """The way to tell two creators of one name apart: each writes who it is."""
    scene = Scene(volumes=0)

    async def body(store: BlockStore) -> Any:
        scene.faults.add("reset_before", method="POST", path="/v2/volumes", times=1)

        def other(event: object) -> None:
            if isinstance(event, AttemptFinished) and not scene.named("shared"):
                scene.world.add_volume("shared", size_gigabytes=1, description="of another")

        with observing(other):
            try:
                await store.volumes.create(
                    "shared", region="nyc3", size_gigabytes=1, description="of this one"
                )
            except BlockStoreError as error:
                return error
        return None

    error = play(scene, body)
    assert isinstance(error, OutcomeUnknownError | ConflictError)
