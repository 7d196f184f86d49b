"""What clients that were not written here send and expect; the sources stand in the simulator."""

from __future__ import annotations

from typing import Any

import pytest

from do_blockstore_async.simulator._errors import OTHER_MESSAGES, is_error
from do_blockstore_async.simulator.world import World
from tests.pure.test_world import NEW, Caller
from tests.support.droplet_schema import DROPLET


@pytest.fixture
def ask() -> Caller:
    return Caller(droplets={7: "nyc3", 8: "nyc3", 9: "ams3"})


def test_one_trailing_slash_is_as_none(ask: Caller) -> None:
    volume = ask("POST", "/v2/volumes/", NEW).json()["volume"]
    here = f"/v2/volumes/{volume['id']}"
    assert ask("GET", f"{here}/").json() == {"volume": volume}
    assert ask("GET", "/v2/volumes/?name=db-1").json()["volumes"] == [volume]
    assert ask("POST", f"{here}/actions/", {"type": "attach", "droplet_id": 7}).status == 202
    assert ask.refused("GET", f"{here}//")[0] in (404, 501)
    assert ask.world.requests[0].path == "/v2/volumes"


def test_a_droplets_number_may_stand_in_a_text(ask: Caller) -> None:
    volume = ask.world.add_volume("db")
    here = f"/v2/volumes/{volume.id}/actions"
    for wrong in ("", "seven", "7.0", "-7", "\u0667", "9" * 30, 7.0, True, [7]):
        assert ask.refused("POST", here, {"type": "attach", "droplet_id": wrong})[0] == 400
    assert ask("POST", here, {"type": "attach", "droplet_id": "7"}).status == 202


def test_a_volume_from_a_snapshot_takes_its_region_too(ask: Caller) -> None:
    volume = ask.world.add_volume("db", region="ams3", size_gigabytes=50)
    snapshot = ask.world.add_snapshot(volume, age_s=3600)
    body = {"name": "restored", "snapshot_id": snapshot.id, "region": None, "size_gigabytes": None}
    made = ask("POST", "/v2/volumes", body).json()["volume"]
    assert (made["region"]["slug"], made["size_gigabytes"]) == ("ams3", 50)
    assert ask.refused("POST", "/v2/volumes", {"name": "x", "size_gigabytes": 1})[0] == 422


def test_a_detach_without_a_droplet_finds_no_attachment(ask: Caller) -> None:
    volume = ask.world.add_volume("db", droplet_id=7)
    here = f"/v2/volumes/{volume.id}/actions"
    assert ask.refused("POST", here, {"type": "detach"}) == (422, "Attachment not found")
    assert ask.refused("POST", here, {"type": "attach"})[0] == 422


def test_snapshots_are_filtered_by_region(ask: Caller) -> None:
    for region in ("nyc3", "ams3", "nyc3"):
        volume = ask.world.add_volume(region=region)
        ask.world.add_snapshot(volume, age_s=3600)
    listing = "/v2/snapshots?resource_type=volume&region="
    assert ask("GET", listing + "nyc3").json()["meta"]["total"] == 2
    only = ask("GET", listing + "ams3").json()["snapshots"]
    assert [snapshot["regions"] for snapshot in only] == [["ams3"]]
    assert ask("GET", listing + "mars1").json()["snapshots"] == []
    assert ask("GET", listing).json()["meta"]["total"] == 3
    ask("DELETE", f"/v2/snapshots/{only[0]['id']}")
    assert ask("GET", listing + "ams3").json()["meta"]["total"] == 0


def test_tags_on_attach_tag_the_volume(ask: Caller) -> None:
    ask.world.add_volume("first", tags=["KEEP"])
    volume = ask.world.add_volume("db", tags=["prod"])
    body = {"type": "attach", "droplet_id": 7, "tags": ["keep", "new"]}
    here = f"/v2/volumes/{volume.id}/actions"
    assert ask.refused("POST", here, {**body, "tags": ["no spaces"]})[0] == 422
    assert ask("POST", here, body).status == 202
    # Tags ignore case and keep their first spelling.
    assert volume.tags == ("prod", "KEEP", "new")
    assert ask("GET", "/v2/tags/new").json()["tag"]["resources"]["volumes"]["count"] == 1


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v2/volumes", "DELETE, GET, POST"),
        ("PATCH", "/v2/volumes/00", "DELETE, GET"),
        ("DELETE", "/v2/volumes/actions", "POST"),
        ("POST", "/v2/regions/", "GET"),
    ],
)
def test_405_says_what_is_allowed(ask: Caller, method: str, path: str, allowed: str) -> None:
    response = ask(method, path)
    assert (response.status, response.headers["allow"]) == (405, allowed)


def test_a_resize_over_capacity_speaks_of_resizing() -> None:
    ask = Caller(capacity_gigabytes=25)
    volume = ask.world.add_volume("db", size_gigabytes=20)
    body = {"type": "resize", "size_gigabytes": 26}
    message = "error resizing volume: volume/snapshot capacity limit exceeded"
    here = f"/v2/volumes/{volume.id}/actions"
    assert ask.refused("POST", here, body) == (403, message)
    ask.world.capacity_status = 429
    assert ask.refused("POST", here, body) == (429, message)
    assert ask.world.refused == {"capacity": 1}
    assert ask("POST", here, {**body, "size_gigabytes": 25}).status == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/domains"),
        ("DELETE", "/v2/droplets/7"),
        ("DELETE", "/v2/droplets/abc"),
        ("GET", "/v2/droplets/autoscale"),
        ("POST", "/v2/droplets/autoscale"),
        ("POST", "/v2/droplets/actions"),
        ("POST", "/v2/droplets"),
        ("GET", "/v2/droplets/7/actions"),
        ("GET", "/v2/volumes/00/nothing"),
        ("GET", "/v1/volumes"),
    ],
)
def test_what_is_not_known_is_never_a_404(ask: Caller, method: str, path: str) -> None:
    response = ask(method, path)
    body = response.json()
    assert (response.status, body["id"]) == (501, "not_implemented")
    assert body["message"].startswith("the simulator does not know this request")
    assert f"{method} {path}" in body["message"]
    # Who is not known learns nothing.
    assert ask(method, path, authorization="Bearer x").status == 401


def test_tags_on_what_is_not_simulated_are_not_known(ask: Caller) -> None:
    ask("POST", "/v2/tags", {"name": "prod"})
    body = {"resources": [{"resource_id": "5", "resource_type": "image"}]}
    assert ask.refused("POST", "/v2/tags/prod/resources", body)[0] == 501


def test_the_account_has_a_volume_limit() -> None:
    ask = Caller(max_volumes=3)
    account = ask("GET", "/v2/account").json()["account"]
    assert account["volume_limit"] == 3
    assert account["status"] == "active"
    # "administrative accounts": no limit.
    assert Caller()("GET", "/v2/account").json()["account"]["volume_limit"] == 0
    ask.token = ask.world.add_token(scopes=["block_storage:read"])
    assert ask.refused("GET", "/v2/account")[0] == 403


def test_droplets_are_as_full_as_clients_parse_them(ask: Caller) -> None:
    volume = ask.world.add_volume("db", droplet_id=7)
    droplet = ask("GET", "/v2/droplets/7").json()["droplet"]
    DROPLET.validate(droplet)
    assert droplet["volume_ids"] == [volume.id]
    assert droplet["region"]["slug"] == "nyc3"
    assert {"public", "private"} == {network["type"] for network in droplet["networks"]["v4"]}
    assert ask("GET", "/v2/droplets").json()["droplets"][0] == droplet
    for number in ("99", "9" * 19, "9" * 20, "9" * 5000):
        assert ask.refused("GET", f"/v2/droplets/{number}")[0] == 404
        assert ask.refused("GET", f"/v2/actions/{number}")[0] == 404


def test_droplets_are_found_by_name_and_tag(ask: Caller) -> None:
    ask.world.add_droplet(11, name="node-1", region="nyc3", tags=["k8s"])
    assert [d["id"] for d in ask("GET", "/v2/droplets?name=node-1").json()["droplets"]] == [11]
    assert [d["id"] for d in ask("GET", "/v2/droplets?tag_name=K8S").json()["droplets"]] == [11]
    assert ask("GET", "/v2/droplets?tag_name=none").json()["meta"]["total"] == 0
    assert ask("GET", "/v2/droplets?type=gpus").json()["meta"]["total"] == 0
    body = {"resources": [{"resource_id": "7", "resource_type": "droplet"}]}
    assert ask("POST", "/v2/tags/k8s/resources", body).status == 204
    assert ask("GET", "/v2/tags/k8s").json()["tag"]["resources"]["droplets"]["count"] == 2
    assert ask("DELETE", "/v2/tags/k8s").status == 204
    assert ask.world.droplets[7].tags == ()


def test_a_droplet_that_goes_leaves_its_volumes(ask: Caller) -> None:
    volume = ask.world.add_volume("db", droplet_id=7)
    ask.world.remove_droplet(7)
    assert (volume.droplet_ids, 7 in ask.world.droplets) == ((), False)
    assert ask("DELETE", f"/v2/volumes/{volume.id}").status == 204


def test_errors_can_have_the_other_texts_that_were_seen() -> None:
    assert all(is_error(name) for name in OTHER_MESSAGES)
    ask = Caller(
        droplets=[7],
        limits="2/60,5/3600",
        messages={name: texts[-1] for name, texts in OTHER_MESSAGES.items()},
        max_volumes_of_droplet=7,
    )
    for _ in range(7):
        volume = ask.world.add_volume(droplet_id=7)
    deleted = (409, "A volume that's attached to a Droplet cannot be deleted.")
    assert ask.refused("DELETE", f"/v2/volumes/{volume.id}") == deleted
    here = f"/v2/volumes/{ask.world.add_volume().id}/actions"
    full = (422, "cannot attach more than 7 volumes to a single Droplet")
    assert ask.refused("POST", here, {"type": "attach", "droplet_id": 7}) == full
    assert ask.refused("GET", "/v2/volumes") == (429, "Too many requests")
    with pytest.raises(ValueError, match="no such error"):
        World(messages={"nonsense": "x"})


def test_bodies_are_kept_for_tests(ask: Caller) -> None:
    ask("POST", "/v2/volumes", NEW)
    assert b'"db-1"' in ask.world.requests[-1].body


def test_the_texts_are_those_that_clients_look_for(ask: Caller) -> None:
    """The vendor's CSI driver tells refusals apart by parts of their texts."""
    looked_for: dict[str, dict[str, Any]] = {
        "This volume is already attached": {"type": "attach", "droplet_id": 8},
        "Attachment not found": {"type": "detach", "droplet_id": 8},
    }
    volume = ask.world.add_volume("db", droplet_id=7)
    for text, body in looked_for.items():
        status, message = ask.refused("POST", f"/v2/volumes/{volume.id}/actions", body)
        assert status == 422
        assert text in message
