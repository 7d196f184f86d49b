"""Write-ahead log of a run: intent before each request, outcome after it.

Theory: an append-only file of JSON lines, each led by the checksum of what follows. The first line
holds the plan. Before a step's request is sent, its intent is on disk (fsync); once the request has
finished, its outcome is. So after a crash at any moment every step is one of three: not started,
finished, or in doubt; only the last have to be reconciled with the account.

Why lines and not an embedded database: the run only ever appends, so a database would add only its
own recovery. Here one write and one fsync serve all steps of a moment (group commit), a thread does
them, so the event loop never waits for a disk; a torn end is seen by its checksum; one file is
everything, readable with any text tool, without side files to lose or to clean up.

J1. A record that `write` returned for has reached the disk.
J2. A torn end (the last lines of a write that was cut off) is truncated on opening: its requests
    were not sent, or are reconciled. A damaged line followed by a good one is rejected. No file is
    truncated that is not for certain a journal of this package.
J3. One process holds the file at a time, by a lock that the operating system releases when the
    process dies. The lock is on the file, not on its path: once the path leads to another file, or
    to none, nothing more is written.
J4. It belongs to the plan in its first line, and contains no token and no pickle.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from ..._http.request import encode_json
from ..errors import JournalError, PlanError
from ..model.outcome import Ended
from ..model.plan import Plan
from .file_lock import lock_file

__all__ = ["Journal", "read_lines"]

FORMAT: Final = 2
_CHECKSUM_SIZE: Final = 8
_OPENING: Final = re.compile(rb'[0-9a-f]{8} \{"journal":\d+,"plan":\{"format":[^\n]*')


class Journal:
    """An open journal; made by `open`, released by `close`.

    Attributes:
        plan: the plan it belongs to.
        started: when the intent of a step was last written, in seconds since the epoch, by key.
        finished: the outcomes, by key; a step that is started and not finished was in flight.
    """

    def __init__(self, path: Path, file: int, plan: Plan) -> None:
        self.path = path
        self.plan = plan
        self._place = path.absolute()
        self.started: dict[str, float] = {}
        self.finished: dict[str, Ended] = {}
        self._file = file
        self._lines: list[bytes] = []
        self._written: asyncio.Future[None] | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._broken: JournalError | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bulk journal")

    @classmethod
    def open(cls, path: str | os.PathLike[str], plan: Plan | None) -> Self:
        """Open or create the journal of `plan`. Blocks for as long as reading the file takes.

        Args:
            path: of the file; it is created if there is a plan.
            plan: the plan it must belong to; None takes the plan in the file.

        Raises:
            JournalError: it is in use, of another plan, damaged, or not accessible.
        """
        where = Path(path)
        flags = os.O_RDWR | (os.O_CREAT if plan is not None else 0)
        # Opening a named pipe would wait for its other end.
        for name in ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK"):
            flags |= getattr(os, name, 0)
        try:
            file = os.open(where, flags, 0o600)
        except ValueError:
            raise JournalError(f"not a path of a journal: {str(where)!r}") from None
        except FileNotFoundError:
            raise JournalError(f"there is no journal {where}: name the one of that run") from None
        except OSError as error:
            raise JournalError(f"the journal {where} cannot be opened: {error.strerror}") from None
        try:
            _check_regular(file, where)
            _lock(file, where)
            return cls._opened(where, file, plan)
        except OSError as error:
            os.close(file)
            raise JournalError(
                f"the journal {where} cannot be used ({error.strerror}): name a file on another "
                "file system"
            ) from None
        except BaseException:
            os.close(file)
            raise

    @classmethod
    def _opened(cls, where: Path, file: int, plan: Plan | None) -> Self:
        with os.fdopen(os.dup(file), "rb") as reader:
            data = reader.read()
        records, good = read_lines(data, where)
        if not records:
            if not data and plan is None:
                raise JournalError(f"the journal {where} is empty: run the plan itself")
            header = b"" if plan is None else _header(plan)
            if plan is None or not _is_torn(data, header):
                raise JournalError(
                    f"{where} is not a journal; it was not changed: name another file"
                )
            os.ftruncate(file, 0)
            journal = cls(where, file, plan)
            journal._append([header])
            _sync_directory(where)
            return journal
        found = _plan_of(records[0], where)
        if plan is not None and plan.digest != found.digest:
            raise JournalError(
                f"the journal {where} belongs to another plan (job {found.job}, made at "
                f"{found.made_at:%Y-%m-%d %H:%M:%S} UTC): name another file, or resume that plan"
            )
        journal = cls(where, file, found)
        journal._check_place()
        if good < len(data):
            os.ftruncate(file, good)
            os.fsync(file)
        journal._replay(records[1:])
        return journal

    def _replay(self, records: Iterable[Mapping[str, Any]]) -> None:
        for record in records:
            for key in record.get("started", ()):
                self.started[key] = record["at_s"]
                self.finished.pop(key, None)
            finished = record.get("finished")
            if finished is not None:
                self.finished[finished] = Ended(
                    status=record["status"],
                    reason=record.get("reason", ""),
                    code=record.get("code", ""),
                    duration_s=record.get("duration_s", 0.0),
                )

    # Writing.

    async def start(self, keys: Iterable[str], at_s: float) -> None:
        """Write the intent of steps that share a request, which may only be sent afterwards.

        Args:
            keys: of the steps.
            at_s: now, in seconds since the epoch.

        Raises:
            JournalError: it could not be written.
        """
        keys = list(keys)
        await self._write({"started": keys, "at_s": at_s})

    async def finish(self, outcomes: Mapping[str, Ended]) -> None:
        """Write outcomes.

        Raises:
            JournalError: they could not be written.
        """
        for key, ended in outcomes.items():
            self._lines.append(
                _line(
                    {
                        "finished": key,
                        "status": ended.status,
                        "reason": ended.reason,
                        "code": ended.code,
                        "duration_s": round(ended.duration_s, 6),
                    }
                )
            )
        await self._flushed()

    async def _write(self, record: Mapping[str, Any]) -> None:
        self._lines.append(_line(record))
        await self._flushed()

    async def _flushed(self) -> None:
        """Wait until what is in `_lines` now has reached the disk (J1).

        Group commit: callers that arrive while a write is in progress share the next one.
        """
        if self._broken is not None:
            raise self._broken
        loop = asyncio.get_running_loop()
        written = self._written = self._written or loop.create_future()
        if self._flusher is None:
            self._flusher = loop.create_task(self._flush(), name="bulk journal")
        # Shielded: cancelling one step must not cancel the write of all the others.
        await asyncio.shield(written)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while (written := self._written) is not None:
                lines, self._lines, self._written = self._lines, [], None
                try:
                    await loop.run_in_executor(self._thread, self._append, lines)
                except BaseException as error:
                    self._broken = error if isinstance(error, JournalError) else self._full(error)
                    for waiting in (written, self._written):
                        if waiting is not None:
                            waiting.set_exception(self._broken)
                            waiting.exception()  # its waiter may be cancelled: mark it as retrieved
                    if not isinstance(error, Exception):
                        raise
                    return
                written.set_result(None)
        finally:
            self._flusher = None

    def _full(self, error: BaseException) -> JournalError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return JournalError(
            f"the journal {self.path} cannot be written ({reason}): nothing more is started; "
            "free what is missing (disk space, threads) and resume"
        )

    def _check_place(self) -> None:
        """Stop once the path leads to another file, which another run may hold (J3)."""
        here = os.fstat(self._file)
        try:
            there = self._place.stat()
            is_there = (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise JournalError(
                f"the journal {self.path} was moved or replaced while it was in use: nothing more "
                "is started; put it back and resume"
            )

    def _append(self, lines: list[bytes]) -> None:
        """Write and sync; runs in the thread."""
        self._check_place()
        data = memoryview(b"".join(lines))
        os.lseek(self._file, 0, os.SEEK_END)
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)

    async def close(self) -> None:
        """Finish writing, close the file and release its lock; harmless when repeated."""
        if self._file < 0:
            return
        while self._flusher is not None:
            await asyncio.wait([self._flusher])
        self.release()

    def release(self) -> None:
        """Close the file and release its lock, when nothing is being written."""
        if self._file < 0:
            return
        self._thread.shutdown(wait=True)
        file, self._file = self._file, -1
        os.close(file)


def _check_regular(file: int, where: Path) -> None:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise JournalError(f"{where} is not a regular file: name another for the journal")


def _lock(file: int, where: Path) -> None:
    if not lock_file(file):
        raise JournalError(
            f"the journal {where} is in use by another run: wait for it, or stop it", in_use=True
        )


def _line(record: Mapping[str, Any]) -> bytes:
    text = encode_json(record)
    return b"%08x %s\n" % (zlib.crc32(text), text)


def read_lines(data: bytes, where: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the records of a journal, and the number of bytes that are intact.

    Raises:
        JournalError: a damaged line is followed by a good one.
    """
    records: list[dict[str, Any]] = []
    good = at = 0
    torn: int | None = None
    number = 0
    while at < len(data):
        number += 1
        end = data.find(b"\n", at)
        record = None if end < 0 else _record(data[at:end])
        at = len(data) if end < 0 else end + 1
        if record is None:
            torn = torn or number
        elif torn is not None:
            raise JournalError(
                f"the journal {where} is damaged in line {torn}: it was edited, or the disk "
                "failed. Move it away and plan again; what exists already will be skipped"
            )
        else:
            records.append(record)
            good = at
    return records, good


def _record(line: bytes) -> dict[str, Any] | None:
    """Decode a line; None if it is torn."""
    try:
        if line[8:9] != b" " or int(line[:8], 16) != zlib.crc32(line[9:]):
            return None
        record = msgspec.json.decode(line[9:])
    except (ValueError, msgspec.DecodeError):
        return None
    return record if isinstance(record, dict) else None


def _header(plan: Plan) -> bytes:
    return _line({"journal": FORMAT, "plan": msgspec.Raw(plan.to_json().encode())})


def _is_torn(data: bytes, header: bytes) -> bool:
    """Tell whether this is for certain the start of a journal's first line, or empty.

    Then nothing was sent yet, and it may be overwritten. It must start as every plan's does, or as
    this plan's does with at least the whole checksum: fewer digits prove nothing.
    """
    is_this = header.startswith(data) and len(data) >= _CHECKSUM_SIZE
    return not data or is_this or _OPENING.fullmatch(data) is not None


def _plan_of(record: Mapping[str, Any], where: Path) -> Plan:
    if record.get("journal") != FORMAT:
        raise JournalError(
            f"the journal {where} has format {record.get('journal')!r}, this version reads "
            f"{FORMAT}: resume it with the version that wrote it, or plan again"
        )
    try:
        return Plan.from_json(encode_json(record["plan"]))
    except (PlanError, KeyError) as error:
        raise JournalError(f"the plan in the journal {where} cannot be read: {error}") from None


def _sync_directory(where: Path) -> None:
    """Sync the directory, so that a new file survives a crash; not possible on Windows."""
    flag = getattr(os, "O_DIRECTORY", None)
    if flag is None:
        return
    directory = os.open(where.resolve().parent, os.O_RDONLY | flag)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
