"""Where each key of a TOML document stands, which `tomllib` does not say. Pure.

A TOML document is a list of statements, each on lines of its own: `[table]` or `key = value`,
whose value may span lines. So the statements are found by giving `tomllib` line after line, until
what has come is valid by itself; it stays the only one here that knows the grammar.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ["KeyPath", "key_lines"]

KeyPath: TypeAlias = tuple[str, ...]


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, on which each table and key of a valid document is first named."""
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, statement in _statements(text):
        said = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(said)
            paths = [table[:depth] for depth in range(1, len(table) + 1)]
        else:
            paths = [table + path for path in _paths(said)]
        for path in paths:
            found.setdefault(path, line)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    begun = 0
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not lines and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begun = begun if lines else number
        lines.append(line)
        statement = "\n".join(lines)
        try:
            tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        yield begun, statement
        lines = []


def _header(said: Mapping[str, Any]) -> KeyPath:
    path: KeyPath = ()
    while isinstance(said, Mapping) and said:
        ((name, said),) = said.items()
        path += (name,)
    return path


def _paths(said: Mapping[str, Any]) -> Iterator[KeyPath]:
    for name, value in said.items():
        yield (name,)
        if isinstance(value, Mapping):
            yield from ((name, *path) for path in _paths(value))
