"""gradient, the vendor's client of its AI platform, which has volumes too."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .driver import DROPLET, TOKEN, URL, done, raises

gradient: Any = import_module("gradient")

client = gradient.Gradient(access_token=TOKEN, base_url=URL, max_retries=0)
droplets = client.gpu_droplets
volumes = droplets.volumes

assert client.regions.list().meta.total == 15
assert droplets.retrieve(DROPLET).droplet.id == DROPLET
assert droplets.list().meta.total > 0
done("list regions", "get a Droplet", "list Droplets")

assert len(volumes.list(per_page=2).volumes) == 2
new = {"name": "gradient", "region": "nyc3", "size_gigabytes": 10}
made = volumes.create(**new).volume
assert volumes.retrieve(made.id).volume.name == made.name
assert [found.id for found in volumes.list(name="gradient", region="nyc3").volumes] == [made.id]
done("list volumes", "create a volume", "get a volume", "find a volume by name")
with raises(gradient.ConflictError, "already exists"):
    volumes.create(**new)
done("be told that a name is taken")

snapshot = volumes.snapshots.create(made.id, name="one").snapshot
assert [found.id for found in volumes.snapshots.list(made.id).snapshots] == [snapshot.id]
assert droplets.snapshots.list(resource_type="volume").meta.total > 1
assert droplets.snapshots.retrieve(snapshot.id).snapshot.id == snapshot.id
assert volumes.snapshots.retrieve(snapshot.id).snapshot.id == snapshot.id
done("create a snapshot", "list a volume's snapshots", "list all snapshots", "get a snapshot")
copied = volumes.create(
    name="copy", region="nyc3", size_gigabytes=10, snapshot_id=snapshot.id
).volume
done("create one from a snapshot")

action = volumes.actions.initiate_by_id(made.id, type="attach", droplet_id=DROPLET).action
assert volumes.actions.retrieve(action.id, volume_id=made.id).action.status == "completed"
assert volumes.retrieve(made.id).volume.droplet_ids == [DROPLET]
assert len(volumes.actions.list(made.id).actions) == 1
done("attach", "get a volume's action", "list a volume's actions")
with raises(gradient.ConflictError, "attached volume cannot be deleted"):
    volumes.delete(made.id)
done("be told that it is attached")
volumes.actions.initiate_by_id(made.id, type="detach", droplet_id=DROPLET)
volumes.actions.initiate_by_name(
    type="attach", droplet_id=DROPLET, region="nyc3", extra_body={"volume_name": "gradient"}
)
volumes.actions.initiate_by_name(
    type="detach", droplet_id=DROPLET, region="nyc3", extra_body={"volume_name": "gradient"}
)
volumes.actions.initiate_by_id(made.id, type="resize", size_gigabytes=20)
assert volumes.retrieve(made.id).volume.size_gigabytes == 20
done("detach", "attach by name", "detach by name", "resize")

droplets.snapshots.delete(snapshot.id)
volumes.delete(made.id)
volumes.delete_by_name(name="copy", region="nyc3")
done("delete a snapshot", "delete a volume", "delete a volume by name")
with raises(gradient.NotFoundError, "could not be found"):
    volumes.retrieve(copied.id)
done("be told that a volume is gone")
