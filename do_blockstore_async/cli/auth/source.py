"""Where the token and the address of the API come from, found without reading the token.

In this order: `--token-file`, `--context` (of the configuration file, then of doctl),
DIGITALOCEAN_TOKEN, DIGITALOCEAN_ACCESS_TOKEN, the context that the configuration file chooses, the
one that doctl uses. An option on the line beats the environment, the environment beats files.
A context's token and its address belong together: a token of another source never goes there, and
only `--api-url` sends the context's token elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..config_file import ConfigFile, Context, load
from ..exit_codes import UsageError
from . import doctl

__all__ = ["API", "Source", "SourceOptions", "account_key", "find_source"]

API = "https://api.digitalocean.com"
VARIABLES = ("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN")


class SourceOptions(NamedTuple):
    """What the options say."""

    token_file: Path | None = None
    context: str | None = None
    api_url: str | None = None
    budget_store: str | None = None


class Source(NamedTuple):
    """Where a token comes from and what goes with it; one of the first four says it.

    Attributes:
        doctl: the name of a context of doctl; empty for the one that doctl uses.
        context: the configuration file's context, where one is used.
        api_url: where the API is.
        budget_store: who shares the budget; None means the machine, if there is a place for it.
    """

    token_file: Path | None
    token_env: str | None
    token_command: tuple[str, ...] | None
    doctl: str | None
    context: Context | None
    api_url: str
    budget_store: str | None


def find_source(
    asked: SourceOptions, env: Mapping[str, str], file: ConfigFile | None = None
) -> Source:
    """Return where the token for these options is.

    Raises:
        UsageError: the options exclude each other, or the configuration file is unusable.
    """
    file = load(env) if file is None else file
    context, place, variable, named = None, asked.token_file, None, None
    if place is not None:
        if asked.context is not None:
            raise UsageError("--token-file and --context exclude each other")
    elif asked.context is not None:
        context = file.contexts.get(asked.context)
        named = asked.context if context is None else None
    else:
        variable = next((name for name in VARIABLES if env.get(name, "").strip()), None)
        if variable is None:
            context = file.current()
            named = "" if context is None else None
    command = None
    if context is not None:
        place, variable = context.token_file, context.token_env
        command = context.token_command
    # One that an option names goes before the environment, one that the file chooses after it.
    first = context if asked.context is not None else None
    return Source(
        place,
        variable,
        command,
        named,
        context,
        asked.api_url
        or (context and context.api_url)
        or env.get("DIGITALOCEAN_API_URL")
        or file.defaults.api_url
        or API,
        asked.budget_store
        or (first and first.budget_store)
        or env.get("DO_BLOCKSTORE_BUDGET")
        or (context and context.budget_store)
        or file.defaults.budget_store,
    )


def account_key(source: Source, env: Mapping[str, str]) -> str | None:
    """Return a name for the account at its API, from which no token can be found.

    The token itself where that is at hand, else what would bring it: no command is run for this.
    None where neither says which account it is.
    """
    if source.token_command is not None:
        secret = "\0".join(source.token_command)
    elif source.token_env is not None:
        secret = env.get(source.token_env, "").strip()
    elif source.token_file is not None:
        try:
            # Not of a pipe or a terminal: somebody would have to write into it once more.
            secret = _first_words(source.token_file) if source.token_file.is_file() else ""
        except (OSError, UnicodeError):
            secret = ""
    else:
        try:
            found = doctl.token_of(source.doctl, env) if source.doctl else doctl.current_token(env)
        except UsageError:
            found = None
        secret = found or ""
    if not secret:
        return None
    return hashlib.sha256(f"{source.api_url}\n{secret}".encode()).hexdigest()[:24]


def _first_words(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        return file.read(65_536).strip()
