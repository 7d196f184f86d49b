"""What any HTTP client checks before it sends: a token, an origin, a path, a query, a timeout.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Final
from urllib.parse import unquote, urlsplit

from .._deadline import Timeout, seconds_of
from ..errors import ConfigError, InvalidArgumentError

__all__ = ["check_base_url", "check_params", "check_path", "check_timeout", "check_token"]

_PATH: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def check_token(token: str | None) -> str:
    """Check that a bearer token is safe in a header and is not a refresh token.

    Unknown prefixes are allowed: the API may introduce new ones.
    """
    if not isinstance(token, str) or not token:
        raise ConfigError("no token: pass one, or set DIGITALOCEAN_TOKEN")
    if not _VISIBLE.fullmatch(token):
        # The token itself must not be quoted, not even a broken one.
        raise ConfigError("the token contains white space or characters that no header may carry")
    if token.startswith("dor_v1_"):
        raise ConfigError(
            "this is a refresh token (dor_v1_): exchange it for an access token (doo_v1_) first"
        )
    return token


def check_base_url(url: str) -> str:
    """Check for an https origin, or http on loopback; return it without its trailing slash."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except (ValueError, AttributeError, TypeError):
        raise ConfigError("base_url is not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError("base_url must not carry credentials")
    # urlsplit silently drops tabs and new lines; the string itself is what is used.
    if not isinstance(url, str) or not _VISIBLE.fullmatch(url) or "\\" in url:
        raise ConfigError("base_url contains white space or characters that no URL may carry")
    if parts.query or parts.fragment or not host or not _PATH.fullmatch(parts.path or "/"):
        raise ConfigError("base_url must be a scheme, a host and at most a path")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ConfigError("base_url must be https; http is for loopback only")
    return url.rstrip("/")


def check_path(path: str) -> str:
    """Check a path on the API's own host: absolute, escaped, no query, host or dot segments."""
    if not isinstance(path, str) or not _PATH.fullmatch(path) or path.startswith("//"):
        raise InvalidArgumentError("path must be absolute and escaped, such as /v2/account")
    plain = unquote(path)
    if not plain.isprintable():
        raise InvalidArgumentError("path must not contain control characters")
    if {".", ".."} & set(re.split(r"[/\\]", plain)):
        raise InvalidArgumentError("path must not contain dot segments")
    return path


def check_params(params: Mapping[str, str | int | float | bool]) -> tuple[tuple[str, str], ...]:
    """Return query parameters as strings, not yet escaped; numbers and booleans as in JSON."""
    return tuple((str(name), _query_text(name, value)) for name, value in params.items())


def _query_text(name: str, value: str | float) -> str:
    if isinstance(name, str):
        if isinstance(value, str):
            return str.__str__(value)  # of an enum's member, its value
        if isinstance(value, int | float) and isfinite(value):
            return str(value).lower() if isinstance(value, bool) else str(value)
    raise InvalidArgumentError(f"params takes strings and finite numbers, not {name!r}: {value!r}")


def check_timeout(timeout: Timeout) -> float | None:
    """Return a timeout in seconds, more than 0 and finite; or None."""
    if timeout is None:
        return None
    if not (timeout_s := seconds_of(timeout, "timeout")):
        raise InvalidArgumentError(f"timeout must be more than 0, not {timeout!r}")
    return timeout_s
