"""The world without sockets: a transport for `BlockStore(session=...)`, made for virtual time.

Theory: the loop's own time is the world's time, so with a loop whose time is virtual an hour takes
as long as its requests. A request that was sent arrives, whatever its sender does meanwhile: its
arrival is a timer of the loop, not part of the sender's task. So a call that is cancelled or runs
into its timeout may still take effect, as over a real network.

Invariants:
1. One lease for each transmission, closed once: completed when the headers are there, else
   abandoned.
2. Each transmission arrives at the world exactly once, at a moment between its sending and its
   response, even if its call was cancelled (unless a fault prevents it).
3. The same seed and the same calls give the same arrivals.
"""

from __future__ import annotations

import asyncio
import json
import math
import zlib
from typing import Any
from urllib.parse import quote, urlencode

from .._clock import seeded, wait_until
from .._http.request import Attempt, RawResponse, Request
from .._ratelimit.throttle import Throttle
from ..client import BlockStore
from ..config import Config
from ..errors import ClientClosedError, DecodeError, RequestTimeoutError, TransportError
from ._messages import SimRequest
from .faults.rules import Delivery, FaultInjector, deliver
from .unknown import warn_if_unknown
from .world import World

__all__ = ["InProcessTransport", "connect_in_process"]


class InProcessTransport:
    """A transport that talks to a `World` in the same process, without sockets.

    Args:
        world: may be shared by several transports of one event loop.
        throttle: the client's; each transmission takes a lease of it.
        token: what is sent; by default the world's own.
        config: for the attempt timeout and the cap on bodies.
        faults: what goes wrong.
        latency_s: a round trip takes an even draw between the two.
        seed: for latencies and arrivals.

    Attributes:
        transmissions: how many requests were sent, by this transport.
    """

    def __init__(
        self,
        world: World,
        throttle: Throttle,
        *,
        token: str | None = None,
        config: Config | None = None,
        faults: FaultInjector | None = None,
        latency_s: tuple[float, float] = (0.05, 0.4),
        seed: int = 0,
    ) -> None:
        self._world = world
        self._throttle = throttle
        self._headers = {"authorization": f"Bearer {token or world.token}"}
        self._config = Config() if config is None else config
        self._faults = FaultInjector() if faults is None else faults
        self._latency_s = latency_s
        self._random = seeded(f"in process {seed}")
        # In the order of their sending, so that closing is the same in every run.
        self._scopes: dict[asyncio.Timeout, None] = {}
        self._closed = False
        self.transmissions = 0

    def now(self) -> float:
        """The world's time, in seconds since the epoch: its beginning plus the loop's time."""
        return self._world.options.now + asyncio.get_running_loop().time()

    async def send(self, request: Request[Any], attempt: Attempt) -> RawResponse:
        """Transmit once; see `_http.transport.Transport`."""
        if self._closed:
            raise ClientClosedError("the transport is closed")
        scope = asyncio.timeout_at(attempt.deadline.when())
        self._scopes[scope] = None
        try:
            async with scope:
                return await self._transmit(request, attempt, scope)
        except TimeoutError:
            sent = attempt.sent_at is not None
            if self._closed and not sent:
                raise ClientClosedError("the client was closed") from None
            if attempt.waits:
                raise self._throttle._too_late() from None
            raise RequestTimeoutError("no complete response in time", sent=sent) from None
        finally:
            self._scopes.pop(scope, None)

    async def aclose(self) -> None:
        """End every transmission in flight. What was sent still arrives at the world."""
        self._closed = True
        now = asyncio.get_running_loop().time()
        for scope in self._scopes:
            scope.reschedule(now)

    async def _transmit(
        self, request: Request[Any], attempt: Attempt, scope: asyncio.Timeout
    ) -> RawResponse:
        loop = asyncio.get_running_loop()
        deadline = attempt.deadline
        attempt.waits = True
        async with self._throttle.acquire(timeout=deadline.timeout(loop.time())) as lease:
            attempt.waits = False
            try:
                if attempt.gate is not None:
                    attempt.is_late = await attempt.gate()
            except BaseException:
                lease.cancel()
                raise
            sent_at = loop.time()
            attempt.begin(sent_at)
            scope.reschedule(deadline.child(self._config.attempt_timeout_s, sent_at).when())
            low_s, high_s = self._latency_s
            latency_s = low_s + self._random.random() * (high_s - low_s)
            arrival_s = latency_s * self._random.random()
            delivery = await self._arrive(_sim_request(request, self._headers), arrival_s)
            await wait_until(loop.create_future(), sent_at + latency_s)
            if delivery.wire == "stall":
                await wait_until(loop.create_future(), math.inf)
            if delivery.wire in ("drop", "reset"):
                raise TransportError("the connection broke before the response")
            response = delivery.response
            lease.complete(response.headers, response.status)
        if delivery.wire == "truncate":
            raise TransportError("the response's body was cut short")
        if delivery.wire == "drip" and delivery.fault is not None:
            await wait_until(
                loop.create_future(), loop.time() + len(response.body) * delivery.fault.seconds
            )
        return RawResponse(response.status, response.headers, self._unpacked(delivery))

    async def _arrive(self, request: SimRequest, after_s: float) -> Delivery:
        """Let the request arrive later; once sent it cannot be stopped."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[Delivery] = loop.create_future()
        reused = self.transmissions > 0
        self.transmissions += 1

        def arrive() -> None:
            delivery = deliver(self._world, self._faults, request, self.now(), reused=reused)
            warn_if_unknown(request, delivery.response)
            if not arrived.done():
                arrived.set_result(delivery)

        loop.call_later(after_s, arrive)
        return await arrived

    def _unpacked(self, delivery: Delivery) -> bytes:
        """The body as an HTTP library would hand it out: decompressed, within the cap."""
        response, limit = delivery.response, self._config.max_body_bytes
        body = response.body
        if response.headers.get("content-encoding") == "gzip":
            body = zlib.decompressobj(wbits=31).decompress(body, limit + 1)
        if len(body) > limit:
            raise DecodeError(
                f"the response is larger than {limit} bytes (Config.max_body_bytes)",
                status=response.status,
            )
        return body


def connect_in_process(
    world: World,
    *,
    token: str | None = None,
    config: Config | None = None,
    throttle: Throttle | None = None,
    faults: FaultInjector | None = None,
    latency_s: tuple[float, float] = (0.05, 0.4),
    seed: int = 0,
) -> BlockStore:
    """A client of the world, without sockets, to be opened with `async with`.

    Arguments: see `InProcessTransport`; `throttle` shares one budget between two clients.
    """
    config = Config() if config is None else config
    throttle = Throttle(config) if throttle is None else throttle
    transport = InProcessTransport(
        world, throttle, token=token, config=config, faults=faults, latency_s=latency_s, seed=seed
    )
    return BlockStore(token or world.token, config=config, session=transport, throttle=throttle)


def _sim_request(request: Request[Any], headers: dict[str, str]) -> SimRequest:
    target = request.path
    if request.params:
        target = f"{target}?{urlencode(request.params, quote_via=quote)}"
    if request.json is None:
        return SimRequest(request.method, target, headers)
    return SimRequest(
        request.method,
        target,
        {**headers, "content-type": "application/json"},
        json.dumps(request.json).encode(),
    )
