"""The foreign clients: what brings each of them here, and how its driver is run."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from do_blockstore_async.simulator import Simulator

from .operations import OPERATIONS

DRIVERS = Path(__file__).parent / "drivers"
ROOT = DRIVERS.parents[2]
NODE = DRIVERS / "node"
GO_PATH = Path("/usr/share/gocode")
GODO = GO_PATH / "src" / "github.com" / "digitalocean" / "godo"
REGION = "nyc3"


class ForeignClient(NamedTuple):
    """A client: its name and language, the package that brings it, and its driver."""

    name: str
    language: str
    package: str
    driver: str

    @property
    def missing(self) -> str | None:
        """What has to be installed for it; None if all is there."""
        if self.language == "Python":
            try:
                metadata.version(self.package)
            except metadata.PackageNotFoundError:
                return f"{self.package} is not installed: pip install --group clients"
            return None
        if self.language == "Node":
            known = shutil.which("node") and (NODE / "node_modules" / self.package).is_dir()
            return None if known else f"npm install in {NODE.relative_to(ROOT)}"
        known = shutil.which("go") and GODO.is_dir()
        return None if known else "apt-get install golang-go golang-github-digitalocean-godo-dev"

    @property
    def command(self) -> list[str]:
        """How its driver is started, in the root of the repository."""
        if self.language == "Python":
            return [sys.executable, "-m", f"tests.clients.drivers.{self.driver}"]
        if self.language == "Node":
            return ["node", str(NODE / self.driver)]
        return ["go", "run", str(DRIVERS / self.driver)]


FOREIGN_CLIENTS = (
    ForeignClient("pydo", "Python", "pydo", "pydo_client"),
    ForeignClient("gradient", "Python", "gradient", "gradient_client"),
    ForeignClient("Apache Libcloud", "Python", "apache-libcloud", "libcloud_client"),
    ForeignClient(
        "python-digitalocean", "Python", "python-digitalocean", "python_digitalocean_client"
    ),
    ForeignClient("Ansible", "Python", "ansible", "ansible_client"),
    ForeignClient("dots-wrapper", "Node", "dots-wrapper", "dots_wrapper.cjs"),
    ForeignClient("do-wrapper", "Node", "do-wrapper", "do_wrapper.cjs"),
    ForeignClient("digitalocean-js", "Node", "digitalocean-js", "digitalocean_js.cjs"),
    ForeignClient("godo", "Go", "golang-github-digitalocean-godo-dev", "godo/main.go"),
)


async def judge(client: ForeignClient) -> set[str]:
    """Run a client's driver against a simulator of its own; return the operations that worked.

    A driver's word is not enough: the simulator must have seen each request that it claims, and
    hold in the end what it began with.
    """
    async with Simulator(volumes=36, seed=7, limits="none", action_s=(0.0, 0.0)) as sim:
        before = set(sim.world.volumes), set(sim.world.snapshots)
        droplet = next(d.id for d in sim.world.droplets.values() if d.region == REGION)
        process = await asyncio.create_subprocess_exec(
            *client.command,
            cwd=ROOT,
            env={
                **os.environ,
                "SIMULATOR_URL": sim.url,
                "SIMULATOR_TOKEN": sim.token,
                "SIMULATOR_DROPLET": str(droplet),
                "GO111MODULE": "off",
                "GOPATH": str(GO_PATH),
                "NO_COLOR": "1",
                # A driver that does not heed where it is sent must not reach the vendor.
                "HTTPS_PROXY": "http://127.0.0.1:9",
                "NO_PROXY": "127.0.0.1",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        text = output.decode()
        assert process.returncode == 0, text
        claimed = {
            line.removeprefix("done: ") for line in text.splitlines() if line.startswith("done: ")
        }
        unknown = [record.target for record in sim.requests if record.status == 501]
        assert not unknown, f"{client.name} sends what the simulator does not know: {unknown}"
        for name in claimed:
            seen = any(OPERATIONS[name].is_in(record) for record in sim.requests)
            assert seen, f"{client.name} says {name!r}, and the simulator saw no such request"
        sim.world.finish_actions()
        assert before == (set(sim.world.volumes), set(sim.world.snapshots)), "something is left"
    return claimed
