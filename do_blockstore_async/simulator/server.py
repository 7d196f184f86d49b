"""The world behind real HTTP on 127.0.0.1: for the demo, for tests, for other languages.

Theory: one raw handler turns each HTTP message into a `SimRequest`, waits half the latency, gives
it to the world and waits the other half, so a request is counted in the middle of its trip. Once a
request has arrived it is handled, whether its client still waits or not, as a real server would.

Beside the simulated API it answers for `/_simulator` (`control/admin.py`), without latency, faults
or budget.

Invariants:
1. The world is only touched between two awaits: each request is handled whole.
2. Leaving the context closes every connection, also stalled and dripping ones.
3. No log line of this module holds a header.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeAlias
from weakref import WeakSet

from aiohttp import web

from .._clock import Clock, seeded
from ._messages import RequestRecord, SimRequest
from .clock import SimClock
from .control.admin import Administration, refusal
from .control.files import RequestFile, StateFile, read_scenario
from .control.scenario import Scenario
from .faults.parser import parse_faults
from .faults.rules import Delivery, FaultInjector, deliver
from .unknown import warn_if_unknown
from .world import World, WorldOptions

__all__ = ["Simulator", "serve"]

_Observer: TypeAlias = Callable[[RequestRecord, float, str | None], None]

_logger = logging.getLogger("do_blockstore_async.simulator")
_SAVE_EVERY_S = 1.0
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 -- compared with, not bound to


class Simulator:
    """A simulator of DigitalOcean's block storage API, over real HTTP.

        async with Simulator(volumes=120, seed=7) as sim:
            ... sim.url, sim.token, sim.world, sim.faults.add("response_lost", times=1) ...

    Args:
        latency_s: how long each response takes; a pair draws evenly between the two.
        faults: a specification as for `--faults`, or a `FaultInjector`.
        host, port: where to listen; port 0 takes a free one. It is meant for loopback: there is no
            TLS, and anyone who reaches it and has the token may do everything.
        scenario: how it begins, as a TOML file or a `Scenario`; keywords given here come first.
        state: a file in which the state outlives the simulator: read at the start if it is there,
            written a second after a change and at the end. Faults, budgets and tokens are not
            in it.
        record: a file to which each request is added as a line of JSON.
        observe: is called with each request once its response is about to be sent, with the seconds
            that took, and the kind of the fault that it met or None. A request that a fault kept
            from the world has the status 0.
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
        scenario: Scenario | str | Path | None = None,
        state: str | Path | None = None,
        record: str | Path | None = None,
        observe: _Observer | None = None,
        **world: Any,
    ) -> None:
        if scenario is not None and not isinstance(scenario, Scenario):
            scenario = read_scenario(scenario)
        if scenario is not None:
            world = {**scenario.options, **world}
            faults = scenario.fault_injector() if faults is None else faults
        self._scenario = scenario
        self.clock = SimClock(self._told, at_s=None if scenario is None else scenario.at_s)
        self.world = World(WorldOptions(**{"now": self.clock.now(), **world}))
        self.faults = (
            parse_faults(faults or "") if not isinstance(faults, FaultInjector) else faults
        )
        self._admin = Administration(self.world, self.faults, self.clock, self.reset)
        self._state_file = None if state is None else StateFile(state)
        self._record_path = record
        self._observe = observe
        self._record: RequestFile | None = None
        self._changed = False
        self._saver: asyncio.Task[None] | None = None
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
        """Where it listens, without a slash at the end; on this machine, if it does everywhere."""
        if self._runner is None:
            raise RuntimeError("the simulator is not running: use `async with Simulator(...)`")
        host = "127.0.0.1" if self._host in _EVERYWHERE else self._host
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @property
    def requests(self) -> list[RequestRecord]:
        """The request log, newest last."""
        return self.world.requests

    def reset(self) -> None:
        """Return to the seeded state, or the scenario's, and the initial faults.

        Time is kept: it only moves forward. It stands still or flows as at the beginning.
        """
        self._changed = True
        self.world.reset(self.clock.now())
        self.faults.reset()
        self._random = seeded(f"latency {self.world.options.seed}")
        is_frozen = self._scenario is not None and self._scenario.frozen
        (self.clock.freeze if is_frozen else self.clock.thaw)()

    async def start(self) -> None:
        """Start to listen. `async with` does it."""
        if self._runner is not None:
            raise RuntimeError("the simulator is running already")
        self._closing = asyncio.Event()
        if self._state_file is not None:
            if self._state_file.load(self.world):
                # Time goes on from where it stood, if tests had moved it ahead.
                self.clock.advance(max(0.0, self.world.now - self.clock.now()))
            # A place that cannot be written to is told now, not at the end.
            self._state_file.save(self.world)
        if self._scenario is not None and self._scenario.frozen:
            self.clock.freeze()
        if self._record_path is not None:
            self._record = RequestFile(self._record_path)
        server = web.Server(self._handle, access_log=None, max_field_size=65_536)
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port)
            await site.start()
        except BaseException:
            await runner.cleanup()
            self._close_record()
            raise
        self._runner = runner
        self._port = int(runner.addresses[0][1])
        if self._own_links:
            self.world.link_base = self.url
        if self._state_file is not None:
            self._saver = asyncio.create_task(self._keep_saving(self._state_file))

    async def aclose(self) -> None:
        """Stop, closing every connection, and save what is to be kept. Twice is harmless.

        Raises:
            OSError: the state file cannot be written.
        """
        runner, self._runner = self._runner, None
        self._closing.set()
        if runner is None:
            return
        try:
            await runner.cleanup()
            self._close_record()
            if self._saver is not None:
                saver, self._saver = self._saver, None
                await saver
        finally:
            if self._state_file is not None:
                self.world.tick(self.clock.now())
                self._state_file.save(self.world)

    def _put_on_record(self, records: Iterable[RequestRecord]) -> None:
        if self._record is None:
            return
        try:
            for record in records:
                self._record.write(record)
        except OSError as error:
            # The request has had its effect: its client gets the answer, whatever the disk does.
            _logger.warning("requests are no longer put on record: %s", error)
            self._close_record()

    def _close_record(self) -> None:
        record, self._record = self._record, None
        if record is not None:
            record.close()

    async def _keep_saving(self, file: StateFile) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_SAVE_EVERY_S):
                    await self._closing.wait()
            try:
                # A test may change the world without a request, so it is compared.
                if self._changed or file.is_behind(self.world):
                    self._changed = False
                    file.save(self.world)
            except Exception as error:  # noqa: BLE001 -- a thread of the test may be changing the world
                # A full disk must not stop the tests; the end of the simulator tells it again.
                _logger.warning("the state cannot be saved: %s", error)
                self._changed = True

    @classmethod
    @contextmanager
    def in_thread(cls, **options: Any) -> Iterator[Self]:
        """Run a simulator in a thread, for tests that are not async and for blocking clients.

            with Simulator.in_thread(volumes=5) as sim:
                requests.get(f"{sim.url}/v2/volumes", ...)

        The test may change its world, faults and clock while no request is under way.

        Args:
            **options: those of `Simulator`.

        Raises:
            ValueError, TypeError, OSError: as `Simulator` does.
        """
        simulator = cls(**options)
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        ended: Future[None] = Future()

        async def run() -> None:
            stop = asyncio.Event()
            try:
                await simulator.start()
            except BaseException as error:  # noqa: BLE001 -- told to the thread that waits for it
                started.set_exception(error)
                return
            started.set_result((asyncio.get_running_loop(), stop))
            try:
                await stop.wait()
                await simulator.aclose()
            except BaseException as error:  # noqa: BLE001 -- told to the thread that waits for it
                ended.set_exception(error)
            else:
                ended.set_result(None)

        thread = Thread(target=asyncio.run, args=(run(),), name="blockstore-simulator", daemon=True)
        thread.start()
        loop, stop = started.result()
        try:
            yield simulator
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            ended.result()

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
        began_s = self._waits.monotonic()
        reused = http.transport in self._seen
        if http.transport is not None:
            self._seen.add(http.transport)
        if self._admin.is_asked(http.raw_path):
            return await self._answer_admin(http)
        try:
            body = await http.read() if http.can_read_body else b""
        except web.HTTPRequestEntityTooLarge:
            return web.json_response(
                {"id": "request_entity_too_large", "message": "The request body is too large."},
                status=413,
            )
        request = _sim_request(http, body)
        if self._own_links and self._host in _EVERYWHERE and _is_plain(http.host):
            # Only the client knows by which name it reached this.
            self.world.link_base = f"http://{http.host}"
        low_s, high_s = self._latency_s
        wait_s = (low_s + self._random.random() * (high_s - low_s)) / 2 if high_s else 0.0
        if wait_s:
            await self._waits.sleep(wait_s)
        before = self.world.handled
        delivery = deliver(self.world, self.faults, request, self.clock.now(), reused=reused)
        warn_if_unknown(request, delivery.response)
        self._changed = self._changed or request.method != "GET"
        # A fault may have kept it from the world, or doubled it.
        arrived = self.world.handled - before
        records = self.world.requests[-arrived:] if arrived else []
        self._put_on_record(records)
        if wait_s:
            await self._waits.sleep(wait_s)
        if self._observe is not None:
            kind = None if delivery.fault is None else delivery.fault.kind
            missed = RequestRecord(
                self.clock.now(),
                request.method,
                self.world.without_tokens(request.target),
                0,
                "",
                None,
            )
            for record in records or [missed]:
                self._observe(record, self._waits.monotonic() - began_s, kind)
        return await self._answer(http, delivery)

    async def _answer_admin(self, http: web.BaseRequest) -> web.Response:
        # A state may be as large as it likes: it comes from this machine, or is not read.
        request = _sim_request(http, b"")
        if refusal(request.headers, http.remote) is None:
            request = _sim_request(http, await http.content.read())
        response = self._admin.handle(request, http.remote)
        self._changed = self._changed or request.method != "GET"
        return web.Response(status=response.status, headers=response.headers, body=response.body)

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


def _sim_request(http: web.BaseRequest, body: bytes) -> SimRequest:
    headers = {name.lower(): value for name, value in http.headers.items()}
    return SimRequest(http.method, http.raw_path, headers, body)


def _is_plain(host: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9.:\[\]-]{1,255}", host) is not None


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
    volumes: int | None = None,
    seed: int | None = None,
    token: str | None = None,
    droplets: Iterable[int | str] = (),
    limits: str | None = None,
    latency_ms: float = 0.0,
    faults: str | None = None,
    scenario: str | Path | None = None,
    state: str | Path | None = None,
    record: str | Path | None = None,
    observe: _Observer | None = None,
    announce: Callable[[Simulator], None] | None = None,
    **world: Any,
) -> signal.Signals | None:
    """Run a simulator until SIGINT, SIGTERM or cancellation: `do-blockstore simulator`.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        volumes: as in `WorldOptions`, like seed, token and limits; without a scenario 120.
        seed: see there.
        token: see there.
        limits: see there; by default the real ones.
        faults: as for `Simulator`.
        scenario: see there.
        state: see there.
        record: see there.
        observe: see there.
        droplets: ids, or `ID:REGION`; none given makes one Droplet for each region.
        latency_ms: how long each response takes, in milliseconds.
        announce: is called once with the running simulator; its `url` and `token` are what a
            client needs.
        **world: further keywords of `WorldOptions`.

    Returns:
        The signal that ended it.

    Raises:
        ValueError: an option, the scenario or the state is not usable.
        OSError: the port is taken, or a file cannot be read or written.
    """
    if volumes is None and scenario is None:
        volumes = 120
    given = {
        "volumes": volumes,
        "seed": seed,
        "token": token,
        "droplets": tuple(droplets) or None,
        "limits": limits,
    }
    simulator = Simulator(
        host=host,
        port=port,
        latency_s=latency_ms / 1000,
        faults=faults,
        scenario=scenario,
        state=state,
        record=record,
        observe=observe,
        # What was not given is the scenario's to say.
        **{name: value for name, value in given.items() if value is not None},
        **world,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    handled: list[signal.Signals] = []
    ended_by: signal.Signals | None = None

    def end(by: signal.Signals) -> None:
        nonlocal ended_by
        ended_by = by
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        # Not in every thread and not on every platform; cancellation still ends it there.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, end, number)
            handled.append(number)
    try:
        async with simulator:
            if announce is not None:
                announce(simulator)
            await stop.wait()
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
    return ended_by
