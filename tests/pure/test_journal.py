"""The journal: torn ends, damage, the lock, and what is read back after a crash at any byte."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async.bulk.errors import JournalError
from do_blockstore_async.bulk.execution.journal import Journal, read_lines
from do_blockstore_async.bulk.model.outcome import Ended
from do_blockstore_async.bulk.model.plan import Plan
from do_blockstore_async.bulk.model.selection import Selection
from do_blockstore_async.bulk.planning.snapshots import snapshot_steps
from tests.support.bulk_models import NOW, policy_of, volume

WHERE = Path("x.journal")


def plan(job: str = "nightly", count: int = 3) -> Plan:
    steps, _ = snapshot_steps([volume(n) for n in range(count)], [], policy_of(), None)
    return Plan(kind="snapshots", job=job, made_at=NOW, selection=Selection(), steps=tuple(steps))


PLAN = plan()
KEYS = [step.key for step in PLAN.steps]
DONE = Ended(status="done", duration_s=0.5)
FAILED = Ended(status="failed", reason="no\n\u2028é", code="x")


async def written(path: Path) -> bytes:
    """A journal of three steps: one done, one failed, one under way."""
    journal = Journal.open(path, PLAN)
    await journal.start(KEYS[:1], 1.0)
    await journal.start(KEYS[1:], 2.0)
    await journal.finish({KEYS[0]: DONE, KEYS[1]: FAILED})
    await journal.close()
    return path.read_bytes()  # noqa: ASYNC240 -- a test may wait for its disk


async def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    await written(tmp_path / "j")
    journal = Journal.open(tmp_path / "j", None)
    assert journal.plan == PLAN
    assert journal.finished == {KEYS[0]: DONE, KEYS[1]: FAILED}
    assert journal.started == {KEYS[0]: 1.0, KEYS[1]: 2.0, KEYS[2]: 2.0}
    await journal.start([KEYS[1]], 3.0)
    await journal.close()
    again = Journal.open(tmp_path / "j", PLAN)
    assert again.finished == {KEYS[0]: DONE}, "started anew, so without an outcome until it has one"
    await again.close()
    await again.close()


async def test_cut_off_at_any_byte_it_is_a_beginning_of_what_happened(tmp_path: Path) -> None:
    path = tmp_path / "j"
    data = await written(path)
    lines = data.split(b"\n")[:-1]
    ends = [sum(len(line) + 1 for line in lines[: n + 1]) for n in range(len(lines))]
    step = max(1, ends[0] // 50)
    for cut in [*range(0, ends[0], step), *range(ends[0], len(data) + 1)]:
        path.write_bytes(data[:cut])
        if 0 < cut < 8:
            continue  # nobody can tell it from another file, see below
        journal = Journal.open(path, PLAN)  # J2
        whole = sum(1 for end in ends if end <= cut)
        assert len(journal.finished) == max(0, whole - 3)
        assert len(journal.started) == (0, 0, 1, 3, 3, 3)[whole]
        await journal.finish({KEYS[2]: DONE})
        await journal.close()
        again = Journal.open(path, None)
        assert again.finished[KEYS[2]] == DONE
        await again.close()


async def test_a_damaged_line_with_a_good_one_behind_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    data = await written(path)
    at = data.index(b"\n") + 20
    path.write_bytes(data[:at] + b"#" + data[at + 1 :])
    with pytest.raises(JournalError, match=r"damaged in line 2.*plan again"):
        Journal.open(path, PLAN)
    assert path.read_bytes()[at : at + 1] == b"#", "what is refused is left as it is"


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    records, good = read_lines(data, WHERE)
    assert not records
    assert good == 0


@given(st.binary(max_size=60))
@settings(max_examples=50)
def test_garbage_behind_the_good_lines_is_cut_away(garbage: bytes) -> None:
    line = b'282c0d6b {"finished":"a"}\n'
    good = line if len(read_lines(line, WHERE)[0]) else b""
    _, upto = read_lines(good + garbage, WHERE)
    assert upto == len(good)


async def test_a_journal_in_use_is_refused_until_it_is_let_go(tmp_path: Path) -> None:
    first = Journal.open(tmp_path / "j", PLAN)
    with pytest.raises(JournalError, match="in use by another run") as caught:
        Journal.open(tmp_path / "j", PLAN)
    assert caught.value.in_use
    await first.close()
    await Journal.open(tmp_path / "j", PLAN).close()


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_journal_that_was_moved_is_not_written_any_more(
    tmp_path: Path, replaced: bool
) -> None:
    path = tmp_path / "j"
    first = Journal.open(path, PLAN)
    await first.start(KEYS[:1], 1.0)
    path.rename(tmp_path / "old")
    if replaced:
        await Journal.open(path, PLAN).close()
    with pytest.raises(JournalError, match="moved or replaced"):
        await first.start(KEYS[1:], 2.0)
    await first.close()
    again = Journal.open(tmp_path / "old", None)
    assert set(again.started) == set(KEYS[:1])
    await again.close()


def test_a_disk_without_locks_is_said_and_the_file_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: Any = []
    real = os.close

    def no_locks(file: int) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("do_blockstore_async.bulk.execution.journal.lock_file", no_locks)
    monkeypatch.setattr(os, "close", lambda file: closed.append(file) or real(file))
    with pytest.raises(JournalError, match="No locks available"):
        Journal.open(tmp_path / "j", PLAN)
    assert len(closed) == 1


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from do_blockstore_async.bulk.execution.file_lock import lock_file\n"
        "assert lock_file(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT))\n"
        "print('locked', flush=True); sys.stdin.read()\n"
    )
    path = tmp_path / "j"
    child = subprocess.Popen(  # noqa: S603 -- this very interpreter
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(JournalError, match="in use"):  # J3
            Journal.open(path, PLAN)
        child.kill()
        child.wait()
    asyncio.run(Journal.open(path, PLAN).close())


async def test_a_journal_of_another_plan_is_refused(tmp_path: Path) -> None:
    await written(tmp_path / "j")
    with pytest.raises(JournalError, match=r"belongs to another plan .job nightly.*resume that"):
        Journal.open(tmp_path / "j", plan("weekly"))  # J4


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty: run the plan"),
        (b"hello world, this is no journal\n", "not a journal"),
        (b"deadbeef", "not a journal"),
        (PLAN.to_json().encode(), "not a journal"),
    ],
)
async def test_resuming_what_is_no_journal_is_refused(
    tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "j").write_bytes(data)
    with pytest.raises(JournalError, match=words):
        Journal.open(tmp_path / "j", None)
    assert (tmp_path / "j").read_bytes() == data


async def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "j"
    mine = (b"my precious notes\n", b"my precious notes", b"deadbeef or not", b"abc\n", b"\n")
    for text in (*mine, b"deadbeef", b"abc", b"0", b'deadbeef {"journal":1'):
        path.write_bytes(text)
        with pytest.raises(JournalError, match="not a journal"):
            Journal.open(path, PLAN)
        assert path.read_bytes() == text


async def test_no_journal_no_resume(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        Journal.open(tmp_path / "j", None)
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal.open(tmp_path, PLAN)


async def test_what_is_no_file_is_no_journal(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/full"), Path("/dev/null")):
        for plan in (PLAN, None):
            with pytest.raises(JournalError, match="not a regular file"):
                Journal.open(path, plan)  # and it does not wait for a writer
    with pytest.raises(JournalError, match="not a path"):
        Journal.open("a\0b", PLAN)


async def test_without_threads_a_journal_says_so_instead_of_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "j", PLAN)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    for _ in range(2):
        with pytest.raises(JournalError, match="can't start new thread"):
            async with asyncio.timeout(5):
                await journal.start([KEYS[0]], 1.0)
    monkeypatch.undo()
    await journal.close()


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError(), JournalError("moved")])
async def test_whatever_breaks_the_writing_reaches_every_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    journal = Journal.open(tmp_path / "j", PLAN)

    def broken(file: int, data: Any) -> int:
        raise error

    monkeypatch.setattr(os, "write", broken)
    async with asyncio.timeout(5):
        results = await asyncio.gather(
            *(journal.start([key], 1.0) for key in KEYS), return_exceptions=True
        )
    assert all(isinstance(result, JournalError) for result in results)
    monkeypatch.undo()
    await journal.close()


@pytest.mark.parametrize("version", [1, 9])
async def test_a_journal_of_another_format_is_refused(tmp_path: Path, version: int) -> None:
    import zlib

    data = await written(tmp_path / "j")
    head, _, rest = data.partition(b"\n")
    text = head[9:].replace(b'"journal":2', b'"journal":%d' % version)
    (tmp_path / "j").write_bytes(b"%08x %s\n%s" % (zlib.crc32(text), text, rest))
    for plan in (PLAN, None):
        with pytest.raises(JournalError, match=f"has format {version}, this version reads 2"):
            Journal.open(tmp_path / "j", plan)


async def test_writers_of_one_moment_share_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "j", PLAN)
    synced: Any = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(file) or real(file))
    await asyncio.gather(*(journal.start([key], 1.0) for key in KEYS * 20))
    assert 1 <= len(synced) <= 2
    await journal.finish({KEYS[0]: DONE})
    assert 2 <= len(synced) <= 3, "what was written is on the disk when it returns"  # J1
    await journal.close()


async def test_a_full_disk_is_said_to_everyone_and_nothing_more_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "j", PLAN)

    def full(file: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    results = await asyncio.gather(
        *(journal.start([key], 1.0) for key in KEYS), return_exceptions=True
    )
    assert all(isinstance(result, JournalError) for result in results)
    with pytest.raises(JournalError, match="free what is missing"):
        await journal.finish({KEYS[0]: DONE})
    monkeypatch.undo()
    await journal.close()


async def test_a_cancelled_writer_does_not_stop_the_write(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", PLAN)
    tasks = [asyncio.create_task(journal.start([key], 1.0)) for key in KEYS]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [None, None]
    await journal.close()
    again = Journal.open(tmp_path / "j", None)
    assert set(again.started) == set(KEYS)
    await again.close()


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    await written(tmp_path / "j")
    assert (tmp_path / "j").stat().st_mode & 0o077 == 0
