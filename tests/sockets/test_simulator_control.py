"""Beside the simulated API: administration, state files, records, scenarios, threads."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest

from do_blockstore_async.simulator import Simulator, parse_scenario
from do_blockstore_async.simulator._messages import SimRequest
from do_blockstore_async.simulator.control.admin import Administration
from do_blockstore_async.simulator.control.files import StateFile
from do_blockstore_async.simulator.control.openapi import admin_description
from do_blockstore_async.simulator.faults.rules import KINDS
from tests.support.openapi import Contract
from tests.support.web_services import until

NEW = {"name": "db", "region": "nyc3", "size_gigabytes": 10}


class Remote:
    """A test in another language: it has HTTP and nothing else."""

    def __init__(self, sim: Simulator, http: aiohttp.ClientSession, contract: Contract) -> None:
        self.sim, self.http, self.contract = sim, http, contract

    async def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.sim.token}"}
        async with self.http.request(method, path, json=body, headers=headers) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else await response.text()

    async def admin(self, method: str, name: str, body: Any = None, **headers: str) -> Any:
        path = f"/_simulator/{name}"
        async with self.http.request(method, path, json=body, headers=headers) as response:
            raw = await response.read()
            decoded = json.loads(raw) if raw else None
            self.contract.check(
                method,
                path.partition("?")[0],
                response.status,
                {"content-type": response.content_type},
                decoded,
            )
            return response.status, decoded


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    file = tmp_path_factory.mktemp("openapi") / "openapi.json"
    file.write_text(json.dumps(admin_description(KINDS)))
    return Contract(str(file))


@pytest.fixture
async def remote(contract: Contract) -> AsyncIterator[Remote]:
    async with (
        Simulator(volumes=5, limits="none", droplets={7: "nyc3"}) as sim,
        aiohttp.ClientSession(sim.url) as http,
    ):
        yield Remote(sim, http, contract)


async def test_the_state_is_read_and_put_back(remote: Remote) -> None:
    status, before = await remote.admin("GET", "state")
    assert (status, len(before["volumes"])) == (200, 5)
    assert (await remote.api("POST", "/v2/volumes", NEW))[0] == 201
    assert await remote.admin("PUT", "state", before) == (204, None)
    assert len(remote.sim.world.volumes) == 5
    large = {**before, "tags": [f"tag-{number}" for number in range(150_000)]}
    body = io.BytesIO(json.dumps(large).encode())
    async with remote.http.put("/_simulator/state", data=body) as response:
        assert response.status == 204
    assert len(remote.sim.world.state.tagged) >= 150_000
    assert (await remote.admin("PUT", "state", before))[0] == 204
    status, error = await remote.admin("PUT", "state", {"format": 1})
    assert status == 400
    assert "missing required field" in error["message"]
    nested = b"[" * 100_000
    async with remote.http.put("/_simulator/state", data=nested) as response:
        assert response.status == 400
    assert len(remote.sim.world.volumes) == 5


async def test_reset_and_requests(remote: Remote) -> None:
    await remote.api("POST", "/v2/volumes", NEW)
    await remote.api("GET", "/v2/volumes?name=db")
    status, log = await remote.admin("GET", "requests?method=POST&path=/v2/volumes&status=201")
    assert (status, log["total"]) == (200, 1)
    assert log["requests"][0]["body"] == NEW
    assert log["requests"][0]["token"] == "default"
    for wrong in ("requests?colour=red", "requests?status=abc", "requests?status=99"):
        assert (await remote.admin("GET", wrong))[0] == 400
    assert await remote.admin("DELETE", "requests") == (204, None)
    assert (await remote.admin("GET", "requests"))[1]["total"] == 0
    assert await remote.admin("POST", "reset") == (204, None)
    assert len(remote.sim.world.volumes) == 5


async def test_the_clock_is_moved(remote: Remote) -> None:
    _, made = await remote.api("POST", "/v2/volumes", NEW)
    here = f"/v2/volumes/{made['volume']['id']}"
    assert (await remote.admin("POST", "clock", {"frozen": True}))[1]["frozen"] is True
    await remote.api("POST", f"{here}/actions", {"type": "attach", "droplet_id": 7})
    _, before = await remote.admin("GET", "clock")
    _, after = await remote.admin("POST", "clock", {"advance_s": 5})
    assert after["now_s"] == pytest.approx(before["now_s"] + 5)
    assert (await remote.api("GET", here))[1]["volume"]["droplet_ids"] == [7]
    assert (await remote.admin("POST", "clock", {"frozen": False}))[1]["frozen"] is False
    wrongs: list[Any] = [
        {"advance_s": -1},
        {"advance_s": 1e12},
        {"advance_s": "x"},
        {"back": 1},
        [],
    ]
    for wrong in wrongs:
        assert (await remote.admin("POST", "clock", wrong))[0] == 400


async def test_faults_are_ordered(remote: Remote) -> None:
    asked = {"kind": "html_502", "path": "/v2/volumes", "times": 1}
    status, added = await remote.admin("POST", "faults", asked)
    assert (status, added["fault"]["times"], added["fault"]["rate"]) == (201, 1, 1.0)
    assert (await remote.api("GET", "/v2/volumes"))[0] == 502
    _, faults = await remote.admin("GET", "faults")
    assert faults["faults"][0]["times"] == 0
    assert faults["log"][0]["target"] == "/v2/volumes"
    assert await remote.admin("DELETE", "faults") == (204, None)
    assert (await remote.admin("GET", "faults"))[1]["faults"] == []
    for wrong in ({"kind": "earthquake"}, {"kind": "stall", "rate": 2}, {}, {"kind": 1}):
        assert (await remote.admin("POST", "faults", wrong))[0] == 400


async def test_it_is_described_and_nothing_else_is_there(remote: Remote) -> None:
    async with remote.http.get("/_simulator/openapi.json") as response:
        assert await response.json() == admin_description(KINDS)
    assert (await remote.admin("GET", "nothing"))[0] == 404
    async with remote.http.put("/_simulator/reset") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
    # It is beside the API: not in its log, and no fault or missing token touches it.
    remote.sim.faults.add("html_502")
    assert (await remote.admin("GET", "clock"))[0] == 200
    assert not remote.sim.requests


async def test_only_this_machine_and_no_web_page(remote: Remote) -> None:
    assert (await remote.admin("POST", "reset", Origin="https://attacker.invalid"))[0] == 403
    sim = remote.sim
    admin = Administration(sim.world, sim.faults, sim.clock, sim.reset)
    request = SimRequest("POST", "/_simulator/reset")
    for peer in ("10.0.0.1", "192.0.2.7", "::2", "::ffff:10.0.0.1", "", None, "localhost"):
        assert admin.handle(request, peer).status == 403
    for peer in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        assert admin.handle(request, peer).status == 204


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "attacker.invalid"}, 403),
        ({"Host": "attacker.invalid:8080"}, 403),
        ({"Host": "localhost.attacker.invalid"}, 403),
        ({"Host": "127.0.0.1.attacker.invalid"}, 403),
        ({"Host": "[attacker.invalid]"}, 403),
        ({"Host": "127.0.0.1@attacker.invalid"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Forwarded": "for=192.0.2.7"}, 403),
        ({"X-Forwarded-For": "192.0.2.7"}, 403),
        ({"Host": "localhost"}, 200),
        ({"Host": "LOCALHOST:8080"}, 200),
        ({"Host": "127.0.0.1:8080"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
async def test_no_name_that_leads_here_and_no_proxy_is_answered(
    remote: Remote, headers: dict[str, str], status: int
) -> None:
    assert (await remote.admin("GET", "state", **headers))[0] == status


async def test_a_reset_keeps_time_and_lets_it_stand_or_flow_as_at_first() -> None:
    scenario = parse_scenario("clock = {at = 2026-03-01T12:00:00Z, frozen = true}")
    async with Simulator(scenario=scenario) as sim:
        sim.clock.advance(60)
        sim.clock.thaw()
        sim.reset()
        assert sim.clock.frozen
        assert sim.clock.now() >= 1_772_366_460
    async with Simulator() as sim:
        sim.clock.freeze()
        before = sim.clock.now()
        sim.reset()
        assert not sim.clock.frozen
        assert sim.clock.now() >= before


def test_the_description_is_an_openapi_document() -> None:
    document = admin_description(KINDS)
    for item in document["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                for content in response.get("content", {}).values():
                    jsonschema.Draft4Validator.check_schema(content["schema"])


async def test_a_state_outlives_the_simulator(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    async with Simulator(volumes=3, limits="none", state=file) as sim:
        sim.clock.advance(86_400)
        sim.world.add_volume("kept", tags=["keep"])
        ahead = sim.clock.now()
        assert sim.token not in repr(sim)
        token = sim.token
    assert token not in file.read_text()
    async with Simulator(volumes=3, limits="none", state=file) as sim:
        assert "kept" in [volume.name for volume in sim.world.volumes.values()]
        assert len(sim.world.volumes) == 4
        assert sim.clock.now() >= ahead
    file.write_text("{")
    with pytest.raises(ValueError, match=re.escape(str(file))):
        await Simulator(state=file).start()
    with pytest.raises(OSError, match="No such file"):
        async with Simulator(state=tmp_path / "no" / "state.json"):
            pass


async def test_changes_without_a_request_are_saved_too(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    async with asyncio.timeout(30), Simulator(volumes=1, limits="none", state=file) as sim:
        volume = sim.world.add_volume("by-the-test")
        await until(lambda: "by-the-test" in file.read_text())
        volume.size_gigabytes = 4321
        await until(lambda: "4321" in file.read_text())


async def test_a_save_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "state.json"
    async with asyncio.timeout(30), Simulator(volumes=1, limits="none", state=file) as sim:
        with monkeypatch.context() as patch:
            patch.setattr(StateFile, "save", _refuse)
            sim.world.add_volume("later")
            await until(lambda: "cannot be saved" in caplog.text)
        await until(lambda: "later" in file.read_text())


def _refuse(*_: object) -> None:
    raise RuntimeError("dictionary changed size during iteration")


async def test_a_record_that_cannot_be_written_changes_no_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state.json"
    async with Simulator(limits="none", record="/dev/full", state=state) as sim:
        headers = {"Authorization": f"Bearer {sim.token}"}
        async with aiohttp.ClientSession(sim.url, headers=headers) as http:
            for name in ("first", "second"):
                async with http.post("/v2/volumes", json={**NEW, "name": name}) as response:
                    assert response.status == 201
    assert caplog.text.count("no longer put on record") == 1
    assert '"second"' in state.read_text()


async def test_no_token_is_on_record(tmp_path: Path) -> None:
    record = tmp_path / "requests.jsonl"
    strange = 'a "token" with/odd characters'
    async with Simulator(limits="none", record=record) as sim:
        sim.world.add_token(strange, name="strange")
        sim.faults.add("clock_step", seconds=1.0)
        headers = {"Authorization": f"Bearer {sim.token}"}
        async with aiohttp.ClientSession(sim.url, headers=headers) as http:
            params = {"token": sim.token, "other": strange}
            body = {**NEW, "description": f"{sim.token} {strange}"}
            async with http.post("/v2/volumes", params=params, json=body) as response:
                assert response.status == 201
            shown = ""
            for name in ("requests", "faults"):
                async with http.get(f"/_simulator/{name}") as response:
                    shown += await response.text()
    assert "token=default&other=" in shown
    for text in (shown, record.read_text()):
        assert sim.token not in text
        assert "odd" not in text
    assert json.loads(record.read_text())["body"]["description"] == "default strange"
    assert record.stat().st_mode & 0o777 == 0o600


PROGRAM = [sys.executable, "-m", "do_blockstore_async.cli", "simulator", "--port", "0"]


async def start(*options: str) -> tuple[asyncio.subprocess.Process, str, str]:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={k: v for k, v in os.environ.items() if not k.startswith("DIGITALOCEAN")},
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode().strip() for _ in range(2)]
    url, token = (line.partition("=")[2] for line in lines)
    return process, url, token


async def test_a_state_outlives_a_kill_and_requests_are_on_record(tmp_path: Path) -> None:
    state, record, scenario = (tmp_path / name for name in ("s.json", "r.jsonl", "s.toml"))
    scenario.write_text('[[volumes]]\nname = "given"\n[options]\nlimits = "none"\n')
    files = ["--state", str(state), "--record", str(record)]
    process, url, token = await start("--scenario", str(scenario), *files)
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(30), aiohttp.ClientSession(url, headers=headers) as http:
        async with http.post("/v2/volumes", json=NEW) as response:
            assert response.status == 201
        async with http.get("/v2/nothing") as response:
            assert response.status == 501
        await until(lambda: state.exists() and '"db"' in state.read_text())
    process.kill()
    _, errors = await process.communicate()
    assert b"does not know GET /v2/nothing" in errors

    process, url, token = await start(*files)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        asyncio.timeout(30),
        aiohttp.ClientSession(url, headers=headers) as http,
        http.get("/v2/volumes") as response,
    ):
        names = [volume["name"] for volume in (await response.json())["volumes"]]
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert (process.returncode, names) == (143, ["given", "db"])
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [(line["method"], line["status"]) for line in lines] == [
        ("POST", 201),
        ("GET", 501),
        ("GET", 200),
    ]
    assert lines[0]["body"] == NEW
    assert token not in record.read_text() + state.read_text()


def test_a_simulator_in_a_thread_is_for_blocking_clients(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with Simulator.in_thread(volumes=2, limits="none") as sim:
        request = urllib.request.Request(  # noqa: S310 -- the simulator's own address
            f"{sim.url}/v2/volumes", headers={"Authorization": f"Bearer {sim.token}"}
        )
        with urllib.request.urlopen(request) as response:  # noqa: S310
            assert json.load(response)["meta"]["total"] == 2
    with pytest.raises(RuntimeError, match="not running"):
        _ = sim.url
    with (
        pytest.raises(OSError, match="No such file"),
        Simulator.in_thread(record=Path("/nowhere/requests.jsonl")),
    ):
        pass
    # What goes wrong at the end is told as well.
    with (
        pytest.raises(OSError, match="No such file"),
        Simulator.in_thread(state=folder / "state.json"),
    ):
        shutil.rmtree(folder)
    with pytest.raises(ZeroDivisionError), Simulator.in_thread(volumes=1):
        raise ZeroDivisionError


async def test_a_scenario_begins_with_its_faults_and_its_time(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(
        "clock = {at = 2026-03-01T12:00:00Z, frozen = true}\n"
        '[[volumes]]\nname = "given"\n'
        '[[faults]]\nkind = "html_502"\ntimes = 1\n'
    )
    async with Simulator(scenario=file, limits="none") as sim:
        assert sim.clock.now() == pytest.approx(1_772_366_400, abs=5)
        headers = {"Authorization": f"Bearer {sim.token}"}
        async with aiohttp.ClientSession(sim.url, headers=headers) as http:
            statuses = []
            for _ in range(2):
                async with http.get("/v2/volumes") as response:
                    statuses.append(response.status)
        assert statuses == [502, 200]
        sim.reset()
        assert [volume.name for volume in sim.world.volumes.values()] == ["given"]
        assert sim.faults.rules[0].times == 1


async def test_everywhere_links_lead_to_where_the_client_is() -> None:
    async with Simulator(volumes=3, limits="none", host="0.0.0.0") as sim:  # noqa: S104
        port = sim.url.rpartition(":")[2]
        assert sim.url == f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {sim.token}", "Host": f"simulator:{port}"}
        async with (
            aiohttp.ClientSession(sim.url, headers=headers) as http,
            http.get("/v2/volumes?per_page=2") as response,
        ):
            page = await response.json()
        assert page["links"]["pages"]["next"].startswith(f"http://simulator:{port}/v2/volumes?")
