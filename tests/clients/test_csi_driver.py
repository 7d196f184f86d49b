"""The vendor's CSI driver, call for call: what a volume of Kubernetes goes through.

The calls, their order and their bodies are those of its controller and of godo, read from their
sources; the driver itself is a Go program of Kubernetes' kind and does not run here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from do_blockstore_async.simulator import Simulator

GIB = 1024**3
TAG = "k8s:cluster-1"


class CsiDriver:
    """The controller: each method is one of its RPCs."""

    def __init__(self, sim: Simulator, http: aiohttp.ClientSession, region: str) -> None:
        self.sim, self.http, self.region = sim, http, region

    async def call(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.request(method, target, json=body) as response:
            return response.status, await response.json(content_type=None)

    async def wait_action(self, volume_id: str, action: dict[str, Any]) -> None:
        """Poll once a second until the action is completed, as `waitAction` does."""
        polls = 0
        while action["status"] != "completed":
            polls += 1
            assert polls < 10
            self.sim.clock.advance(1)
            status, body = await self.call("GET", f"/v2/volumes/{volume_id}/actions/{action['id']}")
            if status == 200:
                action = body["action"]
        assert polls > 1

    async def is_ready(self) -> bool:
        return (await self.call("GET", "/v2/account"))[0] == 200

    async def check_limit(self) -> bool:
        """Whether the account may have one more volume; 0 is no limit."""
        account = (await self.call("GET", "/v2/account"))[1]["account"]
        listing = f"/v2/volumes?region={self.region}&page=1&per_page=1"
        total = (await self.call("GET", listing))[1]["meta"]["total"]
        return not account["volume_limit"] or account["volume_limit"] > total

    async def create_volume(self, name: str, gigabytes: int, snapshot_id: str = "") -> str:
        found = (await self.call("GET", f"/v2/volumes?name={name}&region={self.region}"))[1]
        if found["volumes"]:
            (volume,) = found["volumes"]
            assert volume["size_gigabytes"] == gigabytes
            return str(volume["id"])
        if snapshot_id:
            assert (await self.call("GET", f"/v2/snapshots/{snapshot_id}"))[0] == 200
        status, body = await self.call(
            "POST",
            "/v2/volumes",
            {
                "region": self.region,
                "name": name,
                "description": "Created by DigitalOcean CSI driver",
                "size_gigabytes": gigabytes,
                "snapshot_id": snapshot_id,
                "filesystem_type": "",
                "filesystem_label": "",
                "tags": [TAG],
            },
        )
        if status == 403 and "capacity limit exceeded" in body["message"]:
            raise PermissionError("ResourceExhausted")
        assert status == 201
        volume = body["volume"]
        if volume["size_gigabytes"] < gigabytes:
            await self.expand_volume(volume["id"], gigabytes)
        return str(volume["id"])

    async def publish(self, volume_id: str, droplet_id: int) -> str:
        status, body = await self.call("GET", f"/v2/volumes/{volume_id}")
        if status == 404:
            return "NotFound"
        await self._tag(body["volume"])
        if (await self.call("GET", f"/v2/droplets/{droplet_id}"))[0] == 404:
            return "NotFound"
        attached = body["volume"]["droplet_ids"]
        if attached:
            return "published" if attached == [droplet_id] else "FailedPrecondition"
        attach = {"type": "attach", "droplet_id": droplet_id}
        status, body = await self.call("POST", f"/v2/volumes/{volume_id}/actions", attach)
        if status == 422:
            if "This volume is already attached" in body["message"]:
                return "published"
            if "Droplet already has a pending event" in body["message"]:
                return "Aborted"
            if "cannot attach more volumes to the Droplet" in body["message"]:
                return "ResourceExhausted"
        assert status == 202
        await self.wait_action(volume_id, body["action"])
        return "published"

    async def _tag(self, volume: dict[str, Any]) -> None:
        if TAG in volume["tags"]:
            return
        body = {"resources": [{"resource_id": volume["id"], "resource_type": "volume"}]}
        if (await self.call("POST", f"/v2/tags/{TAG}/resources", body))[0] == 404:
            assert (await self.call("POST", "/v2/tags", {"name": TAG}))[0] == 201
            assert (await self.call("POST", f"/v2/tags/{TAG}/resources", body))[0] == 204

    async def unpublish(self, volume_id: str, droplet_id: int) -> str:
        if (await self.call("GET", f"/v2/volumes/{volume_id}"))[0] == 404:
            return "unpublished"
        if (await self.call("GET", f"/v2/droplets/{droplet_id}"))[0] == 404:
            # "volumes cannot be attached to deleted droplets"
            return "unpublished"
        detach = {"type": "detach", "droplet_id": droplet_id}
        status, body = await self.call("POST", f"/v2/volumes/{volume_id}/actions", detach)
        if status == 404 or (status == 422 and "Attachment not found" in body["message"]):
            return "unpublished"
        if status == 422 and "Droplet already has a pending event" in body["message"]:
            return "Aborted"
        assert status == 202
        await self.wait_action(volume_id, body["action"])
        return "unpublished"

    async def create_snapshot(self, volume_id: str, name: str) -> str:
        listed = await self.call("GET", f"/v2/volumes/{volume_id}/snapshots?page=1&per_page=50")
        for snapshot in listed[1]["snapshots"]:
            if snapshot["name"] == name:
                return str(snapshot["id"])
        body = {"volume_id": volume_id, "name": name, "description": "", "tags": [TAG]}
        status, answer = await self.call("POST", f"/v2/volumes/{volume_id}/snapshots", body)
        assert status == 201
        assert answer["snapshot"]["min_disk_size"] > 0
        return str(answer["snapshot"]["id"])

    async def expand_volume(self, volume_id: str, gigabytes: int) -> None:
        volume = (await self.call("GET", f"/v2/volumes/{volume_id}"))[1]["volume"]
        if gigabytes <= volume["size_gigabytes"]:
            return
        body = {"type": "resize", "size_gigabytes": gigabytes, "region": self.region}
        status, answer = await self.call("POST", f"/v2/volumes/{volume_id}/actions", body)
        assert status == 202
        await self.wait_action(volume_id, answer["action"])

    async def delete(self, path: str) -> bool:
        """Delete a volume or a snapshot; one that is gone is deleted."""
        return (await self.call("DELETE", path))[0] in (204, 404)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(volumes=24, droplets={7: "nyc3", 8: "nyc3"}, limits="none") as sim:
        sim.clock.freeze()
        yield sim


@pytest.fixture
async def driver(sim: Simulator) -> AsyncIterator[CsiDriver]:
    headers = {"Authorization": f"Bearer {sim.token}", "User-Agent": "csi-digitalocean/v4"}
    async with aiohttp.ClientSession(sim.url, headers=headers) as http:
        yield CsiDriver(sim, http, "nyc3")


async def test_a_claim_lives_and_dies(sim: Simulator, driver: CsiDriver) -> None:
    before = set(sim.world.volumes), set(sim.world.snapshots)
    assert await driver.is_ready()
    assert await driver.check_limit()
    volume_id = await driver.create_volume("pvc-1", 10)
    volume = sim.world.volumes[volume_id]
    assert await driver.create_volume("pvc-1", 10) == volume_id

    assert await driver.publish(volume_id, 7) == "published"
    assert volume.droplet_ids == (7,)
    assert await driver.publish(volume_id, 7) == "published"
    assert await driver.publish(volume_id, 8) == "FailedPrecondition"
    assert not await driver.delete(f"/v2/volumes/{volume_id}")
    assert await driver.unpublish(volume_id, 7) == "unpublished"
    # The claim of this test: it was detached, not only said to be.
    assert volume.droplet_ids == ()  # type: ignore[comparison-overlap]
    assert await driver.unpublish(volume_id, 7) == "unpublished"

    snapshot_id = await driver.create_snapshot(volume_id, "snapshot-1")
    assert await driver.create_snapshot(volume_id, "snapshot-1") == snapshot_id
    restored_id = await driver.create_volume("pvc-2", 25, snapshot_id)
    assert sim.world.volumes[restored_id].size_gigabytes == 25
    await driver.expand_volume(volume_id, 20)
    assert volume.size_gigabytes == 20
    for path in (
        f"/v2/volumes/{restored_id}",
        f"/v2/volumes/{volume_id}",
        f"/v2/snapshots/{snapshot_id}",
        f"/v2/snapshots/{snapshot_id}",
    ):
        assert await driver.delete(path)
    assert (set(sim.world.volumes), set(sim.world.snapshots)) == before
    assert not [record for record in sim.requests if record.status >= 500]


async def test_what_is_gone_is_told_from_what_is_not_known(
    sim: Simulator, driver: CsiDriver
) -> None:
    volume_id = await driver.create_volume("pvc-1", 10)
    assert await driver.publish(volume_id, 99) == "NotFound"
    assert await driver.publish(volume_id, 7) == "published"
    sim.world.remove_droplet(7)
    assert await driver.unpublish(volume_id, 7) == "unpublished"
    assert sim.world.volumes[volume_id].droplet_ids == ()


async def test_limits_are_told(sim: Simulator, driver: CsiDriver) -> None:
    sim.world.max_volumes = len(sim.world.volumes) + 1
    assert await driver.check_limit()
    volume_id = await driver.create_volume("pvc-1", 10)
    with pytest.raises(PermissionError):
        await driver.create_volume("pvc-2", 10)
    sim.world.max_volumes_of_droplet = 1
    other = sim.world.add_volume("other", droplet_id=7)
    assert await driver.publish(volume_id, 7) == "ResourceExhausted"
    assert other.droplet_ids == (7,)


async def test_a_volume_of_another_hand_is_tagged(sim: Simulator, driver: CsiDriver) -> None:
    volume = sim.world.add_volume("by-hand")
    assert await driver.publish(volume.id, 8) == "published"
    assert volume.tags == (TAG,)
