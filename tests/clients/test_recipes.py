"""What docs/howto/testing-other-languages.md shows runs as it stands, where the language is."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from do_blockstore_async.simulator import parse_scenario
from tests.support.documentation import ROOT

HOW_TO = ROOT / "docs" / "howto"
ALL = os.environ.get("DO_BLOCKSTORE_CLIENTS") == "all"


def shown(page: str, language: str) -> str:
    text = (HOW_TO / page).read_text()
    found = re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def needs(program: str) -> None:
    if shutil.which(program) is None:
        if ALL:
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")


async def run(folder: Path, *command: str) -> str:
    """Run a program that finds `do-blockstore` as a user's would."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    program = bin_folder / "do-blockstore"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m do_blockstore_async.cli "$@"\n')
    program.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GO111MODULE": "off",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_the_shell(tmp_path: Path) -> None:
    needs("curl")
    (tmp_path / "recipe.sh").write_text(shown("testing-other-languages.md", "sh"))
    assert '"name":"orders-db"' in await run(tmp_path, "bash", "-euo", "pipefail", "recipe.sh")


async def test_node(tmp_path: Path) -> None:
    needs("node")
    (tmp_path / "orders.test.cjs").write_text(shown("testing-other-languages.md", "js"))
    assert "# pass 1" in await run(tmp_path, "node", "--test", "--test-reporter=tap")


async def test_go(tmp_path: Path) -> None:
    needs("go")
    (tmp_path / "orders_test.go").write_text(shown("testing-other-languages.md", "go"))
    assert "ok" in await run(tmp_path, "go", "test", "orders_test.go")


def test_the_scenario() -> None:
    scenario = parse_scenario(shown("testing.md", "toml"))
    assert scenario.options["contents"].volumes[0].snapshots[0].name == "nightly-1"
    assert scenario.frozen


async def test_the_container_starts_what_there_is(tmp_path: Path) -> None:
    """No image can be built here; what it would run is run."""
    text = (ROOT / "examples" / "simulator.Containerfile").read_text()
    (entry,) = re.findall(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
    words = re.findall(r'"([^"]+)"', entry)
    assert words[:2] == ["do-blockstore", "simulator"]
    helped = await run(tmp_path, *words, "--help")
    for option in re.findall(r"--[a-z-]+", entry):
        assert option in helped
    for source in re.findall(r"^COPY (.*) /\S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split())
