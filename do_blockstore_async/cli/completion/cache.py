"""Names and ids that lists have shown, kept for the shell's completion. Holds no token.

One file for each account at its API and each kind, readable by this user alone. Completion shows
what is there however old it is; when it is older than `FRESH_S`, a new one is fetched in the
background, once a minute at most.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..._log.places import user_folder

__all__ = [
    "KINDS",
    "MAX_ROWS",
    "TAGS_FROM",
    "ask_once",
    "cache_folder",
    "known",
    "remember",
    "row_of_snapshot",
    "row_of_volume",
]

TAGS_FROM = 4
"""From this cell on, the row of a volume holds its tags."""
KINDS = ("regions", "snapshots", "volumes")
FRESH_S = 300.0
MAX_ROWS = 20_000
_AGAIN_AFTER_S = 60.0


def cache_folder(env: Mapping[str, str]) -> Path | None:
    """Return the folder; None for a user without a home directory."""
    windows = ("LOCALAPPDATA", "AppData/Local/Cache")
    return user_folder(env, "XDG_CACHE_HOME", ".cache", windows=windows)


def remember(account: str | None, kind: str, rows: Iterable[Sequence[Any]]) -> None:
    """Keep a whole listing for completion; a disk that is full or missing is no failure.

    Args:
        account: as `Session.account` has it; nothing is kept without one.
        kind: one of `KINDS`.
        rows: what to insert first, then what describes it.
    """
    folder = cache_folder(os.environ)
    if account is None or folder is None:
        return
    path = folder / f"{account}-{kind}.json"
    kept = [[_plain(cell) for cell in row] for _, row in zip(range(MAX_ROWS), rows, strict=False)]
    beside = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            with os.fdopen(os.open(beside, flags, 0o600), "w", encoding="utf-8") as file:
                json.dump(kept, file)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def known(account: str, kind: str, env: Mapping[str, str]) -> list[list[str]]:
    """Return the rows of the last listing; none when there was none or its file is broken."""
    folder = cache_folder(env)
    if folder is None:
        return []
    try:
        path = folder / f"{account}-{kind}.json"
        if not _is_ours(path):
            return []
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [[str(cell) for cell in row] for row in rows if row]
    except (OSError, ValueError, TypeError):
        return []


def ask_once(account: str, kind: str, env: Mapping[str, str]) -> bool:
    """Whether it is time to fetch a listing anew; if so, the next such question says no.

    A file is touched for this: it tells the other shells, and what time it is by the same clock
    that dated the listing.
    """
    folder = cache_folder(env)
    if folder is None:
        return False
    marker, path = folder / f"{account}-{kind}.asked", folder / f"{account}-{kind}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        before_s = _written_s(marker)
        probe = folder / f".now.{os.getpid()}"
        try:
            probe.touch(mode=0o600)
            now_s = probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)
        if now_s - _written_s(path) < FRESH_S or 0 <= now_s - before_s < _AGAIN_AFTER_S:
            return False
        marker.touch(mode=0o600)
    except OSError:
        return False
    return True


def row_of_volume(volume: Any) -> tuple[object, ...]:
    """Return what is kept of a volume: its id first, and then what tells it apart."""
    return volume.id, volume.name, volume.region.slug, f"{volume.size_gigabytes} GiB", *volume.tags


def row_of_snapshot(snapshot: Any) -> tuple[object, ...]:
    """Return what is kept of a snapshot: its id first, and then what tells it apart."""
    return snapshot.id, snapshot.name, f"{snapshot.created_at:%Y-%m-%d}"


def _is_ours(path: Path) -> bool:
    """Whether a file of this user is there: others could put names into a folder open to them."""
    found = path.stat()
    return stat.S_ISREG(found.st_mode) and (sys.platform == "win32" or found.st_uid == os.getuid())


def _written_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("-inf")


def _plain(cell: object) -> str:
    # A tab or a line's end would be taken for the next column or candidate.
    return " ".join(str(cell).split())
