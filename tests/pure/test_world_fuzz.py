"""Five thousand odd requests that reach the routes: none is a 500, and the state stays whole."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest

from do_blockstore_async._clock import seeded
from do_blockstore_async.simulator._messages import ApiError, SimRequest
from do_blockstore_async.simulator.api.routes import ROUTES, Route, find_route
from do_blockstore_async.simulator.world import World

REQUESTS = 5000
FIELDS = (
    *("name", "region", "size_gigabytes", "snapshot_id", "description", "filesystem_type"),
    *("filesystem_label", "tags", "type", "droplet_id", "volume_name", "resources"),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10, 16_384, 16_385, 2**63, 2**70, 1e308, -0.5, 1.0),
    *("", " ", "a", "db-1", "DB", "ä", "\x00", "\ud7ff", "nyc3", "ams1", "7", "7.0", "x" * 5000),
    *([], ["a"], ["a", "A", "b"], [1], [None], [[]], {}, {"a": 1}, {"resource_id": "x"}),
    *("attach", "detach", "resize", "ext4", "xfs", "keep"),
)
QUERY = ("page", "per_page", "name", "region", "resource_type", "tag_name", "type", "x")


class Fuzzer:
    def __init__(self, seed: int) -> None:
        self.random = seeded(f"fuzz {seed}")
        self.world = World(volumes=40, seed=seed, limits="none", droplets={7: "nyc3", 8: "ams3"})
        self.now = self.world.now

    def pick(self, *choices: Any) -> Any:
        return choices[self.random.randrange(len(choices))]

    def known(self) -> Any:
        world, pick = self.world, self.pick
        return pick(
            pick(*list(world.volumes)[-20:] or ["00"]),
            pick(*list(world.snapshots)[-20:] or ["00"]),
            pick(*list(world.actions)[-20:] or [1]),
            pick(*list(world.state.tagged) or ["none"]),
            pick(7, 8, 99),
        )

    def value(self) -> Any:
        if self.random.random() < 0.4:
            known = self.known()
            return self.pick(known, str(known))
        return self.pick(*ODD)

    def path(self, route: Route) -> str:
        world, pick = self.world, self.pick
        path = route.pattern
        places: dict[str, list[Any]] = {
            "{id}": [*list(world.volumes)[-20:], *list(world.snapshots)[-20:], "00", "-", "F" * 99],
            "{number}": [7, 8, 99, *list(world.actions)[-9:], 2**63, 2**70, "9" * 30, "9" * 5000],
            "{tag}": [*world.state.tagged, "none", "x" * 255],
        }
        for place, values in places.items():
            path = path.replace(place, str(pick(*values)))
        return path + str(pick("", "", "", "/"))

    def body(self) -> bytes:
        if self.random.random() < 0.1:
            return bytes(
                self.pick(b"", b"{", b"[]", b"null", b"\xff", b"1", b'{"a":1,"a":2}', b"[[[")
            )
        if self.random.random() < 0.5:
            body = {name: self.value() for name in FIELDS if self.random.random() < 0.5}
        else:
            # Nearly right: what is refused late has to be met too.
            body = {
                "name": f"name-{self.random.getrandbits(8)}",
                "region": self.pick("nyc3", "ams3", None),
                "size_gigabytes": self.pick(1, 10, 600),
                "type": self.pick("attach", "detach", "resize"),
                "droplet_id": self.pick(7, 8, "7"),
                "volume_name": self.pick(*[v.name for v in self.world.volumes.values()], "none"),
                **({self.pick(*FIELDS): self.value()} if self.random.random() < 0.5 else {}),
            }
        if self.random.random() < 0.3:
            body["resources"] = [
                {
                    "resource_id": self.pick(str(self.known()), self.value()),
                    "resource_type": self.pick("volume", "volume_snapshot", "droplet", "image", 3),
                }
                for _ in range(3)
            ]
        return json.dumps(body).encode()

    def request(self, route: Route) -> SimRequest:
        query = "&".join(
            f"{name}={quote(str(self.value())[:300])}"
            for name in QUERY
            if self.random.random() < 0.15
        )
        path = self.path(route)
        headers = {"authorization": f"Bearer {self.world.token}"}
        if self.random.random() < 0.9:
            headers["content-type"] = "application/json"
        body = self.body() if route.method != "GET" else b""
        return SimRequest(route.method, f"{path}?{query}" if query else path, headers, body)


def check_whole(world: World) -> None:
    state = world.state
    assert set(state.volumes) == {v.id for v in state.volumes_in_order}
    assert set(state.snapshots) == {s.id for s in state.snapshots_in_order}
    assert len(state.snapshots) == sum(len(index) for index in state.snapshots_in.values())
    attached = {v for droplet in state.droplets.values() for v in droplet.volume_ids}
    assert attached == {v.id for v in state.volumes.values() if v.droplet_ids}
    for tag, resources in state.tagged.items():
        for kind, identifier in resources:
            if kind == "volume":
                assert tag in state.volumes[identifier].tags


@pytest.mark.parametrize("seed", range(2))
def test_odd_requests_are_never_a_500(seed: int) -> None:
    fuzzer = Fuzzer(seed)
    reached: Counter[tuple[str, str]] = Counter()
    statuses: Counter[int] = Counter()
    for number in range(REQUESTS):
        route = ROUTES[number % len(ROUTES)]
        request = fuzzer.request(route)
        with suppress(ApiError):  # More digits than a number has are no route's.
            found, _ = find_route(request.method, request.path)
            reached[found.method, found.pattern] += 1
        response = fuzzer.world.handle(request, fuzzer.now)
        assert response.status in {200, 201, 202, 204, 400, 404, 409, 415, 422, 429, 501}
        if response.status == 501:
            assert "tags on image" in response.json()["message"]
        if response.body:
            assert response.json()
        statuses[response.status] += 1
        fuzzer.now += fuzzer.pick(0.0, 1.0, 30.0, 700.0)
        if number % 100 == 0:
            check_whole(fuzzer.world)
    check_whole(fuzzer.world)
    assert set(reached) == {(route.method, route.pattern) for route in ROUTES}
    assert statuses[201] > 5
    assert statuses[202] > 5
    assert sum(statuses[status] for status in (200, 201, 202, 204)) > REQUESTS / 5
