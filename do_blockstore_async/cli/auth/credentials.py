"""Read the token. It is never an argument's value and is never printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ..config_file import Context, load
from ..exit_codes import UsageError
from ..hints import did_you_mean
from ..options import Settings
from . import doctl
from .source import Source, SourceOptions, find_source

__all__ = ["find_token", "read_token", "source_of"]

_COMMAND_MAY_TAKE_S = 120


def source_of(settings: Settings, environ: Mapping[str, str] | None = None) -> Source:
    """Return where the token for these settings is, and the address and budget that go with it.

    Raises:
        UsageError: the settings exclude each other, or the configuration file is unusable.
    """
    env = os.environ if environ is None else environ
    asked = SourceOptions(settings.token_file, settings.context, settings.api_url, settings.budget)
    return find_source(asked, env)


def find_token(settings: Settings, environ: Mapping[str, str] | None = None) -> str:
    """Return the token for these settings.

    Raises:
        UsageError: there is none, or the file named cannot be used; the message says what to do.
    """
    return read_token(source_of(settings, environ), environ)


def read_token(source: Source, environ: Mapping[str, str] | None = None) -> str:
    """Return the token of a source; runs the command that has it.

    Raises:
        UsageError: it has none; the message says what to do.
    """
    env = os.environ if environ is None else environ
    if source.token_command is not None and source.context is not None:
        return _from_command(source.context, source.token_command)
    if source.token_file is not None:
        return _from_file(source.token_file)
    if source.token_env is not None:
        token = env.get(source.token_env, "").strip()
        if not token:
            raise UsageError(f"{_of(source.context)}: the variable {source.token_env} is not set")
        return token
    if source.doctl:
        token_of_doctl = doctl.token_of(source.doctl, env)
        if token_of_doctl is None:
            raise _unknown_context(source.doctl, env)
        return token_of_doctl
    found = doctl.current_token(env)
    if found:
        return found
    raise UsageError(
        "no token: set DIGITALOCEAN_TOKEN, or give --token-file FILE, or log in with "
        "`doctl auth init`; --simulate needs none"
    )


def _unknown_context(name: str, env: Mapping[str, str]) -> UsageError:
    file, of_doctl = load(env), doctl.contexts(env)
    places = [
        f"{place} has {', '.join(names) or 'none'}"
        for place, names in [(file.path or "no configuration file", file.contexts),
                             ("doctl", of_doctl)]
    ]  # fmt: skip
    hint = did_you_mean(name, [*file.contexts, *of_doctl])
    between = f"{hint} " if hint else "; "
    return UsageError(f"there is no context {name!r}{between}{', '.join(places)}")


def _from_file(path: Path) -> str:
    from ...errors import ConfigError
    from ...jobs import read_token_file

    try:
        return read_token_file(path, sys.stdin if str(path) == "-" else None)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _from_command(context: Context, command: tuple[str, ...]) -> str:
    """Run a command that prints the token; it may ask for a password at the terminal."""
    import subprocess

    where = f"{_of(context)}: {command[0]}"
    try:
        done = subprocess.run(  # noqa: S603 -- the user's own command, without a shell
            command, stdout=subprocess.PIPE, timeout=_COMMAND_MAY_TAKE_S, check=False
        )
    except OSError as error:
        raise UsageError(f"{where} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"{where} gave no token within {_COMMAND_MAY_TAKE_S} s") from None
    if done.returncode:
        raise UsageError(f"{where} failed with exit code {done.returncode}")
    lines = [line.strip() for line in done.stdout.decode(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    if len(lines) != 1:
        raise UsageError(f"{where} must print the token and nothing else, not {len(lines)} lines")
    return lines[0]


def _of(context: Context | None) -> str:
    return "context" if context is None else f"context {context.name!r}"
