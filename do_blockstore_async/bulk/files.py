"""Read and write the files that users keep: plans and specs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from .._clock import new_name
from .errors import PlanError

__all__ = ["as_text", "read_bytes", "read_text", "replace_file"]

_MAX_FILE_BYTES: Final = 1 << 30
_PIECE_BYTES: Final = 1 << 20


def read_text(where: Path) -> str:
    """Read a text file of the user's, UTF-8 with or without a byte order mark.

    Raises:
        PlanError: it cannot be read, is larger than 1 GiB or not UTF-8.
    """
    return as_text(read_bytes(where), where)


def read_bytes(where: Path) -> bytearray:
    """Read a file of the user's.

    Raises:
        PlanError: it cannot be read, or is larger than 1 GiB.
    """
    data = bytearray()
    try:
        with where.open("rb") as file:
            # In pieces: room for a large file at once stops all threads for long.
            while (piece := file.read(_PIECE_BYTES)) and len(data) <= _MAX_FILE_BYTES:
                data += piece
    except OSError as error:
        raise PlanError(f"{where} cannot be read: {error.strerror}") from None
    except ValueError:
        raise PlanError(f"not a path: {str(where)!r}") from None
    if len(data) > _MAX_FILE_BYTES:
        raise PlanError(f"{where} is larger than 1 GiB")
    return data


def as_text(data: bytes | bytearray, where: Path) -> str:
    """Return the text of a file, UTF-8 with or without a byte order mark.

    Raises:
        PlanError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PlanError(f"{where} cannot be read: it is not UTF-8 text") from None


def replace_file(where: Path, pieces: Iterable[bytes]) -> None:
    """Write a file whole, piece by piece, or leave the one that is there.

    Raises:
        PlanError: it cannot be written.
    """
    try:
        is_device = where.exists() and not where.is_file()
    except (OSError, ValueError):
        is_device = True
    if is_device:
        raise PlanError(f"the plan cannot be saved to {str(where)!r}: it is not a regular file")
    # Several threads may be saving at once: each has a file of its own.
    part = where.with_name(f"{where.name}.{new_name()}.part")
    try:
        with part.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())  # or a crash could leave an empty file under this name
        part.replace(where)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise PlanError(f"the plan cannot be saved to {where}: {error.strerror}") from None
