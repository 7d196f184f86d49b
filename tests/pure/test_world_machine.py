"""The world against a naive model, and its judge of budgets against a recount."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from do_blockstore_async.simulator._messages import SimRequest, SimResponse
from do_blockstore_async.simulator.ratelimit import RequestBudget, Window
from do_blockstore_async.simulator.state.entities import SimVolume
from do_blockstore_async.simulator.state.index import OrderedIndex
from do_blockstore_async.simulator.world import World

REGIONS = ("nyc3", "ams3")
NAMES = st.sampled_from(["a", "b", "c", "d"])
DROPLETS = {1: "nyc3", 2: "nyc3", 3: "ams3"}


class WorldMachine(RuleBasedStateMachine):
    """Requests of all kinds; the model holds what the answers said."""

    volumes = Bundle("volumes")
    snapshots = Bundle("snapshots")

    @initialize()
    def begin(self) -> None:
        self.world = World(limits="none", droplets=DROPLETS, snapshot_cooldown_s=60)
        self.now = self.world.now
        self.have: dict[str, dict[str, Any]] = {}
        self.shots: dict[str, dict[str, Any]] = {}

    def ask(self, method: str, target: str, body: Any = None) -> SimResponse:
        headers = {"authorization": f"Bearer {self.world.token}"}
        data = b"" if body is None else json.dumps(body).encode()
        return self.world.handle(SimRequest(method, target, headers, data), self.now)

    @rule(target=volumes, name=NAMES, region=st.sampled_from(REGIONS), size=st.integers(-1, 3))
    def create(self, name: str, region: str, size: int) -> Any:
        body = {"name": name, "region": region, "size_gigabytes": size}
        response = self.ask("POST", "/v2/volumes", body)
        taken = any(v["name"] == name and v["region"]["slug"] == region for v in self.have.values())
        if size < 1:
            assert response.status == 422
        elif taken:
            assert response.status == 409
        else:
            assert response.status == 201
            volume = response.json()["volume"]
            assert volume["id"] not in self.have
            self.have[volume["id"]] = volume
            return volume["id"]
        return multiple()

    @rule(volume=volumes)
    def delete(self, volume: str) -> None:
        # What was under way may have ended while the machine waited.
        self.world.tick(self.now)
        held = self.world.volumes.get(volume)
        busy = held is not None and (held.droplet_ids or held.busy is not None)
        expected = 404 if held is None else 409 if busy else 204
        assert self.ask("DELETE", f"/v2/volumes/{volume}").status == expected
        if expected == 204:
            del self.have[volume]

    @rule(name=NAMES, region=st.sampled_from(REGIONS))
    def delete_by_name(self, name: str, region: str) -> None:
        response = self.ask("DELETE", f"/v2/volumes?name={name}&region={region}")
        if response.status == 204:
            gone = [
                identifier
                for identifier, volume in self.have.items()
                if (volume["name"], volume["region"]["slug"]) == (name, region)
            ]
            assert len(gone) == 1
            del self.have[gone[0]]
        else:
            assert response.status in (404, 409)

    @rule(target=snapshots, volume=volumes, name=NAMES)
    def snapshot(self, volume: str, name: str) -> Any:
        response = self.ask("POST", f"/v2/volumes/{volume}/snapshots", {"name": name})
        if volume not in self.have:
            assert response.status == 404
        if response.status == 201:
            snapshot = response.json()["snapshot"]
            self.shots[snapshot["id"]] = snapshot
            return snapshot["id"]
        return multiple()

    @rule(snapshot=consumes(snapshots))
    def delete_snapshot(self, snapshot: str) -> None:
        assert self.ask("DELETE", f"/v2/snapshots/{snapshot}").status == 204
        del self.shots[snapshot]

    @rule(
        volume=volumes,
        kind=st.sampled_from(["attach", "detach", "resize"]),
        droplet=st.sampled_from([1, 2, 3]),
        size=st.integers(1, 6),
        failing=st.booleans(),
    )
    def act(self, volume: str, kind: str, droplet: int, size: int, failing: bool) -> None:
        self.world.fail_actions = int(failing)
        body = {"type": kind, "droplet_id": droplet, "size_gigabytes": size}
        response = self.ask("POST", f"/v2/volumes/{volume}/actions", body)
        assert response.status in (202, 404, 422)
        self.world.fail_actions = 0

    @rule(seconds=st.sampled_from([0.5, 4.0, 61.0, -30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        per_page=st.integers(1, 4), region=st.sampled_from([None, *REGIONS]), name=st.none() | NAMES
    )
    def pages_equal_slices(self, per_page: int, region: str | None, name: str | None) -> None:
        wanted = [
            identifier
            for identifier, volume in self.have.items()
            if region in (None, volume["region"]["slug"]) and name in (None, volume["name"])
        ]
        query = f"per_page={per_page}" + (f"&region={region}" if region else "")
        query += f"&name={name}" if name else ""
        read: list[str] = []
        for page in range(1, len(wanted) // per_page + 3):
            answer = self.ask("GET", f"/v2/volumes?page={page}&{query}").json()
            ids = [volume["id"] for volume in answer["volumes"]]
            assert ids == wanted[(page - 1) * per_page : page * per_page]
            assert answer["meta"]["total"] == len(wanted)
            has_next = "next" in answer["links"].get("pages", {})
            assert has_next == (page * per_page < len(wanted))
            read += ids
        assert read == wanted

    @invariant()
    def indexes_agree(self) -> None:
        if not hasattr(self, "world"):
            return
        state = self.world.state
        assert list(state.volumes) == list(self.have)
        assert [v.id for v in state.volumes_in_order] == list(self.have)
        for slug, index in state.volumes_in.items():
            assert [v.id for v in index] == [
                i for i, v in state.volumes.items() if v.region == slug
            ]
        by_name = {v.id for named in state.volumes_by_name.values() for v in named.values()}
        assert by_name == set(self.have)
        assert [s.id for s in state.snapshots_in_order] == list(self.shots)
        assert {i for of in state.snapshots_of.values() for i in of} == set(self.shots)

    @invariant()
    def attachments_agree(self) -> None:
        if not hasattr(self, "world"):
            return
        state = self.world.state
        for droplet in state.droplets.values():
            assert len(droplet.volume_ids) <= 15
            for identifier in droplet.volume_ids:
                assert state.volumes[identifier].droplet_ids == (droplet.id,)
                assert state.volumes[identifier].region == droplet.region
        attached = sum(len(volume.droplet_ids) for volume in state.volumes.values())
        assert attached == sum(len(droplet.volume_ids) for droplet in state.droplets.values())
        running = [a for a in state.actions.values() if a.status == "in-progress"]
        assert len({a.volume_id for a in running}) == len(running)
        assert {v.busy for v in state.volumes.values() if v.busy} == {a.id for a in running}


TestWorldMachine = WorldMachine.TestCase
TestWorldMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 9999), max_size=60),
    st.integers(0, 120),
    st.integers(0, 60),
    st.integers(0, 40),
    st.integers(1, 9),
    st.booleans(),
)
def test_an_index_slices_like_a_list(
    removed: list[int], size: int, start: int, count: int, chunk: int, thin: bool
) -> None:
    def volume(seq: int) -> SimVolume:
        return SimVolume(
            id=str(seq), name="n", region="nyc3", size_gigabytes=1, created_s=0.0, seq=seq
        )

    index: OrderedIndex[SimVolume] = OrderedIndex(chunk)
    naive = [volume(seq) for seq in range(size)]
    for item in naive:
        index.append(item)
    for at in removed:
        if naive:
            index.remove(naive.pop(at % len(naive)))
    # A run of deletions thins whole chunks out.
    for _ in range(min(len(naive), size * 2 // 3) if thin else 0):
        index.remove(naive.pop(len(naive) // 2))
    for missing in (volume(-1), volume(size + 9)):
        with pytest.raises(KeyError):
            index.remove(missing)
    for item in (volume(size), volume(size + 1)):
        index.append(item)
        naive.append(item)
    assert list(index) == naive
    assert len(index) == len(naive)
    assert index.slice(start, count) == naive[start : start + count]


GAPS = st.lists(st.floats(0, 4, allow_nan=False), max_size=120)
MINUTE, HOUR = Window(5, 6.0), Window(20, 40.0)


@given(GAPS, st.sampled_from(["sliding", "fixed", "bucket"]), st.floats(0, 3))
def test_the_judge_agrees_with_a_recount(gaps: list[float], model: Any, stranger: float) -> None:
    budget = RequestBudget((MINUTE, HOUR), model, stranger)
    now = 1000.0
    accepted: list[float] = []
    arrivals: list[tuple[float, bool]] = []
    following = None
    for gap in gaps:
        now += gap
        if following is None:
            following = now + 1 / stranger if stranger > 0.01 else float("inf")
            budget.set_other_clients(stranger if stranger > 0.01 else 0)
        while following <= now:
            arrivals.append((following, False))
            following += 1 / stranger
        arrivals.append((now, True))
    strangers_refused, expected = 0, []
    tokens, at = float(MINUTE.limit), None
    for time, ours in arrivals:
        hour = [t for t in accepted if time - HOUR.seconds < t <= time]
        if model == "sliding":
            free = len([t for t in accepted if t > time - MINUTE.seconds]) < MINUTE.limit
        elif model == "fixed":
            same = [t for t in accepted if t // MINUTE.seconds == time // MINUTE.seconds]
            free = len(same) < MINUTE.limit
        elif len(hour) < HOUR.limit:
            if at is not None:
                refill = (time - at) * MINUTE.limit / MINUTE.seconds
                tokens = min(float(MINUTE.limit), tokens + refill)
            at, free = time, tokens >= 1
            tokens -= free
        else:
            free = False
        verdict = "hourly" if len(hour) >= HOUR.limit else None if free else "burst"
        if verdict is None:
            accepted.append(time)
        if ours:
            left = HOUR.limit - len([t for t in accepted if time - HOUR.seconds < t <= time])
            oldest = min((t for t in accepted if t > time - HOUR.seconds), default=time)
            expected.append((verdict, 0 if verdict else left, int(oldest + HOUR.seconds)))
        elif verdict is not None:
            strangers_refused += 1
    now, got = 1000.0, []
    for gap in gaps:
        now += gap
        said = budget.check(now)
        assert (said.retry_after_s is not None) == (said.refused == "burst")
        got.append((said.refused, said.remaining, said.reset_s))
    assert got == expected
    assert budget.other_clients_refused == strangers_refused
    assert budget.other_clients_sent == sum(1 for _, ours in arrivals if not ours)


@given(GAPS, st.sampled_from(["sliding", "fixed", "bucket"]))
def test_after_retry_after_there_is_room(gaps: list[float], model: Any) -> None:
    budget = RequestBudget((MINUTE,), model)
    now = 1000.0
    for gap in gaps:
        now += gap
        said = budget.check(now)
        if said.retry_after_s is not None:
            now += said.retry_after_s
            assert budget.check(now).refused is None


def test_a_clock_that_steps_back_does_not_free_the_budget() -> None:
    budget = RequestBudget((Window(2, 60.0), Window(3, 3600.0)))
    assert [budget.check(at).refused for at in (1000.0, 10.0, 20.0)] == [None, None, "burst"]
