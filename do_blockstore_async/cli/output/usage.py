"""Usage errors in a person's words: what is missing, unknown or of the wrong kind."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from cyclopts import CycloptsError
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from ..._export import visible
from ..help.table import EVERYWHERE, usages
from ..hints import did_you_mean, either
from ..registry import PROGRAM
from .terminal import redact

__all__ = ["misplaced", "where_of", "wording"]

_TOKEN_OPTIONS = ("--token", "--access-token", "--api-token", "-t")
_KINDS = {int: "a whole number", float: "a number"}


def where_of(error: CycloptsError) -> str:
    """Return the words of the command that was being parsed."""
    name = error.app.name[0] if error.app is not None else PROGRAM
    return name.removeprefix(PROGRAM).strip()


def wording(error: CycloptsError, words: Sequence[str], tail: Sequence[str] = ()) -> str:
    """Say in one line what is wrong; tokens and control characters in it are hidden.

    Args:
        words: everything that was typed before `--`.
        tail: `--` and what was typed after it, where nothing is an option.
    """
    asked = {word.split("=", 1)[0] for word in words}
    for option in _TOKEN_OPTIONS:
        if option in asked and where_of(error) != "simulator":
            return _no_token(option)
    return redact(visible(" ".join(_said(error, tail).split())))


def misplaced(word: str, words: Sequence[str]) -> str:
    """Say what is wrong with an option that stands where only those of every command may.

    Args:
        word: the option, with its value after `=` or without.
        words: everything that was typed.
    """
    name = word.partition("=")[0]
    if name in _TOKEN_OPTIONS and "simulator" not in words:
        return _no_token(name)
    known = usages()
    if any(name in option.names for each in known.values() for option in each.options):
        return f"{name} stands too early: the options of a command follow its name"
    everywhere = [each for option in known[EVERYWHERE].options for each in option.names]
    return redact(visible(f"unknown option: {name}{did_you_mean(name, everywhere)}"))


def _no_token(option: str) -> str:
    return (
        f"{option} is no option: arguments are visible to others and kept in the history; "
        "use --token-file FILE or DIGITALOCEAN_TOKEN"
    )


def _said(error: CycloptsError, tail: Sequence[str]) -> str:
    if isinstance(error, UnknownOptionError):
        return _unknown(error, tail)
    if isinstance(error, UnusedCliTokensError):
        return f"unexpected argument: {(error.unused_tokens or ['?'])[0]}"
    if isinstance(error, RepeatArgumentError):
        return f"{error.token.keyword} is given more than once"
    if isinstance(error, MissingArgumentError):
        return _missing(error)
    if isinstance(error, CoercionError) and error.msg is None and error.token is not None:
        return _of_another_kind(error)
    text = str(error.msg) if error.msg is not None else str(error)
    token = getattr(error, "token", None)
    if error.msg is not None and token is not None and token.keyword:
        return text if token.keyword in text else f"{token.keyword}: {text}"
    return text


def _unknown(error: UnknownOptionError, tail: Sequence[str]) -> str:
    typed = error.token.keyword or error.token.value
    name = typed.partition("=")[0]
    if not name.startswith("-") or typed in tail:
        return f"unexpected argument: {typed}"
    known = [each for argument in error.argument_collection for each in argument.names]
    # What the parser leaves to the command is an option of the command or of all of them.
    known += [each for option in usages()[EVERYWHERE].options for each in option.names]
    return f"unknown option: {name}{did_you_mean(name, known)}"


def _missing(error: MissingArgumentError) -> str:
    argument = error.argument
    if argument is None:
        return "an argument is missing"
    if error.keyword is not None or argument.tokens:
        return f"{error.keyword or argument.tokens[-1].keyword or argument.name} needs a value"
    for typed in error.unused_tokens or ():
        # A typing error leaves two things behind: what is missing, and what is unknown.
        if typed.startswith("-") and difflib.get_close_matches(typed, argument.names):
            return f"unknown option: {typed}; did you mean {argument.name}?"
    return f"missing {_name(argument)}"


def _of_another_kind(error: CoercionError) -> str:
    token = error.token
    value = "" if token is None else token.value
    name = (token.keyword if token is not None else None) or _name(error.argument)
    choices = _choices(error.target_type)
    if choices:
        return f"{name} takes {either(choices)}, not {value!r}{did_you_mean(value, choices)}"
    kind = _KINDS.get(error.target_type) if error.target_type is not None else None
    return f"{name} takes {kind or 'another kind of value'}, not {value!r}"


def _name(argument: Any) -> str:
    if argument is None:
        return "the argument"
    name = str(argument.name)
    return name if name.startswith("-") else name.upper()


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(each) for each in get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind.__members__)
    return [choice for each in get_args(kind) for choice in _choices(each)]
