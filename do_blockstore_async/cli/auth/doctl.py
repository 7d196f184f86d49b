"""doctl's configuration: where its `config.yaml` is and which token a context has.

doctl keeps the token of the context `default` under `access-token`, those of the others under
`auth-contexts`, and the one in use under `context` (digitalocean/doctl, commands/doit.go and
commands/auth.go). Keys are in lower case.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..._log.places import home_folder
from ..exit_codes import UsageError

__all__ = [
    "config_paths",
    "contexts",
    "current_context",
    "current_token",
    "parse",
    "token_of",
]

_DEFAULT = "default"


def config_paths(env: Mapping[str, str]) -> list[Path]:
    """Where doctl's configuration may be, the likeliest place first."""
    if env.get("DIGITALOCEAN_CONFIG"):
        return [Path(env["DIGITALOCEAN_CONFIG"])]
    home = home_folder(env)
    if home is None:
        root = env.get("APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME")
        return [Path(root) / "doctl" / "config.yaml"] if root else []
    if sys.platform == "win32":
        roots = [Path(env.get("APPDATA") or home / "AppData" / "Roaming")]
    elif sys.platform == "darwin":
        roots = [home / "Library" / "Application Support"]
    else:
        roots = [Path(env.get("XDG_CONFIG_HOME") or home / ".config")]
        # The snap package sees a home of its own.
        roots.append(home / "snap" / "doctl" / "current" / ".config")
    paths = [root / "doctl" / "config.yaml" for root in roots]
    return [*paths, home / ".doctlcfg"]


def token_of(context: str, env: Mapping[str, str]) -> str | None:
    """Return the token of one context, or None where doctl has no such context.

    Raises:
        UsageError: doctl's configuration cannot be read.
    """
    tokens = _tokens(_load(env)[1])
    # doctl's own library keeps keys in lower case.
    return tokens.get(context) or tokens.get(context.lower())


def current_token(env: Mapping[str, str]) -> str | None:
    """Return the token of the context that doctl uses now, or None without one."""
    path, config = _load(env)
    return None if path is None else _tokens(config).get(_chosen(config, env))


def contexts(env: Mapping[str, str]) -> list[str]:
    """Return the names of doctl's contexts that have a token."""
    return sorted(_tokens(_load(env)[1]))


def current_context(env: Mapping[str, str]) -> str | None:
    """Return the name of the context that doctl uses now, or None without a configuration."""
    path, config = _load(env)
    return None if path is None else _chosen(config, env)


def _chosen(config: Mapping[str, Any], env: Mapping[str, str]) -> str:
    return str(env.get("DIGITALOCEAN_CONTEXT") or config.get("context") or _DEFAULT).lower()


def _tokens(config: Mapping[str, Any]) -> dict[str, str]:
    found = {_DEFAULT: config.get("access-token")}
    contexts = config.get("auth-contexts")
    if isinstance(contexts, dict):
        found = {**{str(name).lower(): token for name, token in contexts.items()}, **found}
    return {name: token for name, token in found.items() if isinstance(token, str) and token}


def _load(env: Mapping[str, str]) -> tuple[Path | None, dict[str, Any]]:
    for path in config_paths(env):
        try:
            return path, parse(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
            raise UsageError(f"cannot read doctl's configuration {path}: {reason}") from None
        except ValueError as error:
            raise UsageError(f"doctl's configuration {path}: {error}") from None
    return None, {}


def parse(text: str) -> dict[str, Any]:
    """Read doctl's YAML.

    Raises:
        ValueError: it is not YAML, or not a mapping. The message names the line, never its text:
            a token may stand there.
    """
    import yaml

    try:
        config = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise ValueError(f"line {line}: invalid YAML") from None
    except (yaml.YAMLError, RecursionError):
        raise ValueError("invalid YAML") from None
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise ValueError("line 1: not a list of keys and values")  # noqa: TRY004
    return {str(key).lower(): value for key, value in config.items()}
