"""What the pages show in other languages runs as it stands, where the language is.

Scripts of the shell run with the other pages, in tests/sockets/test_documentation_runs.py.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from do_blockstore_async.simulator import Simulator, parse_scenario
from tests.support.documentation import ROOT, all_blocks

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


async def run(folder: Path, *command: str, **more: str) -> str:
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
            **more,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_node(tmp_path: Path) -> None:
    needs("node")
    (tmp_path / "orders.test.cjs").write_text(shown("testing-other-languages.md", "js"))
    assert "# pass 1" in await run(tmp_path, "node", "--test", "--test-reporter=tap")


async def test_go(tmp_path: Path) -> None:
    needs("go")
    (tmp_path / "orders_test.go").write_text(shown("testing-other-languages.md", "go"))
    assert "ok" in await run(tmp_path, "go", "test", "orders_test.go")


GODO = Path("/usr/share/gocode/src/github.com/digitalocean/godo")
GO_PROGRAM = """package main

import (
\t"context"
\t"net/http"

\t"github.com/digitalocean/godo"
)

type login struct{}

func (login) RoundTrip(request *http.Request) (*http.Response, error) {
\trequest.Header.Set("Authorization", "Bearer @TOKEN")
\treturn http.DefaultTransport.RoundTrip(request)
}

func main() {
\tctx := context.Background()
\tclient, _ := godo.New(&http.Client{Transport: login{}}, godo.SetBaseURL("@URL/"))
\tvolumeID, snapshotID := "@VOLUME", "@SNAPSHOT"
@STEPS}
"""


def godo_step(shown: str) -> str:
    """A block as Go wants it: in a function that uses what it gets, and looks at the error."""
    names = re.findall(r"^(.*?), err :=", shown, re.MULTILINE)[0].split(", ")
    used = "".join(f"\t_ = {name}\n" for name in names if name != "_")
    return f"func() {{\n{shown}{used}\tif err != nil {{\n\tpanic(err)\n}}\n}}()\n"


async def test_godo(tmp_path: Path) -> None:
    needs("go")
    if not is_there(GODO):
        pytest.skip("godo is not installed")
    page = ROOT / "docs" / "coming-from" / "godo.md"
    steps = [godo_step(block.code) for block in all_blocks(page) if block.language == "go"]
    async with Simulator(volumes=40, seed=7, limits="none") as simulator:
        snapshot = next(iter(simulator.world.snapshots.values()))
        program = GO_PROGRAM
        for name, value in {
            "URL": simulator.url,
            "TOKEN": simulator.token,
            "VOLUME": snapshot.volume_id,
            "SNAPSHOT": snapshot.id,
            "STEPS": "".join(steps),
        }.items():
            program = program.replace(f"@{name}", value)
        (tmp_path / "main.go").write_text(program)
        await run(tmp_path, "go", "run", "main.go", GOPATH=str(GODO.parents[3]))
        sent = [request.method for request in simulator.requests]
    assert sent == ["GET", "POST", "GET", "POST", "GET", "GET", "DELETE", "DELETE"]


def is_there(path: Path) -> bool:
    return path.exists()


def test_the_scenario() -> None:
    page = HOW_TO / "testing.md"
    shows = [block.code for block in all_blocks(page) if block.language == "toml"]
    scenario = parse_scenario(shows[-1])
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
