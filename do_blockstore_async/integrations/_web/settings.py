"""Check what web integrations are given, before the app starts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

from ... import BlockStore, ConfigError

__all__ = ["Timeout", "check_factory", "optional_seconds", "seconds_of"]

Timeout: TypeAlias = float | timedelta | None


def check_factory(factory: Callable[[], BlockStore], call: str) -> None:
    """Reject an app, given because the call was forgotten, and a client.

    Args:
        factory: what was given.
        call: what to write.

    Raises:
        ConfigError: it does not make clients.
    """
    given: Any = factory
    if isinstance(given, BlockStore):
        raise ConfigError(
            "give what makes the client, not the client, which is opened once only: "
            "lambda: BlockStore(token)"
        )
    if hasattr(given, "router") or not callable(given):
        raise ConfigError(f"call it: {call}")


def seconds_of(value: float | timedelta, what: str) -> float:
    """Return seconds, 0 or more and finite.

    Raises:
        ConfigError: it is neither that nor a timedelta.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ConfigError(f"{what} must be seconds or a timedelta, 0 or more, not {value!r}")
    return value


def optional_seconds(value: Timeout, what: str) -> float | None:
    """Return the same for what may be None."""
    return None if value is None else seconds_of(value, what)
