"""Scenarios say how a simulator begins; a saved state brings it back."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async.simulator import World, WorldOptions, parse_scenario
from do_blockstore_async.simulator.control.scenario import _OPTION_TYPES
from do_blockstore_async.simulator.state.saved import dump_state, load_state
from tests.pure.test_world import NEW, Caller

SCENARIO = """
clock = {at = 2026-03-01T12:00:00Z, frozen = true}
tags = ["keep"]

[options]
seed = 3
limits = "10/60,20/3600"
messages = {rate = "Too many requests"}

[[droplets]]
id = 7
name = "node-1"
region = "nyc3"
tags = ["k8s"]

[[volumes]]
name = "orders-db"
size_gigabytes = 100
used_gigabytes = 12.5
droplet = 7
tags = ["Prod"]
snapshots = [{name = "new", age_s = 3600}, {name = "old", age_s = 86400, tags = ["nightly"]}]

[[volumes]]
name = "orders-db"
region = "ams3"

[[faults]]
kind = "html_502"
method = "GET"
path = "/v2/volumes"
times = 2
"""


def test_a_scenario_says_how_it_begins() -> None:
    scenario = parse_scenario(SCENARIO)
    assert scenario.at_s == 1_772_366_400
    world = World(**scenario.options)
    assert list(world.droplets) == [7]
    assert world.droplets[7].name == "node-1"
    first, second = world.volumes.values()
    assert (first.name, first.size_gigabytes, first.droplet_ids) == ("orders-db", 100, (7,))
    assert (second.region, second.size_gigabytes) == ("ams3", 10)
    assert [snapshot.name for snapshot in world.snapshots.values()] == ["old", "new"]
    assert {s.size_gigabytes for s in world.snapshots.values()} == {12.5}
    assert list(world.state.tagged) == ["keep", "k8s", "Prod", "nightly"]
    assert world.messages == {"rate": "Too many requests"}
    (rule,) = scenario.fault_injector().rules
    assert (rule.kind, rule.method, rule.times) == ("html_502", "GET", 2)
    world.remove_volume(first)
    world.reset()
    assert len(world.volumes) == 2


def test_an_empty_scenario_is_one() -> None:
    scenario = parse_scenario("")
    assert scenario.at_s is None
    assert not World(**scenario.options).volumes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("volumes = ", "scenario: Invalid value"),
        ("colour = 1", "unknown field `colour`"),
        ("[[volumes]]\nsize = 1", "unknown field `size` - at `$.volumes[0]`"),
        ("[[volumes]]", "missing required field `name`"),
        ('[[volumes]]\nname = "a"\nsize_gigabytes = "big"', "Expected `int`"),
        ('[[volumes]]\nname = "a"\nregion = "mars1"', "no such region"),
        ('[[volumes]]\nname = "a"\ndroplet = 9', "no such droplet"),
        ('[[volumes]]\nname = "a"\n[[volumes]]\nname = "a"', "is taken"),
        ('[[droplets]]\nid = 1\nregion = "mars1"', "no such region"),
        ('[[faults]]\nkind = "earthquake"', "no such fault"),
        ('[[faults]]\nkind = "stall"\nrate = 2.0', "rate must be"),
        ("[options]\ncolour = 1", "no such options: colour"),
        ("[options]\nnow = 1", "no such options: now"),
        ('[options]\nmessages = {nothing = "x"}', "no such error"),
        ('[options]\nlimits = "x"', "limits must be"),
        ("[options]\nvolumes = -1", "scenario: "),
        ("clock = {at = 5}", "scenario: "),
        ("a = " + "[" * 5000, "scenario: "),
        ('[[volumes]]\nname = "a"\nage_s = inf', "age_s"),
        ('[[volumes]]\nname = "a"\nage_s = nan', "age_s"),
        ('[[volumes]]\nname = "a"\nage_s = 1e18', "age_s"),
        ('[[volumes]]\nname = "a"\nused_gigabytes = nan', "used_gigabytes"),
        ('[[volumes]]\nname = "a"\nsize_gigabytes = -1', "size_gigabytes"),
        ('[[volumes]]\nname = "A b"', "a volume's name"),
        ('[[volumes]]\nname = "a"\ntags = ["a b"]', "a tag has"),
        ('tags = [""]', "a tag has"),
        ("[[droplets]]\nid = 7\n[[droplets]]\nid = 7", "two Droplets 7"),
        ("[[droplets]]\nid = -7", "id"),
        ('[options]\nmax_volumes = "x"', "option max_volumes: Expected `int"),
        ("[options]\naction_s = [nan, 1.0]", "option action_s"),
        ("[options]\nother_clients_per_s = inf", "option other_clients_per_s"),
        ("[options]\ndroplets = {x = 'nyc3'}", "a droplet must look like"),
        ("clock = {at = 0001-01-01T00:00:00Z}\n[options]\nvolumes = 1", "cannot be shown"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_scenario(text)
    assert says in str(caught.value)
    assert str(caught.value).startswith("scenario: ")


def lively() -> Caller:
    """A world in which everything that can be kept is there."""
    ask = Caller(volumes=24, seed=5, droplets={7: "nyc3", 8: "ams3"})
    volume = ask("POST", "/v2/volumes", {**NEW, "tags": ["keep"]}).json()["volume"]
    here = f"/v2/volumes/{volume['id']}"
    assert ask("POST", f"{here}/snapshots", {"name": "one", "tags": ["KEEP"]}).status == 201
    assert ask("POST", f"{here}/actions", {"type": "attach", "droplet_id": 7}).status == 202
    ask("POST", "/v2/tags", {"name": "unused"})
    return ask


def shown(ask: Caller) -> list[Any]:
    targets = ("volumes?per_page=200", "snapshots?per_page=200", "droplets", "tags", "actions")
    return [ask("GET", f"/v2/{target}").json() for target in targets]


def test_a_state_goes_through_json_and_back() -> None:
    ask = lively()
    plain = json.loads(json.dumps(dump_state(ask.world)))
    other = Caller(droplets=0)
    load_state(other.world, plain)
    assert shown(other) == shown(ask)
    assert json.loads(json.dumps(dump_state(other.world))) == {**plain, "restarts": 1}
    assert ask.token not in json.dumps(plain)
    # What was under way goes on, what was waited for is waited for.
    volume = next(v for v in other.world.volumes.values() if v.name == "db-1")
    here = f"/v2/volumes/{volume.id}"
    assert other.refused("DELETE", here)[0] == 409
    assert other.refused("POST", f"{here}/snapshots", {"name": "two"})[0] == 429
    other.now += 6
    other.world.tick(other.now)
    assert volume.droplet_ids == (7,)
    assert other.world.droplets[7].volume_ids == [volume.id]


def test_ids_are_not_made_twice_after_a_restart() -> None:
    made: set[str] = set()
    plain: Any = None
    for run in range(4):
        ask = Caller(seed=1)
        if plain is not None:
            load_state(ask.world, plain)
        for number in range(5):
            body = {**NEW, "name": f"r{run}-{number}"}
            made.add(ask("POST", "/v2/volumes", body).json()["volume"]["id"])
        plain = dump_state(ask.world)
    assert len(made) == 20
    assert len(plain["volumes"]) == 20


def changed(plain: dict[str, Any], kind: str, **fields: Any) -> dict[str, Any]:
    first, *rest = plain[kind]
    return {**plain, kind: [{**first, **fields}, *rest]}


def test_droplets_of_a_scenario_may_be_a_mapping() -> None:
    scenario = parse_scenario('[options]\ndroplets = {7 = "nyc3", 8 = ""}')
    droplets = World(**scenario.options).droplets
    assert {i: droplet.region for i, droplet in droplets.items()} == {7: "nyc3", 8: None}


def test_every_option_of_a_world_has_a_type_in_scenarios() -> None:
    names = {attribute.name for attribute in attrs.fields(WorldOptions)}
    assert names - _OPTION_TYPES.keys() == {"contents", "now", "link_base"}


def test_no_number_goes_in_that_a_file_cannot_hold() -> None:
    world = World()
    for wrong in (float("nan"), float("inf"), -1.0):
        with pytest.raises(ValueError, match="used_gigabytes must be"):
            world.add_volume(used_gigabytes=wrong)
    with pytest.raises(ValueError, match="created_s"):
        world.add_volume(age_s=float("nan"))
    assert not world.volumes


def without(plain: dict[str, Any], kind: str) -> dict[str, Any]:
    return {**plain, kind: []}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda plain: [], "not a saved state"),
        (lambda plain: {**plain, "format": 2}, "format 2"),
        (lambda plain: {**plain, "extra": 1}, "unknown field"),
        (lambda plain: {**plain, "now": "soon"}, "Expected `float`"),
        (lambda plain: {**plain, "now": 1e300}, "no date can say"),
        (lambda plain: {**plain, "skew_s": -1e300}, "no date can say"),
        (lambda plain: without(plain, "droplets"), "do not name each other"),
        (lambda plain: {**plain, "volumes": plain["volumes"] * 2}, "two volumes"),
        (lambda plain: {**plain, "snapshots": plain["snapshots"] * 2}, "two snapshots"),
        (lambda plain: {**plain, "droplets": plain["droplets"] * 2}, "two Droplets"),
        (lambda plain: {**plain, "actions": plain["actions"] * 2}, "two actions"),
        (lambda plain: changed(plain, "volumes", seq=2), "seq stands twice"),
        (lambda plain: changed(plain, "volumes", busy=5), "busy with no action"),
        (lambda plain: changed(plain, "droplets", busy=5), "busy with no action"),
        (lambda plain: changed(plain, "volumes", size_gigabytes=-1), "must be from 0"),
        (lambda plain: changed(plain, "volumes", size_gigabytes=2**63), "must be from 0"),
        (lambda plain: changed(plain, "volumes", tags=["a b"]), "a tag has"),
        (lambda plain: changed(plain, "volumes", colour="red"), "unknown fields"),
        (lambda plain: {**plain, "tags": [""]}, "a tag has"),
        (lambda plain: {**plain, "seq": 2**70}, "out of range"),
        (lambda plain: {**plain, "next_action": -1}, "out of range"),
        (
            lambda plain: {
                **plain,
                "droplets": [{**droplet, "volume_ids": ["x"]} for droplet in plain["droplets"]],
            },
            "attached twice",
        ),
        (
            lambda plain: {**plain, "volumes": [{**plain["volumes"][0], "region": "mars1"}]},
            "no such region",
        ),
    ],
)
def test_a_state_that_is_wrong_changes_nothing(change: Any, says: str) -> None:
    ask = lively()
    ask.now += 10
    ask.world.tick(ask.now)
    before = dump_state(ask.world)
    with pytest.raises(ValueError, match=says):
        load_state(ask.world, change(json.loads(json.dumps(before))))
    assert dump_state(ask.world) == before


@given(
    raw=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["format", "volumes", "tags", "id", "name", "now"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_nonsense_is_a_value_error(raw: Any) -> None:
    with pytest.raises(ValueError):
        load_state(World(), raw)
