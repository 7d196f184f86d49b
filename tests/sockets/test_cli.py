"""Every single command of the real program, over real HTTP, against the served simulator."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from do_blockstore_async.cli.main import run
from do_blockstore_async.simulator import Simulator
from tests.support.cli import BASH, CANARY, PROGRAM, Here, Server, do, environment, serving

DROPLETS = ("--droplet", "3164444:nyc3", "--droplet", "3164445")


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
    assert rows[0]["region"] == volumes[0]["region"]

    table = here("volumes", "list").out.splitlines()
    assert table[0].split() == ["id", "name", "region", "GiB", "droplet", "tags"]
    # Not a terminal: no line is folded or cut, whatever its length.
    assert len(table) == 211
    assert all(volume["id"] in line for volume, line in zip(volumes, table[1:], strict=True))

    one = volumes[3]
    assert json.loads(here("volumes", "get", one["id"], "-o", "json").out) == one
    found = here("volumes", "get", one["name"], "--region", one["region"])
    assert found.code == 0
    assert f"id                {one['id']}" in found.out
    of_region = here("volumes", "list", "--region", one["region"], "-o", "json")
    assert {v["region"] for v in json.loads(of_region.out)} == {one["region"]}


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
    assert here("volumes", "detach", "db-of-test", "--droplet", "3164444").code == 0

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


def test_listings_are_filtered_sorted_and_cut_to_columns(here: Here) -> None:
    everything = json.loads(here("volumes", "list", "-o", "json").out)

    def names(*words: str) -> set[str]:
        done = here("volumes", "list", "-o", "name", *words)
        assert done.code == 0, done.err
        return set(done.out.split())

    def of(is_wanted: Callable[[dict[str, Any]], bool]) -> set[str]:
        found = {each["id"] for each in everything if is_wanted(each)}
        assert 0 < len(found) < len(everything)
        return found

    assert names() == {each["id"] for each in everything}
    assert names("--tag", "PROD", "--tag", "k8s") == of(lambda v: {"prod", "k8s"} <= {*v["tags"]})
    assert names("--name", "db-*") == of(lambda v: v["name"].startswith("db-"))
    assert names("--name", "db-01") == of(lambda v: v["name"] == "db-01")
    assert names("--attached") == of(lambda v: v["droplet_ids"])
    assert names("--unattached") == of(lambda v: not v["droplet_ids"])
    two = ("--region", "nyc3", "--region", "ams3")
    assert names(*two) == of(lambda v: v["region"] in ("nyc3", "ams3"))
    limit = (datetime.now(UTC) - timedelta(days=300)).isoformat()
    assert names("--older-than", "300d") == of(lambda v: v["created_at"] < limit)

    words = ("volumes", "list", "--columns", "Name,size", "--no-headers", "--sort", "-size")
    rows = [line.split() for line in here(*words).out.splitlines()]
    sizes = [int(size) for _, size in rows]
    assert sizes == sorted((v["size_gigabytes"] for v in everything), reverse=True)
    as_csv = here(*words, "-o", "csv").out.splitlines()
    assert as_csv == [",".join(row) for row in rows]
    wide = here("volumes", "list", "-o", "wide").out.splitlines()[0].split()
    assert wide[-4:] == ["created_at", "filesystem_type", "filesystem_label", "description"]
    # What is not attached comes last, both ways.
    for sort in ("droplet", "-droplet"):
        found = json.loads(here("volumes", "list", "-o", "json", "--sort", sort).out)
        attached = [bool(each["droplet_ids"]) for each in found]
        assert attached == sorted(attached, reverse=True)

    nothing = here("volumes", "list", "--name", "zz-*")
    assert (nothing.code, nothing.err) == (0, "no volumes match\n")
    assert here("volumes", "list", "--name", "zz-*", "-q").err == ""
    empty = here("volumes", "list", "--name", "zz-*", "-o", "json")
    assert (empty.out, empty.err) == ("[]\n", "no volumes match\n")
    full = json.loads(here("volumes", "list", "--name", "db-01", "-o", "json-full").out)
    assert full[0]["region"]["features"]
    assert json.loads(here("volumes", "get", full[0]["id"], "-o", "json-full").out) == full[0]

    snapshots = json.loads(here("snapshots", "list", "-o", "json").out)
    one = snapshots[0]
    of_one = ("snapshots", "list", "-o", "name", "--volume", one["resource_id"])
    there = {each["id"] for each in snapshots if each["resource_id"] == one["resource_id"]}
    assert set(here(*of_one).out.split()) == there
    assert here(*of_one, "--older-than", "1y").out == ""
    tagged = here("snapshots", "list", "-o", "name", "--tag", one["tags"][0], "--region",
                  one["regions"][0], "--name", "db-01-*")  # fmt: skip
    assert one["id"] in tagged.out.split()

    inventory = here("bulk", "inventory", "--columns", "id,cost", "--sort", "cost", "-o", "csv")
    costs = [float(line.split(",")[1]) for line in inventory.out.splitlines()[1:]]
    assert costs == sorted(costs)
    ids = set(here("bulk", "inventory", "-o", "name").out.split())
    assert ids == {each["id"] for each in everything}


@pytest.fixture
def quick(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Here]:
    """An account whose actions end at once."""
    with Simulator.in_thread(
        volumes=210, seed=7, limits=None, action_s=(0.0, 0.0), droplets=["3164444:nyc3"]
    ) as api:
        yield Here.at(Server(api.url, api.token), home, monkeypatch, capsys)


def test_things_are_found_by_name_and_what_is_near_is_told(
    quick: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    here = quick
    made = here("volumes", "create", "billing-db", "--region", "nyc3", "--size", "10GB",
                "-o", "name")  # fmt: skip
    volume_id = made.out.strip()
    assert here("volumes", "get", "billing-db", "-o", "name").out == made.out
    # The front of an id, as narrow tables show it; nothing is deleted by it.
    assert here("volumes", "get", volume_id[:8], "-o", "name").out == made.out
    front = here("volumes", "delete", volume_id[:8], "--yes")
    assert (front.code, volume_id in front.err) == (1, True)
    assert here("volumes", "resize", "billing-db", "1TiB", "--wait").code == 0
    assert here("volumes", "attach", "billing-db", "--droplet", "3164444", "--wait").code == 0
    assert here("actions", "list", "billing-db", "--no-headers").out.count("completed") == 2
    assert here("volumes", "detach", "billing-db", "--droplet", "3164444", "--wait").code == 0
    taken = here("snapshots", "create", "billing-db", "before-upgrade", "-o", "name")
    assert here("snapshots", "list", "--volume", "billing-db", "-o", "name").out == taken.out
    assert here("snapshots", "get", "before-upgrade", "-o", "name").out == taken.out
    restored = here("volumes", "create", "billing-db-2", "--region", "nyc3", "--snapshot",
                    "before-upgrade", "-o", "json")  # fmt: skip
    assert json.loads(restored.out)["size_gigabytes"] == 1024

    assert run(["volumes", "get", "biling-db", "--verbose"]) == 1
    err = capsys.readouterr().err
    assert "did you mean billing-db in nyc3 or billing-db-2 in nyc3?" in err
    # One to look for the name, and a listing of two pages: only after a miss.
    assert err.count("AttemptSent") == 3
    assert here("volumes", "get", "billing-db", "--verbose").err.count("AttemptSent") == 1
    other = volume_id[:-1] + ("0" if volume_id[-1] != "0" else "1")
    for words in (("volumes", "get", other), ("volumes", "resize", other, "10"),
                  ("snapshots", "list", "--volume", other)):  # fmt: skip
        missing = here(*words)
        assert missing.code == 1
        assert f"did you mean {volume_id} (billing-db) in nyc3?" in missing.err
    absent: tuple[tuple[tuple[str, ...], str], ...] = (
        (("volumes", "attach", "billing-db", "--droplet", "7"), "Droplet 7"),
        (("volumes", "attach", volume_id, "--droplet", "7"), "Droplet 7"),
        (("actions", "get", "billing-db", "7"), "action 7"),
    )
    for typed, missing_part in absent:
        missing = here(*typed)
        said = f"404: volume {typed[2]} is there; {missing_part} was not found"
        assert (missing.code, said in missing.err) == (1, True)
    # What was typed to narrow it down must hold, also beside an id, and before anything is deleted.
    one = ("snapshots", "delete", "before-upgrade", "--yes")
    of_id = ("snapshots", "delete", taken.out.strip(), "--yes")
    contradictions: tuple[tuple[tuple[str, ...], int, str], ...] = (
        ((*one, "--region", "ams3"), 1, "no snapshot is named 'before-upgrade' in ams3"),
        ((*one, "--region", "nyc9"), 2, "unknown region nyc9"),
        ((*of_id, "--region", "ams3"), 2, "is in nyc3, not in ams3"),
        ((*of_id, "--volume", "billing-db-2"), 2, f"is not of that volume but of {volume_id}"),
        (("snapshots", "delete", other, "--yes"), 1, f"404: no snapshot has the id {other}"),
        (("volumes", "delete", volume_id, "--yes", "--region", "ams3"), 2, "is in nyc3, not in"),
        (("volumes", "resize", volume_id, "2TB", "--region", "ams3"), 2, "is in nyc3, not in"),
    )
    for typed, code, said in contradictions:
        refused = here(*typed)
        assert (refused.code, said in refused.err) == (code, True), refused.err
    wrong = here("snapshots", "get", "before-upgarde")
    assert (wrong.code, "did you mean before-upgrade?" in wrong.err) == (1, True)

    gone = here("snapshots", "delete", "before-upgrade", "--yes")
    assert gone.err.startswith(f"deleted snapshot before-upgrade ({taken.out.strip()}) of 2")
    assert here("volumes", "delete", "billing-db-2", "--yes", "--quiet").err == ""
    gone = here("volumes", "delete", "billing-db", "--yes")
    assert gone.err == f"deleted volume billing-db ({volume_id}, 1024 GiB, nyc3)\n"


@pytest.mark.parametrize(("form", "first"), [("table", "id "), ("json", "[")])
def test_the_first_rows_are_out_before_the_last_page_came(
    home: Path, form: str, first: str
) -> None:
    # The second page never comes.
    stalling = "stall:GET /v2/volumes:skip=1"
    with (
        Simulator.in_thread(volumes=201, limits=None, faults=stalling) as api,
        subprocess.Popen(  # noqa: S603 -- our own program
            [*PROGRAM, "volumes", "list", "-o", form, "--timeout", "20s"],
            env=Server(api.url, api.token).env(home),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.kill()
        assert lines[0].startswith(first)
        assert len(lines[2]) > 10


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
        (["volumes", "list", "extra"], 2, "volumes list: unexpected argument: extra"),
        (["volumes", "list", "--region"], 2, "--region needs a value"),
        (
            ["volumes", "list", "--region", "nyc9"],
            2,
            "unknown region nyc9; regions with volumes: a",
        ),
        (["volumes", "list", "--region", "nyc3", "--region", "x1", "--tag", "no"], 2, "region x1;"),
        (["volumes", "list", "--region", "ams1"], 2, "ams1 has no volumes; regions with"),
        (["volumes", "list", "--attached", "--unattached"], 2, "exclude each other"),
        (["volumes", "list", "--older-than", "soon"], 2, "--older-than takes a time such as 30d"),
        (
            ["volumes", "list", "--columns", "name,sise"],
            2,
            "unknown column sise; columns: id, name,",
        ),
        (
            ["volumes", "list", "--sort", "-nothing"],
            2,
            "unknown column nothing; columns: id, name,",
        ),
        (["volumes", "list", "--columns", "name", "-o", "json"], 2, "--columns is for tables"),
        (["bulk", "inventory", "--region", "nyc9"], 2, "unknown region nyc9; regions with"),
        (["quota", "-o", "name"], 2, "-o name is for commands that list"),
        (["bulk", "snapshot", "--yes", "-o", "name"], 2, "-o name is for commands that list"),
        (["volumes", "get"], 2, "missing VOLUME"),
        (["volumes", "get", "../droplets/1"], 1, "no volume is named '../droplets/1'"),
        (["volumes", "get", "11-22"], 1, "no volume is named '11-22'"),
        (
            ["volumes", "get", "nobody", "--region", "nyc3"],
            1,
            "no volume is named 'nobody' in nyc3",
        ),
        (["volumes", "get", "db-01"], 2, "12 volumes are named db-01: in ams3, blr1, "),
        (["volumes", "delete", "db-01", "--yes"], 2, "tor1; add --region"),
        (["volumes", "get", "db-01", "--region", "nyc9"], 2, "unknown region nyc9; regions with"),
        (["volumes", "resize", "11-22", "many"], 2, "SIZE takes a whole number of GiB"),
        (["volumes", "resize", "11-22", "210.9"], 2, "SIZE takes a whole number of GiB"),
        (
            ["volumes", "create", "x", "--region", "nyc3", "--size", "10.5"],
            2,
            "--size takes a whole number of GiB, such as 100, not '10.5'",
        ),
        (["volumes", "create", "x", "--region", "nyc3"], 2, "pass --size or --snapshot"),
        (["volumes", "create", "x", "--size", "10"], 2, "volumes create: missing --region"),
        (["volumes", "create", "x", "--regon", "nyc3", "--size", "1"], 2, "did you mean --region?"),
        (["volumes", "create", "x", "--region", "nyc9", "--size", "1"], 2, "unknown region nyc9"),
        (["volumes", "create", "UPPER", "--region", "nyc3", "--size", "1"], 2, "lower-case"),
        (["volumes", "delete", "11-22"], 2, "--yes"),
        (["volumes", "delete", "11-22", "-q"], 2, "--quiet does not show what to confirm"),
        (["volumes", "delete"], 2, "missing VOLUME"),
        (["volumes", "list", "--timeout", "0"], 2, "--timeout takes a time above 0"),
        (["volumes", "list", "--timeout", "5 weeks"], 2, "--timeout takes a time above 0"),
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
    # The first page is out by then; an unfinished document says so to programs.
    assert (done.code, len(done.out.splitlines())) == (5, 201)
    assert "try again in 36" in done.err
    cut = here("volumes", "list", "--limits", "1/3600", "--timeout", "3s", "-o", "json")
    assert cut.code == 5
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.out)


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
