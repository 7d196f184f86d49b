"""Several accounts at once: one client for each, and operations over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .accounts import AccountOutcome, Accounts

__all__ = ["AccountOutcome", "Accounts"]

__getattr__, __dir__ = lazy_names(
    globals(), {"AccountOutcome": ".accounts", "Accounts": ".accounts"}
)
