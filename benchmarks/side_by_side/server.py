"""A server that costs little: every body is made before the first request comes.

    python -m benchmarks.side_by_side.server '{"volumes": 10000, "latency_s": 0.03}'

It prints its URL and ends when its standard input does. It speaks just enough HTTP/1.1 for the
clients measured here: keep-alive, Content-Length, one request after the other on a connection. The
head of an answer carries what the API's heads carry: `Date`, the three budget headers, counted for
each token by itself, and an `x-request-id`. Its budget is the one of `WINDOWS`, so that no client
ever waits for it and a client that reads the headers finds them in order.

    GET  /v2/volumes?page=N&per_page=200     a page
    GET  /v2/volumes/{id}                    one volume
    GET  /v2/snapshots                       an empty listing
    POST /v2/volumes                         201, a volume with a new id
    POST /v2/volumes/{id}/snapshots          201, a snapshot with a new id
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .answers import PER_PAGE, page_body, pages_of, volume, volume_id

__all__ = ["WINDOWS", "pin"]

WINDOWS = ((500_000, 60.0), (10_000_000, 3600.0))
"""(requests, seconds): as good as unlimited, and what the project's `Config` is told."""

_LIMIT = WINDOWS[-1][0]
_REASON = {200: b"OK", 201: b"Created", 404: b"Not Found"}


def pin(core: int) -> None:
    """Keep this process on one core, if there are at least two to choose from."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            os.sched_setaffinity(0, {cores[core % len(cores)]})


class _Answers:
    """Bodies by request target, and the budget of each token."""

    def __init__(self, volumes: int, base: str) -> None:
        self._pages = [page_body(page, volumes, base) for page in range(1, pages_of(volumes) + 1)]
        self._volumes = volumes
        self._by_target: dict[bytes, bytes] = {
            f"/v2/volumes/{volume_id(n)}".encode(): _json({"volume": volume(n)})
            for n in range(min(volumes, 1_000))
        }
        self._made = volume(volumes + 1)
        self._used: dict[bytes, int] = {}
        self._made_count = 0
        self._second = 0
        self._dated = b""

    def body(self, method: bytes, target: bytes, asked: bytes) -> tuple[int, bytes]:
        if method == b"POST":
            return 201, self._create(target, json.loads(asked))
        found = self._by_target.get(target)
        if found is None:
            found = self._look(target.decode())
            if found is None:
                return 404, b'{"id":"not_found","message":"The resource was not found."}'
            self._by_target[target] = found
        return 200, found

    def _look(self, target: str) -> bytes | None:
        parts = urlsplit(target)
        if parts.path == "/v2/snapshots":
            return b'{"snapshots":[],"links":{},"meta":{"total":0}}'
        if parts.path != "/v2/volumes":
            return None
        query = parse_qs(parts.query)
        page, per_page = int(query.get("page", ["1"])[0]), int(query.get("per_page", ["20"])[0])
        if per_page != PER_PAGE or not 1 <= page <= len(self._pages):
            return None
        return self._pages[page - 1]

    def _create(self, target: bytes, asked: dict[str, Any]) -> bytes:
        self._made_count += 1
        new_id = volume_id(0x7000_0000 + self._made_count).encode()
        if not target.endswith(b"/snapshots"):
            region = {**self._made["region"], "slug": asked["region"]}
            named = {key: asked[key] for key in ("name", "size_gigabytes")}
            return _json(
                {"volume": {**self._made, **named, "id": new_id.decode(), "region": region}}
            )
        owner = target.split(b"/")[3]
        return (
            b'{"snapshot":{"id":"%b","name":%b,"regions":["nyc3"],"created_at":'
            b'"2026-11-01T17:00:49Z","resource_id":"%b","resource_type":"volume",'
            b'"min_disk_size":10,"size_gigabytes":0,"tags":["nightly"]}}'
            % (new_id, _json(asked["name"]), owner)
        )

    def head(self, token: bytes, status: int, length: int) -> bytes:
        used = self._used[token] = self._used.get(token, 0) + 1
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._dated = (
                b"\r\ndate: %b\r\ncontent-type: application/json; charset=utf-8"
                b"\r\nratelimit-limit: %d\r\nratelimit-reset: %d\r\nratelimit-remaining: "
                % (formatdate(second, usegmt=True).encode(), _LIMIT, second + 3600)
            )
        return (
            b"HTTP/1.1 %d %b%b%d\r\nx-request-id: 5f3c2f6e-74a3-4b9e-9e0c-%012d"
            b"\r\nx-response-from: service\r\ncache-control: no-store"
            b"\r\nconnection: keep-alive\r\ncontent-length: %d\r\n\r\n"
            % (status, _REASON[status], self._dated, max(0, _LIMIT - used), used, length)
        )


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _field(head: bytes, name: bytes) -> bytes:
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    at += len(name) + 3
    return head[at : head.find(b"\r\n", at)].strip()


class _Connection(asyncio.Protocol):
    def __init__(self, answers: _Answers, latency_s: float) -> None:
        self._answers = answers
        self._latency_s = latency_s
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=8 * 1024 * 1024)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        line = buffer[: buffer.find(b"\r\n")]
        method, target, _ = line.split(b" ", 2)
        head = buffer[: end + 2].lower()
        length = int(_field(head, b"content-length") or 0) if method != b"GET" else 0
        if len(buffer) < end + 4 + length:
            return
        self._buffer = b""
        status, body = self._answers.body(method, target, buffer[end + 4 : end + 4 + length])
        answer = self._answers.head(_field(head, b"authorization"), status, len(body)) + body
        if self._latency_s:
            asyncio.get_running_loop().call_later(self._latency_s, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None


async def serve(volumes: int, latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    answers: _Answers | None = None

    def connect() -> _Connection:
        assert answers is not None
        return _Connection(answers, latency_s)

    server = await loop.create_server(connect, "127.0.0.1", 0, backlog=256)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    answers = _Answers(volumes, url)
    async with server:
        print(json.dumps({"url": url}), flush=True)
        await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    pin(1)
    asyncio.run(serve(**json.loads(sys.argv[1])))
