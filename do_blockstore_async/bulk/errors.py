"""Errors of bulk jobs; each message says what to do.

BlockStoreError
└── BulkError
    ├── PlanError     a plan cannot be made, read or run as it is (also a ValueError)
    │   └── NothingSelectedError  no volume matches the selection
    ├── GuardError    the plan deletes more than the guards allow
    └── JournalError  the journal is of another plan or format, no journal, or cannot be written
"""

from __future__ import annotations

from ..errors import BlockStoreError

__all__ = ["BulkError", "GuardError", "JournalError", "NothingSelectedError", "PlanError"]


class BulkError(BlockStoreError):
    """Base of the errors that bulk jobs raise themselves; the message says what to do."""


class PlanError(BulkError, ValueError):
    """A plan cannot be made, read or run as it is. Nothing was changed."""


class NothingSelectedError(PlanError):
    """No volume of the account matches the selection of the plan."""


class GuardError(BulkError):
    """The plan deletes more than the guards allow. Nothing was changed.

    Attributes:
        items: how many deletions of that kind the plan holds.
        fleet: how many volumes or snapshots there were when it was made.
        max_items, max_share: the guards in force.
    """

    def __init__(
        self, message: str, *, items: int, fleet: int, max_items: float, max_share: float
    ) -> None:
        super().__init__(message)
        self.items = items
        self.fleet = fleet
        self.max_items = max_items
        self.max_share = max_share


class JournalError(BulkError):
    """The journal cannot be used."""
