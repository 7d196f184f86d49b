"""Who observes the calls of the current context, and how events reach hooks and observers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["current_observers", "emit", "observers", "unobserved"]

_logger = logging.getLogger("do_blockstore_async")

observers: ContextVar[tuple[Callable[[Any], object], ...]] = ContextVar(
    "do_blockstore_async_observers", default=()
)

current_observers = observers.get


@contextmanager
def unobserved() -> Iterator[None]:
    """Hide the calls made inside from the observers of the surrounding code."""
    token = observers.set(())
    try:
        yield
    finally:
        observers.reset(token)


def emit(hooks: Iterable[Callable[[Any], object]], event: object) -> None:
    """Give `event` to each hook; a hook that raises is logged and skipped."""
    for hook in hooks:
        try:
            hook(event)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            # A broken observer must not break the call it observes, nor the budget; not even by
            # raising CancelledError itself.
            _logger.exception("a hook failed on %s", type(event).__name__)
