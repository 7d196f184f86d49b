"""Write-ahead log of a run, for any number of workers: intent before each request, outcome after.

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
J6. Once it is open, a server that is away, or a file that another process holds, is waited for,
    `_PATIENCE_S` at most; a file that cannot be written ends the run.

Facts that are handed over while an exchange is under way share the next one (group commit).
"""

from __future__ import annotations

import asyncio
import math
import os
import platform
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Self

import attrs

from ..._clock import new_name, now_s, pause, run_to_completion
from ..._log.store import LastingStore, LogStoreBusyError, LogStoreError, Reply
from ..concurrency.thread import in_thread
from ..errors import JournalError
from ..model.outcome import Ended
from ..model.plan import Plan
from .journal_reader import JournalPlace, JournalReader
from .journal_state import (
    Alive,
    Begun,
    Finished,
    Joined,
    JournalFact,
    Left,
    Timing,
    WorkerGone,
    planned,
)

__all__ = ["Journal"]

_PATIENCE_S: Final = 600.0
_HURRY_S: Final = 5.0
_RETRY_S: Final = 0.5


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
        self.changed: Callable[[Collection[str]], None] = _unheard
        self.finished_here: set[str] = set()
        self._others: dict[str, None] = {}
        self._given_up: set[str] = set()
        self._entries: list[_Entry] = []
        self._flusher: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._broken: JournalError | None = None
        # Since when it has been read again and again, on the loop's clock.
        self._in_contact_since = -math.inf
        self._is_hurried = False
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
                reason = place.reason_of(error)
                raise JournalError(f"the journal {place} cannot be used: {reason}") from None
            raise
        self._watcher = asyncio.get_running_loop().create_task(
            self._watch(), name="bulk journal watch"
        )
        return self

    async def _enter(self, plan: Plan | None) -> None:
        await self.read()
        digest = ""
        while not self.state.position and plan is not None:
            digest, facts = await in_thread(partial(_planned, plan))
            await self.exchange(facts, 0)
            await _let_go(facts)
        self.check_plan()
        if plan is not None and not digest:
            digest = await in_thread(partial(_digest, plan))
        if plan is None or digest != self.state.digest:
            found = await self.read_plan()
            if plan is not None:
                raise JournalError(
                    f"the journal {self.place} belongs to another plan (job {found.job}, made at "
                    f"{found.made_at:%Y-%m-%d %H:%M:%S} UTC): name another, or resume that plan"
                )
            plan = found
        self.plan = plan
        # Of a large plan this is most of what a journal holds.
        await _let_go(self.state.plan or bytearray())
        joining = self._joining()
        while not await self.exchange([*self._gone(), joining], self.state.position):
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
        # While the store was away, nobody could write.
        heard_for_s = now_s() - self._in_contact_since
        workers = self.state.workers
        return [
            WorkerGone(who)
            for who in self.state.silent()
            if who not in self.mine and heard_for_s > workers[who].timing.silent_s
        ]

    def _heard(self, reply: Reply) -> None:
        super()._heard(reply)
        gap_s = reply.now_s - self.state.now_s
        if self.state.now_s and gap_s > self.timing.silent_s / 2:
            self._in_contact_since = now_s()

    def _applied(self, fact: JournalFact) -> None:
        if isinstance(fact, Begun | Finished):
            keys = fact.keys if isinstance(fact, Begun) else fact.outcomes
            if fact.worker not in self.mine:
                self._others.update(dict.fromkeys(keys))
            elif isinstance(fact, Finished):
                self.finished_here.update(keys)
        elif isinstance(fact, Left | WorkerGone) and fact.worker not in self.mine:
            if isinstance(fact, Left):
                self._others.update(dict.fromkeys(fact.refused))
            self._others.update(
                (key, None)
                for key in self.state.in_flight
                if self.state.claims[key].worker == fact.worker
            )

    async def exchange(self, facts: Iterable[JournalFact | bytes], made_at: int) -> bool:
        """See `JournalReader.exchange`; whoever waits for a change is told of it."""
        before = self.state.position
        accepted = await super().exchange(facts, made_at)
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

    def give_up(self, keys: Iterable[str]) -> None:
        """Note steps that this worker will not send again, and whose requests had no effect.

        It is written when the worker leaves: whoever goes on need not wait for these requests.
        """
        self._given_up.update(keys)

    def _leaving(self) -> Left:
        who = self.mine[-1]
        return Left(who, tuple(key for key in self._given_up if self.state.is_mine(key, (who,))))

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
        made_at = self.state.position
        if not self.is_present:
            facts.append(self._joining())  # J5
        made = [(entry, entry.make()) for entry in entries]
        facts.extend(fact for _, fact in made if fact is not None)
        if not await self._patiently(facts, made_at):
            return entries
        for entry, fact in made:
            if not entry.future.done():
                entry.future.set_result(fact)
        return []

    async def _patiently(self, facts: list[JournalFact], made_at: int) -> bool:
        """Exchange; a server that is away is waited for (J6)."""
        if not facts:
            return True
        since: float | None = None
        while True:
            try:
                accepted = await self.exchange(facts, made_at)
            except LogStoreError as error:
                since = now_s() if since is None else since
                patience_s = _HURRY_S if self._is_hurried else _PATIENCE_S
                is_lasting = isinstance(self.place.where, Path) and not isinstance(
                    error, LogStoreBusyError
                )
                if is_lasting or now_s() - since > patience_s:
                    raise
            else:
                self.is_away = False
                return accepted
            self.is_away = True
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
                if self._unheard_s() >= beat_s:
                    await self._written(lambda: Alive(self.mine[-1]))
                else:
                    await self.read()
                for gone in self._gone():
                    await self._written(partial(self._still, gone))
            except LogStoreError:
                await pause(_RETRY_S)
            except Exception as error:  # noqa: BLE001 -- whoever writes next is told
                self._break(error, [])

    def _still(self, gone: WorkerGone) -> WorkerGone | None:
        return gone if gone in self._gone() else None

    def _unheard_s(self) -> float:
        """Seconds since this worker last wrote, by the log's clock; infinite once it is lost."""
        if not self.is_present:
            return math.inf
        return self.now_s() - self.state.workers[self.mine[-1]].heard_s

    async def _hint(self, most_s: float) -> None:
        """Wait until there may be something to read, or `most_s` have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self.store.changed(self.state.position)

    def hurry(self) -> None:
        """Wait for a store that is away no longer than a moment from now on.

        What it was not told is in doubt, and looked up by whoever goes on.
        """
        self._is_hurried = True

    async def close(self) -> None:
        """Finish writing, say that this worker leaves, and let go; harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        self.hurry()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None  # what cancelled it refers to this
        with suppress(JournalError):
            await self._written(self._leaving)
        while self._flusher is not None:
            await asyncio.wait([self._flusher])
        await self.store.aclose()
        self.changed = _unheard


async def _let_go(large: list[bytes] | bytearray) -> None:
    """Let go of a long plan by halves: a hundred megabytes at once would stop the loop for long."""
    while large:
        del large[len(large) // 2 :]
        await pause(0)


def _unheard(keys: Collection[str]) -> None:
    """Nobody is told."""


def _digest(plan: Plan) -> str:
    return plan.digest


def _planned(plan: Plan) -> tuple[str, list[bytes]]:
    digest = plan.digest
    return digest, planned(digest, plan.to_json_pieces(digest))
