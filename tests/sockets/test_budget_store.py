"""The store of a shared budget as its users meet it, and what goes wrong with it, in words."""

# ruff: noqa: ASYNC240 -- small files of the tests themselves

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis.asyncio

from do_blockstore_async import BlockStore, Config, StoreUnusableError
from do_blockstore_async._log.opening import open_store
from do_blockstore_async._log.places import state_folder
from do_blockstore_async._ratelimit.shared.opening import log_key
from do_blockstore_async.errors import ConfigError, QuotaWaitTooLongError
from do_blockstore_async.simulator import Simulator
from tests.support.cli import do, environment
from tests.support.web_services import until

PASSWORD = "correct-horse"
REDIS_RIGHTS = [
    *("~do-blockstore:*", "+evalsha", "+eval", "+script|load", "+time", "+get", "+set"),
    *("+xadd", "+xrange", "+xtrim", "+xread", "+pexpire"),
]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "do-blockstore" / "budget"


async def used(simulator: Simulator, budget: str, **options: Any) -> None:
    """Open a client that shares by `budget`, and make one request."""
    config = Config(budget=budget, timeout_s=3.0, **options)
    async with BlockStore(simulator.token, base_url=simulator.url, config=config) as store:
        await store.request("GET", "/v2/regions")


async def refused(simulator: Simulator, budget: str) -> str:
    """What the client says on entering; nothing may have been sent."""
    before = len(simulator.requests)
    with pytest.raises(StoreUnusableError) as caught:
        await used(simulator, budget)
    assert len(simulator.requests) == before
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    "budget",
    ["", "shared", "redis", "redis://", "http://redis", "redis://h:0", "redis://h:x", "unix://", 5],
)
def test_a_setting_that_names_no_store_is_refused(budget: Any) -> None:
    with pytest.raises(ConfigError, match=r"budget must be 'process', 'machine', or a URL"):
        Config(budget=budget)


@pytest.mark.parametrize(
    "budget", [f"redis://me:{PASSWORD}@redis.internal", f"postgresql://me:{PASSWORD}@db/name"]
)
def test_a_password_in_the_setting_is_shown_nowhere(budget: str) -> None:
    shown = repr(Config(budget=budget))
    assert PASSWORD not in shown
    assert "budget='redis://(hidden)'" in shown or "budget='postgresql://(hidden)'" in shown
    with pytest.raises(ConfigError) as caught:
        Config(budget=budget.replace("//", "//[", 1))
    assert PASSWORD not in str(caught.value)


async def test_redis_refuses_the_password_or_the_commands(redis_url: str) -> None:
    admin: Any = redis.asyncio.Redis.from_url(redis_url)
    try:
        for name, rights in (("app", REDIS_RIGHTS), ("poor", ["~*", "+get"])):
            await admin.execute_command("ACL", "SETUSER", name, "on", f">{PASSWORD}", *rights)
    finally:
        await admin.aclose()

    def url(user: str, password: str = PASSWORD) -> str:
        return redis_url.replace("unix://", f"unix://{user}:{password}@")

    async with Simulator(volumes=0) as simulator:
        # The rights that the documentation names are enough.
        await used(simulator, url("app"))
        said = await refused(simulator, url("app", f"{PASSWORD}-no"))
        assert said == "Redis refuses the user name or the password of its URL"
        assert "its user may not run the commands" in await refused(simulator, url("poor"))


async def test_postgresql_refuses_the_user_the_database_or_the_schema(postgres_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as admin:
        await admin.execute("create role app login")
        await admin.execute("create role poor login")
        async with Simulator(volumes=0) as simulator:
            url = postgres_url.replace("tester@", "poor@")
            assert "grant it the right" in await refused(simulator, url)
            # Made by somebody who may, and used with the rights that the documentation names.
            await used(simulator, postgres_url)
            await admin.execute("grant usage on schema do_blockstore to app")
            await admin.execute(
                "grant select, insert, update, delete on all tables in schema do_blockstore to app"
            )
            await used(simulator, postgres_url.replace("tester@", "app@"))
            assert "grant it the right" in await refused(simulator, url)
            said = await refused(simulator, postgres_url.replace("tester@", "nobody@"))
            assert "it knows no such user" in said
            said = await refused(simulator, postgres_url.replace("/postgres?", "/elsewhere?"))
            assert "it has no such database" in said
            said = await refused(simulator, f"{postgres_url}&colour=red")
            assert "its URL is not valid" in said


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
async def test_another_kind_of_server_listens_there(scheme: str) -> None:
    async with Simulator(volumes=0) as simulator:
        host = simulator.url.removeprefix("http://")
        said = await refused(simulator, f"{scheme}://me:{PASSWORD}@{host}/0")
        assert "another kind of server listens there" in said


async def test_a_log_of_a_newer_format_is_left_alone(state: Path) -> None:
    async with Simulator(volumes=0) as simulator:
        await used(simulator, "machine")
        key = log_key(simulator.token, simulator.url)
        log = open_store("machine", key)
        before = await log.exchange(0, [b"\x92\xa5later\x01"])
        with pytest.raises(ConfigError, match="use one version for all processes of a token"):
            await used(simulator, "machine")
        assert len(simulator.requests) == 1
        assert (await log.exchange(0)).facts == before.facts
        await log.aclose()
        (path,) = state.glob("*.db")
        database = sqlite3.connect(path)
        database.execute("update log set format = 2")
        database.commit()
        database.close()
        assert "has format 2, this version reads 1" in await refused(simulator, "machine")


async def test_other_settings_than_those_in_use_are_named() -> None:
    async with Simulator(volumes=0) as simulator:
        config = Config(budget="machine")
        async with BlockStore(simulator.token, base_url=simulator.url, config=config):
            with pytest.raises(ConfigError, match=r"need the same settings.* burst 5 here and 60"):
                await used(simulator, "machine", burst=5)
        await used(simulator, "machine", burst=5)


async def test_a_damaged_file_is_told_and_kept(state: Path) -> None:
    async with Simulator(volumes=0) as simulator:
        await used(simulator, "machine")
        (path,) = state.glob("*.db")
        path.write_bytes(path.read_bytes()[:100] + os.urandom(8000))
        damaged = path.read_bytes()
        assert "move it away" in await refused(simulator, "machine")
        assert path.read_bytes() == damaged


async def test_a_full_disk_closes_the_gate_until_there_is_room(state: Path) -> None:
    async with Simulator(volumes=0) as simulator:
        config = Config(budget="machine", timeout_s=1.0)
        async with BlockStore(simulator.token, base_url=simulator.url, config=config) as store:
            await store.request("GET", "/v2/regions")
            throttle: Any = store.throttle
            log = throttle._budget._session._store

            def limit(pages: int) -> None:
                log._database.execute(f"pragma max_page_count = {pages}")

            await log._run(lambda: limit(1))  # SQLite says then that the disk is full
            full = False
            while not full:
                try:
                    await store.request("GET", "/v2/regions")
                except QuotaWaitTooLongError:
                    full = True
            sent = len(simulator.requests)
            assert store.quota.store_away_s is not None
            await log._run(lambda: limit(10_000))
            await until(lambda: not store.quota.store_away_s)
            await store.request("GET", "/v2/regions")
            assert len(simulator.requests) == sent + 1
        assert [request.status for request in simulator.requests].count(429) == 0


@pytest.mark.parametrize("trouble", ["others may write", "a file", "no home"])
async def test_a_place_that_cannot_be_used(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    if trouble == "others may write":
        state.mkdir(parents=True)
        state.chmod(0o777)
    elif trouble == "a file":
        (tmp_path / "do-blockstore").write_text("mine")
    else:
        monkeypatch.delenv("XDG_STATE_HOME")
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr(Path, "expanduser", lambda _: (_ for _ in ()).throw(RuntimeError()))
    async with Simulator(volumes=0) as simulator:
        said = await refused(simulator, "machine")
    assert re.search("chmod 700 it|set XDG_STATE_HOME", said), said


def test_a_relative_state_home_is_ignored_as_the_standard_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each working directory would have a budget of its own, for the same token."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    assert state_folder() == tmp_path / "me" / ".local" / "state" / "do-blockstore"
    assert not (tmp_path / "here").exists()


# The command line.


async def cli(simulator: Simulator, *words: str, **more: str) -> Any:
    env = environment(
        Path(os.environ["XDG_STATE_HOME"]),
        DIGITALOCEAN_API_URL=simulator.url,
        DIGITALOCEAN_TOKEN=simulator.token,
        XDG_STATE_HOME=os.environ["XDG_STATE_HOME"],
        **more,
    )
    return await asyncio.to_thread(do, *words, env=env)


async def test_the_command_line_shares_with_the_machine_unless_told_otherwise(state: Path) -> None:
    async with Simulator(volumes=0) as simulator:
        done = await cli(simulator, "volumes", "list", DO_BLOCKSTORE_BUDGET="process")
        assert done.code == 0
        assert not state.exists()
        done = await cli(simulator, "volumes", "list", DO_BLOCKSTORE_BUDGET="")
        assert (done.code, "budget" in done.err) == (0, False), done
        assert len(list(state.glob("*.db"))) == 1
        assert (state.stat().st_mode & 0o777) == 0o700


async def test_the_quota_names_who_shares_it() -> None:
    async with Simulator(volumes=0) as simulator:
        config = Config(budget="machine")
        async with BlockStore(simulator.token, base_url=simulator.url, config=config) as store:
            await store.request("GET", "/v2/regions")
            (here,) = store.quota.processes
            assert here.is_this
            done = await cli(simulator, "quota", DO_BLOCKSTORE_BUDGET="")
            assert done.code == 0
            assert f"Shared with {here.name}: 0 in flight, 0 waiting." in done.out
            assert "2 of 250 used" in done.out, "those of both"
            # It left with a goodbye.
            await until(lambda: len(store.quota.processes) == 1)


async def test_the_command_line_goes_on_alone_where_there_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "do-blockstore").write_text("mine")
    async with Simulator(volumes=0) as simulator:
        done = await cli(simulator, "regions", "list", DO_BLOCKSTORE_BUDGET="")
        assert done.code == 0
        (line,) = [line for line in done.err.splitlines() if "budget" in line]
        assert line.startswith("the token's budget is not shared with other processes: ")
        # Named on purpose, it is an error.
        done = await cli(simulator, "regions", "list", "--budget-store", "machine")
        assert done.code != 0
        assert "set XDG_STATE_HOME" in done.err
        url = f"redis://me:{PASSWORD}@127.0.0.1:1/x"
        done = await cli(simulator, "regions", "list", "--timeout", "2", "--budget-store", url)
        assert done.code != 0
        assert PASSWORD not in done.err + done.out
