"""What the documentation shows is executed.

Each page's Python blocks run in order in one program, its shell scripts in order in one shell, its
commands in order in one folder: each of the three with an account of its own.
"""

from __future__ import annotations

import ast
import asyncio
import configparser
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from do_blockstore_async import BlockStore, Config, Simulator
from do_blockstore_async.integrations.prometheus import PrometheusHook
from tests.support.cli import Here, Server
from tests.support.documentation import ROOT, all_blocks, blocks, commands, pages, scripts

README = ROOT / "README.md"
OTHERS = [page for page in pages() if page != README and blocks(page)]
OPTIONS: dict[str, Any] = {"seed": 7, "action_s": (0.0, 0.0), "limits": "none"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


async def execute(source: str, namespace: dict[str, Any], page: Path) -> None:
    code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if "client." in source and not code.co_flags & inspect.CO_COROUTINE:
        # A client that blocks: the simulator answers it meanwhile.
        await asyncio.to_thread(eval, code, namespace)
        return
    outcome = eval(code, namespace)  # noqa: S307 -- the documentation is ours
    if inspect.iscoroutine(outcome):
        await outcome


@pytest.fixture
async def simulator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Simulator]:
    """An account of its own for each page, to which the environment points."""
    monkeypatch.chdir(tmp_path)
    async with Simulator(volumes=40, **OPTIONS) as simulator:
        monkeypatch.setenv("DIGITALOCEAN_TOKEN", simulator.token)
        monkeypatch.setenv("DIGITALOCEAN_API_URL", simulator.url)
        yield simulator


def ids(simulator: Simulator) -> tuple[str, str]:
    """A volume with snapshots, and one of the snapshots."""
    snapshot = next(iter(simulator.world.snapshots.values()))
    return snapshot.volume_id, snapshot.id


def given(simulator: Simulator, vendors: Any = None) -> dict[str, Any]:
    """What a page says it takes for granted."""
    nyc3 = [d.id for d in simulator.world.droplets.values() if d.region == "nyc3"]
    volume_id, snapshot_id = ids(simulator)
    names = {"volume_id": volume_id, "snapshot_id": snapshot_id, "droplet_id": nyc3[0]}
    return {**names, "client": vendors, "token": simulator.token, "url": simulator.url}


def pydo_client(simulator: Simulator) -> Any:
    """The vendor's client, which sends tokens over plain http only as a header of ours."""
    pydo = pytest.importorskip("pydo")
    policies = pytest.importorskip("azure.core.pipeline.policies")
    login = policies.HeadersPolicy({"Authorization": f"Bearer {simulator.token}"})
    return pydo.Client(token=simulator.token, endpoint=simulator.url, authentication_policy=login)


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


@pytest.mark.parametrize("page", OTHERS, ids=name_of)
async def test_every_block_of_a_page_runs(
    page: Path, simulator: Simulator, request: pytest.FixtureRequest
) -> None:
    # The same is done twice there, so each client has an account of its own.
    vendors = page.name == "pydo.md" and pydo_client(request.getfixturevalue("account"))
    namespace = given(simulator, vendors)
    async with BlockStore(simulator.token, base_url=simulator.url) as store:
        for block in blocks(page):
            namespace["store"] = store
            await execute(block, namespace, page)
            if namespace["store"] is not store:  # at a prompt nobody closes it
                await namespace["store"].aclose()
            if isinstance(opened := namespace.pop("simulator", None), Simulator):
                await opened.__aexit__(None, None, None)
            if "main" in namespace:
                await namespace.pop("main")()
            for name in [name for name in namespace if name.startswith("test_")]:
                test = namespace.pop(name)
                outcome = test(simulator) if inspect.signature(test).parameters else test()
                if inspect.isawaitable(outcome):
                    await outcome
    if page.name == "calls.md":  # it deletes by name what it has created
        assert "orders-db" not in {v.name for v in simulator.world.volumes.values()}


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """As `simulator`, for what is not asyncio, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    with Simulator.in_thread(volumes=40, **OPTIONS) as simulator:
        yield simulator


@pytest.mark.parametrize("page", [page for page in pages() if commands(page)], ids=name_of)
def test_every_command_of_a_page_runs(
    page: Path,
    account: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = Here.at(Server(account.url, account.token), tmp_path, monkeypatch, capsys)
    (tmp_path / "token").write_text(account.token)
    monkeypatch.setenv("SHOP_TOKEN", "dop_v1_of-another-account")
    for block in all_blocks(page):
        if block.file:
            text = block.code.replace("/run/secrets/lab-token", f"{tmp_path}/token")
            (tmp_path / block.file).write_text(text)
    for words in commands(page):
        # Where the page has a simulator of its own, or a file elsewhere.
        local = [re.sub(r"^(%d|/etc/do-blockstore)/", f"{tmp_path}/", word) for word in words]
        done = here(*local[local[0] == "--simulate" :])
        assert done.code == 0, (words, done)


@pytest.mark.parametrize("page", [page for page in pages() if scripts(page)], ids=name_of)
def test_every_script_of_a_page_runs(page: Path, account: Simulator, tmp_path: Path) -> None:
    for needed in ("bash", "curl"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    volume_id, snapshot_id = ids(account)
    program = tmp_path / "bin" / "do-blockstore"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m do_blockstore_async.cli "$@"\n')
    program.chmod(0o755)
    script = "\n".join(scripts(page)).replace("https://api.digitalocean.com", account.url)
    done = subprocess.run(  # noqa: S603 -- the documentation is ours
        ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607
        env={
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "DIGITALOCEAN_TOKEN": account.token,
            "VOLUME_ID": volume_id,
            "SNAPSHOT_ID": snapshot_id,
            "OTHER_VOLUME_ID": next(
                v.id for v in account.world.volumes.values() if v.region == "nyc3"
            ),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


PARSERS: dict[str, Callable[[str], Any]] = {
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "json": json.loads,
    "ini": lambda text: configparser.RawConfigParser(strict=False).read_string(text),
}
# Where the others are run; what a program prints is `text`.
ELSEWHERE = {
    "python": "above",
    "sh": "above",
    "console": "above",
    "js": "tests/clients/test_recipes.py",
    "go": "tests/clients/test_recipes.py",
    "text": "",
}


def test_no_block_is_shown_that_nothing_executes() -> None:
    for page in pages():
        for block in all_blocks(page):
            if block.not_run is not None:
                assert len(block.not_run.split()) > 3, (page, "say why it is not run")
            elif block.language in PARSERS:
                PARSERS[block.language](block.code)
            else:
                assert block.language in ELSEWHERE, (page, block.language)
            if block.language == "console" and not block.not_run:
                called = re.findall(r"^\$ ", block.code, re.MULTILINE)
                ours = re.findall(r"^\$ (?:\S*/)?do-blockstore ", block.code, re.MULTILINE)
                assert len(called) == len(ours), (page, "only our own commands are run")


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
    alerts = (ROOT / "docs" / "prometheus-alerts.yaml").read_text()
    for group in yaml.safe_load(alerts)["groups"]:
        assert all({"alert", "expr", "annotations"} <= rule.keys() for rule in group["rules"])
    asked = set(re.findall(r"\bblockstore_\w+", dashboard + alerts))
    assert len(asked) > 10
    assert {re.sub("_bucket$", "", name) for name in asked} <= exported
    described = str(sys.modules[PrometheusHook.__module__].__doc__)
    for name in {name for name in exported if not name.endswith("_created")}:
        short = name.removeprefix("blockstore_quota")
        assert f"`{name}`" in described or f"`{short}`" in described, name
