"""Every single command of the real program, over real HTTP, against the served simulator."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import BASH, CANARY, PROGRAM, Here, Server, do, environment, serving

DROPLETS = ("--droplet", "3164444:nyc3", "--droplet", "3164445")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def api(home: Path) -> Iterator[Server]:
    with serving(home, "--volumes", "210", "--limits", "none", "--seed", "7", *DROPLETS) as server:
        yield server


@pytest.fixture
def here(
    api: Server, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    return Here.at(api, home, monkeypatch, capsys)


# Reading.


def test_volumes_as_json_csv_and_table(here: Here) -> None:
    as_json = here("volumes", "list", "--output", "json")
    volumes = json.loads(as_json.out)
    assert (as_json.code, as_json.err, len(volumes)) == (0, "", 210)
    assert {"id", "name", "size_gigabytes", "region", "created_at", "droplet_ids"} <= set(
        volumes[0]
    )
    # The option stands before the command as well as after it.
    assert json.loads(here("-o", "json", "volumes", "list").out) == volumes

    rows = list(csv.DictReader(io.StringIO(here("volumes", "list", "--output", "csv").out)))
    assert [row["id"] for row in rows] == [volume["id"] for volume in volumes]
    assert rows[0]["region"] == volumes[0]["region"]["slug"]

    table = here("volumes", "list").out.splitlines()
    assert table[0].split() == ["id", "name", "region", "GiB", "droplet", "tags"]
    # Not a terminal: no line is folded or cut, whatever its length.
    assert len(table) == 211
    assert all(volume["id"] in line for volume, line in zip(volumes, table[1:], strict=True))

    one = volumes[3]
    assert json.loads(here("volumes", "get", one["id"], "-o", "json").out) == one
    found = here("volumes", "find", one["name"], "--region", one["region"]["slug"])
    assert found.code == 0
    assert f"id                {one['id']}" in found.out
    of_region = here("volumes", "list", "--region", one["region"]["slug"], "-o", "json")
    assert {v["region"]["slug"] for v in json.loads(of_region.out)} == {one["region"]["slug"]}


def test_the_life_of_a_volume(here: Here) -> None:
    made = here(
        "volumes", "create", "db-of-test", "--region", "nyc3", "--size", "10",
        "--filesystem-type", "ext4", "--filesystem-label", "data", "--tag", "a", "--tag", "b",
        "-o", "json",
    )  # fmt: skip
    volume = json.loads(made.out)
    assert made.code == 0
    assert (volume["size_gigabytes"], volume["tags"]) == (10, ["a", "b"])
    again = here("volumes", "create", "db-of-test", "--region", "nyc3", "--size", "10")
    assert again.code == 1
    assert "409" in again.err

    attached = here("volumes", "attach", volume["id"], "--droplet", "3164444", "--wait")
    assert attached.code == 0, attached.err
    assert "completed" in attached.out
    actions = json.loads(here("actions", "list", volume["id"], "-o", "json").out)
    number = str(actions[0]["id"])
    assert here("actions", "get", volume["id"], number).code == 0
    assert "completed" in here("actions", "wait", volume["id"], number).out
    refused = here("volumes", "delete", volume["id"], "--yes")
    assert refused.code == 1
    assert "attached volume cannot be deleted" in refused.err
    named = ("--name", "db-of-test", "--region", "nyc3")
    assert here("volumes", "detach", *named, "--droplet", "3164444").code == 0

    snapshot = json.loads(here("snapshots", "create", volume["id"], "s1", "-o", "json").out)
    assert snapshot["name"] == "s1"
    listed = json.loads(here("snapshots", "list", "--volume", volume["id"], "-o", "json").out)
    assert [each["id"] for each in listed] == [snapshot["id"]]
    assert "s1" in here("snapshots", "get", snapshot["id"]).out
    cooling = here("snapshots", "create", volume["id"], "s2")
    assert cooling.code == 1
    assert "ten minutes" in cooling.err
    gone = here("snapshots", "delete", snapshot["id"], "--yes")
    assert (gone.code, gone.out, gone.err) == (0, "", f"deleted snapshot {snapshot['id']}\n")


def test_regions_and_quota(here: Here) -> None:
    regions = json.loads(here("regions", "list", "-o", "json").out)
    with_storage = json.loads(here("regions", "list", "--storage", "-o", "json").out)
    assert len(with_storage) == 12 < len(regions)
    quota = json.loads(here("quota", "-o", "json").out)
    assert [window["limit"] for window in quota["windows"]] == [250, 5000]
    assert quota["windows"][0]["used"] == 1
    gauges = here("quota").out
    assert "minute" in gauges
    assert "hour" in gauges
    assert here("quota", "--interval", "0").code == 2


# What is refused.


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["volumes", "lst"], 2, "unknown command: lst; did you mean list?"),
        (["volumez"], 2, "unknown command: volumez; did you mean volumes?"),
        (["volumes", "list", "--outptu", "json"], 2, "unknown option: --outptu; did you mean --o"),
        (["volumes", "list", "-o", "yaml"], 2, "-o takes table, "),
        (["volumes", "get"], 2, "VOLUME_ID"),
        (["volumes", "get", "../droplets/1"], 2, "not a volume id"),
        (["volumes", "get", "11-22"], 1, "404"),
        (["volumes", "find", "nobody", "--region", "nyc3"], 1, "no volume 'nobody' in nyc3"),
        (["volumes", "resize", "11-22", "many"], 2, "many"),
        (["volumes", "create", "UPPER", "--region", "nyc3", "--size", "1"], 2, "lower-case"),
        (["volumes", "delete", "11-22"], 2, "--yes"),
        (["volumes", "delete", "--name", "x"], 2, "--name needs --region"),
        (["volumes", "delete"], 2, "the volume's id"),
        (["volumes", "list", "--timeout", "0"], 2, "--timeout"),
        (["volumes", "list", "--limits", "many"], 2, "REQUESTS/SECONDS"),
        (["volumes", "list", "--limits", "none"], 2, "--simulate"),
        (["volumes", "list", "--simulate"], 2, "drop the other option"),
        (["volumes", "list", "--api-url", "http://example.com"], 2, "https"),
        (["volumes", "list", "--token", CANARY], 2, "--token-file FILE or DIGITALOCEAN_TOKEN"),
        (["volumes", "list", f"--access-token={CANARY}"], 2, "visible to others"),
        (["volumes", "list", CANARY], 2, "dop_v1_***"),
        (["simulator", "--limits", "x"], 2, "limits must be REQUESTS/SECONDS"),
        (["volumes", "list", "--budget", "250/60"], 2, "unknown option: --budget"),
        (["simulator", "--faults", "earthquake"], 2, "earthquake"),
        (["simulator", "--scenario", "missing.toml"], 1, "missing.toml: No such file"),
        (["simulator", "--port", "0", "--state", "/missing/state.json"], 1, "cannot read or write"),
        (["simulator", "--port", "0", "--record", "/missing/r.jsonl"], 1, "/missing/r.jsonl"),
        (["quota", "--watch", "-o", "json"], 2, "--watch"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else None,
)
def test_what_cannot_be_is_one_line(here: Here, words: list[str], code: int, says: str) -> None:
    if "--simulate" in words:
        words = [*words, "--api-url", "http://127.0.0.1:1"]
    done = here(*words)
    assert done.code == code, done.err
    assert done.out == ""
    assert says in done.err
    assert len(done.err.splitlines()) <= 2


def test_a_budget_that_is_used_up_is_code_5(here: Here) -> None:
    # The listing has two pages, and the second request is an hour away.
    done = here("volumes", "list", "--limits", "1/3600", "--timeout", "3")
    assert (done.code, done.out) == (5, "")
    assert "try again in 36" in done.err


def test_an_api_that_is_not_there(here: Here) -> None:
    done = here("volumes", "list", "--api-url", "http://127.0.0.1:9", "--timeout", "1")
    assert done.code == 1
    assert "--api-url" in done.err


def test_a_wrong_token_is_not_shown(home: Path, api: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(CANARY[:-1] + "0\n")
    env = environment(home, DIGITALOCEAN_API_URL=api.url)
    done = do("volumes", "list", "--token-file", str(file), "--verbose", env=env)
    assert done.code == 1
    assert "cloud.digitalocean.com/account/api/tokens" in done.err
    assert CANARY[:-1] not in done.err
    missing = do("volumes", "list", env=env)
    assert missing.code == 2
    assert "no token" in missing.err
    file.write_text(CANARY + "\n")
    assert do("regions", "list", "--token-file", "-", env=env, stdin=CANARY).code == 0


# Streams.


def test_readers_that_stop_and_disks_that_are_full(home: Path, api: Server) -> None:
    env = api.env(home)
    with open("/dev/full", "w") as full:  # noqa: PTH123 -- a stream for a subprocess
        done = do("volumes", "list", env=env, out=full)
    assert done.code == 1
    assert "No space left on device" in done.err
    if BASH is None:
        pytest.skip("no bash for a pipe")
    line = f"set -o pipefail; {' '.join(PROGRAM)} volumes list | head -1 > /dev/null"
    piped = subprocess.run(  # noqa: S603 -- our own line
        [BASH, "-c", line], env=env, capture_output=True, text=True, check=False, timeout=30
    )
    assert (piped.returncode, piped.stderr) == (0, "")


def test_a_name_cannot_steer_the_terminal(here: Here) -> None:
    text = "red \x1b[31m and \u202e back"
    made = here("volumes", "create", "steering", "--region", "nyc3", "--size", "1",
                "--description", text)  # fmt: skip
    assert made.code == 0
    assert "\x1b" not in made.out
    assert "\\x1b[31m" in made.out


# Help.


def test_help_has_an_example_for_each_command(here: Here) -> None:
    from do_blockstore_async.cli.registry import COMMANDS

    root = here("--help")
    assert root.code == 0
    assert "Exit codes" in root.out
    assert here().out == root.out
    for command in COMMANDS:
        page = here(*command.words.split(), "--help")
        assert page.code == 0
        assert page.err == ""
        # On a line of its own, whatever the width: it is there to be copied.
        assert f"\n  do-blockstore {command.example}\n" in page.out
        assert "Options for every command" in page.out
        assert "\x1b" not in page.out
    assert here("--version").out.startswith("do-blockstore ")
