"""The journal: what is on the disk when it says so, what it refuses, who works, what breaks it."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from do_blockstore_async import Config
from do_blockstore_async._clock import boot_s
from do_blockstore_async._log.sqlite import SqliteStore
from do_blockstore_async.bulk.errors import JournalError
from do_blockstore_async.bulk.execution.journal import Journal
from do_blockstore_async.bulk.execution.journal_reader import JournalPlace, remove_journal
from do_blockstore_async.bulk.execution.journal_state import (
    Begun,
    Joined,
    JournalFact,
    Timing,
    encode_fact,
)
from do_blockstore_async.bulk.execution.watch import read_details, read_status, watch_status
from do_blockstore_async.bulk.model.outcome import Ended
from do_blockstore_async.bulk.model.plan import Plan
from do_blockstore_async.bulk.model.selection import Selection
from do_blockstore_async.bulk.planning.snapshots import snapshot_steps
from tests.support.bulk_models import NOW, policy_of, volume
from tests.support.journals import (
    LATE_S,
    anything,
    failing_exchange,
    open_journal,
    opened,
    read_journal,
    write_journal,
)
from tests.support.servers import restartable_postgres
from tests.support.web_services import until


def plan(job: str = "nightly", count: int = 3) -> Plan:
    steps, _ = snapshot_steps([volume(n) for n in range(count)], [], policy_of(), None)
    return Plan(kind="snapshots", job=job, made_at=NOW, selection=Selection(), steps=tuple(steps))


PLAN = plan()
KEYS = [step.key for step in PLAN.steps]
DONE = Ended(status="done", duration_s=0.5)
FAILED = Ended(status="failed", reason="no\n\u2028é", code="x")
FORMER = b'0a1b2c3d {"journal":2,"plan":{"format":2}}\n'


@pytest.fixture(params=["sqlite", "postgres"])
def journal_name(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "j.db")
    url: str = request.getfixturevalue("postgres_url")
    return f"{url}#{request.node.name}"


# What is written.


async def test_what_was_written_is_read_back(journal_name: str) -> None:
    journal = await open_journal(journal_name, PLAN)
    assert await journal.claim(KEYS[:1], anything) == (KEYS[0],)
    assert await journal.claim(KEYS[1:], anything) == (KEYS[1], KEYS[2])
    written = {KEYS[0]: DONE, KEYS[1]: FAILED}
    assert await journal.finish(written, anything) == set(written)
    await journal.close()
    await journal.close()
    again = await open_journal(journal_name, None)
    assert again.plan == PLAN
    assert again.state.finished == written
    assert list(again.state.in_flight) == [KEYS[2]]
    assert await again.claim([KEYS[1]], anything)
    await again.close()
    state = await read_journal(journal_name)
    assert state.finished == {KEYS[0]: DONE}, "begun anew, so without an outcome until it has one"
    assert not state.present


async def test_two_workers_never_hold_one_step(journal_name: str) -> None:
    first = await open_journal(journal_name, PLAN)
    second = await open_journal(journal_name, PLAN)

    def free(journal: Journal) -> Callable[[str], bool]:
        known = journal.state.position
        return lambda key: (
            journal.state.is_untouched(key, known) or journal.state.is_mine(key, journal.mine)
        )

    one, two = await asyncio.gather(
        first.claim(KEYS, free(first)), second.claim(KEYS[:1], free(second))
    )
    assert sorted(one + two) == sorted(KEYS)
    assert await first.claim(one, free(first)) == one, "what is its own may be sent once more"
    ended = await second.finish(dict.fromkeys(KEYS, DONE), free(second))
    assert ended == set(two), "only what it has begun counts"
    await first.close()
    await second.close()
    assert set((await read_journal(journal_name)).finished) == set(two)


async def test_writers_of_one_moment_share_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await open_journal(tmp_path / "j", PLAN)
    real, writes = SqliteStore._exchange, list[int]()

    def exchange(store: SqliteStore, after: int, facts: Any, *rest: Any, **options: Any) -> Any:
        writes.extend([len(facts)] if facts else [])
        return real(store, after, facts, *rest, **options)

    monkeypatch.setattr(SqliteStore, "_exchange", exchange)
    await asyncio.gather(*(journal.claim([key], anything) for key in KEYS * 20))
    assert 1 <= len(writes) <= 3
    assert sum(writes) >= 60
    await journal.close()


async def test_it_is_on_the_disk_before_it_returns(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path / "j", PLAN)
    await journal.claim(KEYS[:1], anything)
    found = sqlite3.connect(tmp_path / "j")
    written = [bytes(data) for (data,) in found.execute("select data from facts")]
    assert sum(fact.startswith(b'["begun"') for fact in written) == 1
    found.close()
    assert journal.store._database is not None  # type: ignore[attr-defined]
    (level,) = journal.store._database.execute("pragma synchronous").fetchone()  # type: ignore[attr-defined]
    assert level == 2, "full: a power failure loses nothing"
    await journal.close()


async def test_a_cancelled_writer_does_not_stop_the_write(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path / "j", PLAN)
    tasks = [asyncio.create_task(journal.claim([key], anything)) for key in KEYS]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [(KEYS[1],), (KEYS[2],)]
    await journal.close()
    assert set(KEYS[1:]) <= set((await read_journal(tmp_path / "j")).in_flight)


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    await write_journal(tmp_path / "j", PLAN)
    assert (tmp_path / "j").stat().st_mode & 0o077 == 0


async def test_it_lies_where_the_user_wants_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)  # noqa: ASYNC240 -- a test may wait for its disk
    await (await open_journal(tmp_path / "j", PLAN)).close()
    assert os.listdir(tmp_path) == ["j"], "nothing is left beside it"  # noqa: PTH208
    with pytest.raises(JournalError, match=r"cannot be used.*open"):
        await open_journal(tmp_path / "none" / "j", PLAN)


# Who is there.


async def test_a_silent_worker_is_lost_and_comes_back_under_another_name(journal_name: str) -> None:
    first = await open_journal(journal_name, PLAN, LATE_S)
    await first.claim(KEYS[:2], anything)
    assert first._watcher is not None
    first._watcher.cancel()  # as if the process stood still
    second = await open_journal(journal_name, PLAN)
    await until(lambda: list(second.state.present) == second.mine)
    assert set(second.state.in_flight) == set(KEYS[:2])
    assert not second.state.is_held(KEYS[0], second.mine)
    assert await second.claim([KEYS[0]], anything) == (KEYS[0],)

    def may(key: str) -> bool:
        return first.state.is_mine(key, first.mine)

    assert await first.finish({KEYS[0]: DONE, KEYS[1]: DONE}, may) == {KEYS[1]}
    assert len(first.mine) >= 2
    assert first.is_present
    await first.close()
    await second.close()


async def test_a_worker_that_leaves_is_gone_at_once(journal_name: str) -> None:
    first = await open_journal(journal_name, PLAN)
    second = await open_journal(journal_name, PLAN)
    assert set(second.state.present) == {*first.mine, *second.mine}
    await first.close()
    await until(lambda: list(second.state.present) == second.mine)
    await second.close()


async def test_what_was_written_before_a_restart_of_the_machine_is_older_than_it(
    tmp_path: Path,
) -> None:
    store = SqliteStore(
        tmp_path / "j", clock=lambda: 5e5, boot="former", new_id=lambda: "id", is_own=False
    )
    facts: list[JournalFact] = [
        opened(PLAN),
        Joined("x", "host/1", Timing.of(30.0)),
        Begun("x", tuple(KEYS)),
    ]
    await store.exchange(0, [encode_fact(fact) for fact in facts])
    await store.aclose()
    journal = await open_journal(tmp_path / "j", None)
    assert journal.state.now_s >= 5e5 + boot_s() - 1
    assert journal.remaining_s(KEYS[0]) <= 40.0 - boot_s() + 1
    await journal.close()


# What it refuses.


async def test_a_journal_of_another_plan_is_refused(journal_name: str) -> None:
    await (await open_journal(journal_name, PLAN)).close()
    with pytest.raises(JournalError, match=r"belongs to another plan .job nightly.*resume that"):
        await open_journal(journal_name, plan("weekly"))  # J4


async def test_no_journal_no_resume(journal_name: str, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        await open_journal(journal_name, None)
    assert await read_status(journal_name) is None
    if "://" in journal_name:
        with psycopg.connect(journal_name.partition("#")[0]) as connection:
            rows = connection.execute("select key from do_blockstore.logs").fetchall()
        assert (f"journal:{JournalPlace.of(journal_name).name}",) not in rows, "looking writes"
    with pytest.raises(JournalError, match="there is no journal"):
        await anext(watch_status(journal_name, 1.0))
    await remove_journal(journal_name)
    assert not os.listdir(tmp_path)  # noqa: PTH208


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (FORMER, "written by an earlier version.*plan again"),
        (b"hello world, this is no journal\n", "is not a journal"),
        (b"deadbeef", "is not a journal"),
        (PLAN.to_json().encode(), "is not a journal"),
        (b"SQLite format 3\0" + b"x" * 100, "cannot be used: (?!the log)|is not a journal"),
    ],
)
async def test_another_file_is_refused_and_left_as_it_is(
    tmp_path: Path, data: bytes, words: str
) -> None:
    path = tmp_path / "j"
    path.write_bytes(data)
    for given in (None, PLAN):
        with pytest.raises(JournalError, match=words):
            await open_journal(path, given)
    with pytest.raises(JournalError, match=words):
        await read_status(path)
    with pytest.raises(JournalError, match=words):
        await remove_journal(path)
    assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["j"]  # noqa: PTH208


async def test_an_empty_file_is_a_journal_to_be(tmp_path: Path) -> None:
    (tmp_path / "j").touch()
    with pytest.raises(JournalError, match="is empty: there is nothing to resume"):
        await open_journal(tmp_path / "j", None)
    assert await read_status(tmp_path / "j") is None
    await (await open_journal(tmp_path / "j", PLAN)).close()


async def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("create table notes (text)")
    other.close()
    before = path.read_bytes()
    for work in (
        open_journal(path, PLAN),
        open_journal(path, None),
        read_status(path),
        remove_journal(path),
    ):
        with pytest.raises(JournalError, match="is not a journal; it was not changed"):
            await work
    assert path.read_bytes() == before


async def test_the_log_of_a_budget_is_no_journal(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "b" / "j", clock=boot_s, new_id=lambda: "id")
    await store.exchange(0, [b'["hello","w",1,"host/1",{}]'])
    await store.aclose()
    for work in (open_journal(store.path, PLAN), remove_journal(store.path)):
        with pytest.raises(JournalError, match="is not a journal"):
            await work


async def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "j", clock=boot_s, new_id=lambda: "id", is_own=False)
    await store.exchange(0, [encode_fact(opened(PLAN)).replace(b'"",3,', b'"",9,')])
    await store.aclose()
    for given in (PLAN, None):
        with pytest.raises(JournalError, match="has format 9, this version reads 3"):
            await open_journal(tmp_path / "j", given)


async def test_what_is_no_file_is_no_journal(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/full"), Path("/dev/null"), tmp_path):
        for given in (PLAN, None):
            with pytest.raises(JournalError, match="is not a regular file"):
                await open_journal(path, given)  # and it does not wait for a writer
    with pytest.raises(JournalError, match="not a path"):
        await open_journal("a\0b", PLAN)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("redis://:secret@host/0", "Redis keeps no journals.*last second"),
        ("rediss://host", "Redis keeps no journals"),
        ("mysql://root:secret@host/db", "a journal is a file, or postgresql://...#NAME"),
    ],
)
async def test_other_servers_keep_no_journals(name: str, words: str) -> None:
    with pytest.raises(JournalError, match=words) as caught:
        await open_journal(name, PLAN)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "postgresql://me:se#cret@host/db#n",
        "postgresql://me:se/cret@host/db#n",
        "postgresql://me:se?cret@host/db#n",
        "postgresql://[bad/db?password=cret",
    ],
)
def test_a_url_that_is_not_valid_is_refused_without_its_password(name: str) -> None:
    with pytest.raises(JournalError, match="URL of the journal") as caught:
        JournalPlace.of(name)
    assert "cret" not in str(caught.value)


def test_a_place_says_where_it_is_and_no_password() -> None:
    place = JournalPlace.of("postgresql://me:secret@db.local:5433/jobs?sslmode=require#a%20b")
    assert str(place) == "postgresql://db.local:5433/jobs#a b"
    assert "secret" not in repr(place)
    assert place.name == "a b"
    assert JournalPlace.of("postgresql:///jobs").name == "journal"
    assert JournalPlace.of("C:/x.db").where == Path("C:/x.db")


async def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(JournalError, match="PostgreSQL is away") as caught:
        await open_journal("postgresql://me:secret@127.0.0.1:1/jobs#x", PLAN)
    assert "secret" not in str(caught.value)


# What breaks it.


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_journal_that_was_moved_is_not_written_any_more(
    tmp_path: Path, replaced: bool
) -> None:
    path = tmp_path / "j"
    first = await open_journal(path, PLAN)
    await first.claim(KEYS[:1], anything)
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"j{end}").rename(tmp_path / f"old{end}")
    if replaced:
        await (await open_journal(path, PLAN)).close()
    with pytest.raises(JournalError, match=r"moved or replaced.*put it back and resume"):
        await first.claim(KEYS[1:], anything)
    assert first.broken is not None
    await first.close()
    assert path.exists() == replaced, "nothing takes its place"
    assert set((await read_journal(tmp_path / "old")).in_flight) == set(KEYS[:1])


async def test_without_threads_a_journal_says_so_instead_of_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    for _ in range(2):
        with pytest.raises(JournalError, match="can't start new thread"):
            async with asyncio.timeout(5):
                await open_journal(tmp_path / "j", PLAN)


@pytest.mark.parametrize(
    "error",
    [ValueError("odd"), MemoryError(), OSError(errno.ENOSPC, "No space left on device")],
)
async def test_whatever_breaks_the_writing_reaches_every_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    journal = await open_journal(tmp_path / "j", PLAN)
    monkeypatch.setattr(SqliteStore, "_exchange", failing_exchange(error))
    async with asyncio.timeout(5):
        results = await asyncio.gather(
            *(journal.claim([key], anything) for key in KEYS), return_exceptions=True
        )
        assert all(isinstance(result, JournalError) for result in results)
        with pytest.raises(JournalError, match="nothing more is started; free what is missing"):
            await journal.finish({KEYS[0]: DONE}, anything)
        monkeypatch.undo()
        await journal.close()


async def test_a_file_that_another_process_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("do_blockstore_async._log.sqlite._BUSY_S", 0.05)
    journal = await open_journal(tmp_path / "j", PLAN)
    holder = sqlite3.connect(tmp_path / "j", isolation_level=None)
    holder.execute("begin immediate")
    claiming = asyncio.create_task(journal.claim(KEYS[:1], anything))
    await until(lambda: journal.is_away)
    assert not claiming.done()
    holder.execute("commit")
    holder.close()
    assert await claiming == (KEYS[0],)
    assert not journal.is_away
    await journal.close()


async def test_a_full_disk_is_said(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path / "j", PLAN)
    database = journal.store._database  # type: ignore[attr-defined]
    (pages,) = database.execute("pragma page_count").fetchone()
    database.execute(f"pragma max_page_count = {pages}")
    long = Ended(status="failed", reason="x" * 200_000)
    with pytest.raises(JournalError, match=r"disk is full.*free what is missing"):
        await journal.finish({KEYS[0]: long}, anything)
    await journal.close()
    assert not (await read_journal(tmp_path / "j")).finished


# Those who look.


async def test_the_status_says_how_far_it_is_and_who_is_at_it(journal_name: str) -> None:
    journal = await open_journal(journal_name, PLAN)
    await journal.claim(KEYS[:2], anything)
    await journal.finish({KEYS[0]: DONE}, anything)
    status = await read_status(journal_name)
    assert status is not None
    assert (status.kind, status.job, status.made_at) == ("snapshots", "nightly", NOW)
    assert (status.total, status.done, status.remaining, status.in_doubt) == (3, 1, 2, 0)
    assert [(each.name, each.in_flight) for each in status.workers] == [
        (f"{os.uname().nodename}/{os.getpid()}", 1)
    ]
    assert status.ends_in_s is not None
    assert status.ends_in_s > 0
    assert not status.is_finished
    await journal.close()
    status = await read_status(journal_name)
    assert status is not None
    assert (status.workers, status.in_doubt, status.ends_in_s) == ((), 1, None)


async def test_the_details_say_what_became_of_each_step_and_what_is_left(
    journal_name: str,
) -> None:
    assert await read_details(journal_name) is None
    journal = await open_journal(journal_name, PLAN)
    await journal.claim(KEYS[:2], anything)
    await journal.finish({KEYS[0]: Ended(status="failed", reason="no")}, anything)
    details = await read_details(journal_name)
    assert details is not None
    assert details.plan == PLAN
    me = f"{os.uname().nodename}/{os.getpid()}"
    assert [(each.state, each.reason, each.worker) for each in details.steps] == [
        ("failed", "no", me),
        ("in_flight", "", me),
        ("not_started", "", ""),
    ]
    await journal.close()
    details = await read_details(journal_name)
    assert details is not None
    assert [each.state for each in details.steps] == ["failed", "in_doubt", "not_started"]
    assert [step.key for step in details.remainder().steps] == list(KEYS[1:])
    assert [step.key for step in details.remainder(retry_failed=True).steps] == [KEYS[0]]
    # Nobody took part: no worker has joined since.
    assert len((await read_journal(journal_name)).workers) == 1


async def test_a_run_can_be_watched_to_its_end(journal_name: str) -> None:
    journal = await open_journal(journal_name, PLAN)
    seen = list[int]()

    async def watch() -> None:
        async for status in watch_status(journal_name, 0.01):
            seen.append(status.done)

    def is_at(count: int) -> bool:
        return seen[-1:] == [count]

    watching = asyncio.create_task(watch())
    for count, key in enumerate(KEYS):
        await until(partial(is_at, count))
        await journal.claim([key], anything)
        await journal.finish({key: DONE}, anything)
    async with asyncio.timeout(5):
        await watching
    assert seen[-1] == 3
    assert seen == sorted(seen)
    await journal.close()


async def test_a_journal_that_somebody_uses_is_not_removed(journal_name: str) -> None:
    journal = await open_journal(journal_name, PLAN)
    with pytest.raises(JournalError, match=r"is in use by .*/\d+: stop it first"):
        await remove_journal(journal_name)
    removing = asyncio.create_task(remove_journal(journal_name))
    with pytest.raises(JournalError, match="is in use"):
        await removing
    # Once all is done, the others only have to read so.
    await journal.claim(KEYS, anything)
    await journal.finish(dict.fromkeys(KEYS, DONE), anything)
    removing = asyncio.create_task(remove_journal(journal_name))
    await asyncio.sleep(0.05)
    assert not removing.done()
    await journal.close()
    await removing
    assert await read_status(journal_name) is None


async def test_a_run_that_is_watched_may_be_removed(journal_name: str) -> None:
    journal = await open_journal(journal_name, PLAN)
    await journal.close()
    watching = aiter(watch_status(journal_name, 0.01))
    assert (await anext(watching)).done == 0
    await remove_journal(journal_name)
    with pytest.raises(StopAsyncIteration):
        await anext(watching)


# A server that is restarted.


async def test_postgres_is_restarted_in_the_middle_and_the_run_goes_on() -> None:
    from do_blockstore_async.simulator import World, connect_in_process

    with restartable_postgres() as server:
        if server is None:
            pytest.skip("postgres is not installed")

        def restart() -> None:
            server.stop()
            server.start()

        world = World(limits="none", volumes=60, snapshots=0, seed=5)
        config = Config(windows=((10**6, 60.0),))
        async with connect_in_process(world, config=config, latency_s=(0.0, 0.01)) as store:
            made = await store.bulk.plan_snapshots()
            run = store.bulk.run(made, journal=f"{server.url}#restart", concurrency=2)
            async with run:
                async for _ in run:
                    if run.counts["done"] == 20:
                        await asyncio.to_thread(restart)
        assert run.report().conclusion == "done"
        assert [r.status for r in world.requests if r.method == "POST"] == [201] * 60
