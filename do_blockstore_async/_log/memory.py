"""A log in the memory of one process: for tests, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .._clock import finish, now_s, wait_until
from .server_clock import Expected, ServerClock, correction
from .store import CHANGED_WITHIN_S, PAGE, Fact, LogStoreError, Reply

__all__ = ["MemoryLog", "MemoryStore"]


class MemoryLog:
    """The log itself; any number of stores may lead to it.

    Its clock is corrected as those of the servers are (`server_clock.py`).

    Args:
        clock: returns seconds, on a clock that may be set.
        log_id: of the log.
    """

    def __init__(self, clock: Callable[[], float], log_id: str = "memory") -> None:
        self.clock = clock
        self.log_id = log_id
        self.facts: list[Fact] = []
        self.last = 0
        self.now_s = self._shift_s = 0.0
        self.waiting: set[asyncio.Future[None]] = set()

    def exchange(
        self,
        after: int,
        facts: Sequence[bytes],
        only_if: int | None,
        trim_before: int,
        expected: Expected | None = None,
    ) -> Reply:
        """See `LogStore.exchange`; `expected` is what the clock should show."""
        shown_s = self.clock() + self._shift_s
        self._shift_s += correction(shown_s, expected, is_new=not self.now_s)
        self.now_s = max(self.now_s, self.clock() + self._shift_s)
        accepted = not facts or only_if is None or only_if == self.last
        if accepted:
            for data in facts:
                self.last += 1
                self.facts.append(Fact(self.last, self.now_s, data))
            for future in self.waiting if facts else ():
                finish(future)
        while self.facts and self.facts[0].position < trim_before:
            del self.facts[0]
        first = self.facts[0].position if self.facts else self.last + 1
        begin = max(0, after + 1 - first)
        return Reply(
            accepted=accepted,
            now_s=self.now_s,
            log_id=self.log_id,
            first=first,
            last=self.last,
            facts=tuple(self.facts[begin : begin + PAGE]),
        )


class MemoryStore:
    """One way to a `MemoryLog`, which can be cut.

    Args:
        clock: returns seconds, on a clock that nobody sets; without one the log's is not corrected.
    """

    def __init__(self, log: MemoryLog, clock: Callable[[], float] | None = None) -> None:
        self.log = log
        self.is_away = False
        self._clock = None if clock is None else ServerClock(clock)

    async def exchange(
        self,
        after: int,
        facts: Sequence[bytes] = (),
        *,
        only_if: int | None = None,
        trim_before: int = 0,
    ) -> Reply:
        """See `LogStore.exchange`."""
        if self.is_away:
            raise LogStoreError("the store is away")
        if self._clock is None:
            return self.log.exchange(after, facts, only_if, trim_before)
        expected = self._clock.expected()
        reply = self.log.exchange(after, facts, only_if, trim_before, expected)
        self._clock.heard(reply.now_s)
        return reply

    async def changed(self, after: int) -> None:
        """See `LogStore.changed`."""
        if self.log.last > after and not self.is_away:
            return
        future = asyncio.get_running_loop().create_future()
        self.log.waiting.add(future)
        try:
            await wait_until(future, now_s() + CHANGED_WITHIN_S)
        finally:
            self.log.waiting.discard(future)

    async def aclose(self) -> None:
        """Nothing is held."""
