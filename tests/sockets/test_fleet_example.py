"""examples/fleet: the file as it stands, by the commands of its units and its compose file."""

from __future__ import annotations

import asyncio
import configparser
import shlex
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from do_blockstore_async.cli.registry import COMMANDS
from do_blockstore_async.jobs import load_jobs
from do_blockstore_async.simulator import Simulator
from tests.sockets.test_job_queue import LIMITS, STRICT, Program, base, eventually, rows
from tests.support.cli import do, environment

__all__ = ["base"]

FLEET = Path(__file__).parents[2] / "examples" / "fleet"


def command_of(unit: str) -> list[str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FLEET / unit)
    assert parser["Service"]["Restart"] == "always"
    program, *words = shlex.split(parser["Service"]["ExecStart"])
    assert program.endswith("/do-blockstore")
    return words


def composed() -> dict[str, list[str]]:
    services: dict[str, Any] = yaml.safe_load((FLEET / "compose.yaml").read_text())["services"]
    return {
        name: shlex.split(service["command"])
        for name, service in services.items()
        if "command" in service
    }


def test_the_units_and_the_compose_file_start_what_there_is() -> None:
    known = {command.words for command in COMMANDS}
    commands = [
        command_of("do-blockstore-worker.service"),
        command_of("do-blockstore-scheduler.service"),
        *composed().values(),
    ]
    assert {" ".join(words[:2]) for words in commands} == {
        "jobs worker", "jobs schedule", "jobs migrate",
    } <= known  # fmt: skip
    assert {words[2] for words in commands} == {"/etc/do-blockstore/jobs.toml"}


def test_the_file_is_checked_as_the_readme_says(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "archive-token").write_text("c")
    path = tmp_path / "jobs.toml"
    path.write_text((FLEET / "jobs.toml").read_text())
    env = environment(tmp_path, SHOP_TOKEN="a", LAB_TOKEN="b")
    done = do("jobs", "check", str(path), env=env)
    assert done.code == 0, done.err
    for job in load_jobs(path).jobs:
        assert job in done.out


async def test_a_night_of_the_fleet(tmp_path: Path, base: str) -> None:
    names = load_jobs(FLEET / "jobs.toml").accounts
    async with AsyncExitStack() as stack:
        simulators = {
            name: await stack.enter_async_context(
                Simulator(volumes=12, seed=number, token=f"dop_v1_{number}", limits=STRICT)
            )
            for number, name in enumerate(names)
        }
        text = (FLEET / "jobs.toml").read_text()
        for name, simulator in simulators.items():
            text = text.replace(
                f"[accounts.{name}]", f'[accounts.{name}]\nbase_url = "{simulator.url}"'
            )
        path = tmp_path / "jobs.toml"
        path.write_text(text)
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / "archive-token").write_text(simulators["archive"].token)
        env = environment(
            tmp_path,
            SHOP_TOKEN=simulators["shop"].token,
            LAB_TOKEN=simulators["lab"].token,
            DO_BLOCKSTORE_DATABASE=base,
        )

        async def start(words: list[str]) -> Program:
            return await Program.start(*words[:2], str(path), "--limits", LIMITS, env=env)

        assert (await (await start(composed()["migrate"])).result())[0] == 0
        worker = await start(command_of("do-blockstore-worker.service"))
        scheduler = await start(command_of("do-blockstore-scheduler.service"))

        async def knows_the_jobs() -> bool:
            return await rows(base, "select count(*) from schedules") == [(9,)]

        await eventually(knows_the_jobs)
        # A week ago, so that each night's job is due by now.
        await rows(base, "update schedules set due_at = due_at - interval '8 days' returning 1")

        async def is_over() -> bool:
            found = await rows(
                base, "select job, conclusion from runs where finished_at is not null"
            )
            wanted = {"nightly": 2, "mark": 3, "orphans": 1}
            return all(
                sum(row[0] == job for row in found) == number for job, number in wanted.items()
            )

        await eventually(is_over)
        ended = await asyncio.gather(worker.end(), scheduler.end())
        assert [code for code, _ in ended] == [0, 0], ended
        for name, simulator in simulators.items():
            assert not simulator.world.refused, name
            assert all(simulator.token not in said for _, said in ended)
        assert len(list((tmp_path / "reports").glob("*-nightly-*.csv"))) == 2


@pytest.mark.parametrize("name", ["jobs.toml", "README.md", "compose.yaml"])
def test_nothing_in_the_example_is_a_token(name: str) -> None:
    assert "_v1_" not in (FLEET / name).read_text()
