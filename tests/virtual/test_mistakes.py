"""Mistakes are answered: each works, or says what to write instead."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

import do_blockstore_async
from do_blockstore_async import BlockStore, BlockStoreError, Config, ConfigError, Throttle
from do_blockstore_async.bulk import Bulk, Retention, Selection
from do_blockstore_async.resources.actions import ActionManager
from do_blockstore_async.resources.regions import RegionManager
from do_blockstore_async.resources.snapshots import SnapshotManager
from do_blockstore_async.resources.volumes import VolumeManager
from tests.support.mistakes import MISTAKES, read_table, table, written_table
from tests.support.virtual_client import Scene, play

WRONG: tuple[Any, ...] = (None, True, -1, 2.5, "", "x" * 300, b"b", object(), [], {}, (1,), print)


def test_the_table_is_what_people_read() -> None:
    rows = asyncio.run(table())
    assert len(MISTAKES) == len(rows) >= 30
    assert written_table(rows) == read_table(), "python -m tests.support.mistakes"
    refused = [answer for _, answer in rows if answer != "works"]
    known = ("ConfigError", "InvalidArgumentError", "ClientClosedError", "TypeError")
    assert sum(answer.startswith(tuple(f"`{name}`" for name in known)) for answer in refused) >= (
        len(refused) - 1
    ), "but for an attribute of a coroutine, which is Python's own"


def methods() -> Iterator[Any]:
    for name, manager in (
        ("volumes", VolumeManager),
        ("snapshots", SnapshotManager),
        ("actions", ActionManager),
        ("regions", RegionManager),
    ):
        for method in vars(manager):
            if not method.startswith("_"):
                yield pytest.param(name, method, id=f"{name}.{method}")
    yield pytest.param("", "request", id="request")


GOOD = {
    "name": "db",
    "region": "nyc3",
    "size_gigabytes": 300,
    "volume_id": "00000000-0000",
    "snapshot_id": "00000000-0000",
    "droplet_id": 5,
    "action_id": 5,
    "action": None,
    "actions": (),
    "method": "GET",
    "path": "/v2/account",
}


async def use(made: Any) -> None:
    if hasattr(made, "__aenter__"):
        async with made:
            pass
    elif hasattr(made, "__aiter__"):
        async for _ in made:
            break
    else:
        await made


@pytest.mark.parametrize(("manager", "name"), [*methods()])
def test_no_wrong_argument_gets_any_further_than_an_error_of_ours(manager: str, name: str) -> None:
    async def body(store: BlockStore) -> None:
        method = getattr(getattr(store, manager) if manager else store, name)
        parameters = inspect.signature(method).parameters
        required = {
            each.name: GOOD[each.name]
            for each in parameters.values()
            if each.default is inspect.Parameter.empty
        }
        for parameter in parameters:
            for wrong in WRONG:
                if (parameter, wrong) == ("json", b"b"):
                    continue  # msgspec writes bytes; the simulator in process does not
                with suppress(BlockStoreError):
                    await use(method(**{**required, parameter: wrong}))
        with pytest.raises((BlockStoreError, TypeError), match="nonsense"):
            await use(method(**required, nonsense=1))

    play(Scene(volumes=0), body, warm=False)


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(Config)])
def test_no_wrong_setting_gets_any_further_either(field: str) -> None:
    settings: dict[str, Any] = {}
    for wrong in WRONG:
        settings[field] = wrong
        with suppress(ConfigError):
            assert hash(Config(**settings))


@pytest.mark.parametrize("given", ["config", "session", "throttle", "base_url", "token"])
def test_no_wrong_part_of_a_client_gets_any_further(given: str) -> None:
    for wrong in WRONG:
        parts: dict[str, Any] = {"token": "dop_v1_x", given: wrong}
        fine = {"token": ("x" * 300, print), "base_url": ()}.get(given, (None,))
        if wrong not in fine:
            with pytest.raises(ConfigError):
                BlockStore(**parts)


def test_lists_are_taken_for_tuples() -> None:
    config = Config(windows=[[250, 60], [5000, 3600]], reserve=[0.1, 0.05], hooks=[print])
    assert config == Config(reserve=(0.1, 0.05), hooks=(print,))
    assert hash(config)
    assert Selection(regions=["nyc3"], tags=["a"]).tags == ("a",)
    assert Retention(last=2, tags=["a"]) == Retention(last=2, tags=("a",))


def test_signatures_are_shown_as_they_are() -> None:
    assert "windows" in inspect.signature(Config).parameters
    assert list(inspect.signature(BlockStore).parameters) == [
        "token",
        "base_url",
        "config",
        "session",
        "throttle",
    ]
    assert inspect.iscoroutinefunction(VolumeManager.create)
    assert attrs.evolve(Config(), burst=5).burst == 5


def test_dir_shows_the_public_names_and_nothing_else() -> None:
    shown = dir(do_blockstore_async)
    modules = {"accounts", "bulk", "errors", "events", "jobs", "models", "simulator"}
    assert set(shown) == {*do_blockstore_async.__all__, *modules}
    for module in modules:
        assert getattr(do_blockstore_async, module).__name__ == f"do_blockstore_async.{module}"
    assert set(dir(do_blockstore_async.bulk)) == set(do_blockstore_async.bulk.__all__)


def test_a_throttle_says_what_it_needs() -> None:
    with pytest.raises(ConfigError, match="Config"):
        Throttle({"burst": 5})  # type: ignore[arg-type]


async def consume(made: Any) -> None:
    made = await made if inspect.isawaitable(made) else made
    if hasattr(made, "__aenter__"):
        async with made as run:
            async for _ in run:
                pass


BULK = [name for name in vars(Bulk) if not name.startswith("_") and name != "map"]


@pytest.mark.parametrize("name", BULK)
def test_no_wrong_argument_of_a_job_gets_any_further(name: str, tmp_path: Path) -> None:
    async def body(store: BlockStore) -> None:
        plan = await store.bulk.plan_snapshots()
        good = {
            "plan": plan,
            "path": tmp_path / "plan.json",
            "journal": tmp_path / "missing.journal",
            "source": [],
            "selection": Selection(),
            "keep": Retention(last=1),
            "grace": timedelta(days=1),
        }
        method = getattr(store.bulk, name)
        parameters = inspect.signature(method).parameters
        required = {
            each.name: good[each.name]
            for each in parameters.values()
            if each.default is inspect.Parameter.empty
        }
        for parameter in parameters:
            for wrong in WRONG:
                is_text = isinstance(wrong, str) and parameter in ("path", "journal", "source")
                if not is_text:  # a path, if a strange one
                    with suppress(BlockStoreError):
                        await consume(method(**{**required, parameter: wrong}))

    play(Scene(volumes=1), body, warm=False)
