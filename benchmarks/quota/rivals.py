"""How other clients keep to the limits, for comparison. Each sends one request until accepted.

On a 429 each of them does what the server asks: it waits for `retry-after`, or, where there is
none, backs off from 1 to 30 seconds, as the retrying HTTP clients of several languages do.
"""

from __future__ import annotations

import asyncio
from collections import deque

from aiolimiter import AsyncLimiter

from .scenarios import Server

__all__ = ["NestedLimiters", "RetryOnly", "SendTimeLog", "SmoothedLimiter"]


async def _back_off(headers: dict[str, str], attempt: int) -> None:
    asked = headers.get("retry-after")
    await asyncio.sleep(float(asked) if asked else min(30.0, 2.0**attempt))


class _Rival:
    async def admit(self) -> None: ...

    async def call(self, server: Server) -> None:
        attempt = 0
        while True:
            await self.admit()
            status, headers = await server.send()
            if status == 200:
                return
            await _back_off(headers, attempt)
            attempt += 1


class NestedLimiters(_Rival):
    """One leaky bucket for each window, each as large as its limit."""

    def __init__(self) -> None:
        self._minute = AsyncLimiter(250, 60)
        self._hour = AsyncLimiter(5000, 3600)

    async def admit(self) -> None:
        async with self._hour, self._minute:
            pass


class SmoothedLimiter(_Rival):
    """The minute evenly spaced, the hour as a bucket."""

    def __init__(self) -> None:
        self._minute = AsyncLimiter(1, 0.24)
        self._hour = AsyncLimiter(5000, 3600)

    async def admit(self) -> None:
        async with self._hour, self._minute:
            pass


class RetryOnly(_Rival):
    """No throttle: ten workers, as Terraform has by default, and each retries after a 429."""

    def __init__(self) -> None:
        self._workers = asyncio.Semaphore(10)

    async def call(self, server: Server) -> None:
        async with self._workers:
            await super().call(server)


class SendTimeLog(_Rival):
    """A sliding log that counts each request at the time it is sent."""

    def __init__(self) -> None:
        self._windows = [(250, 60.0, deque[float]()), (5000, 3600.0, deque[float]())]
        self._turn = asyncio.Lock()

    async def admit(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._turn:
            for limit, length_s, log in self._windows:
                if len(log) >= limit:
                    await asyncio.sleep(max(0.0, log.popleft() + length_s - loop.time()))
            for _, _, log in self._windows:
                log.append(loop.time())
