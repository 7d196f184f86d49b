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

from ..exit_codes import UsageError
from ..options import Settings
from . import doctl

__all__ = ["find_token"]

_LONGEST_FILE = 65_536


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
    try:
        if str(path) == "-":
            text = sys.stdin.read(_LONGEST_FILE)
        else:
            with path.open(encoding="utf-8-sig") as file:
                text = file.read(_LONGEST_FILE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise UsageError(f"cannot read the token file {path}: {reason}") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        raise UsageError(
            f"the token file {path} must hold the token on one line and nothing else; "
            f"it has {len(lines)} lines with text"
        )
    return lines[0]
