"""A log in the memory of one process: for tests, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .store import PAGE, Fact, LogStoreError, Reply

__all__ = ["MemoryLog", "MemoryStore"]


class MemoryLog:
    """The log itself; any number of stores may lead to it.

    Args:
        clock: returns seconds.
        log_id: of the log.
    """

    def __init__(self, clock: Callable[[], float], log_id: str = "memory") -> None:
        self.clock = clock
        self.log_id = log_id
        self.facts: list[Fact] = []
        self.last = 0
        self.now_s = 0.0

    def exchange(
        self, after: int, facts: Sequence[bytes], only_if: int | None, trim_before: int
    ) -> Reply:
        """See `LogStore.exchange`."""
        self.now_s = max(self.now_s, self.clock())
        accepted = not facts or only_if is None or only_if == self.last
        if accepted:
            for data in facts:
                self.last += 1
                self.facts.append(Fact(self.last, self.now_s, data))
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
    """One way to a `MemoryLog`, which can be cut."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.is_away = False

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
        return self.log.exchange(after, facts, only_if, trim_before)

    async def aclose(self) -> None:
        """Nothing is held."""
