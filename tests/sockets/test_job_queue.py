"""Jobs of a file through procrastinate, on a real PostgreSQL, by real worker processes."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import procrastinate
import psycopg
import pytest

from do_blockstore_async import Config, ConfigError
from do_blockstore_async.cli.jobs.status import runs_of_queue
from do_blockstore_async.integrations import procrastinate as module
from do_blockstore_async.integrations._queue import database, results, schedules
from do_blockstore_async.integrations.procrastinate import JobQueue, JobQueueError
from do_blockstore_async.jobs import JobsFile, parse_jobs
from do_blockstore_async.simulator import Simulator
from tests.support.cli import environment
from tests.support.web_services import until

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


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
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
            await Program.start("jobs", "worker", str(path), "--concurrency", "2", *words, env=env)
            for _ in range(2)
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
        code, shown = await (await Program.start("jobs", "status", str(path), env=env)).result()
        assert (code, shown.count("nightly")) == (0, 4), shown
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
    assert "do_blockstore.facts" in names
    for name in names:
        for row in await rows(base, f"select t::text from {name} t"):  # noqa: S608
            # Bytes are shown in hexadecimal.
            assert "c0ffee" not in row[0], name
            assert b"c0ffee".hex() not in row[0], name
    assert not any("c0ffee" in text for text in texts)


# The worker, here in this process.


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_LOOK_S", 0.1), ("_RECONNECT_S", 0.1), ("_SCHEDULER_S", 0.1)):
        monkeypatch.setattr(module, name, seconds)


@asynccontextmanager
async def queue_of(
    base: str, file: JobsFile | None = None, **environ: str
) -> AsyncIterator[JobQueue]:
    config = Config(late_arrival_s=0.2, cold_start_concurrency=4, max_attempts=1)
    one = attrs.evolve(jobs_file(ONE) if file is None else file, budget="process")
    async with JobQueue(one, base, environ or {"SHOP_TOKEN": "x"}, config=config) as queue:
        yield queue


def file_at(url: str, kind: str = "snapshot", more: str = "") -> JobsFile:
    return jobs_file(
        f'[accounts.shop]\ntoken_env = "SHOP_TOKEN"\nbase_url = "{url}"\n'
        f'[jobs.nightly]\nkind = "{kind}"\ncron = "30 2 * * *"\n{more}'
    )


@asynccontextmanager
async def working(queue: JobQueue) -> AsyncIterator[asyncio.Event]:
    stopping = asyncio.Event()
    task = asyncio.create_task(queue.work(stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        async with asyncio.timeout(WITHIN_S):
            await task


async def concluded(queue: JobQueue) -> module.QueuedRun:
    async def has() -> bool:
        found = await queue.results()
        return bool(found) and (found[0].conclusion or found[0].error) is not None

    await eventually(has)
    return (await queue.results())[0]


@pytest.mark.usefixtures("hasty")
async def test_a_worker_that_stops_hands_its_run_back(base: str) -> None:
    await JobQueue.migrate(base)
    async with Simulator(volumes=40, latency_s=0.05, limits="none") as simulator:
        old = len(simulator.world.snapshots)
        file = file_at(simulator.url, more="concurrency = 1")
        async with queue_of(base, file, SHOP_TOKEN=simulator.token) as queue:
            due = await queue.put("shop", "nightly")
            assert await queue.put("shop", "nightly") is None
            async with working(queue):
                await until(lambda: len(simulator.world.snapshots) > old + 2)
                (shown,) = await runs_of_queue(base, await queue.results())
                assert (shown.state, len(shown.workers)) == ("running", 1)
                assert shown.journal
            assert (await queue.results())[0].conclusion is None
            (shown,) = await runs_of_queue(base, await queue.results())
            assert (shown.state, shown.workers) == ("waiting", ())
            assert shown.counts is not None
            assert 2 < shown.counts["done"] < 40
            assert old + 2 < len(simulator.world.snapshots) < old + 40
        async with queue_of(base, file, SHOP_TOKEN=simulator.token) as queue, working(queue):
            run = await concluded(queue)
        assert (run.account, run.job, run.due_at) == ("shop", "nightly", due)
        assert (run.conclusion, run.attempts, run.error) == ("done", 2, None)
        assert run.counts is not None
        assert run.counts["done"] == 40
        assert len(simulator.world.snapshots) == old + 40


@pytest.mark.usefixtures("hasty")
async def test_connections_lost_in_the_middle_are_made_again(base: str) -> None:
    await JobQueue.migrate(base)
    async with Simulator(volumes=30, latency_s=0.05, limits="none") as simulator:
        old = len(simulator.world.snapshots)
        file = file_at(simulator.url, more="concurrency = 1")
        async with queue_of(base, file, SHOP_TOKEN=simulator.token) as queue, working(queue):
            await queue.put("shop", "nightly")
            await until(lambda: len(simulator.world.snapshots) > old + 2)
            await rows(
                base,
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = "
                "current_database() and pid <> pg_backend_pid()",
            )
            run = await concluded(queue)
            assert (run.conclusion, run.error) == ("done", None)
            assert len(simulator.world.snapshots) == old + 30
            # And it works on.
            await queue.put("shop", "nightly")

            async def both() -> bool:
                return [run.conclusion for run in await queue.results()] == ["done", "done"]

            await eventually(both)


@pytest.mark.usefixtures("hasty")
async def test_a_run_that_is_wrong_in_itself_is_not_repeated(base: str) -> None:
    await JobQueue.migrate(base)
    async with (
        Simulator(volumes=1, limits="none") as simulator,
        queue_of(base, file_at(simulator.url), SHOP_TOKEN="dop_v1_" + "0" * 64) as queue,
        working(queue),
    ):
        await queue.put("shop", "nightly")
        run = await concluded(queue)
        assert run.conclusion == "failed"
        assert run.error
        assert "0000" not in run.error
        await eventually(lambda: is_status(base, "failed"))


async def is_status(base: str, status: str) -> bool:
    return await rows(base, "select status::text from procrastinate_jobs") == [(status,)]


@pytest.mark.usefixtures("hasty")
async def test_a_run_that_the_network_failed_is_repeated_later(base: str) -> None:
    await JobQueue.migrate(base)
    async with queue_of(base, file_at("http://127.0.0.1:1")) as queue, working(queue):
        await queue.put("shop", "nightly")
        run = await concluded(queue)
        assert (run.conclusion, run.finished_at) == (None, None)
        await eventually(lambda: is_status(base, "todo"))
        ((later,),) = await rows(base, "select scheduled_at - now() from procrastinate_jobs")
        assert timedelta(seconds=20) < later <= timedelta(seconds=30)


@pytest.mark.usefixtures("hasty")
async def test_each_kind_of_job_runs_and_leaves_its_report(base: str, tmp_path: Path) -> None:
    await JobQueue.migrate(base)
    async with Simulator(volumes=12, seed=3, limits="none") as simulator:
        text = "\n".join(
            f'[jobs.{name}]\nkind = "{kind}"\nreport = "{{job}}.json"\nmax_share = 1\n{more}'
            if kind not in {"inventory", "orphan-tags"}
            else f'[jobs.{name}]\nkind = "{kind}"\nreport = "{{job}}.json"\n{more}'
            for name, kind, more in (
                ("nightly", "snapshot", "keep = { last = 1 }\nmax_pruned_share = 1"),
                (
                    "prune",
                    "prune",
                    'keep = { last = 1 }\nsnapshots_of = "nightly"\nmax_pruned_share = 1',
                ),
                ("clean", "delete", 'select = { tags = ["no-such-tag"] }'),
                ("mark", "orphan-tags", ""),
                ("orphans", "orphan-delete", "grace_days = 0"),
                ("all", "inventory", ""),
            )
        )
        account = f'[accounts.shop]\ntoken_env = "SHOP_TOKEN"\nbase_url = "{simulator.url}"\n'
        file = jobs_file(account + text, tmp_path / "fleet.toml")
        async with queue_of(base, file, SHOP_TOKEN=simulator.token) as queue, working(queue):
            for name in file.jobs:
                await queue.put("shop", name)

            async def all_done() -> bool:
                return len([run for run in await queue.results() if run.finished_at]) == 6

            await eventually(all_done)
            assert {run.conclusion for run in await queue.results()} == {"done"}
        written = {path.stem for path in tmp_path.glob("*.json")}  # noqa: ASYNC240
        assert written == set(file.jobs) - {"clean"}  # Nothing is selected: nothing to report.
        kept = await rows(base, "select job from runs where report::text like '{%items%'")
        assert {job for (job,) in kept} >= {"nightly", "mark"}


@pytest.mark.usefixtures("hasty")
async def test_a_worker_that_dies_before_it_tells_the_queue_leaves_nothing_to_do_twice(
    base: str,
) -> None:
    await JobQueue.migrate(base)
    async with Simulator(volumes=3, limits="none") as simulator:
        text = 'name_template = "{volume}-{region}-{date}-{time}"'
        file = file_at(simulator.url, more=text)
        async with queue_of(base, file, SHOP_TOKEN=simulator.token) as queue, working(queue):
            await queue.put("shop", "nightly")
            await eventually(lambda: is_status(base, "succeeded"))
            taken = len(simulator.world.snapshots)
            simulator.clock.advance(3600)
            # A job without a worker is that of a dead one, which the queue has struck off.
            await rows(
                base,
                "update procrastinate_jobs set status = 'doing', worker_id = null returning 1",
            )
            await eventually(lambda: is_status(base, "succeeded"))
            (run,) = await queue.results()
            assert (run.attempts, run.conclusion) == (1, "done")
            assert len(simulator.world.snapshots) == taken
            # Nor does one that was only slow, and comes back when another has taken over.
            key = (run.account, run.job, run.due_at)
            await queue._note(results.failed, key, 0, "the journal was moved")
            await queue._note(results.finished, key, 0, "failed", None, "the token was changed")
            assert (await queue.results())[0] == run


@pytest.mark.usefixtures("hasty")
async def test_old_runs_are_forgotten(base: str) -> None:
    await JobQueue.migrate(base)
    async with Simulator(volumes=1, limits="none") as simulator:
        file = file_at(simulator.url)
        async with queue_of(base, file, SHOP_TOKEN=simulator.token) as queue, working(queue):
            for _ in range(2):
                await queue.put("shop", "nightly")

                async def is_over() -> bool:
                    statuses = await rows(base, "select status::text from procrastinate_jobs")
                    return {status for (status,) in statuses} == {"succeeded"}

                await eventually(is_over)
                assert len(await queue.results()) == 1
                await rows(base, "update runs set due_at = due_at - interval '91 days' returning 1")


# The scheduler.


def at(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """Let the database say that it is `now`."""
    monkeypatch.setattr(schedules, "_NOW", f"select timestamptz '{now.isoformat()}'")


async def look(queue: JobQueue, *schedulers: str) -> None:
    """Each of these schedulers looks once, at the same time."""

    async def one(name: str) -> None:
        async with queue._connector.pool.connection() as connection:
            await schedules.take_due(connection, queue._file, name, queue._queue_due)

    await asyncio.gather(*map(one, schedulers))


async def queued(base: str) -> list[datetime]:
    found = await rows(base, "select args->>'due' from procrastinate_jobs order by id")
    return [datetime.fromisoformat(due) for (due,) in found]


async def finish_queued(base: str) -> None:
    await rows(base, "update procrastinate_jobs set status = 'succeeded' returning 1")


ROME = ONE.replace("* * * * *", "30 2 * * *").replace("[acc", 'time_zone = "Europe/Rome"\n[acc')


async def test_two_schedulers_queue_each_night_once_also_when_the_clocks_change(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await JobQueue.migrate(base)
    async with queue_of(base, jobs_file(ROME)) as queue:
        for start in (
            datetime(2026, 3, 28, tzinfo=UTC),  # 2:30 is left out on the 29th
            datetime(2026, 10, 24, tzinfo=UTC),  # and comes twice on the 25th
        ):
            await rows(base, "delete from procrastinate_jobs returning 1")
            await rows(base, "delete from schedules returning 1")
            for hours in range(3 * 24):
                at(monkeypatch, start + timedelta(hours=hours))
                await look(queue, "one", "two")
                await finish_queued(base)
            nights = await queued(base)
            assert [night.day for night in nights] == [start.day, start.day + 1, start.day + 2]


async def test_missed_nights_are_made_up_for_by_one_run(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await JobQueue.migrate(base)
    async with queue_of(base, jobs_file(ROME)) as queue:
        now = datetime(2026, 6, 1, 12, tzinfo=UTC)
        at(monkeypatch, now)
        await look(queue, "one")
        assert await queued(base) == []  # It is new, and has missed nothing.
        at(monkeypatch, now + timedelta(days=5))
        await look(queue, "one", "two")
        assert await queued(base) == [datetime(2026, 6, 6, 0, 30, tzinfo=UTC)]
        # While it waits, no other one is queued.
        at(monkeypatch, now + timedelta(days=7))
        await look(queue, "one", "two")
        assert len(await queued(base)) == 1
        await finish_queued(base)
        at(monkeypatch, now + timedelta(days=8))
        await look(queue, "one", "two")
        assert len(await queued(base)) == 2
    # Another time of the day has missed nothing either.
    later = ROME.replace("30 2", "0 11")
    async with queue_of(base, jobs_file(later)) as queue:
        at(monkeypatch, now + timedelta(days=8, hours=1))
        await look(queue, "one")
        assert len(await queued(base)) == 2


async def test_two_files_that_schedule_one_job_are_refused(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await JobQueue.migrate(base)
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    at(monkeypatch, now)
    other = jobs_file(ROME, Path("other.toml"))
    edited = jobs_file(ROME.replace("30 2", "30 3"))
    async with queue_of(base, jobs_file(ROME)) as queue:
        await look(queue, "host-1:7")
        await look(queue, "host-2:8")  # The same file elsewhere does no harm.
        for file, says in ((other, "from the file fleet"), (edited, "another version")):
            async with queue_of(base, file) as second:
                with pytest.raises(ConfigError, match=f"scheduled by host-2:8 {says}|{says}"):
                    await look(second, "host-3:9")
                with pytest.raises(ConfigError, match="rename the job"):
                    await second.schedule(asyncio.Event())
        await look(queue, "host-1:7")
    # Once the others are gone, whether in order or not, their jobs are free.
    at(monkeypatch, now + timedelta(seconds=61))
    async with queue_of(base, other) as queue:
        await look(queue, "host-3:9")
        async with database.connect(base) as connection:
            await schedules.release(connection, "host-3:9")
    async with queue_of(base, edited) as queue:
        await look(queue, "host-4:1")


# Bad databases.


async def test_a_database_without_tables_names_the_command(base: str) -> None:
    with pytest.raises(ConfigError, match="do-blockstore jobs migrate FILE"):
        async with queue_of(base):
            pass


async def test_migrations_run_once_whoever_runs_them(base: str) -> None:
    done = await asyncio.gather(*(JobQueue.migrate(base) for _ in range(4)))
    assert sorted(done) == [False, False, False, True]
    async with queue_of(base):
        pass


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("version = version + 1", "upgrade do-blockstore-async"),
        ("procrastinate = '99'", "upgrade that here"),
        ("version = 0", "do-blockstore jobs migrate FILE"),
        ("procrastinate = '03.04.00_01'", "do-blockstore jobs migrate FILE"),
    ],
)
async def test_tables_of_another_version_are_refused(base: str, change: str, says: str) -> None:
    await JobQueue.migrate(base)
    ((latest,),) = await rows(base, "select procrastinate from about")
    await rows(base, f"update about set {change} returning 1")  # noqa: S608
    with pytest.raises(ConfigError, match=says):
        async with queue_of(base):
            pass
    if "upgrade" in says:
        with pytest.raises(ConfigError, match=says):
            await JobQueue.migrate(base)
    elif change == "version = 0":
        assert await JobQueue.migrate(base)
        assert await rows(base, "select version, procrastinate from about") == [(1, latest)]


async def test_missing_rights_and_wrong_places_are_said_clearly(base: str) -> None:
    await rows(base, "select 1")
    async with database.connect(base) as connection:
        await connection.execute("drop role if exists nobody")
        await connection.execute("create role nobody login")
    as_nobody = base.replace("tester@", "nobody@")
    with pytest.raises(ConfigError, match="to migrate, a user needs create on the database"):
        await JobQueue.migrate(as_nobody)
    await JobQueue.migrate(base)
    with pytest.raises(ConfigError, match="lacks a right"):
        async with queue_of(as_nobody):
            pass
    for url in (
        base.replace("/jobs?", "/nowhere?"),
        base.replace("tester@", "hunter2:hunter2@"),
        "postgresql://u:hunter2@127.0.0.1:1/x",
    ):
        with pytest.raises(JobQueueError, match="does not answer") as caught:
            async with queue_of(url):
                pass
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="not valid") as wrong:
        JobQueue(jobs_file(ONE), "postgresql://u:hunter2@h/x?nonsense=1")
    assert "hunter2" not in str(wrong.value)


async def test_another_program_may_use_procrastinate_in_the_same_database(base: str) -> None:
    other = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=base))
    async with other.open_async():
        await other.schema_manager.apply_schema_async()
    await JobQueue.migrate(base)
    async with queue_of(base) as queue:
        await queue.put("shop", "nightly")
    assert await rows(base, "select count(*) from public.procrastinate_jobs") == [(0,)]
