"""Every answer of the simulator satisfies the vendor's OpenAPI description.

The description is not part of this project: DO_BLOCKSTORE_OPENAPI says where it lies.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from jsonschema import ValidationError

from do_blockstore_async._clock import seeded
from do_blockstore_async.simulator._messages import SimRequest, SimResponse
from do_blockstore_async.simulator.world import World
from tests.support.openapi import Contract

WHERE = os.environ.get("DO_BLOCKSTORE_OPENAPI", "")

pytestmark = pytest.mark.skipif(
    not WHERE, reason="DO_BLOCKSTORE_OPENAPI does not name the vendor's OpenAPI file"
)


@pytest.fixture(scope="module")
def contract() -> Any:
    return Contract(WHERE)


class Walker:
    """Makes requests, good and bad, and holds each answer against the description."""

    def __init__(self, contract: Any, seed: int, **options: Any) -> None:
        self.contract = contract
        self.world = World(volumes=30, seed=seed, droplets=[1, 2, "3:nyc3"], **options)
        self.now = self.world.now
        self.random = seeded(seed)
        self.token = self.world.token

    def ask(self, method: str, target: str, body: Any = None) -> SimResponse:
        headers = {"authorization": f"Bearer {self.token}"}
        data = b""
        if body is not None:
            headers["content-type"] = "application/json"
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = self.world.handle(SimRequest(method, target, headers, data), self.now)
        path = target.partition("?")[0]
        self.contract.check(method, path, response.status, response.headers, response.json())
        return response

    def pick(self, *choices: Any) -> Any:
        return choices[self.random.randrange(len(choices))]

    def any_of(self, ids: Any) -> str:
        known = [str(identifier) for identifier in ids]
        return str(self.pick(*known[-12:], "00000000-0000-0000-0000-000000000000"))

    def step(self) -> None:
        world, pick = self.world, self.pick
        volume, snapshot = self.any_of(world.volumes), self.any_of(world.snapshots)
        action, region = self.any_of(world.actions), pick("nyc3", "ams3", "ams1")
        page = pick("", "?per_page=3", "?page=2&per_page=3", "?page=99", "?page=0", "?per_page=999")
        by_name = f"/v2/volumes?name={pick('a', 'b', 'db-1')}&region={region}"
        attach = {"type": pick("attach", "detach", "resize", "x"), "droplet_id": pick(1, 2, 3, 9)}
        attach["size_gigabytes"] = pick(5, 300, 20_000)
        method, target, body = pick(
            ("GET", f"/v2/volumes{page}", None),
            ("GET", by_name, None),
            ("GET", f"/v2/volumes?region={region}", None),
            (
                "POST",
                "/v2/volumes",
                {
                    "name": pick("a", "b", "c", "BAD"),
                    "region": region,
                    "size_gigabytes": pick(1, 10, 0),
                    "tags": pick([], ["x"], None),
                    "filesystem_type": pick("ext4", "xfs", "", "zfs"),
                    "snapshot_id": pick("", snapshot),
                },
            ),
            ("POST", "/v2/volumes", b"{"),
            ("DELETE", by_name, None),
            ("GET", f"/v2/volumes/{volume}", None),
            ("DELETE", f"/v2/volumes/{volume}", None),
            ("GET", f"/v2/volumes/{volume}/snapshots{page}", None),
            ("POST", f"/v2/volumes/{volume}/snapshots", {"name": pick("s", "t", "")}),
            ("GET", f"/v2/volumes/{volume}/actions{page}", None),
            ("POST", f"/v2/volumes/{volume}/actions", attach),
            ("GET", f"/v2/volumes/{volume}/actions/{action}", None),
            ("POST", "/v2/volumes/actions", {**attach, "volume_name": "a", "region": region}),
            ("GET", f"/v2/volumes/snapshots/{snapshot}", None),
            ("DELETE", f"/v2/volumes/snapshots/{snapshot}", None),
            ("GET", f"/v2/snapshots{page}", None),
            ("GET", "/v2/snapshots?resource_type=volume", None),
            ("GET", f"/v2/snapshots/{snapshot}", None),
            ("DELETE", f"/v2/snapshots/{snapshot}", None),
            ("GET", f"/v2/regions{page}", None),
        )
        self.token = pick(*[world.token] * 9, "wrong")
        response = self.ask(method, target, body)
        if response.status == 202:
            started = response.json()["action"]["id"]
            self.token = world.token
            self.ask("GET", f"/v2/volumes/{volume}/actions/{started}")
        self.now += pick(0.0, 1.0, 30.0)


@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_long_walk_keeps_the_contract(contract: Any, seed: int, nulls: bool) -> None:
    walker = Walker(contract, seed, nulls=nulls, snapshot_cooldown_s=60, limits="6/60,250/3600")
    for _ in range(1200):
        walker.step()
    assert walker.world.refused["burst"]
    assert walker.world.refused["hourly"]


def test_the_walk_met_every_operation(contract: Any) -> None:
    walker = Walker(contract, 11, limits="100000/60,1000000/3600")
    for _ in range(2500):
        walker.step()
    seen = {operation for operation, _, status in contract.seen if status < "300"}
    assert seen == contract.operations()
    statuses = {status for _, _, status in contract.seen}
    assert {"200", "201", "202", "204", "400", "401", "404", "409", "422", "429"} <= statuses


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"region": "nyc3"}, "nyc3"),
        ({"size_gigabytes": "10"}, "10"),
        ({"droplet_ids": [1, "2"]}, "2"),
        ({"name": None}, "None"),
    ],
)
def test_the_contract_would_notice(contract: Any, change: dict[str, Any], says: str) -> None:
    world = World(volumes=1)
    headers = {"authorization": f"Bearer {world.token}"}
    answer = world.handle(SimRequest("GET", "/v2/volumes", headers), world.now)
    body = answer.json()
    body["volumes"][0].update(change)
    with pytest.raises(ValidationError, match=says):
        contract.check("GET", "/v2/volumes", 200, answer.headers, body)
