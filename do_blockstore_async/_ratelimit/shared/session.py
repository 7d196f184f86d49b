"""A client's stay in the log of a shared budget: it reads, it writes, and it says that it lives.

Invariants:
 S1. Facts are applied in the log's order, each once; what is granted was appended with
     `only_if` by a session that had applied everything before it (R2).
 S2. A fact that was handed over is written until an exchange has accepted it: the log tolerates
     what it reads twice (R5). A grant of its own that nobody here waits for is given back.
 S3. A log that was emptied, replaced or set back is noticed by the next exchange, since each reads
     the last fact once more; the state lives on in whoever still runs, and is written into it.
 S4. Who was taken for dead comes back as another writer, and its former leases stay closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal, TypeVar

from ..._clock import pause, wait_for_event
from ..._log.store import Fact as LogFact
from ..._log.store import LogStore, LogStoreError, Reply
from ...errors import BlockStoreError, ClientClosedError, ConfigError
from ...events import (
    Event,
    PeerJoined,
    PeerLost,
    SharedBudgetAway,
    SharedBudgetBack,
    TurnPassed,
)
from .facts import (
    FORMAT,
    Absence,
    Ask,
    Backlog,
    Bye,
    Checkpoint,
    Fact,
    Grant,
    Hello,
    SharedSettings,
    Unused,
    decode,
    encode,
)
from .peer import Peer
from .replica import Replica

__all__ = ["HEARTBEAT_S", "LOOK_S", "Session"]

T = TypeVar("T")

_logger = logging.getLogger("do_blockstore_async")

HEARTBEAT_S: Final = 5.0
"""A session that has written nothing for so long says that it lives."""
LOOK_S: Final = 1.0
"""How often a store that is away is tried again, and one that is there looked at while in use."""

_BATCH_S: Final = 0.02
_CHECKPOINT_FACTS: Final = 2_000
_REMEMBERED_FACTS: Final = 2 * _CHECKPOINT_FACTS
_KEPT: Final = 200


class Session:
    """Keeps a replica up to date with the log in `store`.

    Args:
        name: of this process, for people.
        clock: returns seconds, on a clock that nobody sets.
        new_writer: makes a name for a writer that nobody else has.
        waiting: returns what waits here, or what will once the next bulk (True) or interactive
            request (False) is granted.
        changed: called when the replica has moved by itself.
        emit: takes events.

    Attributes:
        replica: the budget as far as it is known here.
        writer: this session's name in the log; None while it is not one of the living.
        error: why the store can never be used.
        away_since: when the store stopped answering, on `clock`; None while it answers.
        tried_at, wrote_at: when a fact was last sent, and last accepted, on `clock`.
    """

    def __init__(
        self,
        store: LogStore,
        settings: SharedSettings,
        name: str,
        *,
        clock: Callable[[], float],
        new_writer: Callable[[], str],
        waiting: Callable[[bool | None], Backlog],
        changed: Callable[[], None],
        emit: Callable[[Event], None],
    ) -> None:
        self._store = store
        self.settings = settings
        self.name = name
        self._clock = clock
        self._new_writer = new_writer
        self._waiting = waiting
        self._changed = changed
        self._emit = emit
        self.replica = Replica(settings)
        self.writer: str | None = None
        self.error: BlockStoreError | None = None
        self.away_since: float | None = None
        self.tried_at = self.wrote_at = self._used_at = 0.0
        self.absence: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._joining = self._former = ""
        self._number = 0
        self._failed: dict[int, None] = {}  # claims that were not granted, as far as we heard
        self._told = Backlog()
        self._outbox: deque[bytes] = deque()
        self._recent: dict[bytes, None] = {}  # in their order
        self._position = 0
        self._log_id: str | None = None
        self._seen: dict[int, tuple[float, bytes]] = {}
        self._skipping = False
        # A log that was lost needs a state to go on from, and what that state does not know of us.
        self._is_carried = True
        self._must_carry = False
        self._checkpoints: deque[int] = deque(maxlen=2)
        self._heard = (0.0, 0.0)
        self._one_at_a_time = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._listening = asyncio.Event()
        self._joined = asyncio.Event()
        self._tried = asyncio.Event()
        self._urgent = False
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    # -- for the budget -----------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to live, and wait until this session has joined, or found the store away.

        Raises:
            ConfigError: the store cannot be used, or others run with other settings.
        """
        self.start()
        await self._tried.wait()
        if self._closed:
            raise ClientClosedError("the client was closed")
        if self.error is not None:
            raise self.error

    def start(self) -> None:
        """Begin to live in the running loop, if that has not happened."""
        if not self._tasks and not self._closed:
            loop = asyncio.get_running_loop()
            self._tasks = [
                loop.create_task(self._live(), name="shared budget"),
                loop.create_task(self._listen(), name="shared budget, listening"),
            ]

    def now_s(self) -> float:
        """The log's time, or a little less: so nothing comes free too early."""
        heard_s, at = self._heard
        return heard_s + max(0.0, self._clock() - at)

    async def claim(self, background: bool, passed: tuple[str, ...]) -> int | None:
        """Take a slot; returns its number, or None if something else happened first.

        Raises:
            ConfigError: the store cannot be used.
        """
        writer = self.writer
        if writer is None or self.away_since is not None:
            return None
        self._number += 1
        number, waiting = self._number, self._waiting(background)
        grant = Grant(writer, number, background, waiting, passed)
        accepted = False
        try:
            # What was decided was decided here: anything read since then has to be looked at first.
            accepted = await self._exchange([encode(grant)], only_if=self._position)
        except LogStoreError:
            return None
        finally:
            is_held = accepted and self.writer == writer
            if not is_held:
                _keep(self._failed, number)
        if is_held:
            self._used_at = self._clock()
            self._told = waiting
            for peer in (self.replica.peers.get(name) for name in passed):
                if peer is not None:
                    self._emit(TurnPassed(peer.name))
            return number
        self._give_back_orphans()  # It may stand in a log that turned out to be another.
        return None

    def post(self, fact: Fact, *, at_once: bool = False) -> None:
        """Write a fact, within 20 ms unless at once."""
        self._outbox.append(encode(fact))
        self._urgent = self._urgent or at_once
        self._wanted.set()

    def close(self, writer: str, fact: Fact) -> None:
        """Write how a lease ended."""
        self._used_at = self._clock()
        if writer == self.writer:
            self.post(fact)

    def note_waiting(self) -> None:
        """Tell the others, where what waits here has begun or ended; and listen while it does."""
        waiting, told = self._waiting(None), self._told
        if waiting.interactive or waiting.bulk:
            self._listening.set()
        else:
            self._listening.clear()
        begun_or_ended = (bool(waiting.interactive), bool(waiting.bulk)) != (
            bool(told.interactive),
            bool(told.bulk),
        )
        if begun_or_ended and self.writer is not None:
            self._told = waiting
            self.post(Ask(self.writer, waiting), at_once=True)

    async def aclose(self) -> None:
        """Write what is left, say goodbye and let go of the store; harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        self._tried.set()
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self.writer is not None and self.away_since is None:
                with suppress(BlockStoreError):
                    await self._exchange([encode(Bye(self.writer))])
        finally:
            self.writer = None
            await self._store.aclose()

    # -- the tasks ----------------------------------------------------------------------------

    async def _live(self) -> None:
        """Join, write what is handed over, say that this session lives, and come back."""
        try:
            while True:
                try:
                    while self.writer is None:
                        await self._join()
                    await self._write_once()
                except LogStoreError:
                    self._tried.set()
                    await pause(LOOK_S)
        except Exception as error:  # Whatever it is: the gate must not stay open, nor hang.
            if not isinstance(error, BlockStoreError):
                _logger.exception("the shared budget failed")
                error = BlockStoreError(f"the shared budget failed ({type(error).__name__})")
            self._fail(error)

    def _fail(self, error: BlockStoreError) -> None:
        """Grant nothing any more, and tell why."""
        self.error = error
        self._tried.set()
        self._changed()

    async def _write_once(self) -> None:
        if not self._outbox:
            wait_s = max(0.0, HEARTBEAT_S - (self._clock() - self.wrote_at))
            # Who holds slots of the shortest window looks more often: if the store has lost them,
            # it is up to this session to say so before others spend them again (R8).
            is_in_use = self._clock() - self._used_at < self.replica.ledger.windows[0].hold_s
            await wait_for_event(self._wanted, min(wait_s, LOOK_S) if is_in_use else wait_s)
        if self._outbox and not self._urgent:
            await pause(_BATCH_S)
        self._wanted.clear()
        self._urgent = False
        if self.writer is None:
            return
        is_silent = self._clock() - self.wrote_at >= HEARTBEAT_S and not self._outbox
        facts: list[bytes] = []
        if is_silent and self.away_since is None:
            self._told = self._waiting(None)
            facts.append(encode(Ask(self.writer, self._told)))
        await self._exchange(facts)
        if self._position - max(self._checkpoints, default=0) > _CHECKPOINT_FACTS:
            await self._write_checkpoint()

    async def _listen(self) -> None:
        """While requests wait here, look at the log as soon as it changes."""
        while True:
            await self._listening.wait()
            await self._joined.wait()
            if self.away_since is not None:
                await pause(LOOK_S)
                continue
            await self._store.changed(self._position)
            try:
                await self._exchange([])
            except LogStoreError:
                continue
            except BlockStoreError as error:
                self._fail(error)
                return

    async def _join(self) -> None:
        """Become one of the living: read everything, then say hello."""
        await self._exchange([])
        replica = self.replica
        if replica.peers and replica.settings != self.settings:
            names = ", ".join(sorted(peer.name for peer in replica.peers.values()))
            raise ConfigError(
                "the processes that share a token's budget need the same settings; others run "
                f"({names}) with {self.settings.differences(replica.settings) or 'another store'}"
            )
        writer = self._joining = self._new_writer()
        facts: list[Fact] = []
        if self._former and any(sent := self.absence()):
            facts.append(Absence(self._former, *sent))
        facts.append(Hello(writer, FORMAT, self.name, self.settings))
        self._told = self._waiting(None)
        facts.append(Ask(writer, self._told))
        self._number, self._failed = 0, {}
        self._recent.clear()
        accepted = await self._exchange([encode(fact) for fact in facts], only_if=self._position)
        if accepted and writer in self.replica.peers:
            self.writer, self._former = writer, writer
            self._joined.set()
            self._tried.set()
            self._changed()

    async def _write_checkpoint(self) -> None:
        """Write the state for newcomers, and drop what lies before the last checkpoint but one."""
        trim = self._checkpoints[-1] if self._checkpoints else 0
        await self._exchange([], checkpoint="regular", trim_before=trim)

    # -- the log ------------------------------------------------------------------------------

    async def _exchange(
        self,
        facts: list[bytes],
        *,
        only_if: int | None = None,
        checkpoint: Literal["regular", "carried"] | None = None,
        trim_before: int = 0,
    ) -> bool:
        """Write the outbox and `facts`, and apply all that is new; returns whether they stand.

        With `only_if` they are written only if nothing was applied here, or written by others,
        after that position.

        Raises:
            LogStoreError: the store is away.
            ConfigError: it can never be used.
        """
        accepted = await self._sync(facts, only_if, checkpoint, trim_before)
        if self._must_carry:
            await self._carry_on()
        if self.writer is not None and self.writer not in self.replica.peers:
            self.writer = None  # S4
            self._joined.clear()
            self._outbox.clear()
            self._wanted.set()
        if self.away_since is not None:
            away_s, self.away_since = self._clock() - self.away_since, None
            self._emit(SharedBudgetBack(away_s))
        self._changed()
        return accepted

    async def _sync(
        self,
        facts: list[bytes],
        only_if: int | None = None,
        checkpoint: Literal["regular", "carried"] | None = None,
        trim_before: int = 0,
    ) -> bool:
        """Exchange and apply; returns whether `facts` stand, in the log that was read so far."""
        async with self._one_at_a_time:
            if only_if is not None and self._position != only_if:
                return False
            if checkpoint is not None:
                # Of this very position, and with nothing between: what waits to be written is not
                # part of the state yet.
                only_if = self._position
                state = self.replica.checkpoint(
                    self.writer or "", is_carried=checkpoint == "carried"
                )
                facts = [encode(state)]
            # While the store is away nothing is written but what a reply has been asked for: else
            # it could hear this session, which hears nothing and counts its silence (O1).
            takes_outbox = (
                self.writer is not None and checkpoint is None and self.away_since is None
            )
            writing = [*self._outbox, *facts] if takes_outbox else facts
            held_back = len(writing) - len(facts)
            before = self._clock()
            if writing:
                self.tried_at = before
            reply = await self._ask(writing, only_if, trim_before)
            if reply.accepted and writing:
                if checkpoint is None:  # which nobody takes for a sign of life
                    self.wrote_at = before
                for _ in range(held_back):
                    self._outbox.popleft()
            accepted = reply.accepted
            while True:
                if self._is_another_log(reply):
                    accepted = False
                    self._begin_again(reply)
                    reply = await self._ask([], None, 0)
                    continue
                self._apply(reply)
                if reply.is_whole:
                    break
                reply = await self._ask([], None, 0)
            self._skipping = False
            self._lose(self.replica.advance(reply.now_s))
            self._give_back_orphans()
        return accepted

    async def _ask(self, facts: list[bytes], only_if: int | None, trim_before: int) -> Reply:
        try:
            reply = await self._store.exchange(
                max(0, self._position - 1), facts, only_if=only_if, trim_before=trim_before
            )
        except LogStoreError as error:
            self._went_away(error)
            raise
        self._heard = (max(reply.now_s, self._heard[0]), self._clock())
        return reply

    def _is_another_log(self, reply: Reply) -> bool:
        """Whether this is not the log that was read so far, or no longer all of it (S3)."""
        if self._log_id is None or self._position == 0:
            self._log_id = reply.log_id
            return False
        if reply.log_id != self._log_id or reply.last < self._position:
            return True
        if reply.first > self._position + 1:
            return True
        first = reply.facts[0] if reply.facts else None
        return (
            first is not None
            and first.position == self._position
            and self._seen.get(first.position) != (first.at_s, first.data)
        )

    def _begin_again(self, reply: Reply) -> None:
        if reply.log_id != self._log_id:
            # What was trimmed away while this session slept is in the first checkpoint.
            self._seen.clear()
        self._log_id = reply.log_id
        self._position = 0
        self._checkpoints.clear()
        self._skipping, self._is_carried, self._must_carry = True, False, True

    def _apply(self, reply: Reply) -> None:
        for found in reply.facts:
            if found.position <= self._position:
                continue
            fact = decode(found.data)
            self._position = found.position
            is_known = self._skipping and self._is_known(found)
            if not self._skipping or not is_known:
                self._remember(found)
            if isinstance(fact, Checkpoint):
                self._checkpoints.append(found.position)
                self._is_carried = self._is_carried or not is_known
            if not is_known:
                self._lose(self.replica.apply(found.at_s, fact))
                if isinstance(fact, Hello) and fact.writer not in {self.writer, self._joining}:
                    self._emit(PeerJoined(fact.name))
                if fact.writer == self.writer and not isinstance(fact, Checkpoint | Hello | Ask):
                    _keep(self._recent, found.data)

    def _is_known(self, found: LogFact) -> bool:
        """Whether a log that was set back holds what this session has applied already."""
        seen = self._seen
        if not seen:
            return False
        return found.position < min(seen) or seen.get(found.position) == (found.at_s, found.data)

    def _remember(self, found: LogFact) -> None:
        self._seen[found.position] = (found.at_s, found.data)
        if len(self._seen) > _REMEMBERED_FACTS:
            del self._seen[next(iter(self._seen))]

    def _give_back_orphans(self) -> None:
        """Give back what was granted here although nobody heard of it (R5)."""
        writer = self.writer
        peer = self.replica.peers.get(writer or "")
        if writer is not None and peer is not None and self._failed:
            for number in peer.open.keys() & self._failed:
                del self._failed[number]
                self.post(Unused(writer, number))

    def _lose(self, died: dict[str, Peer]) -> None:
        for writer, peer in died.items():
            if writer != self.writer:
                self._emit(PeerLost(peer.name))

    async def _carry_on(self) -> None:
        """Bring the state into another log, and what its state does not know of this session.

        Whatever interrupts it, the next exchange goes on with it.
        """
        while self._must_carry:
            while not self._is_carried:
                await self._sync([], checkpoint="carried")
            if self.writer is not None:
                hello = Hello(self.writer, FORMAT, self.name, self.settings)
                await self._sync([encode(hello), *self._recent])
            self._must_carry = not self._is_carried

    def _went_away(self, error: LogStoreError) -> None:
        if self.away_since is None:
            self.away_since = self._clock()
            self._emit(SharedBudgetAway(str(error)))
            self._changed()


def _keep(newest: dict[T, None], key: T) -> None:
    """Add to the newest ones, of which `_KEPT` are kept in their order."""
    newest[key] = None
    if len(newest) > _KEPT:
        del newest[next(iter(newest))]
