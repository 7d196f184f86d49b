"""A string that is sent as it is, but not shown: error reporters show local variables. Pure."""

from __future__ import annotations

from typing import Any

__all__ = ["Secret", "redact"]


class Secret(str):
    """A string whose repr does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(secret)'"


def redact(value: Any) -> Secret | None:
    """Return a string as a `Secret`, for the variable that held it; None for anything else."""
    return Secret(str.__str__(value)) if isinstance(value, str) else None
