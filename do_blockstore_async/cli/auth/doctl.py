"""doctl's configuration: where its `config.yaml` is and which token a context has.

doctl keeps the token of the context `default` under `access-token`, those of the others under
`auth-contexts`, and the one in use under `context` (digitalocean/doctl, commands/doit.go and
commands/auth.go). The file is written by a program, as plain `key: value` lines and one level of
nesting for what matters here. So these lines are read by a subset of YAML of some thirty lines:
PyYAML would add a compiled dependency for three keys. Whatever the subset does not know (anchors,
block texts, flow mappings) is refused with a message where it concerns those keys, never guessed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from ..exit_codes import UsageError

__all__ = ["config_paths", "current_token", "parse", "token_of"]

_DEFAULT = "default"
_LINE = re.compile(
    r"""(\s*)("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#'":][^:#]*?)\s*:(?:\s+(.*?))?\s*$"""
)
_COMMENT = re.compile(r"\s+#.*$")
_ESCAPES = re.compile(r'\\(["\\/])')


def config_paths(env: Mapping[str, str]) -> list[Path]:
    """Where doctl's configuration may be, the likeliest place first."""
    if env.get("DIGITALOCEAN_CONFIG"):
        return [Path(env["DIGITALOCEAN_CONFIG"])]
    home = Path(env.get("HOME") or env.get("USERPROFILE") or "~").expanduser()
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


def token_of(context: str, env: Mapping[str, str]) -> str:
    """The token of one context.

    Raises:
        UsageError: doctl has no configuration, or not this context.
    """
    path, config = _load(env)
    if path is None:
        looked = ", ".join(str(path) for path in config_paths(env))
        raise UsageError(f"--context needs doctl's configuration; there is none at {looked}")
    tokens = _tokens(config)
    # doctl's own library keeps keys in lower case.
    token = tokens.get(context) or tokens.get(context.lower())
    if not token:
        known = ", ".join(sorted(tokens)) or "none"
        raise UsageError(f"doctl has no context {context!r} in {path}; it has: {known}")
    return token


def current_token(env: Mapping[str, str]) -> str | None:
    """The token of the context that doctl uses now, or None without one."""
    path, config = _load(env)
    if path is None:
        return None
    context = env.get("DIGITALOCEAN_CONTEXT") or config.get("context") or _DEFAULT
    return _tokens(config).get(str(context).lower())


def _tokens(config: Mapping[str, str | dict[str, str]]) -> dict[str, str]:
    contexts = config.get("auth-contexts", {})
    tokens = {} if isinstance(contexts, str) else {k.lower(): v for k, v in contexts.items() if v}
    default = config.get("access-token")
    if isinstance(default, str) and default:
        tokens[_DEFAULT] = default
    return tokens


def _load(env: Mapping[str, str]) -> tuple[Path | None, dict[str, str | dict[str, str]]]:
    for path in config_paths(env):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
            raise UsageError(f"cannot read doctl's configuration {path}: {reason}") from None
        try:
            return path, parse(text)
        except ValueError as error:
            raise UsageError(f"doctl's configuration {path}: {error}") from None
    return None, {}


def parse(text: str) -> dict[str, str | dict[str, str]]:
    """The keys that matter here out of doctl's YAML.

    Raises:
        ValueError: one of them is written in a way this subset of YAML does not know. The message
            names the line, never what stands there.
    """
    found: dict[str, str | dict[str, str]] = {}
    inside: dict[str, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
            continue
        match = _LINE.match(line)
        if line[0] not in " \t":
            inside = None
            if match is None:
                continue
            key = _scalar(match[2], number).lower()
            if key == "auth-contexts":
                if _COMMENT.sub("", match[3] or "").strip() not in ("", "{}"):
                    raise ValueError(f"line {number}: auth-contexts must stand one on each line")
                inside = {}
                found[key] = inside
            elif key in ("access-token", "context"):
                found[key] = _scalar(match[3] or "", number)
        elif inside is not None:
            if match is None:
                raise ValueError(f"line {number}: not a `name: token` line")
            inside[_scalar(match[2], number)] = _scalar(match[3] or "", number)
    return found


def _scalar(text: str, number: int) -> str:
    text = text.strip()
    if text[:1] in ("'", '"'):
        quote = text[0]
        body = re.match(r"'((?:[^']|'')*)'|\"((?:[^\"\\]|\\.)*)\"", text)
        if body is None or _COMMENT.sub("", text[body.end() :]).strip():
            raise ValueError(f"line {number}: the quotes do not match")
        if quote == "'":
            return body[1].replace("''", "'")
        value = _ESCAPES.sub("", body[2])
        if "\\" in value:
            raise ValueError(f"line {number}: an escape that is not read here")
        return _ESCAPES.sub(r"\1", body[2])
    text = _COMMENT.sub("", text)
    if text[:1] in tuple("&*|>!{[%@`"):
        raise ValueError(f"line {number}: a form of YAML that is not read here")
    return "" if text in ("~", "null", "#") or text.startswith("#") else text
