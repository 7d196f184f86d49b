"""What the documentation shows is executed: each page's Python blocks, in order, in one program."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from do_blockstore_async import BlockStore, Config, Simulator
from do_blockstore_async.integrations.prometheus import PrometheusHook
from tests.support.documentation import ROOT, blocks, pages

README = ROOT / "README.md"
OTHERS = [page for page in pages() if page != README and blocks(page)]


async def execute(source: str, namespace: dict[str, Any], page: Path) -> None:
    code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, namespace)  # noqa: S307 -- the documentation is ours
    if inspect.iscoroutine(outcome):
        await outcome


@pytest.fixture
async def simulator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Simulator]:
    """An account of its own for each page, to which the environment points."""
    monkeypatch.chdir(tmp_path)
    async with Simulator(volumes=40, seed=7, action_s=(0.0, 0.0), limits="none") as simulator:
        monkeypatch.setenv("DIGITALOCEAN_TOKEN", simulator.token)
        monkeypatch.setenv("DIGITALOCEAN_API_URL", simulator.url)
        yield simulator


def given(simulator: Simulator) -> dict[str, Any]:
    """What a page says it takes for granted."""
    nyc3 = [d.id for d in simulator.world.droplets.values() if d.region == "nyc3"]
    return {"droplet_id": nyc3[0], "token": simulator.token, "url": simulator.url}


async def test_every_block_of_the_readme_runs(simulator: Simulator) -> None:
    namespace = given(simulator)
    source = blocks(README)
    await execute(source[0], namespace, README)
    async with BlockStore(simulator.token, base_url=simulator.url) as store:
        for block in source[1:]:
            namespace["store"] = store
            await execute(block, namespace, README)
        await namespace["test_my_service"](simulator)
    assert "orders-db" in {v.name for v in simulator.world.volumes.values()}
    assert "POST" in {r.method for r in simulator.requests}


def test_the_pages_show_enough_to_be_worth_running() -> None:
    assert len(blocks(README)) >= 4
    assert sum(len(blocks(page)) for page in OTHERS) >= 40


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.relative_to(ROOT).as_posix())
async def test_every_block_of_a_page_runs(page: Path, simulator: Simulator) -> None:
    namespace = given(simulator)
    async with BlockStore(simulator.token, base_url=simulator.url) as store:
        for block in blocks(page):
            namespace["store"] = store
            await execute(block, namespace, page)
            if "main" in namespace:
                await namespace.pop("main")()
            for name in [name for name in namespace if name.startswith("test_")]:
                test = namespace.pop(name)
                outcome = test(simulator) if inspect.signature(test).parameters else test()
                if inspect.isawaitable(outcome):
                    await outcome
    if page.name == "calls.md":  # it deletes by name what it has created
        assert "orders-db" not in {v.name for v in simulator.world.volumes.values()}


async def test_alerts_and_dashboard_ask_for_metrics_that_exist(simulator: Simulator) -> None:
    registry = CollectorRegistry()
    metrics = PrometheusHook(registry)
    config = Config(hooks=(metrics,))
    async with BlockStore(simulator.token, base_url=simulator.url, config=config) as store:
        metrics.collect_quota(store)
        await store.volumes.find("nobody", region="nyc3")
        exported = {
            line.split()[2]
            for line in (await asyncio.to_thread(generate_latest, registry)).decode().splitlines()
            if line.startswith("# TYPE")
        }
    dashboard = (ROOT / "docs" / "grafana-dashboard.json").read_text()
    assert json.loads(dashboard)["panels"]
    alerts = (ROOT / "docs" / "howto" / "observability.md").read_text()
    asked = set(re.findall(r"\bblockstore_\w+", dashboard + alerts))
    assert len(asked) > 10
    assert {re.sub("_bucket$", "", name) for name in asked} <= exported
