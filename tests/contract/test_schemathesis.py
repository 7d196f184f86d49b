"""schemathesis finds nothing: the simulator against the vendor's description, right and wrong.

And its administration against its own. It comes with the dependency group `clients`; `.ci/run`
installs it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from do_blockstore_async.simulator import Simulator
from do_blockstore_async.simulator.control.openapi import PREFIX

WHERE = os.environ.get("DO_BLOCKSTORE_OPENAPI", "")
PROGRAM = shutil.which("schemathesis", path=str(Path(sys.executable).parent))

pytestmark = pytest.mark.skipif(not PROGRAM, reason="schemathesis: pip install --group clients")

POSITIVE = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)
CHECKS = {
    "positive": POSITIVE,
    "negative": f"{POSITIVE},negative_data_rejection,unsupported_method",
}


def described(tmp_path: Path) -> str:
    """The vendor's description without what listings are known not to insist on.

    A larger per_page is clamped (kubermatic/machine-controller#692); that unknown regions and
    types filter everything out, instead of being refused, is a guess of the simulator.
    """
    document = yaml.safe_load(Path(WHERE).read_text(encoding="utf-8"))
    parameters = document["components"]["parameters"]
    del parameters["per_page"]["schema"]["maximum"]
    for name in ("region-3", "snapshot_resource_type"):
        schema = parameters[name]["schema"]
        parameters[name]["schema"] = {"type": schema.get("type", "string")}
    file = tmp_path / "description.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(file)


async def check(description: str, sim: Simulator, mode: str, folder: Path, examples: int) -> None:
    assert PROGRAM is not None
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        "run",
        description,
        *("--url", sim.url, "--header", f"Authorization: Bearer {sim.token}"),
        *("--mode", mode, "--checks", CHECKS[mode], "--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(examples), "--seed", "7", "--generation-deterministic"),
        "--no-color",
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


@pytest.mark.skipif(not WHERE, reason="DO_BLOCKSTORE_OPENAPI does not name the vendor's file")
@pytest.mark.parametrize("mode", ["positive", "negative"])
async def test_it_finds_nothing_in_the_api(mode: str, tmp_path: Path) -> None:
    async with Simulator(volumes=30, seed=7, limits="none") as sim:
        await check(described(tmp_path), sim, mode, tmp_path, 60)
        assert len(sim.requests) > 500
        # It tries what the server makes of odd paths first, which nobody knows.
        failed = [record.target for record in sim.requests if record.status >= 500]
        assert all(target.startswith("/schemathesis-probe") for target in failed)


@pytest.mark.parametrize("mode", ["positive", "negative"])
async def test_it_finds_nothing_in_the_administration(mode: str, tmp_path: Path) -> None:
    async with Simulator(volumes=3, limits="none") as sim:
        await check(f"{sim.url}{PREFIX}/openapi.json", sim, mode, tmp_path, 15)
