"""The global options of one invocation, and where commands find them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

import attrs

__all__ = ["Output", "Settings", "current", "using"]

Output = Literal["table", "json", "csv"]


@attrs.frozen(kw_only=True)
class Settings:
    """What the global options say.

    Attributes:
        limits: requests/seconds pairs, shortest window first; None means DigitalOcean's.
        budget: what shares the token's budget: `process`, `machine` or a URL; None means the
            environment's choice, or `machine`.
        timeout_s: for each call of a single command, the wait for quota included.
        ca_file: certificate authorities to trust instead of the system's.
    """

    simulate: bool = False
    api_url: str | None = None
    output: Output = "table"
    verbose: bool = False
    token_file: Path | None = None
    context: str | None = None
    limits: str | None = None
    budget: str | None = None
    timeout_s: float | None = None
    ca_file: Path | None = None


_current: ContextVar[Settings] = ContextVar("do_blockstore_settings")


def current() -> Settings:
    """Return the settings of the current invocation; the defaults outside of one."""
    return _current.get(Settings())


@contextmanager
def using(settings: Settings) -> Iterator[None]:
    """Make `settings` the current ones inside."""
    token = _current.set(settings)
    try:
        yield
    finally:
        _current.reset(token)
