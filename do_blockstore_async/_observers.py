"""Who observes the calls of the current context, and how events reach hooks and observers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from ._scope import ScopedValue

__all__ = ["current_observers", "emit", "observed", "unobserved"]

_logger = logging.getLogger("do_blockstore_async")

_Observers: TypeAlias = tuple[Callable[[Any], object], ...]

_observers: ScopedValue[_Observers] = ScopedValue("do_blockstore_async_observers", ())

current_observers = _observers.get


def observed(by: Callable[[Any], object]) -> AbstractContextManager[None]:
    """Show the calls made inside to one more observer."""
    return _observers.block(lambda around: (*around, by))


def unobserved() -> AbstractContextManager[None]:
    """Hide the calls made inside from the observers of the surrounding code."""
    return _observers.block(lambda _: ())


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
