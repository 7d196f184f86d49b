"""Where a journal is, and what is in it: for whoever reads it, whether taking part or not."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote, urldefrag, urlsplit

import attrs

from ..._clock import now_s, pause
from ..._log.opening import open_journal_store
from ..._log.store import Fact, ForeignLogError, LastingStore, LogMovedError, LogStoreError, Reply
from ...config import POSTGRES_SCHEMES, REDIS_SCHEMES
from ...errors import StoreUnusableError
from ..concurrency.thread import in_thread
from ..errors import JournalError, PlanError
from ..model.plan import Plan
from .journal_state import (
    FORMAT,
    JournalFact,
    JournalState,
    decode_fact,
    encode_fact,
)

__all__ = ["JournalPlace", "JournalReader", "remove_journal"]

# Longer entries are decoded in a thread: a long plan has hundreds.
_LONG_BYTES: Final = 100_000
_LEAVING_S: Final = 60.0
_LOOK_S: Final = 0.1
_NAME: Final = "journal"
_FORMER: Final = b' {"journal":'


@attrs.frozen
class JournalPlace:
    """Where a journal is: a file, or a name in a database.

    Attributes:
        where: the path, or the URL without its fragment; it may hold a password.
        name: in the database.
    """

    where: str | Path = attrs.field(repr=False)
    name: str = ""

    @classmethod
    def of(cls, journal: str | os.PathLike[str]) -> Self:
        """Read what a user calls a journal.

        Raises:
            JournalError: no journal can be there.
        """
        text = os.fspath(journal)
        if isinstance(journal, str) and "://" in journal:
            try:
                url = urlsplit(journal)
            except ValueError:
                raise JournalError("the URL of the journal is not valid") from None
            scheme = url.scheme
            if scheme in REDIS_SCHEMES:
                raise JournalError(
                    "Redis keeps no journals: when it stops, what it was told in the last second "
                    "may be lost, and a step with it. Name a file, or a PostgreSQL database"
                )
            if scheme not in POSTGRES_SCHEMES:
                raise JournalError(
                    f"a journal is a file, or postgresql://...#NAME; {scheme}:// is neither"
                )
            # A part of a password, which a message would show.
            if "@" in f"{url.path}{url.query}{url.fragment}":
                raise JournalError(
                    "the URL of the journal has an @ behind its host: in a password write # as "
                    "%23, / as %2F, ? as %3F and @ as %40"
                )
            where, fragment = urldefrag(journal)
            return cls(where, unquote(fragment) or _NAME)
        if "\0" in text:
            raise JournalError(f"not a path of a journal: {text!r}")
        return cls(Path(text))

    def __str__(self) -> str:
        """For people: never a user name, a password or an option of the URL."""
        if isinstance(self.where, Path):
            return str(self.where)
        url = urlsplit(self.where)
        host = url.netloc.rpartition("@")[2]
        return f"{url.scheme}://{host}{url.path}#{self.name}"

    def open_store(self, *, create: bool) -> LastingStore:
        """Open the log; a file is looked at first, and nothing is connected yet.

        Raises:
            JournalError: there is none, or it is something else.
        """
        if isinstance(self.where, Path):
            self._check_file(self.where, create=create)
        try:
            return open_journal_store(self.where, self.name, create=create)
        except StoreUnusableError as error:
            raise JournalError(str(error)) from None

    def _check_file(self, path: Path, *, create: bool) -> None:
        # Not opened: closing it would release the locks that SQLite holds for this process.
        try:
            found = path.stat()
        except FileNotFoundError:
            if not create:
                raise self.missing() from None
            return
        except OSError as error:
            raise JournalError(f"the journal {path} cannot be opened: {error.strerror}") from None
        if not stat.S_ISREG(found.st_mode):
            raise JournalError(f"{path} is not a regular file: name another for the journal")
        if not found.st_size and not create:
            raise JournalError(f"the journal {path} is empty: there is nothing to resume")

    def reason_of(self, error: Exception) -> str:
        """Return why, from an error that names the place already."""
        return str(error).removeprefix(f"the log {self.where} cannot be used: ")

    def unusable(self, error: StoreUnusableError) -> JournalError:
        """Say what SQLite or PostgreSQL cannot use."""
        if isinstance(error, LogMovedError):
            return self.moved()
        if not isinstance(error, ForeignLogError):
            return JournalError(f"the journal {self} cannot be used: {self.reason_of(error)}")
        if isinstance(self.where, Path):
            with self.where.open("rb") as file:
                head = file.read(8 + len(_FORMER))
            if head[8:] == _FORMER:
                return JournalError(
                    f"the journal {self} was written by an earlier version, which kept journals as "
                    "text: finish it with that version, or name another file and plan again; what "
                    "exists already is skipped"
                )
        return self.foreign()

    def is_missing(self) -> bool:
        """Whether there is no file, or an empty one; of a database nothing is known yet."""
        if not isinstance(self.where, Path):
            return False
        try:
            found = self.where.stat()
        except FileNotFoundError:
            return True
        return stat.S_ISREG(found.st_mode) and not found.st_size

    def missing(self) -> JournalError:
        """There is none."""
        return JournalError(f"there is no journal {self}: name the one of that run")

    def moved(self) -> JournalError:
        """It is not the one any more that was opened."""
        return JournalError(
            f"the journal {self} was moved or replaced while it was in use: nothing more is "
            "started; put it back and resume"
        )

    def foreign(self) -> JournalError:
        """Something else is there."""
        return JournalError(f"{self} is not a journal; it was not changed: name another")


class JournalReader:
    """Follows a journal's log without taking part.

    Attributes:
        place: where it is.
        state: what it says, as far as it was read.
    """

    def __init__(self, place: JournalPlace, store: LastingStore) -> None:
        self.place = place
        self.store = store
        self.state = JournalState()
        self._log_id = ""
        self._heard_at = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def read(self) -> None:
        """Read on to the end of the log.

        Raises:
            JournalError: it is no journal, or not the same any more, or of another version.
            LogStoreError: the store is away.
        """
        await self.exchange((), self.state.position)

    async def exchange(self, facts: Iterable[JournalFact | bytes], made_at: int) -> bool:
        """Append facts if nobody has written since they were made, read on, and tell if they were.

        Args:
            facts: what holds in the state at `made_at`; a plan is encoded already.
            made_at: a position of the log.

        Raises: as `read`.
        """
        data = [fact if isinstance(fact, bytes) else encode_fact(fact) for fact in facts]
        async with self._one_at_a_time:
            if data and self.state.position != made_at:
                return False  # another task has read on
            accepted = True
            while True:
                after = self.state.position
                # What is long need not come back: it would be copied for nothing.
                is_long = sum(map(len, data)) > _LONG_BYTES
                known = after + len(data) if is_long else after
                try:
                    reply = await self.store.exchange(known, data, only_if=after)
                except StoreUnusableError as error:
                    raise self.place.unusable(error) from None
                entries = reply.facts
                if data:
                    accepted = reply.accepted
                    if is_long and accepted:
                        own = (Fact(after + n, reply.now_s, one) for n, one in enumerate(data, 1))
                        entries = (*own, *entries)
                    data = []
                self._check_same(reply)
                if is_long and not accepted:
                    continue  # others were faster: what they wrote was not asked for
                self._heard(reply)
                for entry in entries:
                    try:
                        fact: JournalFact | None = None
                        if len(entry.data) > _LONG_BYTES:
                            fact = await in_thread(partial(decode_fact, entry.data))
                        self._applied(self.state.apply(entry, fact))
                    except (ValueError, KeyError):
                        raise self.place.foreign() from None
                self.state.now_s = max(self.state.now_s, reply.now_s)
                if reply.is_whole:
                    return accepted

    def _applied(self, fact: JournalFact) -> None:
        """A fact of the log was applied to the state."""

    def _check_same(self, reply: Reply) -> None:
        """Stop once it is another log than the one that was opened (J3)."""
        self._log_id = self._log_id or reply.log_id
        is_cut = reply.first > self.state.position + 1 or reply.last < self.state.position
        if reply.log_id != self._log_id or is_cut:
            raise self.place.moved()

    def _heard(self, reply: Reply) -> None:
        """A reply came, and is about to be applied."""
        self._heard_at = now_s()

    def now_s(self) -> float:
        """The log's clock now."""
        return self.state.now_s + now_s() - self._heard_at

    def remaining_s(self, key: str) -> float:
        """Seconds until the last request of a step that was begun cannot arrive any more."""
        return self.state.arrives_until_s(key) - self.now_s()

    def check_plan(self) -> bytearray:
        """Return the plan of what was read, as JSON.

        Raises:
            JournalError: there is none, or it is of another version.
        """
        state = self.state
        if state.plan is None:
            raise self.place.missing() if not state.position else self.place.foreign()
        if state.format != FORMAT:
            raise JournalError(
                f"the journal {self.place} has format {state.format}, this version reads {FORMAT}: "
                "resume it with the version that wrote it, or plan again"
            )
        return state.plan

    async def read_plan(self) -> Plan:
        """Return the plan of what was read.

        Raises:
            JournalError: there is none, it is of another version, or it cannot be read.
        """
        data = self.check_plan()
        try:
            return await in_thread(lambda: Plan.from_json(data))
        except PlanError as error:
            raise JournalError(
                f"the plan in the journal {self.place} cannot be read: {error}"
            ) from None

    async def aclose(self) -> None:
        """Let go of the store."""
        await self.store.aclose()


async def remove_journal(journal: str | os.PathLike[str]) -> None:
    """Remove a journal, as `Bulk.remove_journal` does; no client is needed.

    Raises:
        JournalError: it is something else, somebody works with it, or its server is away.
    """
    place = JournalPlace.of(journal)
    if isinstance(place.where, Path) and not place.where.exists():
        return
    reader = JournalReader(place, place.open_store(create=True))
    until = now_s() + _LEAVING_S
    try:
        while True:
            await reader.read()
            state = reader.state
            is_over = not state.position
            if state.position:
                is_over = len(state.finished) >= len((await reader.read_plan()).steps)
            silent = state.silent()
            busy = [each.name for who, each in state.present.items() if who not in silent]
            if not busy:
                break
            # Once all is done, the others only have to read so.
            if not is_over or now_s() > until:
                names = ", ".join(busy)
                raise JournalError(f"the journal {place} is in use by {names}: stop it first")
            await pause(_LOOK_S)
        await reader.store.remove()
    except LogStoreError as error:
        raise JournalError(f"the journal {place} cannot be removed: {error}") from None
    finally:
        await reader.aclose()
