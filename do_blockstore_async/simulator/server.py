"""The world behind real HTTP on 127.0.0.1: for the demo, for tests, for other languages.

Theory: one raw handler turns each HTTP message into a `SimRequest`, waits half the latency, gives
it to the world and waits the other half, so a request is counted in the middle of its trip. Once a
request has arrived it is handled, whether its client still waits or not, as a real server would.

Invariants:
1. The world is only touched between two awaits: each request is handled whole.
2. Leaving the context closes every connection, also stalled and dripping ones.
3. No log line of this module holds a header.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from aiohttp import web

from .._clock import Clock, seeded
from .._limits import DEFAULT_LIMITS
from ._messages import RequestRecord, SimRequest
from .clock import SimClock
from .faults.parser import parse_faults
from .faults.rules import Delivery, FaultInjector, deliver
from .unknown import warn_if_unknown
from .world import World, WorldOptions

__all__ = ["Simulator", "serve"]


class Simulator:
    """A simulator of DigitalOcean's block storage API, over real HTTP.

        async with Simulator(volumes=120, seed=7) as sim:
            ... sim.url, sim.token, sim.world, sim.faults.add("response_lost", times=1) ...

    Args:
        latency_s: how long each response takes; a pair draws evenly between the two.
        faults: a specification as for `--faults`, or a `FaultInjector`.
        host, port: where to listen; port 0 takes a free one. It is meant for loopback only.
        **world: keywords of `WorldOptions`: volumes, seed, token, droplets, limits, ...

    Attributes:
        world: the state; read and change it freely.
        faults: what goes wrong; see `FaultInjector.add`.
        clock: time as the simulator sees it; `clock.advance(seconds)`.

    Raises:
        ValueError, TypeError: an option is invalid or unknown.
        OSError: the port is taken.
    """

    def __init__(
        self,
        *,
        latency_s: float | tuple[float, float] = 0.0,
        faults: str | FaultInjector | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        **world: Any,
    ) -> None:
        self.clock = SimClock(self._told)
        self.world = World(WorldOptions(**{"now": self.clock.now(), **world}))
        self.faults = (
            parse_faults(faults or "") if not isinstance(faults, FaultInjector) else faults
        )
        low_s, high_s = latency_s if isinstance(latency_s, tuple) else (latency_s, latency_s)
        if not 0 <= low_s <= high_s:
            raise ValueError(f"latency must be 0 or more seconds, not {latency_s!r}")
        self._latency_s = (low_s, high_s)
        self._random = seeded(f"latency {self.world.options.seed}")
        self._waits = Clock()
        self._host, self._port = host, port
        self._own_links = "link_base" not in world
        self._runner: web.ServerRunner | None = None
        self._closing = asyncio.Event()
        # Connections that have carried a request: the next one finds them reused.
        self._seen: WeakSet[asyncio.Transport] = WeakSet()

    def __repr__(self) -> str:
        where = self.url if self._runner is not None else "closed"
        return f"<Simulator {where}, {len(self.world.volumes)} volumes>"

    def _told(self, now: float) -> None:
        self.world.tick(now)

    @property
    def token(self) -> str:
        """The accepted token."""
        return self.world.token

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        if self._runner is None:
            raise RuntimeError("the simulator is not running: use `async with Simulator(...)`")
        return f"http://{self._host}:{self._port}"

    @property
    def requests(self) -> list[RequestRecord]:
        """The request log, newest last."""
        return self.world.requests

    def reset(self) -> None:
        """Return to the seeded state and the initial faults; the time is kept."""
        self.world.reset(self.clock.now())
        self.faults.reset()
        self._random = seeded(f"latency {self.world.options.seed}")

    async def start(self) -> None:
        """Start to listen. `async with` does it."""
        if self._runner is not None:
            raise RuntimeError("the simulator is running already")
        self._closing = asyncio.Event()
        server = web.Server(self._handle, access_log=None, max_field_size=65_536)
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port)
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = int(runner.addresses[0][1])
        if self._own_links:
            self.world.link_base = self.url

    async def aclose(self) -> None:
        """Stop, closing every connection. Twice is harmless."""
        runner, self._runner = self._runner, None
        self._closing.set()
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        reused = http.transport in self._seen
        if http.transport is not None:
            self._seen.add(http.transport)
        try:
            body = await http.read() if http.can_read_body else b""
        except web.HTTPRequestEntityTooLarge:
            return web.json_response(
                {"id": "request_entity_too_large", "message": "The request body is too large."},
                status=413,
            )
        request = SimRequest(
            http.method,
            http.raw_path,
            {name.lower(): value for name, value in http.headers.items()},
            body,
        )
        low_s, high_s = self._latency_s
        wait_s = (low_s + self._random.random() * (high_s - low_s)) / 2 if high_s else 0.0
        if wait_s:
            await self._waits.sleep(wait_s)
        delivery = deliver(self.world, self.faults, request, self.clock.now(), reused=reused)
        warn_if_unknown(request, delivery.response)
        if wait_s:
            await self._waits.sleep(wait_s)
        return await self._answer(http, delivery)

    async def _answer(self, http: web.BaseRequest, delivery: Delivery) -> web.StreamResponse:
        response = delivery.response
        if delivery.wire == "respond":
            return web.Response(
                status=response.status, headers=response.headers, body=response.body
            )
        if delivery.wire == "drip" or (delivery.wire == "truncate" and response.body):
            return await self._partly(http, delivery)
        if delivery.wire == "stall":
            await self._until_gone(http)
        transport = http.transport
        if transport is not None:
            if delivery.wire == "reset":
                _reset_on_close(transport)
            transport.abort()
        return web.Response()

    async def _until_gone(self, http: web.BaseRequest) -> None:
        while http.transport is not None and not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await self._closing.wait()

    async def _partly(self, http: web.BaseRequest, delivery: Delivery) -> web.StreamResponse:
        """Send the response slowly, or less of it than was announced."""
        response = delivery.response
        stream = web.StreamResponse(status=response.status, headers=response.headers)
        if response.body:
            stream.content_length = len(response.body)
        with suppress(ConnectionError):
            await stream.prepare(http)
            if delivery.wire == "truncate":
                await stream.write(response.body[: len(response.body) // 2])
                if http.transport is not None:
                    http.transport.close()
                return stream
            pause_s = delivery.fault.seconds if delivery.fault is not None else 0.0
            for at in range(len(response.body)):
                if http.transport is None or self._closing.is_set():
                    break
                await stream.write(response.body[at : at + 1])
                await self._waits.sleep(pause_s)
        return stream


def _reset_on_close(transport: asyncio.Transport) -> None:
    """Make the close a reset instead of an orderly end."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    volumes: int = 120,
    seed: int = 0,
    token: str | None = None,
    droplets: Iterable[int | str] = (),
    limits: str = DEFAULT_LIMITS,
    latency_ms: float = 0.0,
    faults: str | None = None,
    announce: Callable[[Simulator], None] | None = None,
    **world: Any,
) -> None:
    """Run a simulator until SIGINT, SIGTERM or cancellation: `do-blockstore simulator`.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        volumes: as in `WorldOptions`, like seed, token and limits.
        seed: see there.
        token: see there.
        limits: see there.
        faults: as for `Simulator`.
        droplets: ids, or `ID:REGION`; none given makes one Droplet for each region.
        latency_ms: how long each response takes, in milliseconds.
        announce: is called once with the running simulator; its `url` and `token` are what a
            client needs.
        **world: further keywords of `WorldOptions`.

    Raises:
        ValueError: an option is not usable.
        OSError: the port is taken.
    """
    simulator = Simulator(
        host=host,
        port=port,
        volumes=volumes,
        seed=seed,
        token=token,
        droplets=tuple(droplets) or None,
        limits=limits,
        latency_s=latency_ms / 1000,
        faults=faults,
        **world,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    handled: list[signal.Signals] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not in every thread and not on every platform; cancellation still ends it there.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)
            handled.append(number)
    try:
        async with simulator:
            if announce is not None:
                announce(simulator)
            await stop.wait()
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
