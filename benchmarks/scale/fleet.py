"""An account of any size, made up while it is read: a transport without sockets for `BlockStore`.

Nothing of the account is stored but what has changed in it: the items of a page are computed from
their numbers. What making the responses costs is measured and left out of the figures.
"""

from __future__ import annotations

import asyncio
import json
import time
from array import array
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

from do_blockstore_async import BlockStore, Config
from do_blockstore_async._http.request import Attempt, RawResponse, Request
from do_blockstore_async._ratelimit.throttle import Throttle
from do_blockstore_async.errors import RequestTimeoutError, TransportError

__all__ = ["ROOMY", "SNAPSHOTS_EACH", "Fleet", "FleetTransport", "open_store"]

# As good as no limits: what is measured is the processor's time.
ROOMY: Final[dict[str, Any]] = {
    "windows": ((10**8, 60.0), (10**9, 3600.0)),
    "burst": 10**6,
    "cold_start_concurrency": 64,
    "max_pages": 10**5,
    "max_items": 10**7,
}
SNAPSHOTS_EACH: Final = 10
_AGES_DAYS: Final = (400, 200, 70, 35, 14, 7, 4, 3, 2, 1)
_REGIONS: Final = ("nyc1", "nyc3", "sfo2", "sfo3", "tor1", "ams3", "fra1", "lon1", "blr1", "sgp1")


@cache
def _region(slug: str) -> str:
    """A region as the API writes it: four fifths of the bytes of a volume."""
    sizes = [f"s-{cpus}vcpu-{gib}gb" for cpus in range(1, 9) for gib in (1, 2, 4, 8, 16, 32)]
    features = ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"]
    name = f"{slug[:3].upper()} {slug[3:]}"
    region = {"name": name, "slug": slug, "features": features, "available": True, "sizes": sizes}
    return json.dumps(region)


class Fleet:
    """Volumes of ten regions, each with ten snapshots of the nightly job, the oldest first.

    Attributes:
        spent_s: CPU that making responses has cost.
    """

    def __init__(self, volumes: int) -> None:
        self.volumes = volumes
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.spent_s = 0.0
        self._dates = [
            (self.now - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ") for days in _AGES_DAYS
        ]
        self._is_deleted = bytearray(volumes * SNAPSHOTS_EACH)
        # An array: the garbage collector would go through a list.
        self._alive: array[int] | None = None
        self._made: list[tuple[int, str, str]] = []
        self.date = format_datetime(self.now, usegmt=True)

    def forget(self) -> None:
        """Forget which snapshots were made."""
        self._made.clear()

    def answer(self, request: Request[Any]) -> tuple[int, bytes]:
        """Return status and body of a response."""
        began = time.thread_time()
        try:
            parts = request.path.split("/")[2:]
            if request.method == "GET":
                return 200, self._get(parts, dict(request.params))
            if request.method == "DELETE" and parts[0] == "snapshots":
                self._is_deleted[int(parts[1][:8], 16)] = True
                self._alive = None
                return 204, b""
            if request.method == "POST" and parts[-1] == "snapshots":
                return 201, self._snapshot_made(int(parts[1][:8], 16), request.json)
            if request.method == "DELETE" or parts[-1] == "resources":
                return 204, b""
            return 201, b'{"tag":{"name":"%b"}}' % unquote(parts[-1]).encode()
        finally:
            self.spent_s += time.thread_time() - began

    def _get(self, parts: list[str], params: dict[str, str]) -> bytes:
        if len(parts) == 2:
            return f'{{"volume":{self._volume(int(parts[1][:8], 16))}}}'.encode()
        page, per_page = int(params.get("page", "1")), int(params.get("per_page", "20"))
        first, last = (page - 1) * per_page, page * per_page
        kind = parts[0]
        if kind == "volumes":
            total = self.volumes
            items = [self._volume(n) for n in range(first, min(last, total))]
        else:
            if self._alive is None:
                there = range(len(self._is_deleted))
                self._alive = array("l", (n for n in there if not self._is_deleted[n]))
            total = len(self._alive) + len(self._made)
            items = [self._snapshot(n) for n in self._alive[first:last]]
            if len(items) < per_page:
                begin = max(0, first - len(self._alive))
                made = self._made[begin : begin + per_page - len(items)]
                items += [self._of_made(begin + n, *one) for n, one in enumerate(made)]
        return f'{{"{kind}":[{",".join(items)}],"links":{{}},"meta":{{"total":{total}}}}}'.encode()

    def _volume(self, n: int) -> str:
        droplet = str(n) if n % 3 else ""
        tags = '"env:production","team:data"' if n % 4 else f'"orphan-since:{self.now:%Y}-01-01"'
        return (
            f'{{"id":"{n:08x}-1111-4222-8333-{n:012x}","region":{_region(_REGIONS[n % 10])},'
            f'"droplet_ids":[{droplet}],"name":"volume-{n:06d}","description":"",'
            f'"size_gigabytes":{10 + n % 90},"created_at":"2024-11-{1 + n % 28:02d}T17:00:49Z",'
            f'"filesystem_type":"ext4","filesystem_label":"","tags":[{tags}]}}'
        )

    def _snapshot(self, n: int) -> str:
        age, volume = divmod(n, self.volumes)
        return self._snapshot_text(
            f"{n:08x}-2222-4222-8333-{n:012x}",
            f"volume-{volume:06d}-{_REGIONS[volume % 10]}-{self._dates[age][:10]}",
            volume,
            self._dates[age],
            '"bulk-job:nightly"',
        )

    def _of_made(self, n: int, volume: int, name: str, tags: str) -> str:
        return self._snapshot_text(f"{n:08x}-3333-4222-8333-{n:012x}", name, volume,
                                   f"{self.now:%Y-%m-%dT%H:%M:%SZ}", tags)  # fmt: skip

    def _snapshot_text(self, n_id: str, name: str, volume: int, at: str, tags: str) -> str:
        return (
            f'{{"id":"{n_id}","name":"{name}","regions":["{_REGIONS[volume % 10]}"],'
            f'"created_at":"{at}","resource_id":"{volume:08x}-1111-4222-8333-{volume:012x}",'
            f'"resource_type":"volume","min_disk_size":{10 + volume % 90},'
            f'"size_gigabytes":{(volume % 40) / 4},"tags":[{tags}]}}'
        )

    def _snapshot_made(self, volume: int, asked: Any) -> bytes:
        tags = ",".join(f'"{tag}"' for tag in asked.get("tags", ()))
        self._made.append((volume, asked["name"], tags))
        return f'{{"snapshot":{self._of_made(len(self._made) - 1, *self._made[-1])}}}'.encode()


class FleetTransport:
    """Sends to a `Fleet`; takes leases as the real one does.

    Args:
        fleet: what answers.
        throttle: the client's.
        lost_every: of so many requests the response of one is lost; 0 loses none.
        latency_s: of each response, on the loop's clock; 0 answers in the next turn.

    Attributes:
        sent: how many requests were sent.
    """

    def __init__(
        self, fleet: Fleet, throttle: Throttle, *, lost_every: int = 0, latency_s: float = 0.0
    ) -> None:
        self.fleet = fleet
        self.sent = 0
        self._throttle = throttle
        self._lost_every = lost_every
        self._latency_s = latency_s
        self._headers = {"date": fleet.date, "content-type": "application/json"}

    async def send(self, request: Request[Any], attempt: Attempt) -> RawResponse:
        """Transmit once."""
        loop = asyncio.get_running_loop()
        timeout_s = attempt.deadline.timeout(loop.time())
        async with self._throttle.acquire(timeout=timeout_s) as lease:
            try:
                if attempt.gate is not None:
                    attempt.is_late = await attempt.gate()
            except BaseException:
                lease.cancel()
                raise
            attempt.begin(loop.time())
            self.sent += 1
            status, body = self.fleet.answer(request)
            try:
                async with asyncio.timeout_at(attempt.deadline.when()):
                    await asyncio.sleep(self._latency_s)
            except TimeoutError:
                raise RequestTimeoutError("no complete response in time", sent=True) from None
            if self._lost_every and self.sent % self._lost_every == 0:
                raise TransportError("the connection broke before the response", sent=True)
            lease.complete(self._headers, status)
        return RawResponse(status, self._headers, body)

    async def aclose(self) -> None:
        """Nothing is held."""


def open_store(
    fleet: Fleet, config: Config | None = None, *, lost_every: int = 0, latency_s: float = 0.0
) -> tuple[BlockStore, FleetTransport]:
    """A client of a fleet, to be opened with `async with`, and its transport."""
    config = Config(**ROOMY) if config is None else config
    throttle = Throttle(config)
    transport = FleetTransport(fleet, throttle, lost_every=lost_every, latency_s=latency_s)
    token = "dop_v1_" + 64 * "0"
    store = BlockStore(token, config=config, session=transport, throttle=throttle)
    return store, transport
