"""The vendor's own client works against the simulator."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

from do_blockstore_async.simulator import Simulator

with warnings.catch_warnings():
    # Whatever the vendor's package warns of when it is imported is not ours to mend.
    warnings.simplefilter("ignore")
    pydo = pytest.importorskip("pydo", reason="pydo is not installed")
    exceptions = pytest.importorskip("azure.core.exceptions")
    policies = pytest.importorskip("azure.core.pipeline.policies")


def use(client: Any, droplet: int, finish: Any) -> None:
    """What a user of pydo does with volumes."""
    first = client.volumes.list(per_page=2)
    assert (len(first["volumes"]), first["meta"]["total"]) == (2, 12)
    new = {
        "name": "from-pydo",
        "region": "nyc3",
        "size_gigabytes": 10,
        "filesystem_type": "ext4",
        "tags": ["made-by-pydo"],
    }
    made = client.volumes.create(body=new)["volume"]
    assert (made["name"], made["size_gigabytes"]) == ("from-pydo", 10)
    assert client.volumes.get(made["id"])["volume"] == made
    assert client.volumes.list(name="from-pydo", region="nyc3")["volumes"] == [made]
    with pytest.raises(exceptions.ResourceExistsError, match="already exists"):
        client.volumes.create(body=new)

    snapshot = client.volume_snapshots.create(made["id"], body={"name": "one"})["snapshot"]
    assert client.volume_snapshots.list(made["id"])["snapshots"] == [snapshot]
    assert client.snapshots.list(resource_type="volume")["meta"]["total"] > 1

    attach = {"type": "attach", "droplet_id": droplet, "region": "nyc3"}
    action = client.volume_actions.post_by_id(made["id"], body=attach)["action"]
    assert action["status"] == "in-progress"
    finish()
    assert client.volume_actions.get(made["id"], action["id"])["action"]["status"] == "completed"
    assert client.volumes.get(made["id"])["volume"]["droplet_ids"] == [droplet]
    with pytest.raises(exceptions.ResourceExistsError, match="attached volume cannot be deleted"):
        client.volumes.delete(made["id"])
    detach = {**attach, "type": "detach", "volume_name": "from-pydo"}
    client.volume_actions.post(body=detach)
    finish()

    assert client.volume_snapshots.delete_by_id(snapshot["id"]) is None
    assert client.volumes.delete(made["id"]) is None
    assert client.volumes.get(made["id"])["id"] == "not_found"
    assert client.regions.list()["meta"]["total"] == 15


async def test_pydo_lists_creates_snapshots_attaches_and_deletes() -> None:
    async with Simulator(volumes=12, limits="none") as sim:
        droplet = next(d.id for d in sim.world.droplets.values() if d.region == "nyc3")
        # azure-core, on which pydo stands, sends bearer tokens over https only. The simulator
        # speaks http on loopback, so the header is set by a policy that does not mind.
        login = policies.HeadersPolicy({"Authorization": f"Bearer {sim.token}"})
        client = pydo.Client(token=sim.token, endpoint=sim.url, authentication_policy=login)
        try:
            await asyncio.to_thread(use, client, droplet, sim.world.finish_actions)
        finally:
            client.close()
        assert len(sim.world.volumes) == 12
