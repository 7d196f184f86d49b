"""python-digitalocean, which ends its paths with a slash."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from .driver import DROPLET, TOKEN, URL, done, raises

os.environ["DIGITALOCEAN_END_POINT"] = f"{URL}/v2/"
digitalocean: Any = import_module("digitalocean")

manager = digitalocean.Manager(token=TOKEN)
assert manager.get_account().status == "active"
assert len(manager.get_all_regions()) == 15
assert manager.get_droplet(DROPLET).id == DROPLET
assert manager.get_all_droplets()
done("read the account", "list regions", "get a Droplet", "list Droplets")

before = len(manager.get_all_volumes())
volume = digitalocean.Volume(token=TOKEN, name="python", region="nyc3", size_gigabytes=10)
volume.create()
assert len(manager.get_all_volumes(region="nyc3")) < len(manager.get_all_volumes()) == before + 1
assert manager.get_volume(volume.id).name == "python"
done("list volumes", "create a volume", "get a volume")
with raises(digitalocean.DataReadError, "already exists"):
    digitalocean.Volume(token=TOKEN, name="python", region="nyc3", size_gigabytes=10).create()
done("be told that a name is taken")

snapshot = digitalocean.Snapshot(token=TOKEN, **volume.snapshot("one")["snapshot"])
assert [found.id for found in volume.get_snapshots()] == [snapshot.id]
assert snapshot.id in [found.id for found in manager.get_volume_snapshots()]
assert manager.get_snapshot(snapshot.id).resource_id == volume.id
done("create a snapshot", "list a volume's snapshots", "list all snapshots", "get a snapshot")
copied = digitalocean.Volume(token=TOKEN, name="copy", snapshot_id=snapshot.id)
copied.create_from_snapshot()
assert copied.load().region["slug"] == "nyc3"
done("create one from a snapshot")

action = volume.attach(DROPLET, "nyc3")["action"]
assert manager.get_action(action["id"]).status == "completed"
assert volume.load().droplet_ids == [DROPLET]
done("attach", "get an action")
with raises(digitalocean.DataReadError, "attached volume cannot be deleted"):
    volume.destroy()
done("be told that it is attached")
volume.detach(DROPLET, "nyc3")
volume.resize(20, "nyc3")
assert volume.load().size_gigabytes == 20
done("detach", "resize")

digitalocean.Tag(token=TOKEN, name="python").create()
done("create a tag")

assert snapshot.destroy()
assert volume.destroy()
assert copied.destroy()
done("delete a snapshot", "delete a volume")
with raises(digitalocean.NotFoundError, ""):
    manager.get_volume(volume.id)
done("be told that a volume is gone")
