"""Mistakes that people make, executed: the table in docs/reference/mistakes.md is made of them.

    python -m tests.support.mistakes

writes the table anew.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
from fastapi import FastAPI

import do_blockstore_async
from do_blockstore_async import BlockStore, Config
from do_blockstore_async.integrations.aiohttp import blockstore_cleanup_ctx
from do_blockstore_async.integrations.fastapi import blockstore_lifespan
from do_blockstore_async.simulator import World, connect_in_process
from tests.support.documentation import ROOT

__all__ = ["MISTAKES", "read_table", "table", "written_table"]

PAGE = ROOT / "docs" / "reference" / "mistakes.md"
ID = "506f78a4-e098-11e5-ad9f-000f53306ae1"

OUTSIDE = (
    "with BlockStore(token): pass",
    "BlockStore()",
    "BlockStore(None)",
    "BlockStore(token, Config())",
    "BlockStore(token, timeout=30)",
    "BlockStore(token, max_retries=3)",
    'BlockStore(token, config={"timeout_s": 30})',
    "BlockStore(token, session=another_library.AsyncClient())",
    "Config(timeout=30)",
    "Config(max_retries=3)",
    "Config(hooks=print)",
    'Config(hooks="print")',
    "Config(windows=250)",
    "Config(windows=[[250, 60], [5000, 3600]])",
    "Config(max_attempts=2.5)",
    'Config(timeout_s="30")',
    "BlockStore(token).volumes",
    "BlockStore(token).quota",
    "BlockStore(token).deadline(5).__enter__()",
    "FastAPI(lifespan=blockstore_lifespan).router.lifespan_context(app)",
    "FastAPI(lifespan=blockstore_lifespan(BlockStore(token)))",
    "blockstore_cleanup_ctx(app)",
    "do_blockstore_async.events.CallStarted, do_blockstore_async.errors, do_blockstore_async.bulk",
)
INSIDE = (
    "for volume in store.volumes.list(): pass",
    "len(store.volumes.list())",
    "store.volumes.list()[0]",
    "if store.volumes.list(): pass",
    "await store.volumes.list()",
    "store.volumes.get(volume_id).name",
    "await store.volumes.delete(store.volumes.get(volume_id))",
    "await store.volumes.get(5)",
    "await store.snapshots.get(volume)",
    'await store.volumes.create("db", region="nyc3", size=10)',
    'await store.volumes.create("db", "nyc3", size_gigabytes=10)',
    'await store.volumes.create(body={"name": "db", "region": "nyc3", "size_gigabytes": 10})',
    'await store.volumes.create("db", region="nyc3", size_gigabytes="10")',
    'await store.volumes.create("db", region="nyc3", size_gigabytes=10, tags="prod")',
    'await store.volumes.create("db-2", region="nyc3", size_gigabytes=10, tags=None)',
    'await store.volumes.get(volume_id, timeout="5")',
    "await store.actions.wait(store.volumes.get(volume_id))",
    "with store.throttle.acquire(): pass",
    "from_another_thread(store.volumes.get, volume_id)",
    "await read_after_close(store.volumes.list())",
    'await store.request("FETCH", "/v2/account")',
    "store.bulk.map(print, 5)",
)
MISTAKES = (*OUTSIDE, *INSIDE)


class another_library:  # noqa: N801 -- stands for a module
    """Stands for an HTTP library with a client that is not aiohttp's."""

    class AsyncClient:
        """Has what clients have."""

        __module__ = "another_library"

        def get(self) -> None:
            """Nothing."""

        def send(self) -> None:
            """Nothing."""


def from_another_thread(call: Any, *args: Any) -> Any:
    """Call with an event loop of another thread."""

    def run() -> Any:
        return asyncio.run(call(*args))

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(run).result(10)


def answer_of(outcome: BaseException | None, told: list[str]) -> str:
    """What the user reads."""
    if outcome is None:
        return "works"
    # Ids and objects differ from run to run.
    text = re.sub(r"<(\w+)[^>]* at 0x\w+>", r"<\1 ...>", str(outcome))
    text = "; and ".join([text, *told])
    return f"`{type(outcome).__name__}`: {text}".replace("|", "\\|")


async def run(written: str, namespace: dict[str, Any]) -> str:
    """Execute one mistake."""
    code = compile(written, "mistake", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome: BaseException | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = eval(code, namespace)  # noqa: S307 -- ours
            if inspect.iscoroutine(made):
                await made
        except Exception as error:  # noqa: BLE001 -- whatever the user would read
            outcome = error.with_traceback(None)
            if isinstance(error, AttributeError):
                error.obj = None  # a coroutine, which says that it was never awaited when it goes
            del error
        told = [str(each.message) for each in caught if "never awaited" in str(each.message)]
    return answer_of(outcome, told)


def given() -> dict[str, Any]:
    """What the mistakes speak of."""
    return {
        "Config": Config,
        "BlockStore": BlockStore,
        "FastAPI": FastAPI,
        "aiohttp": aiohttp,
        "another_library": another_library,
        "app": FastAPI(),
        "blockstore_cleanup_ctx": blockstore_cleanup_ctx,
        "blockstore_lifespan": blockstore_lifespan,
        "do_blockstore_async": do_blockstore_async,
        "from_another_thread": from_another_thread,
        "token": "dop_v1_of_a_mistake",
    }


def outside(written: str) -> str:
    """Execute a mistake where no event loop runs."""
    work = run(written, given())
    try:
        work.send(None)
    except StopIteration as done:
        return str(done.value)
    raise AssertionError("it waits")


async def table() -> list[tuple[str, str]]:
    """Each mistake with what the user reads."""
    rows = [(written, await asyncio.to_thread(outside, written)) for written in OUTSIDE]
    world = World(volumes=0, limits="none", action_s=(0.0, 0.0))
    volume = world.add_volume("mine")
    closed = connect_in_process(world, latency_s=(0.0, 0.0))
    async with closed:
        pass

    async def read_after_close(_: Any) -> None:
        async with connect_in_process(world, latency_s=(0.0, 0.0)) as short:
            listing = short.volumes.list()
        async for _ in listing:
            pass

    async with connect_in_process(world, latency_s=(0.0, 0.0)) as store:
        namespace = {
            **given(),
            "store": store,
            "read_after_close": read_after_close,
            "volume_id": volume.id,
            "volume": await store.volumes.get(volume.id),
        }
        inside = [(written, await run(written, namespace)) for written in INSIDE]
    return rows + [(written, answer.replace(volume.id, ID)) for written, answer in inside]


def written_table(rows: list[tuple[str, str]]) -> str:
    """The rows in Markdown."""
    lines = [f"| `{written.replace('|', chr(92) + '|')}` | {answer} |" for written, answer in rows]
    return "\n".join(["| what is written | what it says |", "| --- | --- |", *lines])


def read_table() -> str:
    """The table as the page has it."""
    found = re.search(r"^\| what is written .*(?:\n\|.*)*", PAGE.read_text(), re.MULTILINE)
    return found[0] if found else ""


if __name__ == "__main__":
    new = written_table(asyncio.run(table()))
    Path(PAGE).write_text(PAGE.read_text().replace(read_table(), new))
