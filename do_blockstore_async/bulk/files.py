"""Read and write the files that users keep: plans and specs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from .errors import PlanError

__all__ = ["read_text", "replace_text"]

_MAX_FILE_BYTES: Final = 1 << 30


def read_text(where: Path) -> str:
    """Read a text file of the user's, UTF-8 with or without a byte order mark.

    Raises:
        PlanError: it cannot be read, is larger than 1 GiB or not UTF-8.
    """
    try:
        with where.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        if len(data) > _MAX_FILE_BYTES:
            raise PlanError(f"{where} is larger than 1 GiB")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PlanError(f"{where} cannot be read: it is not UTF-8 text") from None
    except OSError as error:
        raise PlanError(f"{where} cannot be read: {error.strerror}") from None
    except ValueError:
        raise PlanError(f"not a path: {str(where)!r}") from None


def replace_text(where: Path, text: str) -> None:
    """Write a file whole, or leave the one that is there.

    Raises:
        PlanError: it cannot be written.
    """
    try:
        is_device = where.exists() and not where.is_file()
    except (OSError, ValueError):
        is_device = True
    if is_device:
        raise PlanError(f"the plan cannot be saved to {str(where)!r}: it is not a regular file")
    part = where.with_name(f"{where.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # or a crash could leave an empty file under this name
        part.replace(where)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PlanError(f"the plan cannot be saved to {where}: {error.strerror}") from None
