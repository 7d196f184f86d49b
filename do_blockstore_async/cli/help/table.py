"""What each command takes: read from a file that is made from the commands' signatures.

`python docs/generate.py` writes it and a test compares it with the commands, so that completion
and help pages are right without importing one of them, let alone the parser.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["EVERYWHERE", "FILE", "Argument", "Option", "Usage", "usages"]

FILE = Path(__file__).with_name("table.json")
# The options that every command takes stand under this name.
EVERYWHERE = ""


class Option(NamedTuple):
    """One option; a flag has no `value`."""

    names: tuple[str, ...]
    value: str
    help: str
    group: str
    choices: tuple[str, ...]
    required: bool
    repeats: bool


class Argument(NamedTuple):
    """One positional argument; `name` is as help pages and errors have it."""

    name: str
    help: str
    choices: tuple[str, ...]
    required: bool
    repeats: bool


class Usage(NamedTuple):
    """What one command takes, and what it does."""

    text: str
    arguments: tuple[Argument, ...]
    options: tuple[Option, ...]


@cache
def usages() -> dict[str, Usage]:
    """Return the usage of each command by its words, of all of them under `EVERYWHERE`."""
    return {
        words: Usage(
            each["text"],
            tuple(
                Argument(**{**item, "choices": tuple(item["choices"])})
                for item in each["arguments"]
            ),
            tuple(
                Option(**{**item, "names": tuple(item["names"]), "choices": tuple(item["choices"])})
                for item in each["options"]
            ),
        )
        for words, each in json.loads(FILE.read_text(encoding="utf-8")).items()
    }
