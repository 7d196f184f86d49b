"""Notebooks, progress views, tasks of a worker, and what an editor completes."""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path

import jedi
import pytest
from rich.console import Console

import do_blockstore_async
from do_blockstore_async import BlockStore, Simulator
from do_blockstore_async.resources.volumes import VolumeManager
from examples.worker_task import snapshot

CELLS = """
from do_blockstore_async import BlockStore
store = await BlockStore.from_env().__aenter__()
volumes = await store.volumes.list()
print(len(volumes), "volumes")
volumes[0]
plan = await store.bulk.plan_snapshots(job="cell")
async with store.bulk.run(plan) as run:
    statuses = [outcome.status async for outcome in run.progress()]

print({*statuses}, len(statuses))
await store.aclose()
"""


async def test_a_notebook_awaits_at_the_top_of_a_cell() -> None:
    async with Simulator(volumes=4, seed=5, limits="none", action_s=(0.0, 0.0)) as simulator:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "IPython",
                "--no-banner",
                "--simple-prompt",
                "--colors=nocolor",
            ),
            "--HistoryManager.enabled=False",
            env={
                **os.environ,
                "DIGITALOCEAN_TOKEN": simulator.token,
                "DIGITALOCEAN_API_URL": simulator.url,
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            out, _ = await process.communicate(CELLS.encode())
    text = out.decode()
    assert "4 volumes" in text, text
    assert "size_gigabytes" in text, "the volume by itself is a small table"
    assert "{'done'} 4" in text, text
    assert "Traceback" not in text, text


async def test_a_run_shows_its_progress_on_a_terminal_and_nothing_in_a_pipe() -> None:
    shown: dict[bool, str] = {}
    for is_terminal in (True, False):
        async with Simulator(volumes=6, limits="none", action_s=(0.0, 0.0)) as simulator:
            console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
            async with BlockStore(simulator.token, base_url=simulator.url) as store:
                plan = await store.bulk.plan_snapshots(job="nightly")
                async with store.bulk.run(plan) as run:
                    seen = [each async for each in run.progress(console=console)]
            assert len(seen) == len(plan.steps)
            assert isinstance(console.file, io.StringIO)
            shown[is_terminal] = console.file.getvalue()
    assert "6/6" in shown[True]
    assert "6 done" in shown[True]
    assert "nightly" in shown[True]
    assert not shown[False].strip()


async def test_tasks_of_several_workers_share_one_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = "20/1.5,400/30"
    async with Simulator(volumes=0, limits=limits, action_s=(0.0, 0.0)) as simulator:
        volumes = [simulator.world.add_volume(f"v{number}").id for number in range(30)]
        monkeypatch.setenv("DIGITALOCEAN_TOKEN", simulator.token)
        monkeypatch.setenv("DIGITALOCEAN_API_URL", simulator.url)
        monkeypatch.setenv("BLOCKSTORE_WINDOWS", limits)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as workers:
            tasks = [loop.run_in_executor(workers, snapshot, each, "s") for each in volumes]
            made = await asyncio.gather(*tasks)
        statuses = [request.status for request in simulator.requests]
    assert len({*made}) == 30
    assert statuses.count(201) == 30
    assert statuses.count(429) == 0


INTEGRATIONS = (
    "aiohttp",
    "asgi",
    "fastapi",
    "logging",
    "opentelemetry",
    "procrastinate",
    "prometheus",
)


def completions(source: str) -> set[str]:
    lines = source.splitlines()
    script = jedi.Script(source)
    return {each.name for each in script.complete(len(lines), len(lines[-1]))}


def test_an_editor_completes_every_public_name() -> None:
    names = completions("import do_blockstore_async as d\nd.")
    assert {*do_blockstore_async.__all__} <= names
    modules = ("accounts", "bulk", "errors", "events", "jobs", "models", "simulator")
    assert {*modules} <= names
    for module in modules:
        public = {*getattr(do_blockstore_async, module).__all__}
        assert public <= completions(f"import do_blockstore_async as d\nd.{module}.")
    assert {*INTEGRATIONS} <= completions("from do_blockstore_async.integrations import ")
    for name in INTEGRATIONS:
        public = {*import_module(f"do_blockstore_async.integrations.{name}").__all__}
        assert public <= completions(f"from do_blockstore_async.integrations.{name} import ")
    methods = completions(
        "from do_blockstore_async import BlockStore\n"
        "async def main(store: BlockStore):\n"
        "    store.volumes."
    )
    assert {name for name in vars(VolumeManager) if not name.startswith("_")} <= methods
    of_volume = completions("from do_blockstore_async import Volume\ndef f(v: Volume):\n    v.")
    assert {"size_gigabytes", "region", "to_dict"} <= of_volume
    of_store = completions(
        "from do_blockstore_async import BlockStore\ndef f(s: BlockStore):\n    s."
    )
    assert {name for name in dir(BlockStore) if re.match("[a-z]", name)} <= of_store
