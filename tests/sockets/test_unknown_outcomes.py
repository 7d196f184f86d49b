"""Lost answers over real sockets: the same promises as in virtual time, with real connections."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from do_blockstore_async import (
    BlockStore,
    BlockStoreError,
    ConflictError,
    OutcomeUnknownError,
    RequestTimeoutError,
    Simulator,
)
from do_blockstore_async.events import OutcomeReconciled
from tests.support.scripted_server import Exchange, ScriptedServer, http, quick

KINDS = (
    "response_lost",
    "reset_before",
    "keepalive_drop",
    "stall",
    "truncated",
    "html_502",
    "html_503",
    "html_504",
    "error_500_after_commit",
    "error_500_before",
    "malformed_json",
    "empty_body",
    "gzip_bomb",
)


async def told(call: Any) -> Any:
    try:
        return await call
    except BlockStoreError as error:
        return error


@pytest.fixture
def quiet() -> None:
    # The simulator's server notes that it could not finish an answer.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
@pytest.mark.parametrize("commit", [0.0, 1.0], ids=["not made", "made"])
@pytest.mark.parametrize("kind", KINDS)
async def test_create(kind: str, commit: float, taken: bool) -> None:
    seen: list[Any] = []
    config = quick(attempt_timeout_s=0.15, hooks=(seen.append,), max_body_bytes=2_000_000)
    async with Simulator(limits="none") as simulator:
        world = simulator.world
        before = None
        if taken:
            before = world.add_volume("db", region="nyc3", size_gigabytes=10, age_s=3600)
        simulator.faults.add(kind, method="POST", times=1, commit=commit)
        async with BlockStore(simulator.token, base_url=simulator.url, config=config) as store:
            [_ async for _ in store.regions.list()]
            result = await told(store.volumes.create("db", region="nyc3", size_gigabytes=10))
            assert store.quota.in_flight == 0
        assert len(simulator.faults.log) == 1
        if isinstance(result, OutcomeUnknownError):
            # An answer too large to be read: that it was a refusal cannot be seen.
            assert kind == "gzip_bomb"
            assert not commit
            assert not world.volumes
            return
        assert len(world.volumes) == 1
        if before is not None:
            assert isinstance(result, ConflictError), repr(result)
            assert before.id in world.volumes
        else:
            assert result.id in world.volumes
            (settled,) = [event for event in seen if isinstance(event, OutcomeReconciled)]
            assert settled.resolution == ("adopted" if commit else "not_found")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["response_lost", "stall", "html_504", "truncated"])
async def test_a_delete_and_a_delete_by_name(kind: str) -> None:
    config = quick(attempt_timeout_s=0.15)
    async with Simulator(limits="none") as simulator:
        for commit in (0.0, 1.0):
            volumes = [simulator.world.add_volume(f"v{n}", age_s=3600) for n in range(2)]
            simulator.faults.clear()
            simulator.faults.add(kind, method="DELETE", times=1, commit=commit)
            async with BlockStore(simulator.token, base_url=simulator.url, config=config) as store:
                await store.volumes.delete(volumes[0].id)
                simulator.faults.add(kind, method="DELETE", times=1, commit=commit)
                await store.volumes.delete_by_name("v1", region="nyc3")
            assert not simulator.world.volumes


@pytest.mark.usefixtures("quiet")
async def test_cancelled_in_the_middle_of_a_create() -> None:
    seen: list[Any] = []
    async with Simulator(limits="none") as simulator:
        simulator.faults.add("stall", method="POST", commit=1.0)
        config = quick(hooks=(seen.append,))
        async with BlockStore(simulator.token, base_url=simulator.url, config=config) as store:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.2):
                    await store.volumes.create("db", region="nyc3", size_gigabytes=10)
            # Python 3.11.0 to 3.11.2 give it as the context only.
            cancelled = caught.value.__cause__ or caught.value.__context__
            assert cancelled is not None
            assert cancelled.__notes__ == [
                "POST /v2/volumes may have taken effect: check for a volume 'db' in nyc3"
            ]
            assert [e.resolution for e in seen if isinstance(e, OutcomeReconciled)] == ["unknown"]
            found = await store.volumes.find("db", region="nyc3")
            assert found is not None
            assert found.id in simulator.world.volumes


@pytest.mark.usefixtures("quiet")
async def test_a_server_that_is_gone_afterwards_leaves_the_outcome_unknown() -> None:
    simulator = Simulator(limits="none")
    await simulator.start()
    try:
        simulator.faults.add("stall", method="POST", commit=1.0)
        config = quick(max_attempts=2)
        async with BlockStore(simulator.token, base_url=simulator.url, config=config) as store:
            call = asyncio.create_task(
                told(store.volumes.create("db", region="nyc3", size_gigabytes=10))
            )
            async with asyncio.timeout(5):
                while not simulator.world.volumes:  # noqa: ASYNC110 -- nobody tells of it
                    await asyncio.sleep(0.001)
            await simulator.aclose()
            error = await call
    finally:
        await simulator.aclose()
    assert isinstance(error, OutcomeUnknownError)
    assert "check for a volume 'db' in nyc3" in str(error)


async def test_what_waits_for_a_socket_has_not_been_sent(server: ScriptedServer) -> None:
    """Many creates queue for few sockets: one that runs out of time there needs no looking up."""
    arrived = asyncio.Event()

    async def silent(exchange: Exchange) -> None:
        arrived.set()
        await exchange.until_gone()

    server.answers(otherwise=silent)
    config = quick(max_connections=1, late_arrival_s=0.0, cold_start_concurrency=9)
    async with BlockStore("t" * 20, base_url=server.url, config=config) as store:

        async def create(name: str, timeout: float) -> Any:
            call = store.volumes.create(name, region="nyc3", size_gigabytes=1, timeout=timeout)
            return await told(call)

        first = asyncio.create_task(create("first", 2.0))
        await arrived.wait()
        second = await create("second", 0.3)
        assert isinstance(second, RequestTimeoutError)
        assert not second.sent
        assert store.quota.in_flight == 1
        assert store.quota.windows[0].used == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert [request.method for request in server.requests] == ["POST"]
        # The slot is free again, after a cancellation too.
        server.answers(otherwise=http(200, {"regions": [], "meta": {"total": 0}}))
        for _ in range(3):
            assert [region async for region in store.regions.list()] == []
