"""One suite for every store of a shared log: the promises L1 to L7 of `_log/store.py`."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis.asyncio

from do_blockstore_async._log.memory import MemoryLog, MemoryStore
from do_blockstore_async._log.postgres import PostgresStore
from do_blockstore_async._log.redis import RedisStore
from do_blockstore_async._log.sqlite import SqliteStore
from do_blockstore_async._log.store import CHANGED_WITHIN_S, PAGE, LogStore, LogStoreError
from do_blockstore_async.errors import StoreUnusableError

KINDS = ("memory", "sqlite", "redis", "postgres")


class Bench:
    """One log, and ways to it from several writers."""

    def __init__(self, kind: str, folder: Path, url: str = "") -> None:
        self.kind = kind
        self.url = url
        self.key = folder.name
        self.path = folder / "logs" / "budget.db"
        self.clock_s = 1000.0
        self._ids = itertools.count(1)
        self._log = MemoryLog(lambda: self.clock_s)
        self._opened: list[LogStore] = []

    def store(self) -> LogStore:
        store: LogStore
        options: Any = {"clock": time.monotonic, "new_id": lambda: f"id-{next(self._ids)}"}
        if self.kind == "memory":
            store = MemoryStore(self._log)
        elif self.kind == "redis":
            store = RedisStore(self.url, self.key, **options)
        elif self.kind == "postgres":
            store = PostgresStore(self.url, self.key, **options)
        else:
            store = SqliteStore(
                self.path, clock=lambda: self.clock_s, new_id=lambda: f"id-{next(self._ids)}"
            )
        self._opened.append(store)
        return store

    async def empty(self) -> None:
        if self.kind == "memory":
            self._log.__init__(lambda: self.clock_s, f"memory-{next(self._ids)}")  # type: ignore[misc]
        elif self.kind == "redis":
            async with redis.asyncio.Redis.from_url(self.url) as client:
                await client.flushall()
        elif self.kind == "postgres":
            async with await psycopg.AsyncConnection.connect(self.url) as connection:
                await connection.execute("truncate do_blockstore.logs, do_blockstore.facts")
        else:
            for path in self.path.parent.iterdir():
                path.unlink()

    async def set_clock(self, by_s: float) -> None:
        """Set the store's clock forward or back, as an administrator does."""
        self.clock_s += by_s
        if self.kind == "redis":
            # Its own cannot be set: so the stored correction is, which does the same to the sum.
            async with redis.asyncio.Redis.from_url(self.url) as client:
                key = f"do-blockstore:{{{self.key}}}:clock"
                shift, latest = map(int, (await client.get(key) or b"0 0").split())
                await client.set(key, f"{shift + round(by_s * 1e6)} {latest}")
        elif self.kind == "postgres":
            async with await psycopg.AsyncConnection.connect(self.url) as connection:
                await connection.execute(
                    "update do_blockstore.logs set shift_s = shift_s + %s where key = %s",
                    (by_s, self.key),
                )

    async def restart(self) -> None:
        """Every connection is gone, the log is not."""
        await self.aclose()

    async def aclose(self) -> None:
        opened, self._opened = self._opened, []
        for store in opened:
            await store.aclose()
            await store.aclose()


@pytest.fixture(params=KINDS)
async def bench(request: Any, tmp_path: Path) -> AsyncIterator[Bench]:
    url = ""
    if request.param in {"redis", "postgres"}:
        url = request.getfixturevalue(f"{request.param}_url")
    made = Bench(request.param, tmp_path, url)
    yield made
    await made.aclose()


async def read_all(store: LogStore) -> list[bytes]:
    found: list[bytes] = []
    after = 0
    while True:
        reply = await store.exchange(after)
        assert len(reply.facts) <= PAGE
        found += [fact.data for fact in reply.facts]
        if reply.is_whole:
            return found
        after = reply.facts[-1].position


async def test_facts_have_one_order_for_every_reader(bench: Bench) -> None:  # L1, L2, L5
    one, other = bench.store(), bench.store()
    empty = await one.exchange(0)
    assert (empty.accepted, empty.first, empty.last, empty.facts) == (True, 1, 0, ())
    assert empty.is_whole
    await asyncio.gather(
        *(
            store.exchange(0, [b"%b-%d-%d" % (name, n, part) for part in range(3)])
            for n in range(20)
            for name, store in ((b"one", one), (b"other", other))
        )
    )
    facts = await read_all(one)
    assert facts == await read_all(other)
    assert len(facts) == len(set(facts)) == 120
    # Those of one exchange stand together, in their order.
    for at in range(0, 120, 3):
        head = facts[at].rsplit(b"-", 1)[0]
        assert facts[at : at + 3] == [head + b"-%d" % part for part in range(3)]
    reply = await one.exchange(117)
    assert [fact.position for fact in reply.facts] == [118, 119, 120]


async def test_who_has_not_seen_everything_appends_nothing(bench: Bench) -> None:  # L2, L3
    one, other = bench.store(), bench.store()
    assert (await one.exchange(0, [b"a"], only_if=0)).accepted
    refused = await other.exchange(0, [b"b", b"c"], only_if=0)
    assert not refused.accepted
    assert [fact.data for fact in refused.facts] == [b"a"], "it is told at once what it missed"
    assert (await other.exchange(1, [b"b", b"c"], only_if=1)).accepted
    assert await read_all(one) == [b"a", b"b", b"c"]


async def test_of_many_writers_each_sees_all_before_it_writes(bench: Bench) -> None:  # L3
    async def writer(name: bytes) -> None:
        store, seen = bench.store(), 0
        for number in range(15):
            while True:
                reply = await store.exchange(seen, [b"%b%d" % (name, number)], only_if=seen)
                assert [f.position for f in reply.facts] == list(range(seen + 1, reply.last + 1))
                seen = reply.last
                if reply.accepted:
                    break

    await asyncio.gather(*(writer(name) for name in (b"a", b"b", b"c", b"d")))
    facts = await read_all(bench.store())
    assert len(facts) == 60
    for name in (b"a", b"b", b"c", b"d"):
        mine = [fact for fact in facts if fact.startswith(name)]
        assert mine == [b"%b%d" % (name, number) for number in range(15)]


async def test_dates_never_fall_whatever_the_clock_does(bench: Bench) -> None:  # L4
    store = bench.store()
    await store.exchange(0)
    dates: list[float] = []
    for by_s in (0.0, 30.0, -60.0, 3600.0, -5000.0, 7.0):
        await bench.set_clock(by_s)
        reply = await store.exchange(0, [b"x"])
        dates.append(reply.facts[-1].at_s)
        assert reply.now_s >= dates[-1]
    assert dates == sorted(dates)
    if bench.kind in {"redis", "postgres"}:
        assert dates[-1] - dates[0] < 5, "who was heard just now corrects it"
    await bench.set_clock(-5000.0)
    assert (await bench.store().exchange(0)).now_s >= dates[-1]


async def test_whoever_waits_for_a_change_is_woken(bench: Bench) -> None:
    store, other = bench.store(), bench.store()
    await store.exchange(0, [b"a"])
    for position in range(1, 4):
        waiting = asyncio.ensure_future(store.changed(position))
        await asyncio.sleep(0)
        await other.exchange(position, [b"b"])
        async with asyncio.timeout(CHANGED_WITHIN_S / 2):
            await waiting
        assert (await store.exchange(position)).last == position + 1
    # It may return for nothing, but it always returns.
    async with asyncio.timeout(CHANGED_WITHIN_S + 5):
        await store.changed(4)
    await bench.restart()
    async with asyncio.timeout(CHANGED_WITHIN_S + 5):
        await bench.store().changed(4)


async def test_a_lost_reply_leaves_facts_that_the_next_exchange_shows(bench: Bench) -> None:  # L7
    store = bench.store()
    await store.exchange(0, [b"before"])
    lost = asyncio.ensure_future(store.exchange(1, [b"lost"]))
    await asyncio.sleep(0)
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    reply = await store.exchange(1, [b"after"])
    data = [fact.data for fact in reply.facts]
    assert data in ([b"lost", b"after"], [b"after"])
    assert reply.accepted


async def test_a_long_log_is_read_in_pages(bench: Bench) -> None:  # L5
    store = bench.store()
    wanted = [b"%d" % number for number in range(2 * PAGE + 10)]
    await store.exchange(0, wanted)
    page = await store.exchange(0)
    assert (len(page.facts), page.is_whole, page.last) == (PAGE, False, len(wanted))
    assert await read_all(store) == wanted


async def test_a_trimmed_or_emptied_log_is_told(bench: Bench) -> None:  # L6
    store, other = bench.store(), bench.store()
    await store.exchange(0, [b"%d" % number for number in range(1, 11)])
    trimmed = await store.exchange(0, [b"11"], trim_before=8)
    assert (trimmed.first, trimmed.last) == (8, 11)
    assert [fact.data for fact in trimmed.facts] == [b"8", b"9", b"10", b"11"]
    gone = await other.exchange(11, trim_before=99)
    assert (gone.first, gone.last, gone.facts) == (12, 11, ())
    # Positions go on where they were.
    assert (await store.exchange(11, [b"12"], only_if=11)).facts[0].position == 12
    before = (await store.exchange(0)).log_id
    await bench.empty()
    after = await store.exchange(12)
    assert after.log_id != before
    assert (after.last, after.facts) == (0, ())


async def test_a_restarted_store_has_lost_nothing(bench: Bench) -> None:
    store = bench.store()
    before = await store.exchange(0, [b"a", b"b"])
    await bench.restart()
    await bench.set_clock(-900.0)
    after = await bench.store().exchange(0, [b"c"], only_if=2)
    assert after.accepted
    assert after.log_id == before.log_id
    assert after.now_s >= before.now_s
    assert [fact.data for fact in after.facts] == [b"a", b"b", b"c"]


@pytest.mark.parametrize("kind", ["redis", "postgres"])
async def test_a_server_that_is_away_is_said_without_its_password(kind: str) -> None:
    options: Any = {"clock": time.monotonic, "new_id": lambda: "id"}
    store: LogStore
    if kind == "redis":
        store = RedisStore("redis://:hunter2@127.0.0.1:1", "key", **options)
    else:
        store = PostgresStore("postgresql://me:hunter2@127.0.0.1:1/x", "key", **options)
    with pytest.raises(LogStoreError, match="is away") as error:
        await store.exchange(0)
    assert "hunter2" not in str(error.value)
    await store.aclose()


# What only files know.


def sqlite(path: Path, **options: Any) -> SqliteStore:
    return SqliteStore(path, clock=time.monotonic, new_id=lambda: "id", **options)


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[SqliteStore]:
    store = sqlite(path, **options)
    try:
        yield store
    finally:
        await store.aclose()


async def test_what_is_slow_is_done_in_a_thread_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_s = took_s = 0.0
    done_in: list[bool] = []

    class Recorded(SqliteStore):
        def _exchange(self, *args: Any, **options: Any) -> Any:
            nonlocal shown_s
            shown_s += took_s
            done_in.append(threading.current_thread() is threading.main_thread())
            return super()._exchange(*args, **options)

    async def exchanges(count: int) -> list[bool]:
        done_in.clear()
        for _ in range(count):
            await store.exchange(0)
        return done_in

    monkeypatch.setattr("do_blockstore_async._log.sqlite.boot_s", lambda: shown_s)
    store = Recorded(
        tmp_path / "log.db", clock=time.monotonic, new_id=lambda: "id", synchronous="off"
    )
    await store.exchange(0)  # which opens it
    assert await exchanges(2) == [True, True]
    for rest_s in (0.5, 1.0, 2.0, 4.0, 8.0, 8.0):
        took_s = 0.005  # as where another thread computes
        assert await exchanges(3) == [True, False, False]
        took_s = 0.0
        shown_s += rest_s - 0.011  # two in the thread took 10 ms of it
        assert await exchanges(1) == [False]
        shown_s += 0.002
    assert await exchanges(2) == [True, True]
    took_s = 0.005
    assert await exchanges(2) == [True, False]
    shown_s += 0.51
    assert await exchanges(1) == [True], "the rest is short again after one that was quick"
    shown_s -= 0.4
    await asyncio.wait_for(store.changed(0), 60)  # in the thread as well
    monkeypatch.setattr("do_blockstore_async._log.sqlite.CHANGED_WITHIN_S", 0.05)
    with store._in_use:  # and not for longer than that, whatever the thread waits for
        await asyncio.wait_for(store.changed(0), 60)
    await store.aclose()


async def test_its_file_is_this_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "budget.db"
    async with opened(path, synchronous="full") as store:
        await store.exchange(0, [b"x"])
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.chmod(0o777)
    async with opened(path) as store:
        with pytest.raises(StoreUnusableError, match="chmod 700"):
            await store.exchange(0)


async def test_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.read_text

    def mounts(path: Path, *args: Any, **options: Any) -> str:
        if str(path) == "/proc/self/mounts":
            return f"/dev/sda1 / ext4 rw 0 0\nserver:/home {tmp_path} nfs4 rw 0 0\n"
        return real(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", mounts)
    async with opened(tmp_path / "logs" / "budget.db") as store:
        with pytest.raises(StoreUnusableError, match="is on a network file system"):
            await store.exchange(0)


@pytest.mark.parametrize("trouble", ["not a database", "another format", "a folder"])
async def test_what_is_no_log_is_refused_in_words(tmp_path: Path, trouble: str) -> None:
    path = tmp_path / "logs" / "budget.db"
    path.parent.mkdir(mode=0o700)
    if trouble == "not a database":
        path.write_bytes(b"my precious notes" * 100)
    elif trouble == "a folder":
        path.mkdir()
    else:
        async with opened(path) as store:
            await store.exchange(0)
        database = sqlite3.connect(path)
        database.execute("update log set format = 99")
        database.commit()
        database.close()
    async with opened(path) as store:
        with pytest.raises(StoreUnusableError, match=r"cannot be used|has format 99"):
            await store.exchange(0)
    if trouble == "not a database":
        assert path.read_bytes().startswith(b"my precious notes")


WRITER = """
import asyncio, sys, time
from do_blockstore_async._log.sqlite import SqliteStore

async def main(path, name, count):
    store = SqliteStore(path, clock=time.monotonic, new_id=lambda: name)
    seen = 0
    for number in range(count):
        while True:
            fact = f"{name} {number} {seen}".encode()
            reply = await store.exchange(seen, [fact], only_if=seen)
            seen = reply.facts[-1].position if reply.facts else seen
            if reply.accepted:
                print(number, flush=True)
                break
    await store.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str, int], subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def start(name: str, count: int) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", WRITER, str(tmp_path / "logs" / "b.db"), name, str(count)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env)  # noqa: S603
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def test_processes_write_one_after_the_other_and_one_that_is_killed_harms_nobody(
    tmp_path: Path, started: Callable[[str, int], subprocess.Popen[str]]
) -> None:
    victim = started("victim", 10**9)
    others = [started(name, 60) for name in ("a", "b", "c")]
    assert victim.stdout is not None
    for _ in range(20):
        await asyncio.to_thread(victim.stdout.readline)
    victim.send_signal(signal.SIGKILL)
    for process in others:
        assert await asyncio.to_thread(process.wait, 60) == 0
    async with opened(tmp_path / "logs" / "b.db") as store:
        facts = [fact.decode().split() for fact in await read_all(store)]
    for name in ("a", "b", "c"):
        assert [int(number) for who, number, _ in facts if who == name] == list(range(60))
    assert sum(who == "victim" for who, _, _ in facts) >= 20, "what was acknowledged is there"
    # R2: each fact was written with all before it seen.
    assert [int(seen) for _, _, seen in facts] == list(range(len(facts)))
