"""Every operation: the request as the API reference has it, and what becomes of its answer."""

from __future__ import annotations

import inspect
import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest

from do_blockstore_async import (
    Action,
    ActionFailedError,
    ActionTimeoutError,
    BlockStore,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    Region,
    Response,
    Simulator,
    UnprocessableEntityError,
    Volume,
    VolumeSnapshot,
)
from do_blockstore_async.resources.actions import ActionManager
from do_blockstore_async.resources.regions import RegionManager
from do_blockstore_async.resources.snapshots import SnapshotManager
from do_blockstore_async.resources.volumes import VolumeManager
from tests.support.operations import OPERATIONS, Operation, every, ids
from tests.support.scripted_server import (
    ACTION,
    SNAPSHOT,
    TOKEN,
    VOLUME,
    VOLUME_ID,
    ScriptedServer,
    http,
    listing,
    quick,
)

# Polls `actions.get`, which has its row; its own behaviour is tested in virtual time and below.
# Made of other operations.
WITHOUT_ROW = {"actions.wait", "actions.wait_all", "volumes.attached", "volumes.restore"}


def test_every_operation_has_a_row() -> None:
    public = {
        f"{manager.__name__.removesuffix('Manager').lower()}s.{name}"
        for manager in (VolumeManager, SnapshotManager, ActionManager, RegionManager)
        for name, member in vars(manager).items()
        if not name.startswith("_") and inspect.isfunction(member)
    }
    assert public - WITHOUT_ROW == {operation.name for operation in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS, ids=ids)
async def test_request_and_result(operation: Operation, server: ScriptedServer) -> None:
    server.answers(http(operation.status, operation.answer))
    async with server.store() as store:
        result = await operation.call(store)
    (sent,) = server.requests
    assert (sent.method, sent.path) == (operation.method, operation.path)
    assert sent.query == operation.query
    assert sent.json() == operation.body
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    assert sent.headers["accept"] == "application/json"
    assert sent.headers["user-agent"].startswith("do-blockstore-async/")
    assert ("content-type" in sent.headers) == (operation.body is not None)
    if operation.status == 204:
        assert result is None
        return
    value = result[0] if isinstance(result, list) else result
    for name, wanted in operation.fields.items():
        assert getattr(value, name) == wanted


async def test_models_hold_everything_the_answer_said(server: ScriptedServer) -> None:
    server.answers(
        http(200, {"volume": {**VOLUME, "droplet_ids": [7]}}),
        http(200, {"snapshot": SNAPSHOT}),
        http(200, {"action": {**ACTION, "completed_at": "2020-11-12T17:51:14+01:00"}}),
        http(200, listing("volumes", VOLUME, {**VOLUME, "id": "1", "droplet_ids": None})),
    )
    region = Region("nyc1", "New York 1", True, ("private_networking", "storage"), ("s-1vcpu-1gb",))
    async with server.store() as store:
        volume = await store.volumes.get(VOLUME_ID)
        snapshot = await store.snapshots.get(SNAPSHOT["id"])
        action = await store.actions.get(VOLUME_ID, 72531856)
        first, second = await every(store.volumes.list())
    assert volume == Volume(
        VOLUME_ID,
        "example",
        10,
        region,
        datetime(2016, 3, 2, 17, 0, 49, tzinfo=UTC),
        "Block store for examples",
        (7,),
        "ext4",
        "example",
        ("aninterestingtag",),
    )
    assert snapshot == VolumeSnapshot(
        SNAPSHOT["id"],
        "big-data-snapshot1475261774",
        datetime(2016, 9, 30, 18, 56, 14, tzinfo=UTC),
        VOLUME_ID,
        "volume",
        ("nyc1",),
        10,
        0.5,
        ("aninterestingtag",),
    )
    assert action == Action(
        72531856,
        "in-progress",
        "attach_volume",
        datetime(2020, 11, 12, 17, 51, 3, tzinfo=UTC),
        datetime(2020, 11, 12, 16, 51, 14, tzinfo=UTC),
        None,
        "volume",
        region,
        "nyc1",
        VOLUME_ID,
    )
    assert first.region is second.region is volume.region is action.region
    assert second.droplet_ids == ()


BAD_ARGUMENTS: list[tuple[str, Any]] = [
    ("path tricks", lambda s: s.volumes.get("../droplets/1")),
    ("slash", lambda s: s.volumes.delete("a/b")),
    ("query", lambda s: s.volumes.delete(f"{VOLUME_ID}?force=1")),
    ("escape", lambda s: s.snapshots.delete("%2e%2e")),
    ("empty id", lambda s: s.volumes.get("")),
    ("new line", lambda s: s.volumes.get(f"{VOLUME_ID}\n")),
    ("not a text", lambda s: s.volumes.get(5)),
    ("attach", lambda s: s.volumes.attach("nope", 1)),
    ("detach", lambda s: s.volumes.detach("nope", 1)),
    ("resize", lambda s: s.volumes.resize("nope", 1)),
    ("snapshot of", lambda s: s.snapshots.create("nope", "x")),
    ("snapshot get", lambda s: s.snapshots.get("nope")),
    ("snapshots of", lambda s: every(s.snapshots.list("nope"))),
    ("snapshot pages", lambda s: every(s.snapshots.pages("nope"))),
    ("actions of", lambda s: every(s.actions.list("nope"))),
    ("action", lambda s: s.actions.get("nope", 1)),
    ("action 0", lambda s: s.actions.get(VOLUME_ID, 0)),
    ("action text", lambda s: s.actions.get(VOLUME_ID, "1")),
    ("droplet 0", lambda s: s.volumes.attach(VOLUME_ID, 0)),
    ("droplet bool", lambda s: s.volumes.attach(VOLUME_ID, True)),
    ("size 0", lambda s: s.volumes.resize(VOLUME_ID, 0)),
    ("size huge", lambda s: s.volumes.resize(VOLUME_ID, 16_385)),
    ("size float", lambda s: s.volumes.resize(VOLUME_ID, 10.0)),
    ("size missing", lambda s: s.volumes.create("a", region="nyc1")),
    ("name case", lambda s: s.volumes.create("A", region="nyc1", size_gigabytes=1)),
    ("name digit", lambda s: s.volumes.create("1a", region="nyc1", size_gigabytes=1)),
    ("name long", lambda s: s.volumes.create("a" * 65, region="nyc1", size_gigabytes=1)),
    ("region", lambda s: s.volumes.create("a", region="nyc 1", size_gigabytes=1)),
    ("region empty", lambda s: s.volumes.find("a", region="")),
    ("region of attach", lambda s: s.volumes.attach(VOLUME_ID, 1, region="NYC")),
    ("region of list", lambda s: every(s.volumes.list(region="a/b"))),
    (
        "filesystem",
        lambda s: s.volumes.create("a", region="nyc1", size_gigabytes=1, filesystem_type="ntfs"),
    ),
    (
        "label alone",
        lambda s: s.volumes.create("a", region="nyc1", size_gigabytes=1, filesystem_label="x"),
    ),
    (
        "label long",
        lambda s: s.volumes.create(
            "a",
            region="nyc1",
            size_gigabytes=1,
            filesystem_type="xfs",
            filesystem_label="x" * 13,
        ),
    ),
    ("tags", lambda s: s.volumes.create("a", region="nyc1", size_gigabytes=1, tags="tag")),
    ("tag", lambda s: s.snapshots.create(VOLUME_ID, "a", tags=["not good"])),
    (
        "snapshot id",
        lambda s: s.volumes.create("a", region="nyc1", snapshot_id="../x"),
    ),
    (
        "description",
        lambda s: s.volumes.create("a", region="nyc1", size_gigabytes=1, description=5),
    ),
    (
        "half a character",
        lambda s: s.volumes.create("a", region="nyc1", size_gigabytes=1, description="\ud800"),
    ),
    ("json", lambda s: s.request("POST", "/v2/tags", json=object())),
    ("half a character in json", lambda s: s.request("POST", "/v2/tags", json="\ud800")),
    ("None in params", lambda s: s.request("GET", "/v2/tags", params={"a": None})),
    ("a list in params", lambda s: s.request("GET", "/v2/tags", params={"a": [1]})),
    ("no number in params", lambda s: s.request("GET", "/v2/tags", params={"a": math.nan})),
    ("no end in params", lambda s: s.request("GET", "/v2/tags", params={"a": math.inf})),
    ("a number for a name", lambda s: s.request("GET", "/v2/tags", params={1: "a"})),
    ("half a character in params", lambda s: s.request("GET", "/v2/tags", params={"a": "\ud800"})),
    ("snapshot name", lambda s: s.snapshots.create(VOLUME_ID, "")),
    ("snapshot name control", lambda s: s.snapshots.create(VOLUME_ID, "a\r\nb")),
    ("name to find", lambda s: s.volumes.find("a\x00", region="nyc1")),
    ("name to delete", lambda s: s.volumes.delete_by_name("", region="nyc1")),
    ("name to attach", lambda s: s.volumes.attach_by_name("\n", 1, region="nyc1")),
    ("name to detach", lambda s: s.volumes.detach_by_name("\n", 1, region="nyc1")),
    ("per_page 0", lambda s: every(s.volumes.list(per_page=0))),
    ("per_page 201", lambda s: every(s.volumes.pages(per_page=201))),
    ("timeout", lambda s: s.volumes.get(VOLUME_ID, timeout=0)),
    ("timeout nan", lambda s: s.volumes.get(VOLUME_ID, timeout=float("nan"))),
    ("timeout inf", lambda s: s.volumes.get(VOLUME_ID, timeout=float("inf"))),
    ("timeout of list", lambda s: every(s.volumes.list(timeout=-1))),
    ("method", lambda s: s.request("BREW", "/v2/coffee")),
    ("host", lambda s: s.request("GET", "https://example.com/")),
    ("other host", lambda s: s.request("GET", "//example.com/v2")),
    ("relative", lambda s: s.request("GET", "v2/account")),
    ("dots", lambda s: s.request("GET", "/v2/volumes/../droplets")),
    ("escaped dots", lambda s: s.request("DELETE", "/v2/volumes/%2E%2e/droplets")),
    ("query in path", lambda s: s.request("GET", "/v2/account?a=b")),
]


@pytest.mark.parametrize(
    "call", [call for _, call in BAD_ARGUMENTS], ids=[name for name, _ in BAD_ARGUMENTS]
)
async def test_bad_arguments_cost_no_request(call: Any, server: ScriptedServer) -> None:
    async with server.store() as store:
        with pytest.raises(InvalidArgumentError) as caught:
            await call(store)
    assert isinstance(caught.value, ValueError)
    assert server.requests == []
    assert server.connections == 0
    assert caught.value.attempts == 0


METHODS = [
    ("get", 200),
    ("HEAD", 200),
    ("post", 201),
    ("PUT", 200),
    ("PATCH", 200),
    ("DELETE", 204),
]


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(("method", "status"), METHODS)
async def test_request_reaches_any_other_endpoint(
    method: str, status: int, server: ScriptedServer
) -> None:
    body = {"account": {"uuid": "x"}}
    empty = status == 204 or method == "HEAD"
    server.answers(http(status, b"" if empty else body, headers={"X-Thing": "Yes"}))
    params: dict[str, Any] = {
        "q": "a b&c",
        "n": 5,
        "x": 0.5,
        "yes": True,
        "no": False,
        "colour": Colour.RED,
    }
    wanted = {"a": [1, None, "ä"]} if method in {"post", "PUT", "PATCH"} else None
    async with server.store() as store:
        answer = await store.request(method, "/v2/account/%41", params=params, json=wanted)
    assert isinstance(answer, Response)
    assert answer.status == status
    assert answer.headers["x-thing"] == "Yes"
    assert answer.body == (None if empty else body)
    (sent,) = server.requests
    assert (sent.method, sent.path) == (method.upper(), "/v2/account/%41")
    numbers = {"n": "5", "x": "0.5", "yes": "true", "no": "false"}
    assert sent.query == {"q": "a b&c", "colour": "red", **numbers}
    assert sent.json() == wanted


class Live:
    """One simulator and its client."""

    def __init__(self, simulator: Simulator, store: BlockStore) -> None:
        self.simulator = simulator
        self.store = store
        self.world = simulator.world


async def run_live(body: Any, **options: Any) -> None:
    async with Simulator(**{"limits": "none", "action_s": (0.0, 0.0), **options}) as simulator:
        store = BlockStore(simulator.token, base_url=simulator.url, config=quick())
        async with store:
            await body(Live(simulator, store))


async def test_life_of_a_volume() -> None:
    async def body(live: Live) -> None:
        store, world = live.store, live.world
        droplet = world.add_droplet(region="nyc3").id
        volume = await store.volumes.create(
            "db-1",
            region="nyc3",
            size_gigabytes=100,
            description="Daten",
            filesystem_type="xfs",
            filesystem_label="daten",
            tags=["a", "b"],
        )
        assert world.volumes[volume.id].description == "Daten"
        assert volume.tags == ("a", "b")
        assert (volume.filesystem_type, volume.filesystem_label) == ("xfs", "daten")
        assert await store.volumes.get(volume.id) == volume
        assert await store.volumes.find("db-1", region="nyc3") == volume
        assert await store.volumes.find("db-1", region="fra1") is None
        with pytest.raises(ConflictError):
            await store.volumes.create("db-1", region="nyc3", size_gigabytes=1)
        again = await store.volumes.create("db-1", region="fra1", size_gigabytes=1)
        assert {v.id async for v in store.volumes.list(name="db-1")} == {volume.id, again.id}
        assert [v.id async for v in store.volumes.list(region="fra1")] == [again.id]

        action = await store.volumes.attach(volume.id, droplet)
        assert action.volume_id == volume.id
        live.simulator.clock.advance(10)
        assert (await store.actions.get(volume.id, action.id)).status == "completed"
        assert (await store.volumes.get(volume.id)).droplet_ids == (droplet,)
        with pytest.raises(ConflictError, match="attached volume cannot be deleted"):
            await store.volumes.delete(volume.id)
        with pytest.raises(UnprocessableEntityError, match="already attached"):
            await store.volumes.attach(volume.id, droplet)
        await store.volumes.detach_by_name("db-1", droplet, region="nyc3")
        live.simulator.clock.advance(10)
        by_name = await store.volumes.attach_by_name("db-1", droplet, region="nyc3")
        assert by_name.volume_id is None
        live.simulator.clock.advance(10)
        await store.volumes.detach(volume.id, droplet, region="nyc3")
        live.simulator.clock.advance(10)
        await store.volumes.resize(volume.id, 200)
        live.simulator.clock.advance(10)
        assert (await store.volumes.get(volume.id)).size_gigabytes == 200
        with pytest.raises(UnprocessableEntityError):
            await store.volumes.resize(volume.id, 100)
        kinds = [found.type async for found in store.actions.list(volume.id)]
        assert sorted(kinds) == sorted(
            ["attach_volume"] * 2 + ["detach_volume"] * 2 + ["resize_volume"]
        )

        await store.volumes.delete(volume.id)
        with pytest.raises(NotFoundError):
            await store.volumes.get(volume.id)
        with pytest.raises(NotFoundError):
            await store.volumes.delete(volume.id)
        await store.volumes.delete_by_name("db-1", region="fra1")
        assert not world.volumes

    await run_live(body)


async def test_life_of_a_snapshot() -> None:
    async def body(live: Live) -> None:
        store, world = live.store, live.world
        volume = world.add_volume("data", region="nyc3", size_gigabytes=50, used_gigabytes=2.5)
        other = world.add_volume("other", region="fra1")
        snapshot = await store.snapshots.create(volume.id, "Nightly 1", tags=["nightly"])
        assert (snapshot.size_gigabytes, snapshot.min_disk_size) == (2.5, 50)
        assert await store.snapshots.get(snapshot.id) == snapshot
        with pytest.raises(ConflictError):
            await store.snapshots.create(volume.id, "Nightly 1")
        twin = await store.snapshots.create(other.id, "Nightly 1")
        assert [s.id async for s in store.snapshots.list(volume.id)] == [snapshot.id]
        assert {s.id async for s in store.snapshots.list()} == {snapshot.id, twin.id}
        copy = await store.volumes.create("copy", region="nyc3", snapshot_id=snapshot.id)
        # Seen with droplet_kit (issue 320): a volume made from a snapshot has the snapshot's size.
        assert copy.size_gigabytes == 50
        await store.snapshots.delete(snapshot.id)
        with pytest.raises(NotFoundError):
            await store.snapshots.get(snapshot.id)
        assert not [s async for s in store.snapshots.list(volume.id)]

    await run_live(body, snapshot_cooldown_s=0.0)


async def test_regions_and_listings_of_a_fleet() -> None:
    async def body(live: Live) -> None:
        store = live.store
        regions = [region async for region in store.regions.list()]
        assert any("storage" in region.features for region in regions)
        names = [volume.name async for volume in store.volumes.list(per_page=7)]
        assert len(names) == len(live.world.volumes) == 60
        pages = [page async for page in store.volumes.pages(per_page=25)]
        assert [(page.number, len(page.items), page.total) for page in pages] == [
            (1, 25, 60),
            (2, 25, 60),
            (3, 10, 60),
        ]
        for volume in live.world.volumes.values():
            assert volume.name in names

    await run_live(body, volumes=60, nulls=True)


async def test_waiting_for_an_action() -> None:
    async def body(live: Live) -> None:
        store, world = live.store, live.world
        droplet = world.add_droplet(region="nyc3").id
        volume = world.add_volume("a", region="nyc3")
        done = await store.actions.wait(await store.volumes.attach(volume.id, droplet))
        assert done.status == "completed"
        assert done.completed_at is not None
        assert await store.actions.wait(done, timeout=0.001) is done

        world.fail_actions = 1
        failing = await store.volumes.detach_by_name("a", droplet, region="nyc3")
        with pytest.raises(ActionFailedError) as failed:
            await store.actions.wait(failing, timeout=30)
        assert failed.value.action.status == "errored"

        world.action_s = (60.0, 60.0)
        slow = await store.volumes.detach(volume.id, droplet)
        with pytest.raises(ActionTimeoutError) as late:
            await store.actions.wait(slow, timeout=0.5)
        assert late.value.action.id == slow.id

    await run_live(body)
