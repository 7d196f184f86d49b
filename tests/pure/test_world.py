"""The simulated account answers as the API was seen to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from do_blockstore_async.simulator._errors import is_guess
from do_blockstore_async.simulator._messages import SimRequest, SimResponse
from do_blockstore_async.simulator.world import World

NOW = 1_767_225_600.0
ATTACHED = (409, "failed to delete volume: attached volume cannot be deleted")


class Caller:
    """Asks a world, at times that the test moves."""

    def __init__(self, **options: Any) -> None:
        self.world = World(**{"limits": "none", **options})
        self.now = self.world.now
        self.token = self.world.token

    def __call__(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        **headers: str,
    ) -> SimResponse:
        sent = {"authorization": f"Bearer {self.token}"}
        if body is not None or raw is not None:
            sent["content-type"] = "application/json"
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        return self.world.handle(SimRequest(method, target, sent, data), self.now)

    def refused(self, method: str, target: str, body: Any = None, **more: Any) -> tuple[int, str]:
        before = (dict(self.world.volumes), dict(self.world.snapshots), dict(self.world.actions))
        response = self(method, target, body, **more)
        assert response.status >= 400
        assert before == (
            dict(self.world.volumes),
            dict(self.world.snapshots),
            dict(self.world.actions),
        ), "invariant 1: a refusal changes nothing"
        answer = response.json()
        assert answer["request_id"] == response.headers["x-request-id"]
        return response.status, answer["message"]


@pytest.fixture
def ask() -> Caller:
    return Caller(droplets={7: "nyc3", 8: "nyc3", 9: "ams3"})


NEW = {"name": "db-1", "region": "nyc3", "size_gigabytes": 10}


def test_a_volume_is_created_read_listed_and_deleted(ask: Caller) -> None:
    created = ask(
        "POST",
        "/v2/volumes",
        {**NEW, "filesystem_type": "ext4", "filesystem_label": "a" * 16, "tags": ["prod", "prod"]},
    )
    assert created.status == 201
    volume = created.json()["volume"]
    assert volume["region"]["slug"] == "nyc3"
    assert volume["tags"] == ["prod"]
    assert volume["created_at"] == "2026-01-01T00:00:00Z"
    assert ask("GET", f"/v2/volumes/{volume['id']}").json() == {"volume": volume}
    assert ask("GET", "/v2/volumes").json() == {
        "volumes": [volume],
        "links": {},
        "meta": {"total": 1},
    }
    deleted = ask("DELETE", f"/v2/volumes/{volume['id']}")
    assert (deleted.status, deleted.body) == (204, b"")
    assert "content-type" not in deleted.headers
    assert ask.refused("GET", f"/v2/volumes/{volume['id']}")[0] == 404


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"name": "Db"}, 422, "failed to create volume: invalid volume name. "),
        ({"name": "1db"}, 422, "failed to create volume: invalid volume name. "),
        ({"name": "d" * 65}, 422, "failed to create volume: invalid volume name. "),
        ({"name": None}, 422, "failed to create volume: invalid volume name. "),
        ({"name": 5}, 400, "error parsing request body"),
        ({"size_gigabytes": 0}, 422, "failed to create volume: invalid size specified"),
        ({"size_gigabytes": 16385}, 422, "failed to create volume: invalid size specified"),
        ({"size_gigabytes": None}, 422, "failed to create volume: invalid size specified"),
        ({"size_gigabytes": "10"}, 400, "error parsing request body"),
        ({"size_gigabytes": True}, 400, "error parsing request body"),
        ({"region": "ams1"}, 422, "Storage is not supported for this region"),
        ({"region": "mars1"}, 422, "invalid region"),
        ({"filesystem_type": "zfs"}, 422, "invalid filesystem type"),
        ({"filesystem_label": "a"}, 422, "invalid filesystem label"),
        ({"filesystem_type": "ext4", "filesystem_label": "a" * 17}, 422, "invalid filesystem"),
        ({"filesystem_type": "xfs", "filesystem_label": "a" * 13}, 422, "invalid filesystem"),
        ({"tags": ["no spaces"]}, 422, "invalid tag"),
        ({"tags": "prod"}, 400, "error parsing request body"),
        ({"snapshot_id": "00000000-0000-0000-0000-000000000000"}, 404, "The resource you were"),
    ],
)
def test_bad_volumes_are_refused(
    ask: Caller, changes: dict[str, Any], status: int, message: str
) -> None:
    answer = ask.refused("POST", "/v2/volumes", {**NEW, **changes})
    assert answer[0] == status
    assert answer[1].startswith(message)


def test_a_name_is_unique_in_its_region_only(ask: Caller) -> None:
    assert ask("POST", "/v2/volumes", NEW).status == 201
    assert ask.refused("POST", "/v2/volumes", NEW) == (409, "already exists")
    assert ask("POST", "/v2/volumes", {**NEW, "region": "ams3"}).status == 201
    assert ask("GET", "/v2/volumes?name=db-1").json()["meta"]["total"] == 2
    only = ask("GET", "/v2/volumes?name=db-1&region=ams3").json()["volumes"]
    assert [volume["region"]["slug"] for volume in only] == ["ams3"]
    assert ask.refused("DELETE", "/v2/volumes?name=db-1")[0] == 422
    assert ask.refused("DELETE", "/v2/volumes?name=db-2&region=nyc3")[0] == 404
    assert ask.refused("DELETE", "/v2/volumes?region=nyc3")[0] == 422
    assert ask("DELETE", "/v2/volumes?name=db-1&region=nyc3").status == 204
    assert ask("DELETE", "/v2/volumes?name=db-1").status == 204


@pytest.mark.parametrize(
    ("raw", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"null", {}, 400),
        (b"\xff", {}, 400),
        (b"[" * 5000, {}, 400),
        (b"name=db", {"content_type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_bad_bodies_are_refused(
    ask: Caller, raw: bytes, headers: dict[str, str], status: int
) -> None:
    assert ask.refused("POST", "/v2/volumes", raw=raw, **headers)[0] == status


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 501),
        ("GET", "/v2/volumes//", 501),
        ("GET", "/v2/volumes/../droplets", 501),
        ("GET", "/v2/volumes/%2e%2e", 404),
        ("GET", "/v2/volumes/xyz", 404),
        ("GET", "/v2/volumes/1/actions/x", 404),
        ("PUT", "/v2/volumes", 405),
        ("HEAD", "/v2/volumes", 405),
        ("DELETE", "/v2/volumes/actions", 405),
        ("GET", "/v2/volumes?page=0", 400),
        ("GET", "/v2/volumes?per_page=-1", 400),
        ("GET", "/v2/volumes?page=" + "9" * 50, 400),
    ],
)
def test_bad_requests_are_refused(ask: Caller, method: str, target: str, status: int) -> None:
    assert ask.refused(method, target)[0] == status


def test_pages_have_links_and_are_clamped() -> None:
    ask = Caller(volumes=450, link_base="https://api.example.test")
    assert len(ask("GET", "/v2/volumes").json()["volumes"]) == 20
    page = ask("GET", "/v2/volumes?per_page=1000&page=2").json()
    assert len(page["volumes"]) == 200
    base = "https://api.example.test/v2/volumes?"
    assert page["links"]["pages"] == {
        "first": base + "page=1&per_page=200",
        "prev": base + "page=1&per_page=200",
        "next": base + "page=3&per_page=200",
        "last": base + "page=3&per_page=200",
    }
    assert "next" not in ask("GET", "/v2/volumes?per_page=200&page=3").json()["links"]["pages"]
    past = ask("GET", "/v2/volumes?per_page=200&page=99999999999999999")
    assert (past.status, past.json()["volumes"]) == (200, [])
    assert past.json()["meta"] == {"total": 450}
    kept = ask("GET", "/v2/volumes?region=nyc3&per_page=5").json()["links"]["pages"]["next"]
    assert kept == base + "region=nyc3&page=2&per_page=5"


def test_attaching_takes_time_and_holds_the_volume(ask: Caller) -> None:
    volume = ask.world.add_volume("db", region="nyc3")
    here = f"/v2/volumes/{volume.id}"
    attach = {"type": "attach", "droplet_id": 7, "region": "nyc3"}
    posted = ask("POST", f"{here}/actions", attach)
    assert posted.status == 202
    action = posted.json()["action"]
    assert (action["status"], action["type"]) == ("in-progress", "attach_volume")
    assert (action["resource_type"], action["completed_at"]) == ("backend", None)
    assert ask.refused("DELETE", here) == ATTACHED
    busy = (422, "Droplet already has a pending event.")
    assert ask.refused("POST", f"{here}/actions", attach) == busy
    ask.now += 2.9
    assert ask("GET", f"{here}/actions/{action['id']}").json()["action"]["status"] == "in-progress"
    ask.now += 2.2
    done = ask("GET", f"/v2/actions/{action['id']}").json()["action"]
    assert done["status"] == "completed"
    assert ask("GET", f"{here}/actions").json()["actions"] == [done]
    assert ask("GET", here).json()["volume"]["droplet_ids"] == [7]
    assert ask.world.droplets[7].volume_ids == [volume.id]
    assert ask.refused("DELETE", here) == ATTACHED
    again = (422, "This volume is already attached")
    assert ask.refused("POST", f"{here}/actions", {**attach, "droplet_id": 8}) == again
    detach = {"type": "detach", "droplet_id": 8}
    assert ask.refused("POST", f"{here}/actions", detach) == (422, "Attachment not found")
    assert ask("POST", f"{here}/actions", {**detach, "droplet_id": 7}).status == 202
    assert ask.refused("DELETE", here) == ATTACHED
    ask.now += 5
    assert ask("DELETE", here).status == 204
    assert ask.world.droplets[7].volume_ids == []


def test_actions_by_name_and_their_refusals(ask: Caller) -> None:
    volume = ask.world.add_volume("db", region="nyc3")
    here = f"/v2/volumes/{volume.id}/actions"
    by_name = {"type": "attach", "volume_name": "db", "region": "nyc3", "droplet_id": 7}
    for changes, status in (
        ({"type": "resize", "size_gigabytes": 20}, 422),
        ({"type": None}, 422),
        ({"droplet_id": None}, 422),
        ({"droplet_id": "seven"}, 400),
        ({"droplet_id": 99}, 404),
        ({"droplet_id": 9}, 422),
        ({"region": "ams3"}, 404),
        ({"volume_name": "dc"}, 404),
    ):
        assert ask.refused("POST", "/v2/volumes/actions", {**by_name, **changes})[0] == status
    wrong = {"type": "attach", "droplet_id": 7, "region": "ams3"}
    assert ask.refused("POST", here, wrong)[0] == 422
    assert ask("POST", "/v2/volumes/actions", by_name).status == 202
    ask.world.finish_actions()
    assert volume.droplet_ids == (7,)


def test_a_droplet_takes_fifteen_volumes(ask: Caller) -> None:
    for _ in range(15):
        ask.world.add_volume(droplet_id=7)
    one_more = ask.world.add_volume("more")
    body = {"type": "attach", "droplet_id": 7}
    refusal = ask.refused("POST", f"/v2/volumes/{one_more.id}/actions", body)
    assert refusal == (422, "cannot attach more volumes to the Droplet")


def test_resizing_goes_upwards_only(ask: Caller) -> None:
    volume = ask.world.add_volume("db", size_gigabytes=10)
    here = f"/v2/volumes/{volume.id}/actions"
    for size in (9, 10, 0, 16_385, None):
        body = {"type": "resize", "size_gigabytes": size}
        assert ask.refused("POST", here, body)[0] == 422
    assert ask("POST", here, {"type": "resize", "size_gigabytes": 11}).status == 202
    assert ask.refused("DELETE", f"/v2/volumes/{volume.id}")[0] == 409
    ask.now += 5
    assert ask("GET", f"/v2/volumes/{volume.id}").json()["volume"]["size_gigabytes"] == 11


def test_actions_can_fail_and_lag() -> None:
    ask = Caller(droplets=[7], action_lag_s=1.0)
    volume = ask.world.add_volume("db")
    ask.world.fail_actions = 1
    here = f"/v2/volumes/{volume.id}/actions"
    action = ask("POST", here, {"type": "attach", "droplet_id": 7}).json()["action"]
    assert ask.refused("GET", f"{here}/{action['id']}") == (
        404,
        "could not get volume action: no volume event found",
    )
    assert ask("GET", here).json()["actions"] == []
    ask.now += 1
    assert ask("GET", f"{here}/{action['id']}").status == 200
    ask.now += 4
    assert ask("GET", f"{here}/{action['id']}").json()["action"]["status"] == "errored"
    assert volume.droplet_ids == ()
    assert ask("DELETE", f"/v2/volumes/{volume.id}").status == 204


def test_snapshots_have_a_cooldown_and_a_limit(ask: Caller) -> None:
    volume = ask.world.add_volume("db", size_gigabytes=10)
    here = f"/v2/volumes/{volume.id}/snapshots"
    first = ask("POST", here, {"name": "one", "tags": ["nightly"]}).json()["snapshot"]
    assert (first["size_gigabytes"], first["min_disk_size"]) == (0, 10)
    assert (first["resource_id"], first["resource_type"]) == (volume.id, "volume")
    assert first["regions"] == ["nyc3"]
    ask.now += 599
    cooldown = (
        429,
        "failed to create snapshot: this operation is rate-limited - one request per 10m0s",
    )
    assert ask.refused("POST", here, {"name": "two"}) == cooldown
    assert ask.world.refused == {"snapshot_cooldown": 1}
    ask.now += 1
    assert ask("POST", here, {"name": "two"}).status == 201
    assert ask.refused("POST", here, {"name": "two"})[0] == 409
    assert ask.refused("POST", here, {})[0] == 422
    ask.world.snapshot_cooldown_s = 0
    for number in range(23):
        assert ask("POST", here, {"name": f"n{number}"}).status == 201
    assert ask.refused("POST", here, {"name": "26th"})[0] == 422
    ask.world.max_snapshots = None
    assert ask("POST", here, {"name": "26th"}).status == 201
    assert ask("GET", here).json()["meta"]["total"] == 26
    for form in ("/v2/snapshots/", "/v2/volumes/snapshots/"):
        assert ask("GET", form + first["id"]).json() == {"snapshot": first}
    assert ask("DELETE", "/v2/snapshots/" + first["id"]).status == 204
    assert ask.refused("DELETE", "/v2/volumes/snapshots/" + first["id"])[0] == 404
    assert ask("DELETE", f"/v2/volumes/{volume.id}").status == 204
    listing = "/v2/snapshots?resource_type="
    assert ask("GET", listing + "volume").json()["meta"]["total"] == 25
    assert ask("GET", listing + "droplet").json()["meta"]["total"] == 0


def test_a_volume_from_a_snapshot_takes_its_size(ask: Caller) -> None:
    volume = ask.world.add_volume("db", size_gigabytes=50, used_gigabytes=3.5)
    snapshot = ask.world.add_snapshot(volume, age_s=3600)
    body = {**NEW, "snapshot_id": snapshot.id}
    assert ask.refused("POST", "/v2/volumes", {**body, "region": "ams3"})[0] == 422
    assert ask("POST", "/v2/volumes", body).json()["volume"]["size_gigabytes"] == 50


def test_capacity_is_refused_with_either_status() -> None:
    ask = Caller(capacity_gigabytes=25)
    assert ask("POST", "/v2/volumes", NEW).status == 201
    assert ask("POST", "/v2/volumes", {**NEW, "name": "db-2"}).status == 201
    message = "failed to create volume: volume/snapshot capacity limit exceeded"
    assert ask.refused("POST", "/v2/volumes", {**NEW, "name": "db-3"}) == (403, message)
    ask.world.capacity_status = 429
    assert ask.refused("POST", "/v2/volumes", {**NEW, "name": "db-3"}) == (429, message)
    assert ask.world.refused == {"capacity": 1}
    ask.world.capacity_gigabytes, ask.world.max_volumes = None, 2
    assert ask.refused("POST", "/v2/volumes", {**NEW, "name": "db-3"})[0] == 429


def test_many_resources_are_tagged_at_once(ask: Caller) -> None:
    volume = ask.world.add_volume("db")
    snapshot = ask.world.add_snapshot(volume)
    resources = [
        {"resource_id": volume.id, "resource_type": "volume"},
        {"resource_id": snapshot.id, "resource_type": "volume_snapshot"},
    ]
    here = "/v2/tags/orphan:2026/resources"
    assert ask.refused("POST", here, {"resources": resources})[0] == 404
    assert ask("POST", "/v2/tags", {"name": "orphan:2026"}).status == 201
    unknown = [*resources, {"resource_id": "00", "resource_type": "volume"}]
    assert ask.refused("POST", here, {"resources": unknown})[0] == 404
    assert volume.tags == ()
    wrong = [{"resource_id": "00", "resource_type": "planet"}]
    assert ask.refused("POST", here, {"resources": wrong})[0] == 422
    assert ask.refused("POST", here, {"resources": "all"})[0] == 400
    assert ask("POST", here, {"resources": resources}).status == 204
    assert volume.tags == snapshot.tags == ("orphan:2026",)
    assert ask("GET", f"/v2/volumes/{volume.id}").json()["volume"]["tags"] == ["orphan:2026"]
    tag = ask("GET", "/v2/tags/orphan:2026").json()["tag"]
    assert tag["resources"]["count"] == 2
    assert ask("GET", "/v2/tags").json()["tags"] == [tag]
    assert ask("DELETE", here, {"resources": resources[:1]}).status == 204
    assert (volume.tags, snapshot.tags) == ((), ("orphan:2026",))
    assert ask("DELETE", "/v2/tags/orphan:2026").status == 204
    assert snapshot.tags == ()


def test_tokens_have_scopes(ask: Caller) -> None:
    assert ask("GET", "/v2/volumes", authorization="Bearer nonsense").status == 401
    assert ask("GET", "/v2/volumes", authorization=f"Basic {ask.token}").status == 401
    ask.token = ask.world.add_token(scopes=["block_storage:read", "block_storage:create"])
    assert ask("GET", "/v2/volumes").status == 200
    assert ask("POST", "/v2/volumes", NEW).status == 201
    assert ask.refused("GET", "/v2/regions")[0] == 403
    assert ask.refused("DELETE", "/v2/volumes?name=db-1")[0] == 403
    tagged = {**NEW, "name": "db-2", "tags": ["prod"]}
    assert ask.refused("POST", "/v2/volumes", tagged)[0] == 403
    ask.token = ask.world.add_token(scopes=["api:read"])
    assert ask("GET", "/v2/snapshots").status == 200
    assert ask.refused("POST", "/v2/volumes", tagged)[0] == 403
    ask.token = ask.world.add_token(scopes=["api:write"], name="writer")
    assert ask("POST", "/v2/volumes", tagged).status == 201
    assert ask.world.requests[-1].token == "writer"
    ask.world.revoke_token(ask.token)
    assert ask("GET", "/v2/volumes").status == 401


def test_no_token_shows(ask: Caller) -> None:
    ask("GET", "/v2/volumes?name=x")
    for text in (repr(ask.world), repr(ask.world.requests), repr(ask.world.options)):
        assert ask.token not in text
    given = World(token="dop_v1_secret")
    assert "secret" not in repr(given.options)


def test_a_routes_own_limit_can_be_scripted() -> None:
    ask = Caller(limits="250/60,5000/3600")
    ask.world.limit_route("POST", "/v2/volumes*", times=2, retry_after_s=7)
    for _ in range(2):
        response = ask("POST", "/v2/volumes", NEW)
        assert (response.status, response.headers["retry-after"]) == (429, "7")
        assert int(response.headers["ratelimit-remaining"]) > 4990
    assert ask("POST", "/v2/volumes", NEW).status == 201
    assert ask.world.refused == {"route": 2}


def test_budget_headers_and_both_kinds_of_429() -> None:
    ask = Caller(limits="3/60,5/3600")
    ask.now = NOW + 0.7
    first = ask("GET", "/v2/volumes")
    assert first.headers["ratelimit-limit"] == "5"
    assert first.headers["ratelimit-remaining"] == "4"
    assert first.headers["ratelimit-reset"] == str(int(NOW) + 3600)
    assert first.headers["date"] == "Thu, 01 Jan 2026 00:00:00 GMT"
    ask("GET", "/v2/volumes")
    assert ask.refused("GET", "/v2/volumes/xyz")[0] == 404
    burst = ask("GET", "/v2/volumes")
    assert (burst.status, burst.headers["ratelimit-remaining"]) == (429, "0")
    assert burst.headers["retry-after"] == "60"
    ask.now += 60
    assert ask("GET", "/v2/volumes").status == ask("GET", "/v2/volumes").status == 200
    hourly = ask("GET", "/v2/volumes")
    assert (hourly.status, hourly.headers["ratelimit-remaining"]) == (429, "0")
    assert "retry-after" not in hourly.headers
    assert ask.world.refused == {"burst": 1, "hourly": 1}
    assert "ratelimit-limit" not in Caller()("GET", "/v2/volumes").headers


def test_each_token_has_its_own_budget() -> None:
    ask = Caller(limits="1/60,5/3600")
    assert ask("GET", "/v2/volumes").status == 200
    assert ask("GET", "/v2/volumes").status == 429
    ask.token = ask.world.add_token()
    assert ask("GET", "/v2/volumes").status == 200


def test_the_same_seed_makes_the_same_world() -> None:
    def run(seed: int) -> list[bytes]:
        ask = Caller(volumes=60, seed=seed)
        ids = list(ask.world.volumes)
        answers = [
            ask("GET", "/v2/volumes?per_page=200").body,
            ask("POST", "/v2/volumes", NEW).body,
        ]
        body = {"type": "resize", "size_gigabytes": 16_000}
        return [*answers, ask("POST", f"/v2/volumes/{ids[5]}/actions", body).body]

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_a_seeded_fleet_is_mixed_and_spread() -> None:
    world = World(volumes=120, seed=7)
    regions = [volume.region for volume in world.volumes.values()]
    assert {regions.count(region) for region in regions} == {10}
    attached = [volume for volume in world.volumes.values() if volume.droplet_ids]
    assert 3 <= len(attached) <= 20
    for volume in attached:
        assert world.droplets[volume.droplet_ids[0]].region == volume.region
    per_volume = [len(of) for of in world.state.snapshots_of.values()]
    assert {1, 2, 3, 4} == set(per_volume)
    assert len(World(volumes=50, snapshots=320, seed=7).snapshots) == 320
    created = [snapshot.created_s for snapshot in world.snapshots.values()]
    assert max(created) < world.now - 3600


def test_reset_goes_back_to_the_beginning() -> None:
    ask = Caller(volumes=12, seed=3, limits="5/60,9/3600", droplets=iter([1, "2:nyc3"]))
    before = ask("GET", "/v2/volumes?per_page=200").body
    extra = ask.world.add_token()
    ask.world.add_volume("more")
    ask.world.nulls = True
    for _ in range(9):
        ask("GET", "/v2/volumes")
    ask.now += 10_000
    ask.world.tick(ask.now)
    ask.world.reset(NOW)
    ask.now = NOW
    assert (ask.world.requests, ask.world.refused, ask.world.handled) == ([], {}, 0)
    assert ask("GET", "/v2/volumes?per_page=200").body == before
    assert sorted(ask.world.droplets) == [1, 2]
    ask.token = extra
    assert ask("GET", "/v2/volumes").status == 401


def test_empty_lists_can_be_null() -> None:
    ask = Caller(nulls=True)
    volume = ask("POST", "/v2/volumes", NEW).json()["volume"]
    assert (volume["tags"], volume["droplet_ids"]) == (None, None)


def test_what_tests_change_shows_at_once(ask: Caller) -> None:
    volume = ask.world.add_volume("Old_name.1", tags=["a"])
    ask("GET", f"/v2/volumes/{volume.id}")
    volume.description = "changed"
    shown = ask("GET", f"/v2/volumes/{volume.id}").json()["volume"]
    assert (shown["name"], shown["description"]) == ("Old_name.1", "changed")
    with pytest.raises(AttributeError, match="cannot be changed"):
        volume.name = "other"
    with pytest.raises(ValueError, match="taken"):
        ask.world.add_volume("Old_name.1")
    ask.world.remove_volume(volume)
    assert not ask.world.volumes


def test_the_log_names_what_was_asked(ask: Caller) -> None:
    ask("GET", "/v2/volumes?region=nyc3")
    record = ask.world.requests[-1]
    assert tuple(record) == (NOW, "GET", "/v2/volumes?region=nyc3", 200, "default", None, b"")
    assert record.path == "/v2/volumes"


@pytest.mark.parametrize(
    "options",
    [
        {"limits": "250"},
        {"limits": "0/60"},
        {"limits": "5000/3600,250/60"},
        {"limits": "1/inf"},
        {"limits": ""},
        {"minute_model": "hour"},
        {"other_clients_per_s": -1.0},
        {"droplets": ["x"]},
        {"droplets": {1: "mars1"}},
        {"volumes": -1},
        {"capacity_status": 418},
    ],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        World(**options)


def test_guesses_are_marked() -> None:
    assert is_guess("scope")
    assert not is_guess("attached")
