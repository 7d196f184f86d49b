"""The one loop: what it holds between attempts, what it tells, when it stops (E1 to E5)."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import nullcontext
from typing import Any

import pytest

from do_blockstore_async import (
    ActionTimeoutError,
    BlockStore,
    BlockStoreError,
    ClientClosedError,
    NotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    Response,
    ServerError,
    TransportError,
)
from do_blockstore_async._http.request import Attempt, RawResponse, Request
from do_blockstore_async.events import (
    AttemptFinished,
    CallFinished,
    CallStarted,
    RetryScheduled,
    observing,
)
from tests.support.scripted_server import TOKEN, VOLUME, VOLUME_ID, left_to_the_collector, quick
from tests.support.virtual_client import Scene, play
from tests.support.virtual_time import run_virtual


async def told(call: Any) -> Any:
    try:
        return await call
    except BlockStoreError as error:
        return error


class Wire:
    """A transport that answers from a list, or raises what is in it."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[float, Request[Any]]] = []
        self.closed = 0
        self.under_way = 0

    async def send(self, request: Request[Any], attempt: Attempt) -> RawResponse:
        now = asyncio.get_running_loop().time()
        attempt.begin(now)
        self.sent.append((now, request))
        answer = self.answers.pop(0) if self.answers else RawResponse(200, {}, b"{}")
        self.under_way += 1
        try:
            await asyncio.sleep(0.1)
            if isinstance(answer, BaseException):
                if isinstance(answer, TransportError) and not answer.sent:
                    attempt.sent_at = None
                raise answer
        finally:
            self.under_way -= 1
        return answer

    async def aclose(self) -> None:
        self.closed += 1


def answer(status: int, body: bytes = b"{}", **headers: str) -> RawResponse:
    return RawResponse(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


PLENTY: dict[str, Any] = {
    "ratelimit_limit": "5000",
    "ratelimit_remaining": "4000",
    "ratelimit_reset": "1795432000",
}


def run(wire: Wire, body: Any, **config: Any) -> Any:
    async def main() -> Any:
        settings = quick(**{"backoff_base_s": 1.0, "backoff_cap_s": 8.0, **config})
        async with BlockStore(TOKEN, session=wire, config=settings) as store:
            result = await body(store)
        assert wire.closed == 1
        assert len(asyncio.all_tasks()) == 1
        return result

    return run_virtual(main())


def test_between_attempts_nothing_is_held() -> None:
    """E1: no request under way, no lease."""
    scene = Scene(config={"max_attempts": 3})
    scene.faults.add("html_503", method="GET", path="/v2/volumes/**", times=2)

    async def body(store: BlockStore) -> Any:
        call = asyncio.create_task(told(store.volumes.get("0" * 8)))
        held = []
        while not call.done():
            await asyncio.sleep(0.01)
            waiting = scene.seen and isinstance(scene.seen[-1], RetryScheduled)
            if waiting:
                held.append(store.quota.in_flight)
        assert held
        assert set(held) == {0}
        return await call

    assert isinstance(play(scene, body), NotFoundError)


def test_waits_grow_and_stay_below_their_cap() -> None:
    wire = Wire(*[answer(503)] * 6)
    error = run(wire, lambda s: told(s.request("GET", "/v2/x")), max_attempts=6, backoff_cap_s=2.0)
    assert isinstance(error, ServerError)
    assert error.attempts == 6
    times = [at for at, _ in wire.sent]
    for number, (before, after) in enumerate(itertools.pairwise(times)):
        assert 0 <= after - before - 0.1 <= min(2.0, 2.0**number) + 0.001


def test_a_retry_after_is_honoured_whole() -> None:
    wire = Wire(answer(429, retry_after="41", **PLENTY), answer(200))
    run(wire, lambda s: s.request("POST", "/v2/x", json={}))
    assert wire.sent[1][0] - wire.sent[0][0] == pytest.approx(41.1, abs=0.01)


def test_a_retry_after_that_does_not_fit_fails_now() -> None:
    wire = Wire(answer(429, retry_after="41", **PLENTY))

    async def body(store: BlockStore) -> float:
        with pytest.raises(RateLimitedError) as caught:
            await store.request("GET", "/v2/x", timeout=30)
        assert caught.value.retry_after == 41
        return asyncio.get_running_loop().time()

    assert run(wire, body) < 1


def test_never_written_is_sent_again_by_any_method() -> None:
    wire = Wire(TransportError("x", sent=False), answer(200, b'{"a": 1}'))
    response = run(wire, lambda s: s.request("POST", "/v2/x", json={}))
    assert response.body == {"a": 1}
    assert len(wire.sent) == 2


def test_an_outage_is_not_multiplied() -> None:
    """The retry budget is the client's, not the call's."""
    wire = Wire(*[answer(503)] * 500)

    async def body(store: BlockStore) -> None:
        calls = [told(store.request("GET", "/v2/x")) for _ in range(50)]
        for error in await asyncio.gather(*calls):
            assert isinstance(error, ServerError)

    run(wire, body, max_attempts=5, retry_budget=7)
    assert len(wire.sent) == 50 + 7


def test_waiting_for_the_server_costs_no_retry_budget() -> None:
    wire = Wire(*[answer(429, retry_after="1", **PLENTY)] * 3, answer(200))
    run(wire, lambda s: s.request("GET", "/v2/x"), retry_budget=1)
    assert len(wire.sent) == 4


def test_a_call_tells_its_story() -> None:
    seen: list[Any] = []
    wire = Wire(answer(503), answer(200, b'{"volume": %s}' % _volume()))
    run(wire, lambda s: s.volumes.get(VOLUME_ID), hooks=(seen.append,))
    route = "/v2/volumes/{volume_id}"
    kinds = [type(event) for event in seen]
    assert [kind.__name__ for kind in kinds] == [
        "CallStarted",
        "AttemptSent",
        "AttemptFinished",
        "RetryScheduled",
        "AttemptSent",
        "AttemptFinished",
        "CallFinished",
    ]
    assert {event.route for event in seen} == {route}
    assert len({event.call_id for event in seen}) == 1
    started, first, again, last, finished = (
        seen[0],
        seen[2],
        seen[3],
        seen[5],
        seen[6],
    )
    assert isinstance(started, CallStarted)
    assert isinstance(first, AttemptFinished)
    assert (first.attempt, first.status, first.failure) == (1, 503, "ServerError")
    assert first.duration_s == pytest.approx(0.1, abs=0.01)
    assert isinstance(again, RetryScheduled)
    assert again.delay_s <= 1.0
    assert (last.attempt, last.status, last.failure) == (2, 200, None)
    assert isinstance(finished, CallFinished)
    assert (finished.attempts, finished.error) == (2, None)


def _volume() -> bytes:
    return json.dumps(VOLUME).encode()


def test_an_error_tells_its_story_too() -> None:
    seen: list[Any] = []
    wire = Wire(answer(404))
    run(wire, lambda s: told(s.volumes.get(VOLUME_ID)), hooks=(seen.append,))
    assert isinstance(seen[-1], CallFinished)
    assert seen[-1].error == "NotFoundError"


def test_a_hook_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def hook(event: Any) -> None:
        raise LookupError(type(event).__name__)

    wire = Wire(answer(200))
    assert run(wire, lambda s: s.request("GET", "/v2/x"), hooks=(hook,)).status == 200
    assert "a hook failed on CallStarted" in caplog.text


@pytest.mark.parametrize("timeout", [0.05, 0.5, 3.0])
def test_every_call_ends_by_its_deadline(timeout: float) -> None:
    """E4: also when nothing but retries and waits fill the time."""
    for seed in range(20):
        scene = Scene(seed=seed)
        for kind in ("stall", "html_503", "reset_before", "drip"):
            scene.faults.add(kind, rate=0.4)

        async def body(store: BlockStore) -> None:
            loop = asyncio.get_running_loop()
            for _ in range(5):
                began = loop.time()
                await told(store.volumes.get("0" * 8, timeout=timeout))
                await told(_all(store))
                assert loop.time() - began <= 2 * timeout + 0.001

        async def _all(store: BlockStore) -> list[Any]:
            return [volume async for volume in store.volumes.list(timeout=timeout)]

        play(scene, body, warm=False)


def test_the_default_timeout_is_the_settings() -> None:
    scene = Scene(config={"timeout_s": 2.0})
    scene.faults.add("stall", method="GET")

    async def body(store: BlockStore) -> float:
        began = asyncio.get_running_loop().time()
        assert isinstance(await told(store.volumes.get("0" * 8)), RequestTimeoutError)
        return asyncio.get_running_loop().time() - began

    assert play(scene, body, warm=False) == pytest.approx(2.0, abs=0.01)


def test_a_deadline_around_several_calls() -> None:
    scene = Scene(latency_s=(1.0, 1.0))

    async def body(store: BlockStore) -> list[Any]:
        with store.deadline(2.5):
            return [await told(store.volumes.get("0" * 8)) for _ in range(4)]

    first, second, third, fourth = play(scene, body, warm=False)
    assert isinstance(first, NotFoundError)
    assert isinstance(second, NotFoundError)
    assert isinstance(third, RequestTimeoutError)
    assert isinstance(fourth, RequestTimeoutError)
    assert not fourth.sent
    assert fourth.attempts == 0


def test_after_a_close_no_call_is_left() -> None:
    """E5, with calls in every state."""
    for seed in range(10):
        scene = Scene(seed=seed, latency_s=(0.1, 2.0))
        scene.faults.add("html_503", rate=0.5)

        async def body(store: BlockStore, scene: Scene = scene) -> None:
            calls = [asyncio.create_task(told(store.volumes.get("0" * 8))) for _ in range(10)]
            calls += [
                asyncio.create_task(
                    told(store.volumes.create(f"v{n}", region="nyc3", size_gigabytes=1))
                )
                for n in range(10)
            ]
            await asyncio.sleep(1.0)
            await store.aclose()
            assert all(call.done() for call in calls)

        play(scene, body, warm=False)


# Waiting for actions.


def test_polls_become_slower() -> None:
    scene = Scene(action_s=(60.0, 60.0))
    volume = scene.world.add_volume("v", age_s=3600)

    async def body(store: BlockStore) -> Any:
        action = await store.volumes.resize(volume.id, 50)
        return await store.actions.wait(action, timeout=300)

    assert play(scene, body).status == "completed"
    polls = [record.at for record in scene.world.requests if "/actions/" in record.target]
    gaps = [after - before for before, after in itertools.pairwise(polls)]
    assert 8 <= len(polls) <= 16
    assert max(gaps) <= 10.5


def test_an_action_that_is_not_there_yet() -> None:
    """A GET right after the POST can be a 404."""
    scene = Scene(action_lag_s=4.0)
    volume = scene.world.add_volume("v", age_s=3600)

    async def body(store: BlockStore) -> Any:
        action = await store.volumes.resize(volume.id, 50)
        return await store.actions.wait(action)

    assert play(scene, body).status == "completed"


def test_an_action_that_never_comes() -> None:
    scene = Scene(action_lag_s=1000.0)
    volume = scene.world.add_volume("v", age_s=3600)

    async def body(store: BlockStore) -> Any:
        action = await store.volumes.resize(volume.id, 50)
        return await told(store.actions.wait(action))

    assert isinstance(play(scene, body), NotFoundError)


@pytest.mark.parametrize("timeout", [0.5, 3.0, 20.0])
def test_waiting_ends_by_its_deadline(timeout: float) -> None:
    scene = Scene(action_s=(1000.0, 1000.0))
    volume = scene.world.add_volume("v", age_s=3600)

    async def body(store: BlockStore) -> Any:
        loop = asyncio.get_running_loop()
        action = await store.volumes.resize(volume.id, 50)
        scene.faults.add("stall", method="GET", skip=1)
        began = loop.time()
        error = await told(store.actions.wait(action, timeout=timeout))
        assert loop.time() - began <= timeout + 0.01
        return error

    error = play(scene, body)
    assert isinstance(error, ActionTimeoutError)
    assert error.action.status == "in-progress"


def test_waiting_ends_when_the_client_is_closed() -> None:
    scene = Scene(action_s=(1000.0, 1000.0))
    volume = scene.world.add_volume("v", age_s=3600)

    async def body(store: BlockStore) -> Any:
        action = await store.volumes.resize(volume.id, 50)
        waiting = asyncio.create_task(told(store.actions.wait(action, timeout=None)))
        await asyncio.sleep(30)
        began = asyncio.get_running_loop().time()
        await store.aclose()
        error = await waiting
        assert asyncio.get_running_loop().time() - began < 0.01
        return error

    assert isinstance(play(scene, body), ClientClosedError)


@pytest.mark.parametrize("observed", [False, True])
def test_calls_leave_no_cycles(observed: bool) -> None:
    """What a call has used is free when it ends: a service must not live by the collector."""
    lost = TransportError("broke", sent=True)
    wire = Wire(
        *(answer(200), answer(404)),
        *(answer(503), lost, answer(200)),
        *[answer(503)] * 3,
    )

    async def body(store: BlockStore) -> list[str]:
        async def four() -> list[type]:
            return [type(await told(store.request("GET", "/v2/x"))) for _ in range(4)]

        watching = observing(lambda event: None) if observed else nullcontext()
        with left_to_the_collector() as left, watching:
            kinds = await four()
        assert kinds == [Response, NotFoundError, Response, ServerError]
        return left

    assert run(wire, body, max_attempts=3) == []
