"""Read the token of an account from where its jobs file says it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

from ..errors import ConfigError
from .model import Account, JobsFile

__all__ = ["read_token", "read_token_file", "read_tokens"]

_LONGEST_FILE: Final = 65_536


def read_token_file(path: Path, opened: TextIO | None = None) -> str:
    """Return the token in a file that holds it and nothing else. Blocks for a moment.

    Args:
        opened: the file, where it is open already, as standard input is.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    try:
        if opened is not None:
            text = opened.read(_LONGEST_FILE)
        else:
            with path.open(encoding="utf-8-sig") as file:
                text = file.read(_LONGEST_FILE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise ConfigError(f"cannot read the token file {path}: {reason}") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        raise ConfigError(
            f"the token file {path} must hold the token on one line and nothing else; "
            f"it has {len(lines)} lines with text"
        )
    return lines[0]


def read_token(account: Account, environ: Mapping[str, str]) -> str:
    """Return the account's token.

    Raises:
        ConfigError: it is not where the jobs file says.
    """
    if account.token_file is not None:
        return read_token_file(account.token_file)
    token = environ.get(account.token_env or "", "").strip()
    if not token:
        raise ConfigError(
            f"account {account.name} has no token: set the environment variable {account.token_env}"
        )
    return token


def read_tokens(
    file: JobsFile, environ: Mapping[str, str], names: tuple[str, ...] | None = None
) -> dict[str, str]:
    """Return the token of each account, by name.

    Args:
        names: of these accounts only.

    Raises:
        ConfigError: some account has none, or two have the same; all of them are named.
    """
    found: dict[str, str] = {}
    wrong: list[str] = []
    for name in file.accounts if names is None else names:
        try:
            token = read_token(file.accounts[name], environ)
        except ConfigError as error:
            wrong.append(str(error))
            continue
        same = next((other for other, known in found.items() if known == token), None)
        if same is not None:
            wrong.append(f"accounts {same} and {name} have one token: remove one of them")
        found[name] = token
    if wrong:
        raise ConfigError("; ".join(wrong))
    return found
