"""Find the token. It is never an argument's value and is never printed.

In this order: `--token-file`, `--context` (doctl's), DIGITALOCEAN_TOKEN, DIGITALOCEAN_ACCESS_TOKEN,
the current context of doctl. An option on the line beats the environment, the
environment beats a file that another program wrote.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ...errors import ConfigError
from ..exit_codes import UsageError
from ..options import Settings
from . import doctl

__all__ = ["find_token"]


def find_token(settings: Settings, environ: Mapping[str, str] | None = None) -> str:
    """Return the token for these settings.

    Raises:
        UsageError: there is none, or the file named cannot be used; the message says what to do.
    """
    env = os.environ if environ is None else environ
    if settings.token_file is not None:
        if settings.context is not None:
            raise UsageError("--token-file and --context exclude each other")
        return _from_file(settings.token_file)
    if settings.context is not None:
        return doctl.token_of(settings.context, env)
    token = env.get("DIGITALOCEAN_TOKEN") or env.get("DIGITALOCEAN_ACCESS_TOKEN")
    if token:
        return token.strip()
    token = doctl.current_token(env)
    if token:
        return token
    raise UsageError(
        "no token: set DIGITALOCEAN_TOKEN, or give --token-file FILE, or log in with "
        "`doctl auth init`; --simulate needs none"
    )


def _from_file(path: Path) -> str:
    # Imported late: it comes with all of what a jobs file can say.
    from ...jobs import read_token_file

    try:
        return read_token_file(path, sys.stdin if str(path) == "-" else None)
    except ConfigError as error:
        raise UsageError(str(error)) from None
