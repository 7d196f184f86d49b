"""Write-ahead log of a run, which any number of workers may share: intent before each request,
outcome after it.

Theory: the journal is a log (`_log/`) in an SQLite file for the workers of one machine, or in
PostgreSQL for those of many. Before a step's request is sent, its intent is on the disk; once the
request has finished, its outcome is. So after a crash at any moment every step is one of three: not
started, finished, or in doubt; only the last have to be reconciled with the account. The intent is
also the claim: it is accepted only if the worker knew all that was written before, so two workers
never begin one step (`journal_state.py`).

J1. A fact that `claim` or `finish` returned for has reached the disk.
J2. A fact is written only if it holds in the state that the log has at that moment: each exchange
    is made with `only_if`, and what no longer holds after reading on is left out.
J3. It is one log from opening to closing: once the file was moved or replaced, or the table was
    emptied, nothing more is written.
J4. It belongs to the plan in its first fact, and contains no token and no pickle.
J5. A worker says that it is there three times in the period after which it would be taken for lost.
    One that was taken for lost comes back under another name, and keeps what nobody has begun anew.
J6. A server that is away is waited for, `_PATIENCE_S` at most; a file that cannot be written ends
    the run.

Facts that are handed over while an exchange is under way share the next one (group commit).
"""

from __future__ import annotations

import asyncio
import math
import os
import platform
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote, urldefrag, urlsplit

import attrs
import msgspec

from ..._clock import new_name, now_s, pause
from ..._log.opening import open_journal_store
from ..._log.store import LastingStore, LogStoreError, Reply
from ...config import POSTGRES_SCHEMES, REDIS_SCHEMES
from ...errors import StoreUnusableError
from ..concurrency.shield import run_to_completion
from ..concurrency.thread import in_thread
from ..errors import JournalError, PlanError
from ..model.outcome import Ended
from ..model.plan import Plan
from .journal_state import (
    FORMAT,
    Alive,
    Begun,
    Finished,
    Joined,
    JournalFact,
    JournalState,
    Left,
    Planned,
    Timing,
    WorkerGone,
    encode_fact,
)

__all__ = ["Journal", "JournalPlace", "JournalReader", "remove_journal"]

_PATIENCE_S: Final = 600.0
_CLOSING_S: Final = 5.0
_RETRY_S: Final = 0.5
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
        if isinstance(journal, str):
            scheme = urlsplit(journal).scheme if "://" in journal else ""
            if scheme in REDIS_SCHEMES:
                raise JournalError(
                    "Redis keeps no journals: when it stops, what it was told in the last second "
                    "may be lost, and a step with it. Name a file, or a PostgreSQL database"
                )
            if scheme in POSTGRES_SCHEMES:
                url, fragment = urldefrag(journal)
                return cls(url, unquote(fragment) or _NAME)
            if scheme:
                raise JournalError(
                    f"a journal is a file, or postgresql://...#NAME; {scheme}:// is neither"
                )
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
            raise JournalError(f"the journal {path} is empty: run the plan itself")

    def unusable(self, error: StoreUnusableError) -> JournalError:
        """Say what SQLite or PostgreSQL cannot use."""
        words = str(error)
        if "moved or replaced" in words:
            return self.moved()
        if "another program" in words:
            return self.foreign()
        if isinstance(self.where, Path) and "not a database" in words:
            with self.where.open("rb") as file:
                head = file.read(8 + len(_FORMER))
            if head[8:] != _FORMER:
                return self.foreign()
            return JournalError(
                f"the journal {self} was written by an earlier version, which kept journals as "
                "text: finish it with that version, or name another file and plan again; what "
                "exists already is skipped"
            )
        return JournalError(f"the journal {self} cannot be used: {error}")

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
        self._log_id: str | None = None
        self._heard_at = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def read(self) -> None:
        """Read on to the end of the log.

        Raises:
            JournalError: it is no journal, or not the same any more, or of another version.
            LogStoreError: the store is away.
        """
        await self.exchange(())

    async def exchange(self, facts: Iterable[JournalFact]) -> bool:
        """Append facts if nobody has written since they were made, read on, and tell if they were.

        Raises: as `read`.
        """
        data = [encode_fact(fact) for fact in facts]
        made_at = self.state.position
        async with self._one_at_a_time:
            if data and self.state.position != made_at:
                return False  # read on by another task: what was made before may not hold now
            accepted = True
            while True:
                after = self.state.position
                try:
                    reply = await self.store.exchange(after, data, only_if=after)
                except StoreUnusableError as error:
                    raise self.place.unusable(error) from None
                if data:
                    accepted, data = reply.accepted, []
                self._heard_at = now_s()
                self._check_same(reply)
                for entry in reply.facts:
                    try:
                        self._applied(self.state.apply(entry))
                    except (ValueError, KeyError):
                        raise self.place.foreign() from None
                self.state.now_s = max(self.state.now_s, reply.now_s)
                if reply.is_whole:
                    return accepted

    def _applied(self, fact: JournalFact) -> None:
        """A fact of the log was applied to the state."""

    def _check_same(self, reply: Reply) -> None:
        """Stop once it is another log than the one that was opened (J3)."""
        if self._log_id is None:
            self._log_id = reply.log_id
        is_cut = reply.first > self.state.position + 1 or reply.last < self.state.position
        if reply.log_id != self._log_id or is_cut:
            raise self.place.moved()

    def remaining_s(self, key: str) -> float:
        """Seconds until the last request of a step that was begun cannot arrive any more."""
        elapsed_s = now_s() - self._heard_at
        return self.state.arrives_until_s(key) - self.state.now_s - elapsed_s

    async def read_plan(self) -> Plan:
        """Return the plan of what was read.

        Raises:
            JournalError: there is none, it is of another version, or it cannot be read.
        """
        state = self.state
        if state.plan is None:
            raise self.place.missing() if not state.position else self.place.foreign()
        if state.format != FORMAT:
            raise JournalError(
                f"the journal {self.place} has format {state.format}, this version reads {FORMAT}: "
                "resume it with the version that wrote it, or plan again"
            )
        data = state.plan
        try:
            return await in_thread(lambda: Plan.from_json(data))
        except PlanError as error:
            raise JournalError(
                f"the plan in the journal {self.place} cannot be read: {error}"
            ) from None

    async def aclose(self) -> None:
        """Let go of the store."""
        await self.store.aclose()


@attrs.define(eq=False)
class _Entry:
    """A fact to be written: made anew for each attempt; None if it does not hold any more."""

    make: Callable[[], JournalFact | None]
    future: asyncio.Future[JournalFact | None]


class Journal(JournalReader):
    """A worker's place in a journal; made by `open`, given up by `close`.

    Attributes:
        plan: the plan it belongs to.
        is_away: whether its server does not answer.
        mine: the ids that this worker has had; more than one if it was taken for lost.
        changed: called after each reading, with the keys of what others began or ended.
        finished_here: keys of the steps whose outcomes this worker wrote.
    """

    def __init__(self, place: JournalPlace, store: LastingStore, timing: Timing) -> None:
        super().__init__(place, store)
        self.plan: Plan
        self.timing = timing
        self.is_away = False
        self.mine: list[str] = []
        self.changed: Callable[[Collection[str]], None] = lambda keys: None
        self.finished_here: set[str] = set()
        self._others: dict[str, None] = {}
        self._entries: list[_Entry] = []
        self._flusher: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._broken: JournalError | None = None
        self._wrote_at = self._back_at = -math.inf
        self._next = asyncio.Event()
        self._closed = False

    @classmethod
    async def open(
        cls, journal: str | os.PathLike[str], plan: Plan | None, *, late_arrival_s: float
    ) -> Self:
        """Open or create the journal of `plan`, and join those who work on it.

        Args:
            journal: a path, or `postgresql://...#NAME`; it is created if there is a plan.
            plan: the plan it must belong to; None takes the plan in it.
            late_arrival_s: as in `Config`.

        Raises:
            JournalError: it is of another plan, another format, no journal, or not accessible.
        """
        place = JournalPlace.of(journal)
        self = cls(place, place.open_store(create=plan is not None), Timing.of(late_arrival_s))
        try:
            await self._enter(plan)
        except BaseException as error:
            await run_to_completion(self.store.aclose())
            if isinstance(error, LogStoreError):
                raise JournalError(f"the journal {place} cannot be used: {error}") from None
            raise
        self._watcher = asyncio.get_running_loop().create_task(
            self._watch(), name="bulk journal watch"
        )
        return self

    async def _enter(self, plan: Plan | None) -> None:
        await self.read()
        while not self.state.position and plan is not None:
            planned = Planned("", FORMAT, msgspec.Raw(plan.to_json().encode()))
            await self.exchange([planned])
        found = await self.read_plan()
        if plan is not None and plan.digest != found.digest:
            raise JournalError(
                f"the journal {self.place} belongs to another plan (job {found.job}, made at "
                f"{found.made_at:%Y-%m-%d %H:%M:%S} UTC): name another, or resume that plan"
            )
        self.plan = found if plan is None else plan
        joining = self._joining()
        while not await self.exchange([*self._gone(), joining]):
            pass

    @property
    def is_present(self) -> bool:
        """Whether the others count on this worker, as far as is known here."""
        return bool(self.mine) and self.mine[-1] in self.state.present

    def _joining(self) -> Joined:
        name = new_name()
        self.mine.append(name)
        return Joined(name, f"{platform.node()}/{os.getpid()}", self.timing)

    def _gone(self) -> list[WorkerGone]:
        """Say of which workers nothing was heard for too long (JS3)."""
        # While the store was away, nobody could be heard.
        heard_for_s = now_s() - self._back_at
        workers = self.state.workers
        return [
            WorkerGone(who)
            for who in self.state.silent()
            if who not in self.mine and heard_for_s > workers[who].timing.silent_s
        ]

    def _applied(self, fact: JournalFact) -> None:
        if isinstance(fact, Begun | Finished):
            keys = fact.keys if isinstance(fact, Begun) else fact.outcomes
            if fact.worker not in self.mine:
                self._others.update(dict.fromkeys(keys))
            elif isinstance(fact, Finished):
                self.finished_here.update(keys)
        elif isinstance(fact, Left | WorkerGone):
            self._others.update(
                (key, None)
                for key in self.state.in_flight
                if self.state.claims[key].worker == fact.worker
            )

    async def exchange(self, facts: Iterable[JournalFact]) -> bool:
        """See `JournalReader.exchange`; whoever waits for a change is told of it."""
        before = self.state.position
        accepted = await super().exchange(facts)
        if self.state.position > before:
            keys, self._others = self._others, {}
            self._next.set()
            self._next = asyncio.Event()
            self.changed(keys)
        return accepted

    @property
    def broken(self) -> JournalError | None:
        """Why nothing more can be written; None while it can."""
        return self._broken

    async def next_change(self) -> None:
        """Wait until something was written, by whomever."""
        await self._next.wait()

    # Writing.

    async def claim(self, keys: Collection[str], may: Callable[[str], bool]) -> tuple[str, ...]:
        """Write the intent of steps that share a request, which is sent directly afterwards.

        Args:
            keys: of the steps.
            may: whether a step may be begun, as far as the journal is known at that moment.

        Returns:
            Those that are this worker's now.

        Raises:
            JournalError: it could not be written.
        """

        def make() -> Begun | None:
            granted = tuple(key for key in keys if may(key))
            return Begun(self.mine[-1], granted) if granted else None

        fact = await self._written(make)
        return fact.keys if isinstance(fact, Begun) else ()

    async def finish(
        self, outcomes: Mapping[str, Ended], may: Callable[[str], bool]
    ) -> frozenset[str]:
        """Write outcomes.

        Args:
            outcomes: by key.
            may: whether a step may be ended by this worker.

        Returns:
            Keys of those that count; the others were begun or ended by somebody else meanwhile.

        Raises:
            JournalError: they could not be written.
        """

        def make() -> Finished | None:
            counting = {key: ended for key, ended in outcomes.items() if may(key)}
            return Finished(self.mine[-1], counting) if counting else None

        await self._written(make)
        return frozenset(self.finished_here.intersection(outcomes))

    async def _written(self, make: Callable[[], JournalFact | None]) -> JournalFact | None:
        """Wait until what `make` makes has reached the disk (J1), or does not hold (J2)."""
        if self._broken is not None:
            raise self._broken
        loop = asyncio.get_running_loop()
        entry = _Entry(make, loop.create_future())
        self._entries.append(entry)
        if self._flusher is None:
            self._flusher = loop.create_task(self._flush(), name="bulk journal")
        return await entry.future

    async def _flush(self) -> None:
        try:
            while self._entries and self._broken is None:
                entries, self._entries = self._entries, []
                # Whoever was cancelled meanwhile needs nothing any more.
                entries = [entry for entry in entries if not entry.future.done()]
                try:
                    left = await self._write(entries)
                except BaseException as error:
                    self._break(error, entries)
                    if not isinstance(error, Exception):
                        raise
                    return
                self._entries[:0] = left
        finally:
            self._flusher = None

    async def _write(self, entries: list[_Entry]) -> list[_Entry]:
        """Write what holds, in one exchange; return what has to be tried again."""
        facts: list[JournalFact] = []
        if not self.is_present:
            facts.append(self._joining())  # J5
        made = [(entry, entry.make()) for entry in entries]
        facts.extend(fact for _, fact in made if fact is not None)
        if not await self._patiently(facts):
            return entries
        self._wrote_at = now_s()
        for entry, fact in made:
            if not entry.future.done():
                entry.future.set_result(fact)
        return []

    async def _patiently(self, facts: list[JournalFact]) -> bool:
        """Exchange; a server that is away is waited for (J6)."""
        if not facts:
            return True
        since: float | None = None
        while True:
            try:
                accepted = await self.exchange(facts)
            except LogStoreError:
                since = now_s() if since is None else since
                patience_s = _CLOSING_S if self._closed else _PATIENCE_S
                if isinstance(self.place.where, Path) or now_s() - since > patience_s:
                    raise
            else:
                self.is_away = False
                return accepted
            self.is_away = True
            self._back_at = now_s()
            await pause(_RETRY_S)

    def _break(self, error: BaseException, entries: list[_Entry]) -> None:
        self._broken = error if isinstance(error, JournalError) else self._unwritable(error)
        for entry in (*entries, *self._entries):
            if not entry.future.done():
                entry.future.set_exception(self._broken)
                entry.future.exception()  # its waiter may be cancelled: mark it as retrieved
        self._entries.clear()
        self._next.set()
        self.changed(())

    def _unwritable(self, error: BaseException) -> JournalError:
        reason = str(error) or type(error).__name__
        return JournalError(
            f"the journal {self.place} cannot be written ({reason}): nothing more is started; "
            "free what is missing (disk space, threads) and resume"
        )

    # Reading.

    async def _watch(self) -> None:
        """Read what others write, say that this worker is there, and who is not (J5, JS3)."""
        beat_s = self.timing.silent_s / 3
        while self._broken is None:
            await self._hint(beat_s)
            try:
                if now_s() - self._wrote_at >= beat_s:
                    await self._written(lambda: Alive(self.mine[-1]))
                else:
                    await self.read()
                for gone in self._gone():
                    await self._written(partial(self._still, gone))
            except LogStoreError:
                self._back_at = now_s()
                await pause(_RETRY_S)
            except Exception as error:  # noqa: BLE001 -- whoever writes next is told
                self._break(error, [])

    def _still(self, gone: WorkerGone) -> WorkerGone | None:
        return gone if gone in self._gone() else None

    async def _hint(self, most_s: float) -> None:
        """Wait until there may be something to read, or `most_s` have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self.store.changed(self.state.position)

    async def close(self) -> None:
        """Finish writing, say that this worker leaves, and let go; harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        with suppress(JournalError):
            await self._written(lambda: Left(self.mine[-1]))
        while self._flusher is not None:
            await asyncio.wait([self._flusher])
        await self.store.aclose()


async def remove_journal(journal: str | os.PathLike[str]) -> None:
    """Remove a journal, with what belongs to it; harmless when there is none.

    Raises:
        JournalError: it is something else, somebody works with it, or its server is away.
    """
    place = JournalPlace.of(journal)
    if isinstance(place.where, Path) and not place.where.exists():
        return
    reader = JournalReader(place, place.open_store(create=True))
    try:
        await reader.read()
        state = reader.state
        if state.position and len(state.finished) < len((await reader.read_plan()).steps):
            silent = state.silent()
            busy = [each.name for who, each in state.present.items() if who not in silent]
            if busy:
                names = ", ".join(busy)
                raise JournalError(f"the journal {place} is in use by {names}: stop it first")
        await reader.store.remove()
    except LogStoreError as error:
        raise JournalError(f"the journal {place} cannot be removed: {error}") from None
    finally:
        await reader.aclose()
