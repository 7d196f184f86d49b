"""The state of a replica as plain data, and back. Pure.

The ledger's own objects are copied attribute by attribute, so that a ledger that learns something
new needs no second description here: what it holds is what is written. The property that keeps it
honest: after a restore the same facts lead to the same state (tests/pure/test_shared_replica.py).
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import msgspec

from ...errors import ConfigError

__all__ = ["restore", "state_of"]

# References to what the owner of an object has already, or has from its settings.
_NOT_STATE: Final = frozenset({"config", "longest", "_windows", "_base", "changes"})
_PLAIN: Final = (int, float, str, bool, type(None))


def _names(thing: object) -> list[str]:
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    names = {*slots, *vars(thing)} if hasattr(thing, "__dict__") else set(slots)
    return sorted(name for name in names - _NOT_STATE if hasattr(thing, name))


def state_of(thing: Any) -> Any:
    """Return `thing` as numbers, texts, lists and dicts."""
    if isinstance(thing, _PLAIN):
        return thing
    if isinstance(thing, dict):
        return {str(key): state_of(value) for key, value in thing.items()}
    if isinstance(thing, set):
        return sorted(state_of(value) for value in thing)
    if isinstance(thing, list | tuple | deque):
        # Thousands of times stand in these, and nothing may hold the event loop for long.
        return [value if type(value) is float else state_of(value) for value in thing]
    if isinstance(thing, msgspec.Struct):
        return msgspec.to_builtins(thing)
    return {name: state_of(getattr(thing, name)) for name in _names(thing)}


def restore(thing: Any, state: dict[str, Any]) -> None:
    """Bring `thing`, which was made with the same settings, into a state.

    Raises:
        ConfigError: the state is that of another version.
    """
    if set(state) - set(_names(thing)):
        raise ConfigError(
            "the state of this token's budget was written by another version of "
            "do-blockstore-async: use one version for all processes of a token"
        )
    for name, value in state.items():
        setattr(thing, name, _restored(getattr(thing, name), value))


def _restored(before: Any, value: Any) -> Any:
    if isinstance(before, list) and before and hasattr(type(before[0]), "__slots__"):
        for part, part_state in zip(before, value, strict=True):
            restore(part, part_state)
        return before
    if isinstance(before, deque):
        return deque(tuple(part) if isinstance(part, list) else part for part in value)
    if isinstance(before, set):
        return {tuple(part) if isinstance(part, list) else part for part in value}
    if isinstance(before, tuple):
        return tuple(value)
    if isinstance(before, (*_PLAIN, list)):
        return value
    restore(before, value)
    return before
