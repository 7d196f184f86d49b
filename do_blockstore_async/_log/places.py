"""Where a user's files lie on this machine, and what tells one boot of it from the next."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["boot_id", "home_folder", "state_folder", "user_folder"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def home_folder(env: Mapping[str, str]) -> Path | None:
    """Return the user's home directory; None for a user without one, as in many containers."""
    try:
        return Path(env.get("HOME") or env.get("USERPROFILE") or "~").expanduser()
    except RuntimeError:
        return None


def user_folder(
    env: Mapping[str, str], variable: str, below: str, *, windows: tuple[str, str]
) -> Path | None:
    """Return the package's folder of one kind; None for a user without a home directory.

    Args:
        env: the environment.
        variable: of the XDG base directory.
        below: where that is below the home directory, without the variable.
        windows: the same two for Windows.
    """
    if sys.platform == "win32":
        variable, below = windows
    # A relative one is to be ignored, says the standard: it would be another in each folder.
    if (named := Path(env.get(variable, ""))).is_absolute():
        return named / "do-blockstore"
    home = home_folder(env)
    return None if home is None else home / below / "do-blockstore"


def state_folder() -> Path:
    """Return the folder for what the package keeps between runs, made for this user alone.

    Raises:
        OSError: it cannot be; `strerror` says why.
    """
    windows = ("LOCALAPPDATA", "AppData/Local")
    folder = user_folder(os.environ, "XDG_STATE_HOME", ".local/state", windows=windows)
    if folder is None:
        raise OSError(errno.ENOENT, "there is no home directory")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def boot_id() -> str | None:
    """Return what names this boot of the machine; None where the system has no such name."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None
