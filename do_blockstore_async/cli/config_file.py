"""The configuration file `config.toml`: defaults, and contexts that say which token goes where.

No token stands in it: such files end up in backups and in repositories of dotfiles. A context names
a file, an environment variable or a command that has the token.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .._log.places import user_folder
from .exit_codes import UsageError
from .hints import did_you_mean

__all__ = ["TEMPLATE", "ConfigFile", "Context", "Defaults", "config_path", "load", "parse"]

TEMPLATE = """\
# The configuration of do-blockstore. An option beats the environment, the environment beats the
# context chosen here, and that beats the defaults.

# The context to use when neither --context nor DIGITALOCEAN_TOKEN names another token.
# context = "production"

# Let the shell's completion fetch names and ids in the background when those it has are old.
# refresh_completions = true

[defaults]
# output = "table"
# timeout = "5m"
# budget_store = "machine"
# ca_file = "/etc/ssl/company.pem"

# A token does not belong in this file: say where it is.
# [contexts.production]
# token_file = "production.token"

# [contexts.staging]
# token_env = "STAGING_TOKEN"

# [contexts.vault]
# token_command = ["pass", "show", "digitalocean"]
"""

_TOP = ("context", "refresh_completions", "defaults", "contexts")
_SETTINGS = ("api_url", "budget_store", "ca_file", "limits", "output", "timeout")
_OF_CONTEXT = ("token_file", "token_env", "token_command", "api_url", "budget_store", "limits")
_SECRETS = ("token", "access_token", "api_token", "api_key", "password", "secret")


class Defaults(NamedTuple):
    """Settings that apply where nothing else says them; texts are as the options take them."""

    api_url: str | None = None
    budget_store: str | None = None
    ca_file: Path | None = None
    limits: str | None = None
    output: str | None = None
    timeout: str | None = None


class Context(NamedTuple):
    """Where a token is, and the API it is for; one of the three `token_` is set."""

    name: str
    token_file: Path | None = None
    token_env: str | None = None
    token_command: tuple[str, ...] | None = None
    api_url: str | None = None
    budget_store: str | None = None
    limits: str | None = None


class ConfigFile(NamedTuple):
    """What the file says; `exists` tells whether there is one."""

    path: Path | None
    exists: bool = False
    context: str | None = None
    refresh_completions: bool = True
    defaults: Defaults = Defaults()
    contexts: Mapping[str, Context] = {}

    def current(self) -> Context | None:
        """Return the context that the file chooses; None where it chooses none."""
        return None if self.context is None else self.contexts[self.context]


def config_path(env: Mapping[str, str]) -> Path | None:
    """Return where the file is or would be; None for a user without a home directory."""
    if env.get("DO_BLOCKSTORE_CONFIG"):
        return Path(env["DO_BLOCKSTORE_CONFIG"])
    windows = ("APPDATA", "AppData/Roaming")
    folder = user_folder(env, "XDG_CONFIG_HOME", ".config", windows=windows)
    return None if folder is None else folder / "config.toml"


def load(env: Mapping[str, str] | None = None) -> ConfigFile:
    """Read the file; without one, its defaults.

    Raises:
        UsageError: it cannot be read, or says what it must not.
    """
    env = os.environ if env is None else env
    path = config_path(env)
    if path is None:
        return ConfigFile(None)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        if env.get("DO_BLOCKSTORE_CONFIG"):
            raise UsageError(f"DO_BLOCKSTORE_CONFIG names {path}, which does not exist") from None
        return ConfigFile(path)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise UsageError(f"cannot read the configuration {path}: {reason}") from None
    try:
        return parse(text, path)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None


def parse(text: str, path: Path) -> ConfigFile:
    """Read the file's text.

    Args:
        text: TOML.
        path: where it stands: files that it names are looked for beside it.

    Raises:
        ValueError: a key is unknown or a value unusable. The message quotes no value of a token.
    """
    import tomllib

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Its position only: the message may quote a line that holds a secret.
        at = str(error).rpartition("(")[2].rstrip(")")
        raise ValueError(f"invalid TOML ({at or 'somewhere'})") from None
    except RecursionError:
        raise ValueError("invalid TOML") from None
    _check_keys(found, _TOP, "")
    defaults = _table(found, "defaults")
    _check_keys(defaults, _SETTINGS, "defaults.")
    contexts = {
        name: _context(name, _table(_table(found, "contexts"), name, "contexts."), path)
        for name in _table(found, "contexts")
    }
    chosen = _text(found, "context", "")
    if chosen is not None and chosen not in contexts:
        raise ValueError(
            f"context = {chosen!r}: there is no [contexts.{chosen}]{did_you_mean(chosen, contexts)}"
        )
    timeout = defaults.get("timeout")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
        timeout = _text(defaults, "timeout", "defaults.")
    refresh = found.get("refresh_completions", True)
    if not isinstance(refresh, bool):
        raise ValueError(f"refresh_completions must be true or false, not {refresh!r}")  # noqa: TRY004
    return ConfigFile(
        path,
        True,
        chosen,
        refresh,
        Defaults(
            _text(defaults, "api_url", "defaults."),
            _text(defaults, "budget_store", "defaults."),
            _place(defaults, "ca_file", "defaults.", path),
            _text(defaults, "limits", "defaults."),
            _text(defaults, "output", "defaults."),
            None if timeout is None else str(timeout),
        ),
        contexts,
    )


def _context(name: str, found: Mapping[str, Any], path: Path) -> Context:
    inside = f"contexts.{name}."
    _check_keys(found, _OF_CONTEXT, inside)
    sources = [key for key in found if key.startswith("token_")]
    if len(sources) != 1:
        raise ValueError(
            f"[contexts.{name}] needs one of token_file, token_env and token_command; "
            f"it has {' and '.join(sources) or 'none'}"
        )
    command = found.get("token_command")
    if isinstance(command, str):
        import shlex

        try:
            command = shlex.split(command)
        except ValueError:
            command = []
    if command is not None and not (
        isinstance(command, list)
        and all(isinstance(each, str) and "\0" not in each for each in command)
        and "".join(command[:1]).strip()
    ):
        raise ValueError(f'{inside}token_command must be a command, such as ["pass", "show", "do"]')
    return Context(
        name,
        _place(found, "token_file", inside, path),
        _text(found, "token_env", inside),
        None if command is None else tuple(command),
        _text(found, "api_url", inside),
        _text(found, "budget_store", inside),
        _text(found, "limits", inside),
    )


def _check_keys(found: Mapping[str, Any], known: tuple[str, ...], inside: str) -> None:
    for key in found:
        if key in known:
            continue
        if key.lower() in _SECRETS:
            raise ValueError(
                f"{inside}{key}: a token does not belong in this file, which backups and dotfile "
                "repositories copy: put it into a file of its own with mode 0600 and write "
                "token_file, or use token_env or token_command, in a [contexts.NAME]"
            )
        hint = did_you_mean(key, known) or f"; known are {', '.join(known)}"
        raise ValueError(f"unknown key {inside}{key}{hint}")


def _table(found: Mapping[str, Any], key: str, inside: str = "") -> Mapping[str, Any]:
    value = found.get(key, {})
    if not isinstance(value, Mapping):
        raise ValueError(f"{inside}{key} must be a table: [{inside}{key}]")  # noqa: TRY004
    return value


def _text(found: Mapping[str, Any], key: str, inside: str) -> str | None:
    value = found.get(key)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ValueError(f"{inside}{key} must be some text in quotes")
    return value


def _place(found: Mapping[str, Any], key: str, inside: str, path: Path) -> Path | None:
    text = _text(found, key, inside)
    if text is None:
        return None
    try:
        return path.parent / Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{inside}{key}: there is no home directory for {text}") from None
