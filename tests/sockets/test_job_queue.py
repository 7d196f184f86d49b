"""Jobs of a file through procrastinate, on a real PostgreSQL, by real worker processes."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest

from do_blockstore_async.integrations._queue import database
from do_blockstore_async.jobs import JobsFile, parse_jobs
from do_blockstore_async.simulator import Simulator
from tests.support.cli import environment

ROOT = Path(__file__).parents[2]
STRICT = ((10, 1.0), (60, 10.0))
LIMITS = "10/1,60/10"
CANARY = "dop_v1_" + "c0ffee" * 10 + "{:04}"
WITHIN_S = 40.0


@pytest.fixture
def base(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database of its own."""
    name = "jobs"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield postgres_url.replace("/postgres?", f"/{name}?")
        connection.execute(f"drop database {name} with (force)")


def jobs_file(text: str, path: Path = Path("fleet.toml")) -> JobsFile:
    return parse_jobs(text, path)


ONE = """
[accounts.shop]
token_env = "SHOP_TOKEN"
[jobs.nightly]
kind = "snapshot"
cron = "* * * * *"
"""


async def rows(url: str, query: str) -> list[Any]:
    async with database.connect(url) as connection:
        return list(await (await connection.execute(query.encode())).fetchall())


@attrs.define
class Program:
    """A worker or scheduler, as the shell starts it."""

    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, *words: str, env: dict[str, str]) -> Program:
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.support.job_worker", *words, env=env, cwd=ROOT,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )
        )  # fmt: skip

    async def end(self) -> tuple[int, str]:
        """Stop it as a service manager would; its exit code, and everything it has said."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return await self.result()

    async def result(self) -> tuple[int, str]:
        """Wait for its end."""
        async with asyncio.timeout(WITHIN_S):
            out, _ = await self.process.communicate()
        return self.process.returncode or 0, out.decode()


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await condition():  # noqa: ASYNC110 -- a database signals nothing
            await asyncio.sleep(0.1)


@asynccontextmanager
async def fleet(
    tmp_path: Path, base: str, accounts: int, volumes: int
) -> AsyncIterator[tuple[Path, list[Simulator], dict[str, str]]]:
    """A jobs file over that many accounts, each with a strict API, and the environment for it."""
    lines = [f'database = "{base}"']
    env = environment(tmp_path)
    async with AsyncExitStack() as stack:
        simulators = [
            await stack.enter_async_context(
                Simulator(
                    volumes=volumes, seed=number, token=CANARY.format(number), limits=STRICT,
                    latency_s=0.02,
                )
            )
            for number in range(accounts)
        ]  # fmt: skip
        for number, simulator in enumerate(simulators):
            env[f"TOKEN_{number}"] = simulator.token
            lines += [
                f"[accounts.a{number}]",
                f'token_env = "TOKEN_{number}"',
                f'base_url = "{simulator.url}"',
            ]
        lines += ["[jobs.nightly]", 'kind = "snapshot"', 'report = "{account}.csv"']
        path = tmp_path / "fleet.toml"
        path.write_text("\n".join(lines))
        yield path, simulators, env


async def test_workers_share_the_accounts_and_one_dies(tmp_path: Path, base: str) -> None:
    async with fleet(tmp_path, base, accounts=4, volumes=12) as (path, simulators, env):
        words = ("--limits", LIMITS)
        old = [set(simulator.world.snapshots) for simulator in simulators]
        assert (await (await Program.start("jobs", "migrate", str(path), env=env)).result())[0] == 0
        workers = [
            await Program.start("jobs", "worker", str(path), *words, env=env) for _ in range(2)
        ]
        queueing = await Program.start("jobs", "run", str(path), "nightly", *words, env=env)
        assert (await queueing.result())[0] == 0

        def taken() -> list[int]:
            return [len(simulator.world.snapshots) for simulator in simulators]

        before = sum(taken())
        await eventually(lambda: asyncio.sleep(0, sum(taken()) >= before + 12))
        workers[0].process.kill()

        async def is_over() -> bool:
            found = await rows(base, "select count(*) from runs where conclusion = 'done'")
            return bool(found[0][0] == 4)

        await eventually(is_over)
        said = (await workers[1].end())[1]
        await workers[0].end()
        assert "taken over" in said
        for number, simulator in enumerate(simulators):
            new = simulator.world.snapshots.keys() - old[number]
            of = Counter(simulator.world.snapshots[each].volume_id for each in new)
            assert set(of.values()) == {1}
            assert len(of) == 12
            assert not simulator.world.refused, f"429s on token {number}"
            assert (tmp_path / f"a{number}.csv").read_text().count("create_snapshot") == 12
        assert {row[0] for row in await rows(base, "select status from procrastinate_jobs")} == {
            "succeeded"
        }
        await no_token_anywhere(base, said)


async def no_token_anywhere(base: str, *texts: str) -> None:
    """The tokens are in no table of the database, and in no line of the programs."""
    tables = await rows(
        base,
        "select quote_ident(table_schema) || '.' || quote_ident(table_name) from "
        "information_schema.tables where table_schema not in ('pg_catalog', 'information_schema')",
    )
    names = {name for (name,) in tables}
    assert {"do_blockstore_jobs.procrastinate_jobs", "do_blockstore_jobs.runs"} <= names
    for name in names:
        for row in await rows(base, f"select t::text from {name} t"):  # noqa: S608
            assert "c0ffee" not in row[0], name
    assert not any("c0ffee" in text for text in texts)
