"""Faults: seeded, scripted, and the same wherever they are acted out."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async.simulator._messages import SimRequest
from do_blockstore_async.simulator.faults.mutations import HUGE_BYTES, mutate_response
from do_blockstore_async.simulator.faults.parser import parse_faults
from do_blockstore_async.simulator.faults.rules import KINDS, FaultInjector, deliver
from do_blockstore_async.simulator.world import World

GET = SimRequest("GET", "/v2/volumes?page=1")
POST = SimRequest("POST", "/v2/volumes")
BODY = json.dumps({"name": "db-1", "region": "nyc3", "size_gigabytes": 1}).encode()


def requests_to(world: World) -> tuple[SimRequest, SimRequest]:
    headers = {"authorization": f"Bearer {world.token}"}
    return (
        SimRequest("GET", "/v2/volumes", headers),
        SimRequest("POST", "/v2/volumes", headers, BODY),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_delivered_and_logged(kind: str) -> None:
    world, faults = World(volumes=3, droplets=[7]), FaultInjector()
    faults.add(kind, times=1)
    volume = next(iter(world.volumes.values()))
    for droplet in world.droplets.values():
        droplet.volume_ids.clear()
    volume.droplet_ids = ()
    headers = {"authorization": f"Bearer {world.token}"}
    target, body = f"/v2/volumes/{volume.id}/snapshots", b'{"name":"s"}'
    if kind == "action_errors":
        target, body = f"/v2/volumes/{volume.id}/actions", b'{"type":"attach","droplet_id":7}'
    request = SimRequest("POST", target, headers, body)
    if kind == "hostile_next":
        request = requests_to(world)[0]
    first = deliver(world, faults, request, world.now, reused=True)
    assert first.fault is not None
    assert [entry.kind for entry in faults.log] == [kind]
    assert (world.handled > 0) == faults.log[0].commit
    assert deliver(world, faults, request, world.now, reused=True).fault is None
    assert len(faults.log) == 1


@pytest.mark.parametrize(
    ("kind", "made", "wire"),
    [
        ("response_lost", 1, "drop"),
        ("reset_before", 0, "reset"),
        ("truncated", 1, "truncate"),
        ("drip", 1, "drip"),
        ("error_500_after_commit", 1, "respond"),
        ("error_500_before", 0, "respond"),
        ("redirect", 0, "respond"),
        ("retry_after_date", 0, "respond"),
        ("malformed_json", 1, "respond"),
        ("keepalive_drop", 0, "drop"),
    ],
)
def test_what_takes_effect(kind: str, made: int, wire: str) -> None:
    world, faults = World(), FaultInjector()
    faults.add(kind)
    delivery = deliver(world, faults, requests_to(world)[1], world.now, reused=True)
    assert (len(world.volumes), delivery.wire) == (made, wire)
    faults.clear()
    faults.add(kind, commit=1 - made)
    world.reset()
    deliver(world, faults, requests_to(world)[1], world.now, reused=True)
    assert len(world.volumes) == 1 - made


def test_a_duplicate_is_handled_twice() -> None:
    for second, status in ((False, 201), (True, 409)):
        world, faults = World(), FaultInjector()
        faults.add("duplicate", return_second=second)
        delivery = deliver(world, faults, requests_to(world)[1], world.now)
        assert (delivery.response.status, world.handled, len(world.volumes)) == (status, 2, 1)


def test_a_clock_step_shows_but_does_not_free_the_budget() -> None:
    world, faults = World(limits="2/60"), FaultInjector()
    faults.add("clock_step", seconds=-7200, times=1)
    get, post = requests_to(world)
    assert deliver(world, faults, get, world.now).response.headers["date"].endswith("22:00:00 GMT")
    made = deliver(world, faults, post, world.now).response.json()["volume"]
    assert made["created_at"] == "2025-12-31T22:00:00Z"
    assert deliver(world, faults, get, world.now).response.status == 429


def test_an_action_ends_errored_and_its_failure_stays_its_own() -> None:
    world, faults = World(droplets=[7]), FaultInjector()
    volume = world.add_volume("db")
    faults.add("action_errors", times=2)
    headers = {"authorization": f"Bearer {world.token}"}
    target = f"/v2/volumes/{volume.id}/actions"
    refused = SimRequest("POST", target, headers, b'{"type":"attach","droplet_id":99}')
    assert deliver(world, faults, refused, world.now).response.status == 404
    assert world.fail_actions == 0
    attach = SimRequest("POST", target, headers, b'{"type":"attach","droplet_id":7}')
    assert deliver(world, faults, attach, world.now).response.status == 202
    world.finish_actions()
    assert [action.status for action in world.actions.values()] == ["errored"]


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(number=st.integers(1, 40), status=st.sampled_from([200, 201, 204, 404, 429]))
def test_every_shape_is_an_answer(kind: str, number: int, status: int) -> None:
    if kind in ("huge_body", "gzip_bomb") and number > 1:
        return
    world = World(volumes=1)
    response = world.handle(requests_to(world)[0], world.now)
    if status != 200:
        response = type(response)(status, response.headers, b"" if status == 204 else b"{}")
    before = dict(response.headers)
    bent = mutate_response(kind, response, world.now, number)
    assert 200 <= bent.status <= 599
    for name, value in bent.headers.items():
        assert name == name.lower()
        assert "\r" not in value
        assert "\n" not in value
    assert response.headers == before, "shaping leaves the answer it was given alone"
    assert bent.status != 204 or not bent.body


def test_the_bodies_are_what_they_say() -> None:
    world = World(volumes=1)
    answer = world.handle(requests_to(world)[0], world.now)
    assert len(mutate_response("huge_body", answer, 0.0).body) == HUGE_BYTES
    bomb = mutate_response("gzip_bomb", answer, 0.0)
    assert bomb.headers["content-encoding"] == "gzip"
    assert len(bomb.body) < 100_000
    assert len(gzip.decompress(bomb.body)) == HUGE_BYTES
    assert mutate_response("html_504", answer, 0.0).body.startswith(b"<html>")
    hosts = {mutate_response("hostile_next", answer, 0.0, number).body for number in range(10)}
    assert any(b"attacker.invalid" in body for body in hosts)
    assert all(json.loads(body)["meta"] == {"total": 1} for body in hosts)
    for number in range(5):
        with pytest.raises(ValueError):
            json.loads(
                mutate_response("malformed_json", answer, 0.0, number).body, parse_constant=int
            )


def test_rules_match_method_path_and_count() -> None:
    faults = FaultInjector()
    faults.add("html_502", method="POST", path="/v2/volumes/*/snapshots", skip=1, times=1)
    snapshot = SimRequest("POST", "/v2/volumes/a-1/snapshots?x=1")
    assert faults.next(SimRequest("GET", "/v2/volumes/a-1/snapshots")) is None
    assert faults.next(SimRequest("POST", "/v2/volumes/a/b/snapshots")) is None
    assert faults.next(snapshot) is None
    assert faults.next(snapshot) is not None
    assert faults.next(snapshot) is None
    faults.add("keepalive_drop", path="**")
    assert faults.next(GET) is None
    assert faults.next(GET, reused=True) is not None


@given(st.integers(0, 2**32), st.lists(st.sampled_from([GET, POST]), max_size=60))
def test_the_same_seed_gives_the_same_faults(seed: int, requests: list[SimRequest]) -> None:
    def run(faults: FaultInjector) -> list[Any]:
        return [faults.next(request) for request in requests]

    faults = parse_faults(f"seed={seed},response_lost:0.3:POST,html_502:0.2,stall:0.1")
    first = run(faults)
    log = list(faults.log)
    faults.reset()
    assert run(faults) == first
    assert faults.log == log
    assert len(log) == sum(fault is not None for fault in first)


def test_a_rate_is_a_share() -> None:
    faults = parse_faults("response_lost:0.2,seed=3")
    hit = sum(faults.next(POST) is not None for _ in range(5000))
    assert 900 < hit < 1100


def test_the_text_of_faults() -> None:
    faults = parse_faults(
        "response_lost:0.05, html_502:POST /v2/volumes:1.0:count=2, stall:/v2/snapshots/**,"
        "clock_step:seconds=-60:commit=0.5:skip=3,duplicate:GET:return_second=yes,seed=7"
    )
    rules = [rule for rule, _ in faults._rules]
    assert [rule.kind for rule in rules] == [
        "response_lost",
        "html_502",
        "stall",
        "clock_step",
        "duplicate",
    ]
    assert rules[0].rate == 0.05
    assert (rules[1].method, rules[1].path, rules[1].times) == ("POST", "/v2/volumes", 2)
    assert rules[2].path == "/v2/snapshots/**"
    assert (rules[3].seconds, rules[3].commit, rules[3].skip) == (-60.0, 0.5, 3)
    assert (rules[4].method, rules[4].return_second) == ("GET", True)
    assert faults.seed == 7
    assert parse_faults("").next(GET) is None


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nonsense", "no such fault: 'nonsense'"),
        ("stall:often", "not a number: 'often'"),
        ("stall:1.5", "rate must be from 0 to 1"),
        ("stall:nan", "rate must be from 0 to 1"),
        ("stall:times=x", "not a whole number: 'x'"),
        ("stall:times=-1", "times must be 0 or more"),
        ("stall:colour=red", "no such option: 'colour'"),
        ("stall:POST volumes", "a path begins with a slash"),
        ("stall:commit=2", "commit must be from 0 to 1"),
        ("seed=x", "not a whole number: 'x'"),
        ("drip:seconds=inf", "seconds must be finite"),
        ("drip:seconds=-1", "seconds must be 0 or more"),
    ],
)
def test_nonsense_is_refused(spec: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_faults(spec)
