"""`store.explain()`: why a call would wait, and until when; and the event when one begins to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest

from do_blockstore_async import BlockStore, ClientClosedError, Throttle, WaitReason
from do_blockstore_async._ratelimit.pure.causes import Cause
from do_blockstore_async._ratelimit.status import wait_reason
from do_blockstore_async.events import QuotaWaitBegan, QuotaWaited
from do_blockstore_async.integrations._web.health import budget_report
from do_blockstore_async.simulator import World, connect_in_process
from tests.support.fleet import Fleet, judge_for
from tests.support.throttle_traffic import scaled
from tests.support.virtual_client import Scene, play
from tests.support.virtual_time import virtual

WINDOWS = ((10, 6.0), (40, 60.0))


def test_the_minute_is_explained_and_the_wait_is_as_long_as_was_said() -> None:
    scene = Scene(
        volumes=1, limits="10/6,40/60", config={"windows": WINDOWS, "reserve": (0.2, 0.1)}
    )

    async def body(store: BlockStore) -> None:
        assert store.explain().kind == "ready"
        assert str(store.explain()) == "it could be sent at once"
        for _ in range(8):
            await store.regions.list()
        with store.background():
            told = store.explain()
        assert (told.kind, told.window_s, told.background) == ("reserve", 6.0, True)
        assert store.explain(background=False).kind == "ready"
        for _ in range(2):
            await store.regions.list()
        told = store.explain()
        assert (told.kind, told.window_s) == ("minute", 6.0)
        assert told.text.startswith("the requests of the last 6 s are used up; it could be sent in")
        assert store.quota.reason == "minute"
        report = budget_report(store)
        assert report["reason"] == "minute"
        assert report["background"]["reason"] in ("minute", "reserve")
        assert report["explanation"] == store.explain().text
        begun = asyncio.get_running_loop().time()
        first = asyncio.create_task(store.volumes.list().first())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert store.explain().ahead == 1
        await first
        waited_s = asyncio.get_running_loop().time() - begun
        assert waited_s == pytest.approx(told.wait_s, abs=0.3)

    play(scene, body, warm=False)
    began = [event for event in scene.seen if isinstance(event, QuotaWaitBegan)]
    ended = [event for event in scene.seen if isinstance(event, QuotaWaited)]
    assert len(began) == len(ended) == 1
    assert (began[0].kind, began[0].background, began[0].window_s) == ("minute", False, 6.0)
    assert ended[0].wait_s == pytest.approx(began[0].wait_s, abs=0.3)


@virtual
async def test_the_pace_the_pause_and_the_queue_are_explained() -> None:
    throttle = Throttle(scaled(burst=2))
    for _ in range(2):
        async with throttle.acquire() as lease:
            lease.complete({})
    told = throttle.explain()
    assert told.kind == "pace"
    assert 0 < told.wait_s < 5
    assert abs(told.until - throttle._clock.utc_now()) < timedelta(seconds=6)
    async with throttle.acquire() as lease:
        lease.complete({"retry-after": "7", "ratelimit-remaining": "0"}, 429)
    told = throttle.explain()
    assert (told.kind, told.window_s) == ("pause", None)
    assert told.wait_s == pytest.approx(7.0, abs=1.0)
    assert "the API has asked to wait" in str(told)
    await throttle.aclose()


@virtual
async def test_the_turn_of_another_process_and_an_absent_store_are_explained() -> None:
    config = scaled()
    fleet = Fleet(config, judge_for(config, "sliding"))
    first, second = fleet.process(), fleet.process()
    assert first.throttle.explain().kind == "store", "it has not joined yet"
    second.start(300)
    seen: set[str] = set()
    for _ in range(400):
        await asyncio.sleep(0.02)
        first.start(1, background=True)
        seen.add(first.throttle.explain(background=True).kind)
    assert "turn" in seen
    await fleet.finish()


def test_outside_of_the_loop_it_says_where_to_ask() -> None:
    with pytest.raises(ClientClosedError, match="inside of a coroutine"):
        BlockStore("dop_v1_x").explain()
    assert isinstance(WaitReason.__doc__, str)


async def test_a_loop_of_another_thread_is_told_where_to_ask() -> None:
    async with connect_in_process(World(limits="none")) as store:
        assert store.explain().kind == "ready"

        async def elsewhere() -> None:
            store.explain()

        with pytest.raises(ClientClosedError, match="inside of a coroutine"):
            await asyncio.to_thread(asyncio.run, elsewhere())
        await store.regions.list()
        with pytest.raises(ClientClosedError, match="inside of a coroutine"):
            await asyncio.to_thread(asyncio.run, elsewhere())


def test_a_health_page_names_no_other_process() -> None:
    why = wait_reason(
        Cause("turn", None, ("db-host-7:4711",)), 2.0, datetime.now(UTC), background=False, ahead=0
    )
    assert "db-host-7" in why.text

    async def body(store: BlockStore) -> None:
        with patch.object(store, "explain", lambda **_: why):
            report = budget_report(store)
        assert "db-host-7" not in repr(report)
        assert report["explanation"].startswith("it is the turn of other processes")

    play(Scene(volumes=1), body)
