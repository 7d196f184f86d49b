"""What the README shows is executed: its Python blocks, in order, in one running program."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

from do_blockstore_async import BlockStore, Simulator
from tests.support.documentation import ROOT, blocks

README = ROOT / "README.md"


async def execute(source: str, namespace: dict[str, Any]) -> None:
    code = compile(source, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, namespace)  # noqa: S307 -- the README is ours
    if inspect.iscoroutine(outcome):
        await outcome


async def test_every_block_of_the_readme_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Simulator(volumes=40, seed=7, action_s=(0.0, 0.0), limits="none") as simulator:
        monkeypatch.setenv("DIGITALOCEAN_TOKEN", simulator.token)
        monkeypatch.setenv("DIGITALOCEAN_API_URL", simulator.url)
        nyc3 = [d.id for d in simulator.world.droplets.values() if d.region == "nyc3"]
        namespace: dict[str, Any] = {"droplet_id": nyc3[0], "token": simulator.token}
        source = blocks(README)
        await execute(source[0], namespace)
        async with BlockStore(simulator.token, base_url=simulator.url) as store:
            for block in source[1:]:
                namespace["store"] = store
                await execute(block, namespace)
            await namespace["test_my_service"](simulator)
    assert "orders-db" not in {v.name for v in simulator.world.volumes.values()}
    assert "POST" in {r.method for r in simulator.requests}


def test_the_readme_shows_enough_to_be_worth_running() -> None:
    assert len(blocks(README)) >= 8
