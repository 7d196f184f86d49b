"""What every store of a shared log offers: one method, and a hint when to call it.

Processes that share something, a token's budget say, write what they do into one log, and each of
them replays all of it into the same state (docs/decisions/shared-log.md). A store keeps the log. It
knows nothing of what the facts mean.

L1. Facts have positions 1, 2, 3, ... in the order of their appending; none is used twice in a log.
L2. The facts of one exchange are appended together or not at all, one directly after the other.
L3. With `only_if` they are appended only if the log ends there: nobody else has written since.
L4. The store dates each fact. Dates never fall, whatever its clock does, and `now_s` is no earlier
    than any of them.
L5. A reply holds the facts after a position, those of this exchange included, at most `PAGE` of
    them: the oldest first. `is_whole` says whether these are all.
L6. A reader who has missed facts can tell: `first` is the oldest position that is kept, and a log
    that was emptied or replaced has another `log_id`.
L7. An exchange whose reply was lost has taken effect or not. Its facts are seen by the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from ..errors import BlockStoreError

__all__ = [
    "CHANGED_WITHIN_S",
    "PAGE",
    "Fact",
    "LastingStore",
    "LogStore",
    "LogStoreBusyError",
    "LogStoreError",
    "Reply",
]

PAGE: Final = 1_000
CHANGED_WITHIN_S: Final = 1.0


class LogStoreError(BlockStoreError):
    """The store is away for now; the exchange has taken effect or not."""


class LogStoreBusyError(LogStoreError):
    """Another process holds the store for long, as one that was stopped in the middle does."""


class Fact(msgspec.Struct, frozen=True):
    """One entry of a log.

    Attributes:
        position: in the log, from 1.
        at_s: when it was appended, in seconds on the store's clock.
        data: what its writer wrote.
    """

    position: int
    at_s: float
    data: bytes


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange returns.

    Attributes:
        accepted: whether the facts were appended; True if there were none.
        now_s: the store's clock.
        log_id: of this log; another one after it was emptied or replaced.
        first: the oldest position that is kept; `last + 1` if none is.
        last: the newest position; 0 of a new log.
        facts: those after the position asked for.
    """

    accepted: bool
    now_s: float
    log_id: str
    first: int
    last: int
    facts: tuple[Fact, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing follows what was returned."""
        return not self.facts or self.facts[-1].position == self.last


class LogStore(Protocol):
    """One log in one store, as one process sees it; used by one event loop."""

    async def exchange(
        self,
        after: int,
        facts: Sequence[bytes] = (),
        *,
        only_if: int | None = None,
        trim_before: int = 0,
    ) -> Reply:
        """Append facts, and read what there is.

        Args:
            after: return the facts after this position.
            facts: what to append.
            only_if: append only if this is the newest position; None appends in any case.
            trim_before: drop the facts before this position, for good.

        Raises:
            LogStoreError: the store is away.
            StoreUnusableError: it can never serve: a wrong password, another kind of server, no
                rights.
        """

    async def changed(self, after: int) -> None:
        """Wait until there may be facts after `after`, `CHANGED_WITHIN_S` at most.

        A hint, given as early as the store can; it never raises because of the store.
        """

    async def aclose(self) -> None:
        """Let go of the store; harmless when repeated."""


class LastingStore(LogStore, Protocol):
    """A store whose logs outlive power failures, and are removed when they have served."""

    async def remove(self) -> None:
        """Remove the log; harmless when there is none.

        Raises:
            LogStoreError, StoreUnusableError: see `exchange`.
        """
