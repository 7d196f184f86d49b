"""The token that requests carry: given once, or asked for again when the API rejects it.

C1. After a 401 the source is asked once for all calls that met it, and each call is sent once more.
C2. A source that gives the same token again, or fails, leaves the 401 as it is.
C3. No token stands in a repr, in an error, or in a local variable under its own name.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from ..errors import ConfigError
from .checks import check_token
from .secret import Secret, redact

__all__ = ["Credentials", "TokenSource"]

TokenSource: TypeAlias = Callable[[], str | Awaitable[str]]


class Credentials:
    """The token in force.

    Args:
        given: the token, or a function that returns one or an awaitable of one.

    Attributes:
        generation: rises with each token; 0 before there is one.

    Raises:
        ConfigError: it is neither, or the token is malformed.
    """

    __slots__ = ("_asking", "_source", "_token", "generation")

    def __init__(self, given: Secret | TokenSource | None) -> None:
        self._source: TokenSource | None = None
        self._token = Secret("")
        self.generation = 0
        if callable(given):
            self._source = given
        else:
            self._token = Secret(check_token(given))
            self.generation = 1
        self._asking: asyncio.Lock | None = None

    @property
    def token(self) -> Secret:
        """The token in force."""
        return self._token

    @property
    def rotates(self) -> bool:
        """Whether there is a source to ask for another one."""
        return self._source is not None

    async def aopen(self) -> None:
        """Ask for the first token.

        Raises:
            ConfigError: the source failed, or what it gave is no token.
        """
        if self._source is not None and not self.generation:
            self._asking = asyncio.Lock()
            await self._ask(self._source)

    async def renew(self, rejected: int) -> bool:
        """Ask for another token, because the API rejected the one of a generation.

        Returns:
            Whether a later one is in force.

        Raises:
            ConfigError: the source failed, or what it gave is no token.
        """
        source, asking = self._source, self._asking
        if source is None or asking is None:
            return False
        async with asking:
            if self.generation == rejected:
                await self._ask(source)
        return self.generation != rejected

    async def _ask(self, source: TokenSource) -> None:
        try:
            given = source()
            token = redact(await given if inspect.isawaitable(given) else given)
            del given
        except Exception as error:
            raise ConfigError(f"the source of the token failed: {type(error).__name__}") from error
        checked = Secret(check_token(token))
        if checked != self._token:
            self._token = checked
            self.generation += 1

    def __repr__(self) -> str:
        return f"<Credentials {'with a source' if self.rotates else 'of one token'}>"
