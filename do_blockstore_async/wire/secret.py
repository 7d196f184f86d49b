"""A text that is sent as it is, but not shown: error reporters show local variables."""

from __future__ import annotations

from typing import Any

__all__ = ["Secret", "redact"]


class Secret(str):
    """A text whose repr does not tell it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(secret)'"


def redact(value: Any) -> Secret | None:
    """A text as a `Secret`, for the variable that held it; None for whatever is no text."""
    return Secret(str.__str__(value)) if isinstance(value, str) else None
