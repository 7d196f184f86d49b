"""Lost answers: after every one of them the world holds what the caller was told.

Each operation that may not be repeated blindly meets each way of losing its answer, in each
situation of the name it uses. Told is: a value, a `ConflictError`, or an `OutcomeUnknownError`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import msgspec
import pytest

from do_blockstore_async import (
    Action,
    BlockStore,
    BlockStoreError,
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    QuotaWaitTooLongError,
    RequestTimeoutError,
    TransportError,
    UnprocessableEntityError,
    Volume,
    VolumeSnapshot,
)
from do_blockstore_async.events import AttemptFinished, OutcomeReconciled
from tests.support.scripted_server import left_to_the_collector
from tests.support.virtual_client import Scene, play

NEVER = "0" * 8


@attrs.frozen
class Loss:
    """A way to lose an answer; `made` says whether the request took effect."""

    kind: str
    made: bool
    commit: float | None = None

    def into(self, scene: Scene, method: str, path: str = "**", times: int = 1) -> None:
        scene.faults.add(self.kind, method=method, path=path, times=times, commit=self.commit)


LOSSES = {
    "answer lost": Loss("response_lost", True),
    "reset before": Loss("reset_before", False),
    "kept alive and dropped": Loss("keepalive_drop", False),
    "stall, made": Loss("stall", True, 1.0),
    "stall, not made": Loss("stall", False, 0.0),
    "500 after": Loss("error_500_after_commit", True),
    "500 before": Loss("error_500_before", False),
    "502 page, made": Loss("html_502", True, 1.0),
    "502 page, not made": Loss("html_502", False, 0.0),
    "503 page, made": Loss("html_503", True, 1.0),
    "504 page, not made": Loss("html_504", False, 0.0),
    "truncated": Loss("truncated", True),
    "malformed": Loss("malformed_json", True),
    "empty body": Loss("empty_body", True),
    "delivered twice": Loss("duplicate", True),
}
EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


async def told(call: Any) -> Any:
    """What a call says: its value, or its error."""
    try:
        return await call
    except BlockStoreError as error:
        return error


def create(store: BlockStore, **changes: Any) -> Any:
    wanted = {"region": "nyc3", "size_gigabytes": 10, "tags": ["t"], **changes}
    return store.volumes.create("db", **wanted)


@EVERY_LOSS
def test_create_of_a_free_name(loss: Loss) -> None:
    scene = Scene()
    loss.into(scene, "POST")
    volume = play(scene, create)
    assert isinstance(volume, Volume)
    (made,) = scene.world.volumes.values()
    assert volume.id == made.id
    assert volume.tags == ("t",)
    posts = len(scene.sent("POST"))
    assert posts == (2 if loss.kind == "duplicate" else 1)
    if loss.kind not in {"duplicate"}:
        (settled,) = [e for e in scene.seen if isinstance(e, OutcomeReconciled)]
        assert settled.resolution == ("adopted" if loss.made else "not_found")


@EVERY_LOSS
def test_create_of_a_name_that_was_taken_long_before(loss: Loss) -> None:
    """Also where what is there is just what was asked for."""
    scene = Scene()
    before = scene.world.add_volume("db", region="nyc3", size_gigabytes=10, tags=["t"], age_s=3600)
    loss.into(scene, "POST")
    error = play(scene, lambda store: told(create(store)))
    assert isinstance(error, ConflictError)
    assert list(scene.world.volumes) == [before.id]
    assert (error.method, error.path, error.status) == ("POST", "/v2/volumes", 409)


@EVERY_LOSS
def test_create_of_a_name_that_this_client_has_just_taken(loss: Loss) -> None:
    scene = Scene()

    async def body(store: BlockStore) -> Any:
        first = await create(store)
        loss.into(scene, "POST")
        return first, await told(create(store))

    first, error = play(scene, body)
    assert isinstance(error, ConflictError)
    assert list(scene.world.volumes) == [first.id]


@EVERY_LOSS
@pytest.mark.parametrize(
    "other",
    [
        {"size_gigabytes": 11, "tags": ["t"]},
        {"size_gigabytes": 10, "tags": []},
        {"size_gigabytes": 10, "tags": ["t"], "description": "mine"},
        {"size_gigabytes": 10, "tags": ["t"], "filesystem_type": "xfs"},
    ],
    ids=["size", "tags", "description", "filesystem"],
)
def test_create_of_a_name_that_somebody_else_takes_meanwhile(
    loss: Loss, other: dict[str, Any]
) -> None:
    scene = Scene()

    async def body(store: BlockStore) -> Any:
        scene.world.add_volume("db", region="nyc3", **other)
        loss.into(scene, "POST")
        return await told(
            create(store, description="", filesystem_type="ext4")
            if "filesystem_type" in other
            else create(store, description="ours")
            if "description" in other
            else create(store)
        )

    error = play(scene, body)
    assert isinstance(error, ConflictError | OutcomeUnknownError)
    assert len(scene.world.volumes) == 1
    if isinstance(error, OutcomeUnknownError):
        assert error.candidate.name == "db"
        assert error.__cause__ is not None
        assert "check for a volume 'db' in nyc3" in str(error)


@EVERY_LOSS
def test_create_from_a_snapshot_takes_the_snapshots_size(loss: Loss) -> None:
    scene = Scene()
    source = scene.world.add_volume("source", region="nyc3", size_gigabytes=77, age_s=3600)
    snapshot = scene.world.add_snapshot(source, age_s=1800)
    loss.into(scene, "POST")
    volume = play(scene, lambda store: create(store, size_gigabytes=99, snapshot_id=snapshot.id))
    assert volume.size_gigabytes == 77
    assert [made.id for made in scene.named("db")] == [volume.id]


@EVERY_LOSS
@pytest.mark.parametrize("cooldown_s", [0.0, 600.0])
def test_a_snapshot(loss: Loss, cooldown_s: float) -> None:
    scene = Scene(snapshot_cooldown_s=cooldown_s)
    volume = scene.world.add_volume("v", age_s=3600)
    scene.world.add_snapshot(volume, "older", age_s=3000)
    loss.into(scene, "POST")
    snapshot = play(scene, lambda store: store.snapshots.create(volume.id, "s", tags=["t"]))
    assert isinstance(snapshot, VolumeSnapshot)
    made = [s.id for s in scene.world.snapshots.values() if s.name == "s"]
    assert made == [snapshot.id]


@EVERY_LOSS
def test_a_snapshot_whose_name_was_taken(loss: Loss) -> None:
    scene = Scene(snapshot_cooldown_s=0.0)
    volume = scene.world.add_volume("v", age_s=3600)
    before = scene.world.add_snapshot(volume, "s", age_s=3000)
    loss.into(scene, "POST")
    error = play(scene, lambda store: told(store.snapshots.create(volume.id, "s")))
    assert isinstance(error, ConflictError)
    assert list(scene.world.snapshots) == [before.id]


@EVERY_LOSS
@pytest.mark.parametrize("by_name", [False, True], ids=["by id", "by name"])
@pytest.mark.parametrize("kind", ["attach", "detach", "resize"])
def test_an_action(loss: Loss, kind: str, by_name: bool) -> None:
    if kind == "resize" and by_name:
        return  # the API has no such thing
    scene = Scene()
    droplet = scene.world.add_droplet(region="nyc3").id
    volume = scene.world.add_volume("v", region="nyc3", age_s=3600)
    if kind == "detach":
        scene.world.state.link(volume, scene.world.droplets[droplet])
    loss.into(scene, "POST")

    async def body(store: BlockStore) -> Any:
        if kind == "resize":
            return await told(store.volumes.resize(volume.id, 50))
        if by_name:
            method: Any = getattr(store.volumes, f"{kind}_by_name")
            return await told(method("v", droplet, region="nyc3"))
        return await told(getattr(store.volumes, kind)(volume.id, droplet))

    action = play(scene, body)
    assert isinstance(action, Action), repr(action)
    assert list(scene.world.actions) == [action.id]


@EVERY_LOSS
def test_an_older_action_of_the_same_kind_is_not_adopted(loss: Loss) -> None:
    scene = Scene()
    volume = scene.world.add_volume("v", region="nyc3", age_s=3600)

    async def body(store: BlockStore) -> Any:
        first = await store.volumes.resize(volume.id, 20)
        await store.actions.wait(first)
        loss.into(scene, "POST")
        return first, await store.volumes.resize(volume.id, 30)

    first, second = play(scene, body)
    assert first.id != second.id
    assert set(scene.world.actions) == {first.id, second.id}


def test_an_action_that_asks_for_something_else_is_not_adopted() -> None:
    """A resize that never arrived, while somebody else resizes the same volume by less."""
    scene = Scene()
    volume = scene.world.add_volume("v", region="nyc3", size_gigabytes=10, age_s=3600)

    async def body(store: BlockStore) -> Any:
        LOSSES["reset before"].into(scene, "POST")
        ours = asyncio.ensure_future(told(store.volumes.resize(volume.id, 150)))
        await asyncio.sleep(0.6)
        theirs = await told(store.volumes.resize(volume.id, 20))
        return await ours, theirs

    ours, theirs = play(scene, body)
    if isinstance(ours, Action):
        assert ours.id != getattr(theirs, "id", None)
        scene.world.finish_actions()
        assert scene.world.volumes[volume.id].size_gigabytes == 150
    else:
        assert isinstance(ours, OutcomeUnknownError)


@EVERY_LOSS
def test_a_delete(loss: Loss) -> None:
    scene = Scene()
    volume = scene.world.add_volume("v", region="nyc3", age_s=3600)
    other = scene.world.add_volume("other", region="nyc3", age_s=3600)
    loss.into(scene, "DELETE")
    assert play(scene, lambda store: told(store.volumes.delete(volume.id))) is None
    assert list(scene.world.volumes) == [other.id]


@EVERY_LOSS
def test_a_delete_of_a_snapshot(loss: Loss) -> None:
    scene = Scene()
    volume = scene.world.add_volume("v", age_s=3600)
    snapshot = scene.world.add_snapshot(volume, age_s=3600)
    loss.into(scene, "DELETE")
    assert play(scene, lambda store: told(store.snapshots.delete(snapshot.id))) is None
    assert not scene.world.snapshots


@EVERY_LOSS
def test_a_delete_by_name(loss: Loss) -> None:
    scene = Scene()
    scene.world.add_volume("v", region="nyc3", age_s=3600)
    twin = scene.world.add_volume("v", region="fra1", age_s=3600)
    loss.into(scene, "DELETE")
    result = play(scene, lambda store: told(store.volumes.delete_by_name("v", region="nyc3")))
    assert result is None
    assert list(scene.world.volumes) == [twin.id]


@EVERY_LOSS
def test_a_delete_by_name_spares_what_was_created_meanwhile(loss: Loss) -> None:
    """The worst that could happen: a name deleted, created anew by somebody, and deleted again."""
    if loss.kind == "duplicate":
        return  # nothing is lost, and what a network doubles by itself no client can undo
    scene = Scene()
    scene.world.add_volume("v", region="nyc3", age_s=3600)
    anew: list[Any] = []

    def replace(event: Any) -> None:
        if isinstance(event, AttemptFinished) and event.method == "DELETE" and not anew:
            for old in scene.named("v"):
                scene.world.remove_volume(old)
            anew.append(scene.world.add_volume("v", region="nyc3"))

    scene.config = attrs.evolve(scene.config, hooks=(replace,))
    loss.into(scene, "DELETE")
    result = play(scene, lambda store: told(store.volumes.delete_by_name("v", region="nyc3")))
    assert [volume.id for volume in scene.named("v")] == [anew[0].id]
    assert result is None or isinstance(result, OutcomeUnknownError)


@pytest.mark.parametrize("loss", [LOSSES["reset before"], LOSSES["500 before"]])
def test_a_delete_by_name_spares_what_is_created_after_the_look(loss: Loss) -> None:
    """What is sent after a look deletes what was seen, not what has the name by then."""
    scene = Scene()
    scene.world.add_volume("v", region="nyc3", age_s=3600)
    anew: list[Any] = []

    def replace(event: Any) -> None:
        if isinstance(event, OutcomeReconciled):
            for old in scene.named("v"):
                scene.world.remove_volume(old)
            anew.append(scene.world.add_volume("v", region="nyc3"))

    scene.config = attrs.evolve(scene.config, hooks=(replace,))
    loss.into(scene, "DELETE")
    result = play(scene, lambda store: told(store.volumes.delete_by_name("v", region="nyc3")))
    assert [volume.id for volume in scene.named("v")] == [anew[0].id]
    assert result is None or isinstance(result, OutcomeUnknownError)


@EVERY_LOSS
def test_a_delete_by_name_of_nothing(loss: Loss) -> None:
    scene = Scene()
    loss.into(scene, "DELETE")
    result = play(scene, lambda store: told(store.volumes.delete_by_name("v", region="nyc3")))
    # Nothing is there: that is what was asked for, or it is said that there was nothing.
    assert result is None or isinstance(result, NotFoundError)


@EVERY_LOSS
def test_a_delete_of_what_is_attached_stays_refused(loss: Loss) -> None:
    scene = Scene()
    droplet = scene.world.add_droplet(region="nyc3").id
    volume = scene.world.add_volume("v", region="nyc3", age_s=3600, droplet_id=droplet)
    loss.into(scene, "DELETE")
    assert isinstance(
        play(scene, lambda store: told(store.volumes.delete(volume.id))), ConflictError
    )
    loss.into(scene, "DELETE")
    by_name = play(scene, lambda store: told(store.volumes.delete_by_name("v", region="nyc3")))
    assert isinstance(by_name, ConflictError)
    assert list(scene.world.volumes) == [volume.id]


@EVERY_LOSS
def test_a_create_that_was_refused_is_told_as_refused(loss: Loss) -> None:
    scene = Scene()
    loss.into(scene, "POST")
    error = play(scene, lambda store: told(create(store, region="zzz9")))
    if isinstance(error, OutcomeUnknownError):
        return
    assert isinstance(error, UnprocessableEntityError)
    assert not scene.world.volumes


def test_a_503_storm_ends_in_one_volume_or_in_words() -> None:
    for seed in range(20):
        scene = Scene(seed=seed, config={"max_attempts": 4})
        scene.faults.add("html_503", rate=0.7)
        result = play(scene, lambda store: told(create(store)), warm=False)
        held = scene.named("db")
        if isinstance(result, Volume):
            assert [volume.id for volume in held] == [result.id]
        else:
            assert isinstance(result, OutcomeUnknownError), repr(result)
            assert len(held) <= 1


@pytest.mark.parametrize("what", ["create", "snapshot", "resize"])
def test_requests_that_arrive_after_their_sender_gave_up(what: str) -> None:
    """Slow servers: the answer, the request, or both come after the attempt was given up."""
    for seed in range(25):
        scene = Scene(
            seed=seed,
            latency_s=(0.1, 1.5),
            snapshot_cooldown_s=0.0,
            config={"attempt_timeout_s": 0.6, "backoff_base_s": 0.1, "max_attempts": 4},
        )
        source = scene.world.add_volume("v", region="nyc3", age_s=3600)

        async def body(store: BlockStore, scene: Scene = scene, of: str = source.id) -> Any:
            if what == "create":
                result = await told(create(store))
            elif what == "snapshot":
                result = await told(store.snapshots.create(of, "s"))
            else:
                result = await told(store.volumes.resize(of, 50))
            await asyncio.sleep(60)  # virtual: whatever is under way has arrived
            return result

        result = play(scene, body, warm=False)
        held = {
            "create": [volume.id for volume in scene.named("db")],
            "snapshot": list(scene.world.snapshots),
            "resize": list(scene.world.actions),
        }[what]
        if isinstance(result, BlockStoreError):
            assert len(held) <= 1
            if not isinstance(result, OutcomeUnknownError):
                assert not held, f"seed {seed}: told {result!r}"
        else:
            assert held == [result.id], f"seed {seed}"


# What was refused for certain has not happened.


def test_a_refused_attempt_does_not_count_as_sent() -> None:
    """A 429 at first; long after it somebody else takes the name; then an answer is lost."""
    scene = Scene()
    scene.world.limit_route("POST", "/v2/volumes", retry_after_s=300)
    scene.faults.add("error_500_before", method="POST", skip=1, times=1)

    async def body(store: BlockStore) -> Any:
        call = asyncio.create_task(told(create(store)))
        await asyncio.sleep(200)  # virtual
        scene.world.tick(scene.world.options.now + asyncio.get_running_loop().time())
        scene.world.add_volume("db", region="nyc3", size_gigabytes=10, tags=["t"])
        return await call

    error = play(scene, body)
    assert isinstance(error, ConflictError), repr(error)
    assert len(scene.world.volumes) == 1


def test_cancelled_after_a_refusal_leaves_no_doubt() -> None:
    scene = Scene()
    scene.world.limit_route("POST", "/v2/volumes", retry_after_s=300)

    async def body(store: BlockStore) -> Any:
        call = asyncio.create_task(create(store))
        await asyncio.sleep(10)  # virtual: it waits for its turn to try again
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
        return caught.value

    error = play(scene, body)
    assert not getattr(error, "__notes__", [])
    assert not [e for e in scene.seen if isinstance(e, OutcomeReconciled)]


# Two at once.


@pytest.mark.parametrize("commit", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_two_calls_that_ask_for_the_same_are_never_both_told_yes(commit: float, seed: int) -> None:
    scene = Scene(seed=seed)
    scene.faults.add("html_502", method="POST", times=2, commit=commit)

    async def body(store: BlockStore) -> Any:
        return await asyncio.gather(told(create(store)), told(create(store)))

    results = play(scene, body)
    yes = [result for result in results if isinstance(result, Volume)]
    assert len(yes) <= 1
    assert len(scene.world.volumes) <= 1
    if yes:
        assert [volume.id for volume in scene.named("db")] == [yes[0].id]
    for result in results:
        assert isinstance(result, Volume | ConflictError | OutcomeUnknownError), repr(result)


def test_what_another_call_is_just_being_given_is_not_adopted() -> None:
    """The first call's answer is still on its way when the second looks for what it has lost."""
    scene = Scene()
    scene.faults.add("drip", method="POST", times=1, seconds=0.005)
    scene.faults.add("html_502", method="POST", times=1, commit=1.0)

    async def body(store: BlockStore) -> Any:
        first = asyncio.create_task(told(create(store)))
        await asyncio.sleep(0.5)  # it has arrived
        return await told(create(store)), await first

    second, first = play(scene, body)
    assert isinstance(first, Volume)
    assert isinstance(second, OutcomeUnknownError), repr(second)
    assert second.candidate.id == first.id


def test_a_create_is_sent_again_at_once() -> None:
    """The name protects it: a late arrival and the second one cannot both succeed."""
    scene = Scene(config={"backoff_base_s": 0.001})
    scene.faults.add("reset_before", method="POST", times=1)

    async def body(store: BlockStore) -> float:
        began = asyncio.get_running_loop().time()
        await create(store)
        return asyncio.get_running_loop().time() - began

    assert play(scene, body) < 1


@EVERY_LOSS
def test_what_a_call_cut_off_may_have_made_is_nobodys(loss: Loss) -> None:
    """A call is cancelled after its create has arrived; the next one asks for the same."""
    scene = Scene(latency_s=(0.2, 0.2))

    async def body(store: BlockStore) -> Any:
        first = asyncio.create_task(create(store))
        await asyncio.sleep(0.199)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        loss.into(scene, "POST")
        return await told(create(store))

    error = play(scene, body)
    assert isinstance(error, ConflictError | OutcomeUnknownError), repr(error)
    assert len(scene.world.volumes) == 1


def test_what_may_still_arrive_is_not_denied_when_the_budget_runs_out() -> None:
    """Lost, looked for, not there yet; then there is no budget in time to send it again."""
    scene = Scene(config={"windows": ((3, 60.0), (100, 3600.0)), "burst": 3})
    scene.faults.add("reset_before", method="POST", times=1)

    async def body(store: BlockStore) -> Any:
        [_ async for _ in store.regions.list()]
        return await told(create(store, timeout=20))

    error = play(scene, body, warm=False)
    assert isinstance(error, OutcomeUnknownError), repr(error)
    assert isinstance(error.__cause__, QuotaWaitTooLongError | TransportError)


# The server's clock.


@pytest.mark.parametrize("step_s", [-7200.0, 7200.0])
def test_a_clock_that_steps_proves_nothing(step_s: float) -> None:
    scene = Scene()
    scene.world.add_volume("db", region="nyc3", size_gigabytes=10, tags=["t"], age_s=3600)
    scene.faults.add("html_502", method="POST", times=1, commit=0.0)

    def step(event: Any) -> None:
        if isinstance(event, AttemptFinished) and event.method == "POST" and event.attempt == 1:
            scene.world.skew_s = step_s

    scene.config = attrs.evolve(scene.config, hooks=(step,))
    error = play(scene, lambda store: told(create(store)))
    assert isinstance(error, OutcomeUnknownError | ConflictError)
    assert len(scene.world.volumes) == 1


@pytest.mark.parametrize("skew_s", [-86_400.0, 86_400.0, 12.5])
@EVERY_LOSS
def test_a_clock_that_is_off_does_not_matter(loss: Loss, skew_s: float) -> None:
    scene = Scene()
    scene.world.skew_s = skew_s
    loss.into(scene, "POST")
    volume = play(scene, create)
    assert [made.id for made in scene.named("db")] == [volume.id]


def test_answers_without_a_date_prove_nothing() -> None:
    scene = Scene()
    scene.faults.add("response_lost", method="POST", times=1)
    store_ids: list[str] = []

    async def body(store: BlockStore) -> Any:
        inner = store._engine._transport  # type: ignore[union-attr]
        send = inner.send

        async def dateless(request: Any, attempt: Any) -> Any:
            raw = await send(request, attempt)
            headers = {k: v for k, v in raw.headers.items() if k != "date"}
            return msgspec.structs.replace(raw, headers=headers)

        inner.send = dateless  # type: ignore[method-assign]
        error = await told(create(store))
        store_ids.extend(scene.world.volumes)
        return error

    error = play(scene, body, warm=False)
    assert isinstance(error, OutcomeUnknownError)
    assert error.candidate.id == store_ids[0]


# Time.


@pytest.mark.parametrize("timeout", [0.5, 3.0, 20.0, 100.0])
@EVERY_LOSS
def test_a_call_ends_by_its_deadline_also_while_it_looks(loss: Loss, timeout: float) -> None:
    scene = Scene(snapshot_cooldown_s=0.0)
    volume = scene.world.add_volume("v", age_s=3600)
    loss.into(scene, "POST", times=1000)

    async def body(store: BlockStore) -> Any:
        loop = asyncio.get_running_loop()
        for call in (
            create(store, timeout=timeout),
            store.snapshots.create(volume.id, "s", timeout=timeout),
            store.volumes.resize(volume.id, 50, timeout=timeout),
        ):
            began = loop.time()
            await told(call)
            assert loop.time() - began <= timeout + 0.001

    play(scene, body)


def test_time_is_kept_for_a_look() -> None:
    """A create that hangs until its deadline is looked up before the deadline."""
    scene = Scene(config={"attempt_timeout_s": 1000.0})
    scene.faults.add("stall", method="POST", commit=1.0, times=1)
    volume = play(scene, lambda store: create(store, timeout=20))
    assert isinstance(volume, Volume)
    assert len(scene.world.volumes) == 1


def test_a_snapshot_is_sent_again_only_when_the_first_cannot_arrive_any_more() -> None:
    scene = Scene(config={"late_arrival_s": 30.0})
    volume = scene.world.add_volume("v", age_s=3600)
    scene.faults.add("reset_before", method="POST", times=1)

    async def body(store: BlockStore) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await store.snapshots.create(volume.id, "s")
        return loop.time() - began

    assert 30 <= play(scene, body) <= 45


# Looking that fails.


@pytest.mark.parametrize("kind", ["error_500_before", "reset_before", "malformed_json"])
def test_a_look_that_fails_leaves_the_outcome_unknown(kind: str) -> None:
    scene = Scene(config={"max_attempts": 2})
    scene.faults.add("response_lost", method="POST", times=1)
    scene.faults.add(kind, method="GET", path="/v2/volumes")
    error = play(scene, lambda store: told(create(store)))
    assert isinstance(error, OutcomeUnknownError)
    assert isinstance(error.__cause__, TransportError)
    assert "check for a volume 'db' in nyc3" in str(error)
    assert (error.method, error.path) == ("POST", "/v2/volumes")
    assert len(scene.world.volumes) == 1


def test_other_endpoints_are_never_repeated_blindly() -> None:
    scene = Scene()
    scene.faults.add("response_lost", method="POST", times=1)

    async def body(store: BlockStore) -> Any:
        return await told(store.request("POST", "/v2/tags", json={"name": "t"}))

    error = play(scene, body)
    assert isinstance(error, OutcomeUnknownError)
    assert error.path == "/v2/tags"
    assert len(scene.sent("POST")) == 1


# Cancelling.


@pytest.mark.parametrize("after_s", [0.001, 0.03, 0.2, 0.6])
@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_cancelled_create_can_be_found_out(how: str, after_s: float) -> None:
    scene = Scene(latency_s=(0.4, 0.5))

    async def body(store: BlockStore) -> Any:
        if how == "cancel":
            call = asyncio.create_task(create(store))
            await asyncio.sleep(after_s)
            call.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await call
            error: BaseException = cancelled.value
        else:
            with pytest.raises(TimeoutError) as expired:
                async with asyncio.timeout(after_s):
                    await create(store)
            # Python 3.11.0 to 3.11.2 give it as the context only.
            error = expired.value.__cause__ or expired.value.__context__ or expired.value
        await asyncio.sleep(5)
        return error, await store.volumes.find("db", region="nyc3")

    if after_s == 0.6:
        scene.faults.add("stall", method="POST", commit=1.0, times=1)
    error, found = play(scene, body)
    notes = getattr(error, "__notes__", [])
    assert notes == ["POST /v2/volumes may have taken effect: check for a volume 'db' in nyc3"]
    assert [e.resolution for e in scene.seen if isinstance(e, OutcomeReconciled)] == ["unknown"]
    assert [volume.id for volume in scene.named("db")] == [found.id]


def test_cancelled_before_anything_was_sent_leaves_no_doubt() -> None:
    scene = Scene(config={"windows": ((1, 60.0), (100, 3600.0)), "burst": 1})

    async def body(store: BlockStore) -> Any:
        [_ async for _ in store.regions.list()]
        call = asyncio.create_task(create(store))
        await asyncio.sleep(5)  # virtual: it waits for the budget
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
        return caught.value

    error = play(scene, body, warm=False)
    assert not getattr(error, "__notes__", [])
    assert not scene.world.volumes


def test_cancelled_while_it_looks() -> None:
    scene = Scene(latency_s=(0.4, 0.5))
    scene.faults.add("response_lost", method="POST", times=1)

    async def body(store: BlockStore) -> Any:
        call = asyncio.create_task(create(store))
        await asyncio.sleep(0.75)
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
        return caught.value

    error = play(scene, body)
    assert error.__notes__ == [
        "POST /v2/volumes may have taken effect: check for a volume 'db' in nyc3"
    ]


def test_a_read_that_is_cancelled_needs_no_note() -> None:
    scene = Scene(latency_s=(0.4, 0.5))

    async def body(store: BlockStore) -> Any:
        call = asyncio.create_task(store.volumes.get(NEVER))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
        return caught.value

    assert not getattr(play(scene, body), "__notes__", [])


# The wait for quota counts.


def test_a_wait_that_cannot_fit_is_refused_at_once() -> None:
    scene = Scene(
        config={"windows": ((2, 60.0), (100, 3600.0)), "burst": 2}, limits="2/60,100/3600"
    )

    async def body(store: BlockStore) -> Any:
        loop = asyncio.get_running_loop()
        for _ in range(2):
            await told(store.volumes.get(NEVER))
        began = loop.time()
        error = await told(store.volumes.create("a", region="nyc3", size_gigabytes=1, timeout=5))
        assert loop.time() - began < 0.01
        return error

    error = play(scene, body, warm=False)
    assert isinstance(error, QuotaWaitTooLongError)
    assert 5 < error.retry_after < 70
    assert error.attempts == 0


def test_a_reading_call_ends_by_its_deadline() -> None:
    scene = Scene()
    scene.faults.add("stall", method="GET", path="/v2/volumes/**")

    async def body(store: BlockStore) -> Any:
        loop = asyncio.get_running_loop()
        began = loop.time()
        error = await told(store.volumes.get(NEVER, timeout=7))
        assert 6.9 < loop.time() - began < 7.001
        return error

    assert isinstance(play(scene, body), RequestTimeoutError)


@EVERY_LOSS
@pytest.mark.parametrize("situation", ["free", "taken", "taken meanwhile", "hidden"])
def test_a_settled_call_leaves_no_cycles(loss: Loss, situation: str) -> None:
    """Neither the value nor the error, the look-up included, is left to the garbage collector."""
    scene = Scene()
    if situation == "taken":
        scene.world.add_volume("db", region="nyc3", size_gigabytes=10, tags=["t"], age_s=3600)

    async def body(store: BlockStore) -> list[str]:
        if situation == "taken meanwhile":
            scene.world.add_volume("db", region="nyc3", size_gigabytes=11)
        if situation == "hidden":
            scene.faults.add("html_502", method="GET", times=50)
        with left_to_the_collector() as left:
            loss.into(scene, "POST")
            await told(create(store))
        return left

    assert play(scene, body) == []
