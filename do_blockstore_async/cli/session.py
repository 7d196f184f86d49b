"""The client of one invocation: the real API, another one, or the embedded simulator."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import attrs

from .._clock import now_s
from .._export import visible
from .._limits import parse_limits
from ..client import BlockStore
from ..config import Config
from ..errors import StoreUnusableError
from ..events import Event
from .auth.credentials import read_token, source_of
from .auth.source import account_key
from .config_file import load
from .exit_codes import UsageError
from .options import Settings, current, seconds_of
from .output.terminal import print_stderr, redact

__all__ = ["SIMULATED_VOLUMES", "Session", "open_session", "settled", "windows_of"]

SIMULATED_VOLUMES = 120
_SEED = 7
# About what the real API's responses take, so that a first run feels like the real thing.
_LATENCY_S = (0.04, 0.16)
_UNLIMITED = ((1_000_000, 60.0), (20_000_000, 3600.0))


@attrs.frozen
class Session:
    """An open client, and what a command wants to know about it.

    Attributes:
        host: for messages.
        account: names the account for what is remembered between runs; None for a simulated one.
    """

    store: BlockStore
    host: str
    account: str | None = None


def windows_of(settings: Settings) -> tuple[tuple[int, float], ...]:
    """Return the budget that `--limits` names, or the configuration file.

    Raises:
        UsageError: it is not one.
    """
    named, where = settings.limits, "--limits"
    if named is None and not settings.simulate:
        context = source_of(settings).context
        named = (context and context.limits) or load().defaults.limits
        where = "limits in the configuration file"
    if named is None:
        return Config().windows
    try:
        windows = parse_limits(named)
    except ValueError as error:
        raise UsageError(str(error).replace("limits", where, 1)) from None
    if not windows and not settings.simulate:
        raise UsageError(f"{where}: none needs --simulate: the real API always has limits")
    return windows or _UNLIMITED


def settled(settings: Settings) -> Config:
    """Return the library's settings for the options, the environment and the configuration file.

    Raises:
        UsageError: an option or the configuration file is unusable.
    """
    file = load()
    timeout_s, defaults = settings.timeout_s, file.defaults
    if timeout_s is None and defaults.timeout is not None:
        timeout_s = seconds_of(defaults.timeout, f"{file.path}: defaults.timeout")
    ca_file = settings.ca_file
    if ca_file is None and not settings.simulate and not os.environ.get("SSL_CERT_FILE"):
        ca_file = defaults.ca_file
    return Config(
        windows=windows_of(settings),
        timeout_s=timeout_s,
        ca_file=ca_file,
        trust_env=True,  # HTTPS_PROXY, as in every other tool of a terminal
    )


def _printer() -> Callable[[Event], None]:
    """Write each event as one line to stderr, with the seconds since the start."""
    began_s = now_s()

    def show(event: Event) -> None:
        name = type(event).__name__
        values = attrs.asdict(event, recurse=False)
        parts = [
            f"{key}={value:.3f}" if isinstance(value, float) else f"{key}={value}"
            for key, value in values.items()
            if value is not None
        ]
        line = f"+{now_s() - began_s:.3f} {name} {' '.join(parts)}"
        sys.stderr.write(redact(visible(line)) + "\n")

    return show


async def _open_store(stack: AsyncExitStack, token: str, url: str, config: Config) -> BlockStore:
    """Open a client that shares the budget with all of this machine, if there is a place for it."""
    shared = attrs.evolve(config, budget="machine")
    try:
        store = await stack.enter_async_context(BlockStore(token, base_url=url, config=shared))
        if not store.quota.store_away_s:
            return store
        reason = "its file does not answer"
    except StoreUnusableError as error:
        reason = str(error)
    print_stderr(f"the token's budget is not shared with other processes: {reason}")
    return await stack.enter_async_context(BlockStore(token, base_url=url, config=config))


@asynccontextmanager
async def open_session(
    *, hooks: tuple[Callable[[Event], None], ...] = (), patient: bool = False
) -> AsyncIterator[Session]:
    """Open the client that the global options ask for.

    Args:
        hooks: what else receives the client's events.
        patient: for jobs, which wait for the budget as long as it takes: `--timeout` does not
            bound their calls.

    Raises:
        UsageError: the options exclude each other, or there is no token.
        ConfigError: a token, URL or setting is not usable.
    """
    settings = current()
    if settings.verbose:
        hooks = (*hooks, _printer())
    config = attrs.evolve(settled(settings), hooks=hooks)
    if patient:
        config = attrs.evolve(config, timeout_s=None)
    if not settings.simulate:
        source = source_of(settings)
        token = read_token(source)
        url = source.api_url
        async with AsyncExitStack() as stack:
            if source.budget_store is None:
                store = await _open_store(stack, token, url, config)
            else:
                config = attrs.evolve(config, budget=source.budget_store)
                client = BlockStore(token, base_url=url, config=config)
                store = await stack.enter_async_context(client)
            yield Session(store, url.split("//")[-1], account_key(source, os.environ))
        return
    if settings.api_url is not None or settings.token_file or settings.context is not None:
        raise UsageError("--simulate has its own API and token: drop the other option")
    from ..simulator.server import Simulator

    limits = None if config.windows == _UNLIMITED else config.windows
    async with (
        Simulator(
            volumes=SIMULATED_VOLUMES, seed=_SEED, limits=limits, latency_s=_LATENCY_S
        ) as simulator,
        BlockStore(simulator.token, base_url=simulator.url, config=config) as store,
    ):
        yield Session(store, "the embedded simulator")
