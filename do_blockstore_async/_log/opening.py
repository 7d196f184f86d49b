"""Open the log store that a setting names: `machine`, the URL of a server, or a journal's file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .._clock import boot_s, new_name, wall_s
from .._lazy import needs_extra
from ..config import POSTGRES_SCHEMES, REDIS_SCHEMES
from ..errors import StoreUnusableError
from .places import boot_id, state_folder
from .sqlite import SqliteStore
from .store import LastingStore, LogStore

if TYPE_CHECKING:
    from .postgres import PostgresStore

__all__ = ["ON_MACHINE", "open_journal_store", "open_store"]

ON_MACHINE: Final = "machine"
_JOURNAL_TIMEOUT_S: Final = 60.0
"""Of one exchange: a plan of 100,000 steps has 40 MB."""


def open_store(setting: str, key: str) -> LogStore:
    """Return the store of the log named `key`; nothing is connected yet.

    Args:
        setting: `machine`, or a URL.
        key: names the log; never a token.

    Raises:
        StoreUnusableError: it cannot be used here: no home, no permission, a missing extra.
    """
    scheme = urlsplit(setting).scheme
    if scheme in REDIS_SCHEMES:
        try:
            from .redis import RedisStore
        except ImportError:
            raise StoreUnusableError(needs_extra("a budget in Redis needs", "redis")) from None
        try:
            return RedisStore(setting, key, clock=boot_s, new_id=new_name)
        except (ValueError, TypeError):
            raise StoreUnusableError(
                "the budget's Redis URL has a part that is not valid"
            ) from None
    if scheme in POSTGRES_SCHEMES:
        return _postgres_class()(setting, key, clock=boot_s, new_id=new_name)
    return _on_machine(key)


def open_journal_store(where: str | Path, name: str, *, create: bool) -> LastingStore:
    """Return the store of a log that outlives power failures; nothing is connected yet.

    Args:
        where: the URL of a PostgreSQL database, or the path of a file.
        name: of the log in the database.
        create: whether to make the log if it does not exist.

    Raises:
        StoreUnusableError: a missing extra.
    """
    if isinstance(where, str):
        return _postgres_class()(
            where,
            f"journal:{name}",
            clock=boot_s,
            new_id=new_name,
            timeout_s=_JOURNAL_TIMEOUT_S,
            create=create,
        )
    boot = boot_id()
    return SqliteStore(
        where,
        # Without a name for the boot, only the wall clock goes on over boots.
        clock=wall_s if boot is None else boot_s,
        boot=boot,
        new_id=new_name,
        synchronous="full",
        create=create,
        is_own=False,
    )


def _postgres_class() -> type[PostgresStore]:
    try:
        from .postgres import PostgresStore
    except ImportError:
        raise StoreUnusableError(
            needs_extra("a budget or journal in PostgreSQL needs", "postgres")
        ) from None
    return PostgresStore


def _on_machine(key: str) -> SqliteStore:
    try:
        folder = state_folder() / "budget"
        folder.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreUnusableError(
            f"budget='machine' needs a folder for this user's state: {reason}; set XDG_STATE_HOME"
        ) from None
    boot = boot_id()
    # Without a name for the boot its clock would begin again in the middle of a log.
    clock = boot_s if boot is not None else wall_s
    name = (boot or "wall").replace("-", "")
    _forget_former_boots(folder, name)
    return SqliteStore(
        folder / f"{key}-{name}.db",
        clock=clock,
        new_id=new_name,
        synchronous="normal" if boot is None else "off",
    )


def _forget_former_boots(folder: Path, boot: str) -> None:
    """Remove what was spent before this boot: it would be hours ago, or counted as others' use."""
    with suppress(OSError):
        for path in folder.glob("*-*.db*"):
            if f"-{boot}.db" not in path.name:
                path.unlink(missing_ok=True)
