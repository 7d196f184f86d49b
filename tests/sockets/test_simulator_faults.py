"""Faults as they look from the other end of a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from do_blockstore_async.simulator import Simulator
from do_blockstore_async.simulator.faults.mutations import HUGE_BYTES

NEW = {"name": "db", "region": "nyc3", "size_gigabytes": 1}
CLOSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


async def post(sim: Simulator, **options: Any) -> tuple[int, bytes]:
    """One POST on a connection of its own."""
    headers = {"Authorization": f"Bearer {sim.token}"}
    async with (
        aiohttp.ClientSession(sim.url, headers=headers, **options) as http,
        http.post("/v2/volumes", json=NEW, allow_redirects=False) as response,
    ):
        return response.status, await response.read()


@pytest.mark.parametrize(
    ("kind", "error", "made"),
    [
        ("response_lost", aiohttp.ServerDisconnectedError, 1),
        ("reset_before", aiohttp.ClientOSError, 0),
        ("truncated", aiohttp.ClientPayloadError, 1),
    ],
)
async def test_broken_connections(kind: str, error: type[Exception], made: int) -> None:
    async with Simulator() as sim:
        sim.faults.add(kind, method="POST", path="/v2/volumes", times=1)
        with pytest.raises(error):
            await post(sim)
        assert len(sim.world.volumes) == made
        assert [entry.kind for entry in sim.faults.log] == [kind]
        assert (await post(sim))[0] == (409 if made else 201)


async def test_a_stalled_answer_never_comes_and_the_simulator_still_closes() -> None:
    async with Simulator() as sim:
        sim.faults.add("stall", commit=1.0)
        with pytest.raises(TimeoutError):
            await post(sim, timeout=aiohttp.ClientTimeout(0.1))
        assert len(sim.world.volumes) == 1
        waiting = asyncio.create_task(post(sim))
        async with asyncio.timeout(5):
            while len(sim.faults.log) < 2:  # noqa: ASYNC110 -- a log cannot be waited for
                await asyncio.sleep(0)
    async with asyncio.timeout(5):
        with pytest.raises(CLOSED):
            await waiting


async def test_a_dripping_answer_comes_at_last() -> None:
    async with Simulator() as sim:
        sim.faults.add("drip", seconds=0.0001, times=1)
        assert (await post(sim))[0] == 201
        sim.faults.add("drip", seconds=0.5)
        with pytest.raises(TimeoutError):
            await post(sim, timeout=aiohttp.ClientTimeout(0.1))


async def test_bodies_too_large() -> None:
    async with Simulator() as sim:
        sim.faults.add("huge_body", times=1)
        sim.faults.add("gzip_bomb", times=1)
        assert len((await post(sim))[1]) == HUGE_BYTES
        status, packed = await post(sim, auto_decompress=False)
        assert (status, len(packed) < 100_000) == (409, True)


@pytest.mark.parametrize(
    ("kind", "status", "starts"),
    [
        ("html_502", 502, b"<html>"),
        ("html_503", 503, b"<html>"),
        ("html_504", 504, b"<html>"),
        ("error_500_after_commit", 500, b'{"id":"server_error"'),
        ("error_500_before", 500, b'{"id":"server_error"'),
        ("redirect", 302, b""),
        ("empty_body", 201, b""),
        ("malformed_json", 201, b"{'volumes'"),
        ("wrong_content_type", 201, b'{"volume"'),
        ("retry_after_date", 429, b'{"id":"too_many_requests"'),
        ("headers_garbage", 201, b'{"volume"'),
        ("headers_negative", 201, b'{"volume"'),
        ("duplicate", 201, b'{"volume"'),
    ],
)
async def test_answers_that_are_bent(kind: str, status: int, starts: bytes) -> None:
    async with Simulator() as sim:
        sim.faults.add(kind, times=1)
        answer = await post(sim)
        assert answer[0] == status
        assert answer[1].startswith(starts)


async def test_only_a_reused_connection_is_dropped_and_aiohttp_sends_again() -> None:
    async with Simulator() as sim:
        sim.faults.add("keepalive_drop", times=1)
        headers = {"Authorization": f"Bearer {sim.token}"}
        async with aiohttp.ClientSession(sim.url, headers=headers) as http:
            for _ in range(2):
                async with http.get("/v2/volumes") as response:
                    assert response.status == 200
        assert [entry.kind for entry in sim.faults.log] == ["keepalive_drop"]
        assert sim.world.handled == 2


async def test_faults_come_as_text_and_by_rate() -> None:
    async with Simulator(faults="html_502:GET /v2/regions,error_500_before:0.5,seed=3") as sim:
        statuses = [(await post(sim))[0] for _ in range(30)]
        assert {500, 201, 409} == set(statuses)
        injected = list(sim.faults.log)
        sim.reset()
        assert [(await post(sim))[0] for _ in range(30)] == statuses
        assert sim.faults.log == injected


async def test_nothing_is_left_open() -> None:
    before = asyncio.all_tasks()
    async with Simulator(faults="response_lost:0.3,truncated:0.3,reset_before:0.3,stall") as sim:
        for _ in range(20):
            with pytest.raises((aiohttp.ClientError, TimeoutError)):
                await post(sim, timeout=aiohttp.ClientTimeout(0.1))
    async with asyncio.timeout(5):
        while asyncio.all_tasks() != before:  # noqa: ASYNC110 -- nor can other tasks' ends
            await asyncio.sleep(0)
