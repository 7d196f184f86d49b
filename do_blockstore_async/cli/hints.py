"""Which command the words typed name, and what somebody may have meant who mistyped one. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from .exit_codes import MistypedError
from .registry import GROUPS, resolve, words_of

__all__ = ["command_words", "did_you_mean", "either"]


def command_words(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of the command or group at the beginning, aliases resolved.

    Raises:
        MistypedError: there is no such command.
    """
    if not words or words[0].startswith("-"):
        return ()
    first = resolve(words[0])
    if first is None:
        raise _unknown(words[0], None)
    if first not in GROUPS:
        return (first,)
    if len(words) == 1 or words[1].startswith("-"):
        return (first,)
    second = resolve(words[1], first)
    if second is None:
        raise _unknown(words[1], first)
    return first, second


def did_you_mean(word: str, known: Iterable[str], most: int = 1) -> str:
    """Return `; did you mean list?`, or nothing where no known word is near.

    Args:
        word: what was typed.
        known: what it may have been.
        most: how many of them are named at most.
    """
    near = difflib.get_close_matches(word, list(known), n=most)
    return f"; did you mean {either(near)}?" if near else ""


def either(words: Sequence[str]) -> str:
    """Return `a`, `a or b`, `a, b or c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _unknown(word: str, group: str | None) -> MistypedError:
    hint = did_you_mean(word, words_of(group), 3)
    if not hint and group is None:
        # The command may be known, and its group forgotten.
        inside = [f"{name} {word}" for name in GROUPS if resolve(word, name) == word]
        if inside:
            hint = f"; did you mean {either(inside)}?"
    shown = word if word.strip() else repr(word)
    return MistypedError(f"unknown command: {shown}{hint}", group or "")
