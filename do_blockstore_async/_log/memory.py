"""A log in the memory of one process: for tests, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from .._clock import finish, now_s, wait_until
from .store import CHANGED_WITHIN_S, PAGE, Fact, LogStoreError, Reply

__all__ = ["MemoryLog", "MemoryStore"]

_HEARD_S: Final = 5.0
_STEP_S: Final = 0.5


class MemoryLog:
    """The log itself; any number of stores may lead to it.

    Its clock is corrected as those of the servers are (`redis.py`, R1 and R3).

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
        expected: tuple[float, bool] | None = None,
    ) -> Reply:
        """See `LogStore.exchange`; `expected` is what the clock should show, and if that is new."""
        now_s = self.clock() + self._shift_s
        if expected is not None:
            step_s = now_s - expected[0]
            if step_s > _STEP_S or (step_s < -_STEP_S and (expected[1] or not self.now_s)):
                self._shift_s -= step_s
                now_s = expected[0]
        self.now_s = max(self.now_s, now_s)
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
        self._clock = clock
        self._heard: tuple[float, float] | None = None

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
        expected = None
        if self._heard is not None:
            store_s, own_s = self._heard
            elapsed_s = self._clock() - own_s
            expected = store_s + elapsed_s, elapsed_s <= _HEARD_S
        reply = self.log.exchange(after, facts, only_if, trim_before, expected)
        self._heard = reply.now_s, self._clock()
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
