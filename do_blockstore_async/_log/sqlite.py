"""A log in an SQLite file: for the processes of one machine, without a server.

Whatever may wait, for a lock or a disk, is done in a thread of its own. An exchange that waits for
neither, in a file that need not outlive this boot, takes 50 µs of CPU, and going to a thread and
back 80 µs: so that is done at once. While another thread computes, it is not: each of SQLite's
calls would wait 5 ms for the interpreter, and stop the event loop for 15 to 100 ms in all.

S1. The file and its folder belong to this user alone, and lie on a file system of this machine:
    elsewhere SQLite's locks do not hold, and others could write into the budget.
S2. Killed at any moment, a process leaves the file whole (write-ahead log); with `synchronous`
    at `full` what was acknowledged survives a power failure too.
S3. A file that was deleted or replaced while it is open is noticed by the next exchange: then a new
    one is begun, or, where the file is the user's own, nothing more is written.
S4. With a name for the boot, dates go on over a restart of the machine: what was written before is
    at least as old as the boot, whatever the wall clock says.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TypeVar

from .._clock import boot_s, now_s, pause
from ..errors import BlockStoreError, StoreUnusableError
from .store import (
    CHANGED_WITHIN_S,
    PAGE,
    Fact,
    ForeignLogError,
    LogMovedError,
    LogStoreBusyError,
    LogStoreError,
    Reply,
)

__all__ = ["SqliteStore"]

T = TypeVar("T")

_FORMAT: Final = 1
_BUSY_S: Final = 5.0
_POLL_S: Final = 0.02
_POLL_SLOWLY_S: Final = 0.1
# No exchange takes so long that waits for nothing. After one, the next are done in the thread for
# a while, and for twice as long if the first one after that is slow again.
_SLOW_S: Final = 0.004
_LEAST_REST_S: Final = 0.5
_MOST_REST_S: Final = 8.0
# After so many exchanges at once, other tasks have their turn.
_IN_A_ROW: Final = 8
_REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph"})
_PASSING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE})
_SCHEMA: Final = """
create table log (
    id text not null, format integer not null, last integer not null, at_s real not null
);
create table facts (position integer primary key, at_s real not null, data blob not null);
"""
_BOOT: Final = "create table if not exists boot (id text not null, base_s real not null)"


class SqliteStore:
    """The log in one file, which is made if it does not exist.

    Args:
        path: of the file.
        clock: returns seconds, on a clock that all processes of the machine share.
        new_id: makes the id of a new log.
        synchronous: as in SQLite. `full`: an exchange is on the disk when it returns. `normal`: the
            file survives a power failure, the last exchanges perhaps not. `off`: the file may be
            damaged by one; for what has no meaning after it.
        boot: names this boot of the machine, where `clock` counts from it (S4).
        create: whether to make the file if it does not exist.
        is_own: whether the file is the package's own. Then its folder is made, has to be this
            user's alone, and a file that was replaced is begun anew; else that ends it (S3).

    Raises:
        LogStoreError: by the first exchange: see `exchange`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        synchronous: Literal["full", "normal", "off"] = "normal",
        boot: str | None = None,
        create: bool = True,
        is_own: bool = True,
    ) -> None:
        self.path = Path(path)
        self._clock = clock
        self._new_id = new_id
        self._synchronous = synchronous
        self._boot = boot
        self._base_s = 0.0
        self._create = create
        self._is_own = is_own
        # Of the user's own file the place counts, whatever folder the process goes to later.
        self._place = self.path.absolute()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log store")
        self._in_use = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._inode = (0, 0)
        self._in_a_row = 0
        self._rest_s = _LEAST_REST_S
        self._rests_until = 0.0
        self._version = 0

    async def exchange(
        self,
        after: int,
        facts: Sequence[bytes] = (),
        *,
        only_if: int | None = None,
        trim_before: int = 0,
    ) -> Reply:
        """See `LogStore.exchange`.

        Raises:
            LogStoreBusyError: the file was locked for more than 5 s.
            LogStoreError: the disk is full.
            StoreUnusableError: the file is not usable: another user's, on a network file system,
                damaged, or of another format.
        """
        facts = tuple(facts)
        if self._synchronous == "off" and self._database is not None:
            reply = self._at_once(
                lambda: self._exchange(after, facts, only_if, trim_before, at_once=True)
            )
            if reply is not None:
                self._in_a_row = (self._in_a_row + 1) % _IN_A_ROW
                if self._in_a_row == 0:
                    await pause(0)
                return reply
        return await self._run(lambda: self._exchange(after, facts, only_if, trim_before))

    async def changed(self, after: int) -> None:
        """See `LogStore.changed`: SQLite tells nobody, so this looks every 20 ms, or 100."""
        del after
        until = now_s() + CHANGED_WITHIN_S
        with suppress(BlockStoreError):
            while now_s() < until:
                is_changed = self._at_once(self._is_changed)
                if is_changed is None and self._rests:
                    # In the thread an exchange may be waiting for its turn.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(until - now_s()):
                            is_changed = await self._run(self._is_changed)
                if is_changed:
                    return
                await pause(_POLL_SLOWLY_S if self._rests else _POLL_S)
            return
        await pause(max(0.0, until - now_s()))

    async def remove(self) -> None:
        """Remove the log with the files beside it; harmless when there is none.

        Raises:
            LogStoreError, StoreUnusableError: see `exchange`.
        """
        await self._run(self._remove)

    def _remove(self) -> None:
        self._close()
        for end in ("", "-wal", "-shm"):
            Path(f"{self._place}{end}").unlink(missing_ok=True)

    async def aclose(self) -> None:
        """Close the file; harmless when repeated."""
        with suppress(BlockStoreError):
            await self._run(self._close)
        self._thread.shutdown(wait=False)

    def _at_once(self, work: Callable[[], T]) -> T | None:
        """Do what does not wait; None if it would have to."""
        if self._rests or not self._in_use.acquire(blocking=False):
            return None
        began = boot_s()
        try:
            return work()
        except _WouldWaitError:
            return None
        except (sqlite3.Error, OSError) as error:
            if _is_busy(error):
                return None
            raise self._meaning(error) from None
        finally:
            self._in_use.release()
            now = boot_s()
            if now - began > _SLOW_S:
                self._rests_until = now + self._rest_s
                self._rest_s = min(2 * self._rest_s, _MOST_REST_S)
            else:
                self._rest_s = _LEAST_REST_S

    @property
    def _rests(self) -> bool:
        """Whether nothing is done at once for a while, because it was slow."""
        return boot_s() < self._rests_until

    async def _run(self, work: Callable[[], T]) -> T:
        def patiently() -> T:
            with self._in_use:
                return _patiently(work)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, patiently)
        except (sqlite3.Error, OSError, RuntimeError) as error:
            raise self._meaning(error) from None

    def _meaning(self, error: Exception) -> BlockStoreError:
        reason = getattr(error, "strerror", None) or str(error)
        kind: type[BlockStoreError] = LogStoreError if _may_pass(error) else StoreUnusableError
        if _is_busy(error):
            kind = LogStoreBusyError
        elif getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB:
            kind = ForeignLogError
        advice = ""
        if isinstance(error, sqlite3.DatabaseError) and issubclass(kind, StoreUnusableError):
            advice = "; if it is damaged or no log at all, move it away"
        return kind(f"the log {self.path} cannot be used: {reason}{advice}")

    # With the file in use by nobody else here.

    def _is_changed(self) -> bool:
        if self._database is None:
            return True
        (version,) = self._database.execute("pragma data_version").fetchone()
        return bool(version != self._version)

    def _exchange(
        self,
        after: int,
        facts: tuple[bytes, ...],
        only_if: int | None,
        trim_before: int,
        *,
        at_once: bool = False,
    ) -> Reply:
        database = self._open(at_once=at_once)
        # A transaction that reads only waits for nobody; one that writes takes its turn at once.
        is_writing = bool(facts) or trim_before > 0
        database.execute("begin immediate" if is_writing else "begin")
        try:
            (self._version,) = database.execute("pragma data_version").fetchone()
            log_id, last, at_s = database.execute("select id, last, at_s from log").fetchone()
            now_s = max(at_s, self._base_s + self._clock())
            accepted = not facts or only_if is None or only_if == last
            if facts and accepted:
                rows = [(last + n, now_s, data) for n, data in enumerate(facts, 1)]
                database.executemany("insert into facts values (?, ?, ?)", rows)
                last += len(facts)
                database.execute("update log set last = ?, at_s = ?", (last, now_s))
            if trim_before > 0:
                database.execute("delete from facts where position < ?", (trim_before,))
            (first,) = database.execute("select min(position) from facts").fetchone()
            found = database.execute(
                "select position, at_s, data from facts where position > ? order by position "
                "limit ?",
                (after, PAGE),
            ).fetchall()
            database.execute("commit")
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("rollback")
            raise
        return Reply(
            accepted=accepted,
            now_s=now_s,
            log_id=log_id,
            first=last + 1 if first is None else first,
            last=last,
            facts=tuple(Fact(*row) for row in found),
        )

    def _open(self, *, at_once: bool) -> sqlite3.Connection:
        if self._database is not None:
            with suppress(FileNotFoundError):
                found = self._place.stat()
                if (found.st_dev, found.st_ino) == self._inode:
                    return self._database
            if not self._is_own:
                raise LogMovedError(f"{self.path} was moved or replaced while it was in use")
            if at_once:
                raise _WouldWaitError
            self._close()  # S3
        if self._is_own:
            _make_folder(self._place.parent)
        _check_file_system(self._place.parent)
        # SQLite's own way of waiting has been measured to stand still for 0.9 s when eight
        # processes write flat out, and does not wait for the lock that `wal` needs: `_patiently`.
        is_new = not self._place.exists()
        # `rw` makes no file: one that was moved away in this moment must not come back empty.
        mode = "rwc" if self._create else "rw"
        database = sqlite3.connect(
            f"{self._place.as_uri()}?mode={mode}",
            uri=True,
            timeout=0.0,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._check_owner(database)
            _patiently(lambda: database.execute("pragma journal_mode = wal"))
            database.execute(f"pragma synchronous = {self._synchronous}")
            if is_new or self._is_own:
                self._place.chmod(0o600)
            self._make(database)
        except BaseException:
            database.close()
            raise
        found = self._place.stat()
        self._database, self._inode = database, (found.st_dev, found.st_ino)
        self._create = self._is_own
        return database

    def _check_owner(self, database: sqlite3.Connection) -> None:
        """Reject the database of another program, before anything in it is changed."""
        tables = {name for (name,) in database.execute("select name from sqlite_master")}
        if tables and not {"log", "facts"} <= tables:
            raise ForeignLogError(f"{self.path} is a database of another program")

    def _make(self, database: sqlite3.Connection) -> None:
        database.execute("begin immediate")
        if not database.execute("select 1 from sqlite_master where name = 'log'").fetchone():
            for statement in _SCHEMA.split(";")[:-1]:
                database.execute(statement)
            database.execute("insert into log values (?, ?, 0, 0.0)", (self._new_id(), _FORMAT))
        found, at_s = database.execute("select format, at_s from log").fetchone()
        if found != _FORMAT:
            raise StoreUnusableError(
                f"the log {self.path} has format {found}, this version reads {_FORMAT}: "
                "use one version of the package for all processes"
            )
        if self._boot is not None:
            database.execute(_BOOT)
            row = database.execute("select id, base_s from boot").fetchone()
            if row is None or row[0] != self._boot:
                database.execute("delete from boot")
                row = (self._boot, at_s)
                database.execute("insert into boot values (?, ?)", row)
            self._base_s = row[1]
        database.execute("commit")

    def _close(self) -> None:
        if self._database is not None:
            database, self._database = self._database, None
            database.close()


class _WouldWaitError(Exception):
    """The file has to be opened again."""


def _is_busy(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _patiently(work: Callable[[], T]) -> T:
    """Do `work`, again and again while another process holds the lock, for `_BUSY_S` seconds."""
    pause_of_thread, waited_s, wait_s = threading.Event(), 0.0, 0.0005
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or waited_s > _BUSY_S:
                raise
        pause_of_thread.wait(wait_s)
        waited_s += wait_s
        wait_s = min(2 * wait_s, _POLL_S)


def _may_pass(error: Exception) -> bool:
    """Whether an error of SQLite or the system may be over later: a lock, a full disk."""
    if isinstance(error, sqlite3.OperationalError):
        # Of these, "unable to open", "readonly" and "not authorized" do not pass.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return code not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH}
    if isinstance(error, sqlite3.Error):
        return False
    return not isinstance(error, OSError) or error.errno in _PASSING


def _make_folder(folder: Path) -> None:
    """Make a folder if it is missing, and check that it is this user's (S1)."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if sys.platform == "win32":
        return
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise StoreUnusableError(f"the folder {folder} belongs to another user: name another one")
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise StoreUnusableError(f"others may write to the folder {folder}: chmod 700 it")


def _check_file_system(folder: Path) -> None:
    """Check that a folder is on this machine, where SQLite's locks hold (S1)."""
    kind = _file_system(folder)
    if kind in _REMOTE:
        raise StoreUnusableError(
            f"the folder {folder} is on a network file system ({kind}), whose locks do not hold: "
            "name one of this machine"
        )


def _file_system(folder: Path) -> str:
    """Return the kind of file system that a folder is on, as Linux names it; else nothing."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    where = folder.resolve()
    best, kind = -1, ""
    for line in lines:
        point, found = [*line.split(" "), "", "", ""][1:3]
        mounted = Path(point.encode().decode("unicode_escape"))
        if len(mounted.parts) > best and (where == mounted or mounted in where.parents):
            best, kind = len(mounted.parts), found
    return kind
