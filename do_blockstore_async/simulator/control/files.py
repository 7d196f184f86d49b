"""The simulator's files: scenarios that are read, the state that is kept, requests on record.

Invariants:
1. A state file is whole at every moment: it is written beside itself and then put in its place.
2. What was changed more than a second ago is in the state file, also after a kill -9.
3. A record has one line for each request, written before it is answered; no token of eight or
   more characters is in it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import msgspec

from .._messages import RequestRecord, encode
from ..state.saved import dump_state, load_state
from ..world import World
from .records import record_json
from .scenario import Scenario, parse_scenario

__all__ = ["RequestFile", "StateFile", "read_scenario"]


def read_scenario(path: str | Path) -> Scenario:
    """Read a scenario from a TOML file.

    Raises:
        ValueError: it is no scenario; the message names the file.
        OSError: it cannot be read.
    """
    try:
        return parse_scenario(Path(path).read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None


class StateFile:
    """A file in which the state of a world outlives the process.

    Args:
        path: where it lies; its folder has to exist.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._saved = b""

    def load(self, world: World) -> bool:
        """Let the world hold what the file says; False where there is no file yet.

        Raises:
            ValueError: it is not a state file; the message names it.
            OSError: it cannot be read.
        """
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return False
        try:
            load_state(world, msgspec.json.decode(raw))
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"{self._path}: {error}") from None
        return True

    def is_behind(self, world: World) -> bool:
        """Whether the world holds other things than the file; that time has passed is no change."""
        return _without_time(dump_state(world)) != self._saved

    def save(self, world: World) -> None:
        """Write the state, and make sure that it is on the disk.

        Raises:
            OSError: it cannot be written; what was there before stays.
        """
        plain = dump_state(world)
        beside = self._path.with_name(f".{self._path.name}.new")
        with beside.open("wb") as file:
            file.write(encode(plain))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        self._saved = _without_time(plain)


def _without_time(plain: dict[str, Any]) -> bytes:
    return encode({**plain, "now": 0})


class RequestFile:
    """A file of the requests that arrive, one JSON object a line; it is added to.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        # What clients send may be confidential: a new file is its owner's only.
        number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._file: TextIOWrapper = os.fdopen(number, "a", encoding="utf-8")

    def write(self, record: RequestRecord) -> None:
        """Add a request.

        Raises:
            OSError: it cannot be written.
        """
        self._file.write(f"{encode(record_json(record)).decode()}\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; what could not be written was told by `write`."""
        with suppress(OSError):
            self._file.close()
