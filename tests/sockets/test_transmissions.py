"""I12: leases equal requests on the wire, also where aiohttp sends a request again by itself.

A server drops kept-alive connections instead of answering; aiohttp then re-sends an idempotent
request once, silently. `throttle.middleware` in a plain session must have taken a lease for each.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import BlockStore, QuotaWaitTooLongError
from do_blockstore_async._ratelimit.lease import Lease
from do_blockstore_async._ratelimit.middleware import never_written
from do_blockstore_async._ratelimit.throttle import Throttle
from do_blockstore_async.config import Config
from do_blockstore_async.simulator import Simulator, connect_in_process

ROOMY = Config(windows=((10_000, 60.0), (100_000, 3600.0)), late_arrival_s=0.0)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"
    b"ratelimit-limit: 100000\r\nratelimit-remaining: 99990\r\n\r\n{}"
)


class DroppingServer:
    """Answers `answers` requests on each connection and drops it when the next one has arrived."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.requests: Counter[str] = Counter()
        self.dropped = 0
        self.url = ""
        self._connections: set[asyncio.Task[None]] = set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for count in range(self.answers + 1):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests[head.split(b" ", 1)[0].decode()] += 1
            if count == self.answers:
                self.dropped += 1
                return
            writer.write(ANSWER)
            await writer.drain()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[DroppingServer]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()
            await asyncio.gather(*self._connections)


class SilentServer(DroppingServer):
    """Reads and never answers."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()


def plain(throttle: Throttle) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(middlewares=(throttle.middleware,))


async def test_each_silent_resend_has_a_lease_of_its_own() -> None:
    throttle = Throttle(ROOMY)
    async with DroppingServer(answers=1).running() as server, plain(throttle) as session:
        for _ in range(5):
            async with session.get(server.url) as response:
                assert response.status == 200
    status = throttle.status()
    assert server.dropped == 4, "the server must have dropped something for this to mean anything"
    assert server.requests["GET"] == 9
    assert status.granted == 9
    assert (status.done, status.lost, status.unused) == (5, 4, 0)


async def test_what_is_not_idempotent_is_not_sent_again_and_its_lease_abandoned() -> None:
    throttle = Throttle(ROOMY)
    async with DroppingServer(answers=1).running() as server, plain(throttle) as session:
        async with session.post(server.url) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(server.url)
    status = throttle.status()
    assert server.requests["POST"] == status.granted == 2
    assert (status.done, status.lost) == (1, 1)


@given(
    st.integers(0, 3),
    st.lists(st.sampled_from(["GET", "DELETE", "POST"]), min_size=1, max_size=8),
    st.integers(1, 4),
)
@settings(max_examples=25)
def test_i12_leases_are_requests_on_the_wire(
    answers: int, methods: list[str], at_once: int
) -> None:
    async def main() -> None:
        throttle = Throttle(ROOMY)
        left = list(methods)
        async with DroppingServer(answers).running() as server, plain(throttle) as session:

            async def work() -> None:
                while left:
                    try:
                        async with session.request(left.pop(), server.url) as response:
                            await response.read()
                    except aiohttp.ClientError:
                        pass

            await asyncio.gather(*(work() for _ in range(at_once)))
        status = throttle.status()
        assert server.requests.total() == status.granted - status.unused
        assert status.granted == status.done + status.lost + status.unused

    asyncio.run(main())


async def test_a_connection_that_cannot_be_made_uses_no_slot() -> None:
    throttle = Throttle(ROOMY)
    async with DroppingServer(answers=1).running() as server:
        url = server.url
    async with plain(throttle) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
    status = throttle.status()
    assert (status.unused, status.used) == (1, (0, 0))


async def test_a_timeout_is_an_abandoned_lease() -> None:
    throttle = Throttle(ROOMY)
    timeout = aiohttp.ClientTimeout(total=0.05)
    async with SilentServer(0).running() as server, plain(throttle) as session:
        with pytest.raises(TimeoutError):
            await session.get(server.url, timeout=timeout)
    assert throttle.status().lost == 1


def test_only_errors_before_the_first_byte_count_as_never_written() -> None:
    assert never_written(aiohttp.ConnectionTimeoutError())
    assert not never_written(aiohttp.ServerDisconnectedError())
    assert not never_written(aiohttp.SocketTimeoutError())
    assert not never_written(aiohttp.ClientOSError())
    assert not never_written(TimeoutError())


class NeverThrottle(Throttle):
    """Grants nothing, and says nothing either: as one whose loop is late by more than is left."""

    @asynccontextmanager
    async def acquire(self, **_: object) -> AsyncIterator[Lease]:
        await asyncio.get_running_loop().create_future()
        yield Lease(self)


@pytest.mark.parametrize("in_process", [False, True])
async def test_a_call_that_ends_while_it_waits_says_that_the_budget_ended_it(
    in_process: bool,
) -> None:
    async with Simulator() as simulator:
        store = (
            connect_in_process(simulator.world)
            if in_process
            else BlockStore(simulator.token, base_url=simulator.url)
        )
        async with store:
            transport: Any = store._open_engine()._transport
            setattr(
                transport, "_throttle" if in_process else "throttle", NeverThrottle(store._config)
            )
            with pytest.raises(QuotaWaitTooLongError) as caught:
                await store.volumes.get("0" * 8, timeout=0.05)
        assert (caught.value.attempts, caught.value.retry_after) == (0, 0.0)
        assert not simulator.requests
