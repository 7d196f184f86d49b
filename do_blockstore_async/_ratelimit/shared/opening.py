"""Make the shared budget of a token, as `Config.budget` names it."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import Final
from urllib.parse import urlsplit

from ..._clock import boot_s, new_name
from ..._log.opening import ON_MACHINE, open_store
from ...config import Config
from ...errors import ConfigError
from .budget import SharedBudget

__all__ = ["log_key", "open_budget"]

GRACE_S: Final = 180.0
"""For how long after its last fact a process may spend a share without the store."""

_KEY: Final = b"do-blockstore-async budget 1"


def log_key(token: str, base_url: str) -> str:
    """Name the log of a token at a host: a keyed hash, from which neither can be read back."""
    named = hashlib.blake2b(key=_KEY, digest_size=20)
    named.update(token.encode())  # in no variable: error reporters show those
    named.update(b"\n" + urlsplit(base_url).netloc.lower().encode())
    return named.hexdigest()


def open_budget(config: Config, token: str | None, base_url: str) -> SharedBudget:
    """Return the budget that `config.budget` names.

    Args:
        config: of the client.
        token: the token; None where it is a function and may change.
        base_url: of the API.

    Raises:
        ConfigError: the place cannot be used, or nothing names the budget.
    """
    if config.budget_name is not None:
        # A token holds no such character.
        token = f"\0{config.budget_name}"
    if token is None:
        raise ConfigError(
            "the token is a function, so give the shared budget a name: Config(budget_name=...), "
            "the same for all that get their tokens there"
        )
    return SharedBudget(
        config,
        open_store(config.budget, log_key(token, base_url)),
        # A file on this machine is away for all its processes or for none.
        grace_s=0.0 if config.budget == ON_MACHINE else GRACE_S,
        name=f"{socket.gethostname()}:{os.getpid()}",
        clock=boot_s,
        new_writer=new_name,
    )
