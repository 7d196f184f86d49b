"""Apache Libcloud's driver for DigitalOcean."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from .driver import DROPLET, TOKEN, URL, done, raises

digitalocean: Any = import_module("libcloud.compute.drivers.digitalocean")
exceptions: Any = import_module("libcloud.common.exceptions")

driver = digitalocean.DigitalOceanNodeDriver(TOKEN)
# It takes no host where it is made.
where = urlsplit(URL)
driver.connection.secure = False
driver.connection.host, driver.connection.port = where.hostname, where.port
driver.connection.connect()

assert driver.ex_account_info()["status"] == "active"
done("read the account")
nyc3 = next(location for location in driver.list_locations() if location.id == "nyc3")
node = next(node for node in driver.list_nodes() if node.id == str(DROPLET))
assert node.public_ips
assert driver.ex_get_node_details(DROPLET).name == node.name
done("list regions", "list Droplets", "get a Droplet")

before = driver.list_volumes()
made = driver.create_volume(10, "libcloud", location=nyc3)
assert made.size == 10
assert len(driver.list_volumes()) == len(before) + 1
done("list volumes", "create a volume")
with raises(exceptions.BaseHTTPError, "already exists"):
    driver.create_volume(10, "libcloud", location=nyc3)
done("be told that a name is taken")

snapshot = driver.create_volume_snapshot(made, "one")
assert [found.id for found in driver.list_volume_snapshots(made)] == [snapshot.id]
done("create a snapshot", "list a volume's snapshots")

assert driver.attach_volume(node, made)
attached = next(volume for volume in driver.list_volumes() if volume.id == made.id)
assert attached.extra["droplet_ids"] == [DROPLET]
assert driver.ex_list_events()
done("attach by name", "list all actions")
with raises(exceptions.BaseHTTPError, "attached volume cannot be deleted"):
    driver.destroy_volume(attached)
done("be told that it is attached")
assert driver.detach_volume(attached)
done("detach by name")

assert driver.delete_volume_snapshot(snapshot)
assert driver.destroy_volume(made)
assert len(driver.list_volumes()) == len(before)
done("delete a snapshot", "delete a volume")
