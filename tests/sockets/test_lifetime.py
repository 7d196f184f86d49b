"""A client's life: every way to use it wrongly ends in an error or a warning, none in a hang."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from do_blockstore_async import (
    BlockStore,
    BlockStoreError,
    ClientClosedError,
    Config,
    ConfigError,
    OutcomeUnknownError,
    TransportError,
)
from tests.support.operations import UNDER_WAY, every
from tests.support.scripted_server import (
    PATIENCE_S,
    TOKEN,
    UNLIMITED,
    VOLUME,
    VOLUME_ID,
    Exchange,
    ScriptedServer,
    error_body,
    http,
    listing,
    quick,
)

GOOD = http(200, {"volume": VOLUME})


async def stall(exchange: Exchange) -> None:
    await exchange.until_gone()


MADE = {**VOLUME, "name": "a", "size_gigabytes": 1}


def create(store: BlockStore) -> Any:
    return store.volumes.create("a", region="nyc1", size_gigabytes=1)


async def turns(until: Callable[[], bool]) -> None:
    """Let the other tasks run until something has come true."""
    for _ in range(1000):
        if until():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


async def end_of(call: asyncio.Task[Any]) -> BlockStoreError:
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BlockStoreError) as caught:
            await call
    return caught.value


# Before, after, twice.


async def test_before_it_is_opened() -> None:
    store = BlockStore(TOKEN)
    assert "new" in repr(store)
    for name in ("volumes", "snapshots", "actions", "regions", "bulk"):
        with pytest.raises(ClientClosedError, match="async with"):
            getattr(store, name)
    with pytest.raises(ClientClosedError, match="async with"):
        await store.request("GET", "/v2/account")
    await store.aclose()
    await store.aclose()
    with pytest.raises(ClientClosedError):
        async with store:
            pass


async def test_after_it_is_closed(server: ScriptedServer) -> None:
    async with server.store() as store:
        volumes = store.volumes
    assert "closed" in repr(store)
    for call in (volumes.get(VOLUME_ID), store.request("GET", "/v2"), create(store)):
        with pytest.raises(ClientClosedError):
            await call
    with pytest.raises(ClientClosedError):
        await every(volumes.list())
    await store.aclose()
    await store.aclose(grace_s=5)
    with pytest.raises(ClientClosedError, match="opened once"):
        async with store:
            pass
    assert server.connections == 0


async def test_opened_twice(server: ScriptedServer) -> None:
    server.answers(GOOD)
    async with server.store() as store:
        with pytest.raises(ClientClosedError, match="opened once"):
            await store.__aenter__()
        assert (await store.volumes.get(VOLUME_ID)).name == "example"


async def test_closed_by_two_at_once(server: ScriptedServer) -> None:
    server.answers(otherwise=stall)
    store = server.store()
    async with store:
        call = asyncio.create_task(store.volumes.get(VOLUME_ID))
        await server.wait_until(lambda: bool(server.requests))
        await asyncio.gather(store.aclose(), store.aclose())
        assert isinstance(await end_of(call), ClientClosedError)


async def test_an_error_inside_the_block_is_not_hidden(server: ScriptedServer) -> None:
    with pytest.raises(LookupError):
        async with server.store():
            raise LookupError


async def test_being_closed_inside_its_own_block(server: ScriptedServer) -> None:
    server.answers(GOOD)
    async with server.store() as store:
        await store.volumes.get(VOLUME_ID)
        await store.aclose()
        with pytest.raises(ClientClosedError):
            await store.volumes.get(VOLUME_ID)


# Closed with calls under way.


@pytest.mark.parametrize("grace_s", [0.0, 0.02])
@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        (lambda s: s.volumes.get(VOLUME_ID), ClientClosedError),
        (lambda s: every(s.volumes.list()), ClientClosedError),
        (create, OutcomeUnknownError),
        (lambda s: s.snapshots.create(VOLUME_ID, "a"), OutcomeUnknownError),
        (lambda s: s.volumes.resize(VOLUME_ID, 5), OutcomeUnknownError),
        (lambda s: s.volumes.delete(VOLUME_ID), OutcomeUnknownError),
        (lambda s: s.volumes.delete_by_name("a", region="nyc1"), OutcomeUnknownError),
        (lambda s: s.request("POST", "/v2/tags", json={}), OutcomeUnknownError),
    ],
    ids=["get", "list", "create", "snapshot", "resize", "delete", "delete by name", "request"],
)
async def test_closed_while_the_answer_is_under_way(
    start: Callable[[BlockStore], Any],
    wanted: type[BlockStoreError],
    grace_s: float,
    server: ScriptedServer,
) -> None:
    server.answers(otherwise=stall)
    async with server.store() as store:
        call = asyncio.ensure_future(start(store))
        await server.wait_until(lambda: bool(server.requests))
        await store.aclose(grace_s=grace_s)
        assert call.done(), "no call is left after aclose"
        error = await end_of(call)
    assert type(error) is wanted
    assert "closed" in str(error)
    assert error.attempts == 1
    assert len(server.requests) == 1


async def test_calls_may_end_by_themselves_within_the_grace(server: ScriptedServer) -> None:
    go = asyncio.Event()

    async def later(exchange: Exchange) -> None:
        await go.wait()
        await exchange.send(http(201, {"volume": MADE}))

    server.answers(later)
    async with server.store() as store:
        call = asyncio.create_task(create(store))
        await server.wait_until(lambda: bool(server.requests))
        closing = asyncio.create_task(store.aclose(grace_s=PATIENCE_S))
        await asyncio.sleep(0)
        go.set()
        await closing
        assert (await call).name == "a"


async def test_a_lost_create_may_be_settled_within_the_grace(server: ScriptedServer) -> None:
    async def lost(exchange: Exchange) -> None:
        closing.append(asyncio.create_task(store.aclose(grace_s=PATIENCE_S)))
        await asyncio.sleep(0)
        exchange.abort()

    closing: list[asyncio.Task[None]] = []
    server.answers(lost, http(200, listing("volumes")), http(201, {"volume": MADE}))
    async with server.store() as store:
        assert (await create(store)).name == "a"
        await closing[0]


async def test_closed_while_waiting_for_quota(server: ScriptedServer) -> None:
    server.answers(GOOD)
    async with server.store(windows=((1, 60.0), (10, 3600.0)), burst=1) as store:
        await store.volumes.get(VOLUME_ID)
        calls = [asyncio.ensure_future(start(store)) for start in (create, create)]
        calls.append(asyncio.ensure_future(store.volumes.get(VOLUME_ID)))
        await turns(lambda: store.quota.waiting == 3)
        await store.aclose()
        for call in calls:
            assert call.done()
            # Nothing was sent, so nothing is unknown.
            assert type(await end_of(call)) is ClientClosedError
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [503, 429])
async def test_closed_while_waiting_to_try_again(status: int, server: ScriptedServer) -> None:
    headers = {
        "retry-after": "600",
        "ratelimit-limit": "5000",
        "ratelimit-remaining": "100",
        "ratelimit-reset": "1795432000",
    }
    server.answers(otherwise=http(status, error_body(), headers=headers))
    waiting = asyncio.Event()

    def hook(event: Any) -> None:
        if type(event).__name__ == "RetryScheduled":
            waiting.set()

    async with server.store(hooks=(hook,), backoff_base_s=600.0, backoff_cap_s=600.0) as store:
        call = asyncio.create_task(store.volumes.get(VOLUME_ID))
        async with asyncio.timeout(PATIENCE_S):
            await waiting.wait()
        await store.aclose()
        assert call.done()
        assert type(await end_of(call)) is ClientClosedError
    assert len(server.requests) == 1


async def test_closed_while_it_looks_for_a_lost_create(server: ScriptedServer) -> None:
    async def lost(exchange: Exchange) -> None:
        exchange.abort()

    server.answers(lost, otherwise=stall)
    async with server.store() as store:
        call = asyncio.create_task(create(store))
        await server.wait_until(lambda: len(server.requests) == 2)
        await store.aclose()
        assert call.done()
        error = await end_of(call)
    assert type(error) is OutcomeUnknownError
    assert isinstance(error.__cause__, TransportError)


async def test_closed_while_waiting_for_an_action(server: ScriptedServer) -> None:
    async with server.store() as store:
        call = asyncio.create_task(store.actions.wait(UNDER_WAY, timeout=600))
        await asyncio.sleep(0)
        await store.aclose()
        async with asyncio.timeout(0.5):
            with pytest.raises(ClientClosedError):
                await call
    assert server.connections == 0


async def test_closed_in_the_middle_of_a_listing(server: ScriptedServer) -> None:
    server.answers(http(200, listing("volumes", VOLUME, total=9)), otherwise=stall)
    async with server.store() as store:
        source = store.volumes.list()
        await anext(source)
        reader = asyncio.create_task(every(source))
        await server.wait_until(lambda: len(server.requests) > 2)
        await store.aclose()
        assert type(await end_of(reader)) is ClientClosedError


async def test_a_close_that_is_cancelled_closes_at_once(server: ScriptedServer) -> None:
    server.answers(otherwise=stall)
    async with server.store() as store:
        call = asyncio.create_task(store.volumes.get(VOLUME_ID))
        await server.wait_until(lambda: bool(server.requests))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await store.aclose(grace_s=600)
        assert call.done()
        assert type(await end_of(call)) is ClientClosedError
        await store.aclose()


async def test_an_impatient_close_cuts_a_patient_one_short(server: ScriptedServer) -> None:
    server.answers(otherwise=stall)
    async with server.store() as store:
        call = asyncio.create_task(store.volumes.get(VOLUME_ID))
        await server.wait_until(lambda: bool(server.requests))
        patient = asyncio.create_task(store.aclose(grace_s=600))
        await asyncio.sleep(0)
        await store.aclose()
        assert call.done()
        assert type(await end_of(call)) is ClientClosedError
        async with asyncio.timeout(PATIENCE_S):
            await patient


# Loops and processes.


def test_used_from_another_event_loop() -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        store = BlockStore(TOKEN, base_url="http://127.0.0.1:1", config=quick(max_attempts=1))
        first.run_until_complete(store.__aenter__())
        with pytest.raises(ClientClosedError, match="another event loop"):
            second.run_until_complete(store.volumes.get(VOLUME_ID))
        with pytest.raises(ClientClosedError, match="another event loop"):
            second.run_until_complete(every(store.volumes.list()))
        with pytest.raises(TransportError):
            first.run_until_complete(store.volumes.get(VOLUME_ID))
        first.run_until_complete(store.aclose())
    finally:
        first.close()
        second.close()


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 -- this very Python
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FORK = """
    import asyncio, os
    from do_blockstore_async import BlockStore, ClientClosedError, Simulator

    async def main():
        async with Simulator(volumes=3) as sim:
            async with BlockStore(sim.token, base_url=sim.url) as store:
                before = [volume async for volume in store.volumes.list()]
                pid = os.fork()
                if pid == 0:
                    code = 1
                    try:
                        await store.volumes.get(before[0].id)
                    except ClientClosedError as error:
                        code = 0 if "forked" in str(error) else 2
                    finally:
                        os._exit(code)
                _, status = os.waitpid(pid, 0)
                print(os.waitstatus_to_exitcode(status))
                after = [volume async for volume in store.volumes.list()]
                print(len(after))

    asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_forked() -> None:
    """The child may not use it, and the parent goes on."""
    done = run(FORK)
    assert done.stdout.split() == ["0", "3"], done.stderr


FORGOTTEN = """
    import asyncio, gc
    from do_blockstore_async import BlockStore, Simulator

    async def main():
        async with Simulator(volumes=3) as sim:
            store = BlockStore(sim.token, base_url=sim.url)
            await store.__aenter__()
            [volume async for volume in store.volumes.list()]
            del store
            gc.collect()
            print("still here")

    asyncio.run(main())
"""


def test_forgotten_by_a_whole_program() -> None:
    done = run(FORGOTTEN)
    assert "still here" in done.stdout
    assert "ResourceWarning: unclosed <BlockStore http://127.0.0.1:" in done.stderr
    assert done.returncode == 0


async def test_forgotten() -> None:
    store = BlockStore(TOKEN, session=_Silent(), config=quick())
    await store.__aenter__()
    gc.collect()  # of what other tests have left
    with pytest.warns(ResourceWarning, match="unclosed <BlockStore") as caught:
        del store
    assert len(caught) == 1


async def test_never_opened_needs_no_closing() -> None:
    store = BlockStore(TOKEN)
    del store
    gc.collect()


def test_refused_at_construction_warns_of_nothing() -> None:
    with pytest.raises(ConfigError):
        BlockStore("dor_v1_x")
    gc.collect()


class _Silent:
    """A transport that does nothing."""

    async def send(self, request: Any, attempt: Any) -> Any:
        raise TransportError("silence")

    async def aclose(self) -> None:
        return


# What is shared and what is injected.


async def test_an_injected_session_stays_open(server: ScriptedServer) -> None:
    server.answers(otherwise=GOOD)
    async with aiohttp.ClientSession(headers={"X-Mine": "yes"}, raise_for_status=True) as session:
        store = BlockStore(TOKEN, base_url=server.url, session=session, config=quick())
        async with store:
            await store.volumes.get(VOLUME_ID)
        assert not session.closed
        async with session.get(server.url) as response:
            assert response.status == 200
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.requests[0].headers["x-mine"] == "yes"


async def test_an_injected_session_that_raises_by_itself_changes_nothing(
    server: ScriptedServer,
) -> None:
    server.answers(otherwise=http(404, error_body("not_found", "gone")))
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        BlockStore(TOKEN, base_url=server.url, session=session, config=quick()) as store,
    ):
        with pytest.raises(BlockStoreError, match="404 gone"):
            await store.volumes.get(VOLUME_ID)


async def test_an_injected_session_that_somebody_closes(server: ScriptedServer) -> None:
    async with aiohttp.ClientSession() as session:
        store = BlockStore(TOKEN, base_url=server.url, session=session, config=quick())
        async with store:
            await session.close()
            with pytest.raises(ClientClosedError, match="session is closed"):
                await store.volumes.get(VOLUME_ID)
            assert store.quota.in_flight == 0
            with pytest.raises(ClientClosedError):
                await create(store)


async def test_closing_with_an_injected_session_ends_the_calls_under_way(
    server: ScriptedServer,
) -> None:
    server.answers(otherwise=stall)
    async with aiohttp.ClientSession() as session:
        store = BlockStore(TOKEN, base_url=server.url, session=session, config=quick())
        async with store:
            call = asyncio.create_task(store.volumes.get(VOLUME_ID))
            await server.wait_until(lambda: bool(server.requests))
            await store.aclose()
            assert call.done()
            assert type(await end_of(call)) is ClientClosedError
        assert not session.closed


async def test_two_clients_of_one_throttle(server: ScriptedServer) -> None:
    server.answers(otherwise=GOOD)
    first = server.store(windows=((2, 1.0), (100, 3600.0)), burst=2, window_margin_s=0.0)
    second = BlockStore(TOKEN, base_url=server.url, config=quick(), throttle=first.throttle)
    async with first, second:
        await first.volumes.get(VOLUME_ID)
        await second.volumes.get(VOLUME_ID)
        assert first.quota.used[0] == second.quota.used[0] == 2
        waits = asyncio.create_task(second.volumes.get(VOLUME_ID))
        ends = asyncio.create_task(first.volumes.get(VOLUME_ID))
        await turns(lambda: first.quota.waiting == 2)
        await first.aclose()
        assert ends.done()
        assert type(await end_of(ends)) is ClientClosedError
        # The other's call goes on.
        assert not waits.done()
        assert (await waits).name == "example"
    assert len(server.requests) == 3


# The environment.


def test_from_env_reads_the_first_token_that_is_set() -> None:
    both = {"DIGITALOCEAN_TOKEN": "first", "DIGITALOCEAN_ACCESS_TOKEN": "second"}
    assert BlockStore.from_env(both)._credentials.token == "first"
    del both["DIGITALOCEAN_TOKEN"]
    assert BlockStore.from_env(both)._credentials.token == "second"
    assert BlockStore.from_env({"DIGITALOCEAN_TOKEN": "", **both})._credentials.token == "second"


@pytest.mark.parametrize("environ", [{}, {"DIGITALOCEAN_TOKEN": ""}, {"DIGITALOCEAN_API_URL": "x"}])
def test_from_env_without_a_token(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="DIGITALOCEAN_TOKEN or DIGITALOCEAN_ACCESS_TOKEN"):
        BlockStore.from_env(environ)


def test_from_env_refuses_what_the_constructor_refuses() -> None:
    with pytest.raises(ConfigError, match="refresh"):
        BlockStore.from_env({"DIGITALOCEAN_TOKEN": "dor_v1_x"})
    with pytest.raises(ConfigError, match="https"):
        BlockStore.from_env({"DIGITALOCEAN_TOKEN": "x", "DIGITALOCEAN_API_URL": "http://example"})


async def test_from_env_takes_everything_else_too(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers(otherwise=GOOD)
    monkeypatch.setenv("DIGITALOCEAN_TOKEN", TOKEN)
    monkeypatch.setenv("DIGITALOCEAN_API_URL", server.url)
    config = Config(windows=UNLIMITED, user_agent="mine/1")
    async with BlockStore.from_env(config=config) as store:
        assert (await store.volumes.get(VOLUME_ID)).name == "example"
    assert server.requests[0].headers["user-agent"] == "mine/1"
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


# The rest of the surface.


async def test_quota_forecast_and_background(server: ScriptedServer) -> None:
    server.answers(otherwise=GOOD)
    async with server.store(windows=((10, 60.0), (100, 3600.0))) as store:
        await store.volumes.get(VOLUME_ID)
        assert store.quota.used == (1, 1)
        assert store.quota.limit == 100
        assert store.forecast(0).total_seconds() == 0
        assert 50 < store.forecast(15).total_seconds() < 200
        with store.background(weight=2.0):
            await store.volumes.get(VOLUME_ID)
        assert store.throttle.status().done == 2
