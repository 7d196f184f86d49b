"""The global options of one invocation, and where commands find them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

import attrs

__all__ = ["Output", "Settings", "current", "home_folder", "using"]

Output = Literal["table", "json", "csv"]


@attrs.frozen(kw_only=True)
class Settings:
    """What the global options say.

    Attributes:
        limits: requests/seconds pairs, shortest window first; None means DigitalOcean's.
        timeout_s: for each call of a single command, the wait for quota included.
    """

    simulate: bool = False
    api_url: str | None = None
    output: Output = "table"
    verbose: bool = False
    token_file: Path | None = None
    context: str | None = None
    limits: str | None = None
    timeout_s: float | None = None


_current: ContextVar[Settings] = ContextVar("do_blockstore_settings")


def current() -> Settings:
    """Return the settings of the current invocation; the defaults outside of one."""
    return _current.get(Settings())


def home_folder(env: Mapping[str, str]) -> Path | None:
    """Return the user's home directory; None for a user without one, as in many containers."""
    try:
        return Path(env.get("HOME") or env.get("USERPROFILE") or "~").expanduser()
    except RuntimeError:
        return None


@contextmanager
def using(settings: Settings) -> Iterator[None]:
    """Make `settings` the current ones inside."""
    token = _current.set(settings)
    try:
        yield
    finally:
        _current.reset(token)
