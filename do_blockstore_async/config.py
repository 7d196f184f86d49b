"""The settings of a client: frozen, checked when made, with a default for everything."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from os import PathLike
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import attrs

from ._interop.habits import answering
from ._interop.model import ShownByFields
from ._version import __version__
from .errors import ConfigError

if TYPE_CHECKING:
    from .events import Hook
else:
    # Whoever resolves the annotations, attrs or cattrs say, finds it without importing the events.
    Hook = Callable[[Any], object]

__all__ = ["Config"]


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number, not {value!r}")
    return value


def _positive(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not _number(attribute.name, value) > 0:
        raise ConfigError(f"{attribute.name} must be more than 0, not {value!r}")


def _not_negative(_: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not _number(attribute.name, value) >= 0:
        raise ConfigError(f"{attribute.name} must be 0 or more, not {value!r}")


def _count(_: Any, attribute: attrs.Attribute[Any], value: int) -> None:
    _positive(None, attribute, value)
    if not isinstance(value, int):
        raise ConfigError(f"{attribute.name} must be a whole number, not {value!r}")


def _optional_integer(_: Any, attribute: attrs.Attribute[Any], value: int | None) -> None:
    if value is not None and not isinstance(value, int):
        raise ConfigError(f"{attribute.name} must be a whole number or None, not {value!r}")


def _boolean(_: Any, attribute: attrs.Attribute[Any], value: bool) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{attribute.name} must be True or False, not {value!r}")


def _text(_: Any, attribute: attrs.Attribute[Any], value: str) -> None:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ConfigError(f"{attribute.name} must be printable ASCII, not {value!r}")


def _name(_: Any, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ConfigError(f"{attribute.name} must be some text or None, not {value!r}")


def _seconds(value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _optional_seconds(value: float | timedelta | None) -> float | None:
    return None if value is None else _seconds(value)


def _pairs(value: Iterable[Iterable[float]]) -> tuple[tuple[int, float], ...]:
    try:
        return tuple((requests, _seconds(window)) for requests, window in value)  # type: ignore[misc]
    except (TypeError, ValueError):
        raise ConfigError(
            "windows must be (requests, seconds) pairs, such as ((250, 60.0), (5000, 3600.0)), "
            f"not {value!r}"
        ) from None


def _windows(_: Any, __: attrs.Attribute[Any], value: tuple[tuple[int, float], ...]) -> None:
    if not value:
        raise ConfigError("windows needs at least one (requests, seconds) pair")
    for requests, window_s in value:
        is_whole = isinstance(requests, int) and not isinstance(requests, bool)
        if not is_whole or requests < 1 or not _number("windows", window_s) > 0:
            raise ConfigError(f"not a window of (requests, seconds): {(requests, window_s)!r}")
    lengths = [window_s for _, window_s in value]
    if lengths != sorted(lengths):
        raise ConfigError("windows must be ordered from the shortest to the longest")


def _shares(value: Iterable[float]) -> tuple[float, ...]:
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise ConfigError(f"reserve must be one share for each window, not {value!r}")
    return tuple(value)


def _reserve(instance: Config, _: attrs.Attribute[Any], value: tuple[float, ...]) -> None:
    if len(value) != len(instance.windows):
        raise ConfigError("reserve needs one share for each window")
    if not all(0 <= _number("reserve", share) < 1 for share in value):
        raise ConfigError(f"reserve shares must lie in [0, 1), not {value!r}")


def _hooks(value: Hook | Iterable[Hook]) -> tuple[Hook, ...]:
    hooks = (value,) if callable(value) else value
    if isinstance(hooks, Iterable):
        made = tuple(hooks)
        if all(map(callable, made)):
            return made
    raise ConfigError(f"hooks must be functions that take an event, not {value!r}")


def _proxy(_: Any, __: attrs.Attribute[Any], value: str | None) -> None:
    if value is None:
        return
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        is_valid = False
    if not is_valid:
        # Not quoted: it may hold a password.
        raise ConfigError("proxy must be a URL such as http://proxy:3128")


def _optional_path(value: str | PathLike[str] | None) -> str | None:
    if value is None or (isinstance(value, str | PathLike) and os.fspath(value)):
        return None if value is None else os.fspath(value)
    raise ConfigError(f"ca_file must be a path or None, not {value!r}")


REDIS_SCHEMES: Final = frozenset({"redis", "rediss", "unix"})
POSTGRES_SCHEMES: Final = frozenset({"postgresql", "postgres"})


def _is_budget(value: object) -> bool:
    if value in ("process", "machine"):
        return True
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        if parts is None or parts.port == 0:
            return False
    except ValueError:
        return False
    if parts.scheme in POSTGRES_SCHEMES:
        return True  # `postgresql:///name?host=/run/postgresql` has no host.
    place = parts.path if parts.scheme == "unix" else parts.hostname
    return parts.scheme in REDIS_SCHEMES and bool(place)


def _budget(_: Any, __: attrs.Attribute[Any], value: object) -> None:
    if not _is_budget(value):
        # Not quoted: it may hold a password.
        raise ConfigError(
            "budget must be 'process', 'machine', or a URL such as redis://host:6379/0 or "
            "postgresql://user@host/name"
        )


def _without_address(setting: str) -> str:
    """Show a budget's setting without host, user and password."""
    scheme, separator, _ = setting.partition("://")
    return repr(f"{scheme}://(hidden)" if separator else setting)


def _without_credentials(url: str | None) -> str:
    return repr(url if url is None else re.sub("//[^@/]*@", "//(credentials)@", url))


@attrs.frozen(kw_only=True, repr=False)
class Config(ShownByFields):
    """Settings of a client. All times are seconds, or timedeltas; everything has a default.

    Args:
        windows: the token's budget as (requests, seconds) pairs, shortest first. DigitalOcean's
            is 250 a minute and 5,000 an hour (API reference, "Rate Limit"). Where the hour is
            5,000 and the server announces another limit, that is adopted.
        budget: who shares the token's budget. `process`: the clients that share a throttle.
            `machine`: all processes of this user on this machine, through a file. A URL, `redis://`
            (or `rediss://`, extra `redis`) or `postgresql://` (extra `postgres`): all processes
            on all machines, through that server. All of them need the same windows, margins,
            reserve, burst and cold start. Only a client can share, not a `Throttle` alone.
        budget_name: names the shared budget, instead of the token: the same for all processes that
            get their tokens from one source, needed where the token is a function.
        window_margin_s: added to each window, against clock drift and whole-second bookkeeping; 1.
        late_arrival_s: how long a request whose response was lost may still take to reach the
            server; 30.
        reserve: the share of each window that background (bulk) calls leave to interactive ones.
            One share in [0, 1) for each window; 0.10 of the shortest, 0.05 of the others.
        burst: how many requests may leave at once on an idle budget before pacing begins; 60.
        cold_start_concurrency: requests in flight at most before the first response; 2.
        timeout_s: default for each call's `timeout=`, of a listing for each page; None waits as
            long as the budget needs. `actions.wait` has a default of its own.
        attempt_timeout_s: bound on one transmission from sending to the last byte of the response;
            60.
        connect_timeout_s: bound on making one connection; 10.
        max_attempts: transmissions of one call at most, the first included; 5.
        backoff_base_s: the first retry waits up to this long, each further one up to twice as long;
            0.5.
        backoff_cap_s: no retry without a retry-after waits longer than this; 20.
        retry_budget: retries a client may have outstanding before it stops retrying; each success
            earns a tenth of one back, so an outage is not multiplied; 100.
        max_body_bytes: cap on one decompressed response; 32 MiB. As Python objects, JSON of
            `store.request` takes 4 to 25 times as much memory: the most for many empty lists.
        max_pages: cap on the pages of one listing; 10,000.
        max_items: cap on the items of one listing; 2,000,000.
        page_concurrency: pages of one listing in flight at most; 12.
        max_connections: sockets a client opens at most; 100.
        proxy: URL of an HTTP proxy for everything, such as `http://user:password@proxy:3128`.
        trust_env: whether the proxy is taken from the environment (HTTPS_PROXY, HTTP_PROXY,
            NO_PROXY) where `proxy` is not given. Off by default. `.netrc` is never read.
        ca_file: a PEM file of certificate authorities to trust instead of the system's. It is read
            when a client opens, and not for an own `session`, which has its connector.
        user_agent: the User-Agent header.
        jitter_seed: makes the jitter of retries reproducible, for tests.
        hooks: called with each event (see `do_blockstore_async.events`): one, or several.

    Raises:
        ConfigError: a value is out of range.
    """

    windows: tuple[tuple[int, float], ...] = attrs.field(
        default=((250, 60.0), (5000, 3600.0)), validator=_windows, converter=_pairs
    )
    budget: str = attrs.field(default="process", validator=_budget, repr=_without_address)
    budget_name: str | None = attrs.field(default=None, validator=_name)
    window_margin_s: float = attrs.field(default=1.0, validator=_not_negative, converter=_seconds)
    late_arrival_s: float = attrs.field(default=30.0, validator=_not_negative, converter=_seconds)
    reserve: tuple[float, ...] = attrs.field(
        default=attrs.Factory(lambda self: _default_reserve(len(self.windows)), takes_self=True),
        validator=_reserve,
        converter=_shares,
    )
    burst: int = attrs.field(default=60, validator=_count)
    cold_start_concurrency: int = attrs.field(default=2, validator=_count)
    timeout_s: float | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(_positive),
        converter=_optional_seconds,
    )
    attempt_timeout_s: float = attrs.field(default=60.0, validator=_positive, converter=_seconds)
    connect_timeout_s: float = attrs.field(default=10.0, validator=_positive, converter=_seconds)
    max_attempts: int = attrs.field(default=5, validator=_count)
    backoff_base_s: float = attrs.field(default=0.5, validator=_positive, converter=_seconds)
    backoff_cap_s: float = attrs.field(default=20.0, validator=_positive, converter=_seconds)
    retry_budget: int = attrs.field(default=100, validator=_count)
    max_body_bytes: int = attrs.field(default=32 * 1024 * 1024, validator=_count)
    max_pages: int = attrs.field(default=10_000, validator=_count)
    max_items: int = attrs.field(default=2_000_000, validator=_count)
    page_concurrency: int = attrs.field(default=12, validator=_count)
    max_connections: int = attrs.field(default=100, validator=_count)
    proxy: str | None = attrs.field(default=None, validator=_proxy, repr=_without_credentials)
    trust_env: bool = attrs.field(default=False, validator=_boolean)
    ca_file: str | None = attrs.field(default=None, converter=_optional_path)
    user_agent: str = attrs.field(default=f"do-blockstore-async/{__version__}", validator=_text)
    jitter_seed: int | None = attrs.field(default=None, validator=_optional_integer)
    hooks: tuple[Hook, ...] = attrs.field(default=(), converter=_hooks)


# What a setting is called by other clients.
_CALLED_ELSEWHERE: Final = {
    "timeout": "timeout_s=, seconds or a timedelta",
    "max_retries": "max_attempts=, the first attempt included",
    "retries": "max_attempts=, the first attempt included",
    "connect_timeout": "connect_timeout_s=",
    "read_timeout": "attempt_timeout_s=",
    "rate_limit": "windows=((250, 60.0), (5000, 3600.0))",
    "limits": "windows=((250, 60.0), (5000, 3600.0))",
    "proxies": "proxy=, one URL",
    "verify": "ca_file=, a PEM file",
    "hook": "hooks=",
    "event_hooks": "hooks=",
}

if not TYPE_CHECKING:
    Config.__init__ = answering(ConfigError, _CALLED_ELSEWHERE)(Config.__init__)


def _default_reserve(windows: int) -> tuple[float, ...]:
    """Ten percent of the short window and five of the longer ones."""
    return (0.10, *(0.05,) * (windows - 1))
