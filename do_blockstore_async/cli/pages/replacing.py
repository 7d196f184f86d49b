"""Write a file whole, or leave the one that is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..._clock import new_name
from ..exit_codes import CommandError, UsageError

__all__ = ["Replacement", "replacing"]


class Replacement:
    """What is to stand in the file's place; see `replacing`."""

    def __init__(self, path: Path, part: Path) -> None:
        self._path, self._part = path, part

    def write(self, text: str) -> None:
        """Put `text` in the place of the file, whole.

        Raises:
            CommandError: it cannot be written; the file is as it was.
        """
        try:
            with self._part.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())  # or a crash could leave an empty file under this name
            self._part.replace(self._path)
        except OSError as error:
            raise CommandError(f"{self._path} cannot be written: {error.strerror}") from None


@contextmanager
def replacing(path: Path) -> Iterator[Replacement]:
    """Make sure that a file can be written, before there is anything to write.

    Raises:
        UsageError: it cannot be.
    """
    try:
        where = path.resolve()
        if where.exists() and not where.is_file():
            raise UsageError(f"{path} cannot be written: it is not a regular file")
        part = where.with_name(f".{where.name[:40]}.{new_name()}.part")
        part.open("x").close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be written: {reason}") from None
    try:
        yield Replacement(where, part)
    finally:
        part.unlink(missing_ok=True)
