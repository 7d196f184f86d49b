"""The token that requests carry: given once, or asked for again when the API rejects it.

C1. After a 401 the source is asked once for all calls that met it, and each call is sent once more.
C2. A source that gives the same token again, fails or takes too long, leaves the 401 as it is, for
    all calls that met it.
C3. No token stands in a repr, in an error, or in a local variable under its own name.
C4. No source holds up a close, and no caller's cancellation the others.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

from .._clock import now_s
from .._context import detached
from ..errors import ConfigError
from .checks import check_token
from .secret import Secret, redact

__all__ = ["Credentials", "TokenSource"]

TokenSource: TypeAlias = Callable[[], str | Awaitable[str]]

_CANCELLING_S: Final = 1.0


class Credentials:
    """The token in force.

    Args:
        given: the token, or a function that returns one or an awaitable of one.

    Attributes:
        generation: rises with each token; 0 before there is one.

    Raises:
        ConfigError: it is neither, or the token is malformed.
    """

    __slots__ = (
        "_asked_until_s",
        "_asking",
        "_closed",
        "_fetching",
        "_problem",
        "_source",
        "_token",
        "generation",
    )

    def __init__(self, given: Secret | TokenSource | None) -> None:
        self._source: TokenSource | None = None
        self._token = Secret("")
        self.generation = 0
        if callable(given):
            self._source = given
        else:
            self._token = Secret(check_token(given))
            self.generation = 1
        self._asking: asyncio.Future[None] | None = None
        self._fetching: asyncio.Task[Secret] | None = None
        self._problem: str | None = None
        self._asked_until_s = -math.inf
        self._closed = False

    @property
    def token(self) -> Secret:
        """The token in force."""
        return self._token

    @property
    def rotates(self) -> bool:
        """Whether there is a source to ask for another one."""
        return self._source is not None

    async def aopen(self, limit_s: float) -> None:
        """Ask for the first token.

        Args:
            limit_s: seconds that the source has.

        Raises:
            ConfigError: the source failed or gave none in time, or what it gave is no token.
        """
        if self._source is not None and not self.generation:
            try:
                async with asyncio.timeout(limit_s):
                    self._adopt(await _fetch(self._source))
            except TimeoutError:
                raise ConfigError(_late(limit_s)) from None

    async def renew(self, rejected: int, sent_at: float | None, limit_s: float) -> bool:
        """Ask for another token, because the API rejected the one of a generation.

        Whoever waits already, and whoever sent its request before the source answered, shares that
        answer or failure. Cancelling one of them ends its wait only.

        Args:
            rejected: the generation.
            sent_at: loop time at which the rejected request left; None if that is not known.
            limit_s: seconds that the source has.

        Returns:
            Whether a later one is in force; False too once it is closed.

        Raises:
            ConfigError: the source failed or gave none in time, or what it gave is no token.
        """
        source = self._source
        if source is None or self._closed:
            return False
        if self.generation != rejected:
            return True
        if sent_at is None or sent_at >= self._asked_until_s:
            await asyncio.wait([self._asking or self._ask(source, limit_s)])
        if self.generation != rejected:
            return True
        if self._problem is not None:
            raise ConfigError(self._problem)
        return False

    async def aclose(self) -> None:
        """Ask no more: who waits for the source goes on without another token."""
        self._closed = True
        if self._asking is not None:
            self._end(self._asking, None)
        if self._fetching is not None:
            # A source may refuse to be cancelled.
            await asyncio.wait([self._fetching], timeout=_CANCELLING_S)

    def _ask(self, source: TokenSource, limit_s: float) -> asyncio.Future[None]:
        """Begin to ask; the future is done once there is an answer, a failure or no time left."""
        loop = asyncio.get_running_loop()
        self._asking = asking = loop.create_future()
        # It is asked for all calls, so it has the deadline of none.
        with detached():
            self._fetching = fetching = loop.create_task(_fetch(source))
        timer = loop.call_later(limit_s, self._end, asking, _late(limit_s))
        fetching.add_done_callback(partial(self._answered, asking, timer))
        return asking

    def _answered(
        self, asking: asyncio.Future[None], timer: asyncio.TimerHandle, task: asyncio.Task[Secret]
    ) -> None:
        timer.cancel()
        error = None if task.cancelled() else task.exception()
        if asking.done():
            return
        problem: str | None = None
        if task.cancelled():
            problem = "the source of the token was cancelled"
        elif error is None:
            self._adopt(task.result())
        else:
            problem = error.message if isinstance(error, ConfigError) else type(error).__name__
        self._end(asking, problem)

    def _end(self, asking: asyncio.Future[None], problem: str | None) -> None:
        if asking.done():
            return
        self._asking, self._problem, self._asked_until_s = None, problem, now_s()
        asking.set_result(None)
        if self._fetching is not None:
            self._fetching.cancel()

    def _adopt(self, token: Secret) -> None:
        if token != self._token:
            self._token = token
            self.generation += 1

    def __repr__(self) -> str:
        return f"<Credentials {'with a source' if self.rotates else 'of one token'}>"


async def _fetch(source: TokenSource) -> Secret:
    try:
        given = source()
        token = redact(await given if inspect.isawaitable(given) else given)
        del given
    except Exception as error:
        raise ConfigError(f"the source of the token failed: {type(error).__name__}") from error
    return Secret(check_token(token))


def _late(limit_s: float) -> str:
    return f"the source of the token gave none in {limit_s:g} s (Config.attempt_timeout_s)"
