"""pydo, the vendor's own client for Python."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .driver import DROPLET, TOKEN, URL, done, raises

pydo: Any = import_module("pydo")
exceptions: Any = import_module("azure.core.exceptions")
policies: Any = import_module("azure.core.pipeline.policies")

# azure-core, on which pydo stands, sends bearer tokens over https only. The simulator speaks http
# on loopback, so the header is set by a policy that does not mind.
login = policies.HeadersPolicy({"Authorization": f"Bearer {TOKEN}"})
client = pydo.Client(token=TOKEN, endpoint=URL, authentication_policy=login)

assert client.account.get()["account"]["status"] == "active"
assert client.regions.list()["meta"]["total"] == 15
assert client.droplets.get(DROPLET)["droplet"]["id"] == DROPLET
assert client.droplets.list()["meta"]["total"] > 0
done("read the account", "list regions", "get a Droplet", "list Droplets")

assert len(client.volumes.list(per_page=2)["volumes"]) == 2
new = {"name": "pydo", "region": "nyc3", "size_gigabytes": 10, "tags": ["made-by-pydo"]}
made = client.volumes.create(body=new)["volume"]
assert client.volumes.get(made["id"])["volume"] == made
assert client.volumes.list(name="pydo", region="nyc3")["volumes"] == [made]
done("list volumes", "create a volume", "get a volume", "find a volume by name")
with raises(exceptions.ResourceExistsError, "already exists"):
    client.volumes.create(body=new)
done("be told that a name is taken")

snapshot = client.volume_snapshots.create(made["id"], body={"name": "one"})["snapshot"]
assert client.volume_snapshots.list(made["id"])["snapshots"] == [snapshot]
assert client.snapshots.list(resource_type="volume")["meta"]["total"] > 1
assert client.snapshots.get(snapshot["id"])["snapshot"] == snapshot
assert client.volume_snapshots.get_by_id(snapshot["id"])["snapshot"] == snapshot
done("create a snapshot", "list a volume's snapshots", "list all snapshots", "get a snapshot")
copied = client.volumes.create(
    body={"name": "copy", "region": "nyc3", "size_gigabytes": 10, "snapshot_id": snapshot["id"]}
)["volume"]
done("create one from a snapshot")

attach = {"type": "attach", "droplet_id": DROPLET, "region": "nyc3"}
action = client.volume_actions.post_by_id(made["id"], body=attach)["action"]
assert action["status"] == "in-progress"
assert client.volume_actions.get(made["id"], action["id"])["action"]["status"] == "completed"
assert client.volumes.get(made["id"])["volume"]["droplet_ids"] == [DROPLET]
assert len(client.volume_actions.list(made["id"])["actions"]) == 1
assert client.actions.get(action["id"])["action"]["id"] == action["id"]
assert client.actions.list()["meta"]["total"] >= 1
done("attach", "get a volume's action", "list a volume's actions")
done("get an action", "list all actions")
with raises(exceptions.ResourceExistsError, "attached volume cannot be deleted"):
    client.volumes.delete(made["id"])
done("be told that it is attached")
client.volume_actions.post_by_id(made["id"], body={**attach, "type": "detach"})
client.volume_actions.post(body={**attach, "volume_name": "pydo"})
client.volume_actions.post(body={**attach, "volume_name": "pydo", "type": "detach"})
client.volume_actions.post_by_id(made["id"], body={"type": "resize", "size_gigabytes": 20})
assert client.volumes.get(made["id"])["volume"]["size_gigabytes"] == 20
done("detach", "attach by name", "detach by name", "resize")

client.tags.create(body={"name": "pydo"})
resources = [{"resource_id": made["id"], "resource_type": "volume"}]
client.tags.assign_resources("pydo", body={"resources": resources})
assert client.volumes.get(made["id"])["volume"]["tags"] == ["made-by-pydo", "pydo"]
done("create a tag", "tag a volume")

assert client.snapshots.delete(snapshot["id"]) is None
assert client.volumes.delete(made["id"]) is None
assert client.volumes.delete_by_name(name="copy", region="nyc3") is None
done("delete a snapshot", "delete a volume", "delete a volume by name")
assert client.volumes.get(copied["id"])["id"] == "not_found"
done("be told that a volume is gone")
