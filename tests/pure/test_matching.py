"""Whether what is found under a name is what was asked for: one rule for calls and bulk runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from do_blockstore_async import Region, Volume, VolumeSnapshot
from do_blockstore_async.resources import actions, snapshots, volumes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
REGION = Region("nyc3", "New York 3", available=True)
VOLUME = Volume(
    "aa", "data", 10, REGION, NOW, "d", (7,), "ext4", "label", ("job:nightly", "by-others")
)
SNAPSHOT = VolumeSnapshot("bb", "daily", NOW, "aa", "volume", ("nyc3",), 10, 1.5, ("x", "y"))


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ({}, True),
        ({"size_gigabytes": 10}, True),
        ({"size_gigabytes": 11}, False),
        ({"size_gigabytes": 11, "snapshot_id": None}, False),
        ({"size_gigabytes": 11, "snapshot_id": "bb"}, True),
        ({"size_gigabytes": None, "description": None, "tags": None}, True),
        ({"description": "d", "filesystem_type": "ext4", "filesystem_label": "label"}, True),
        ({"description": "other"}, False),
        ({"description": ""}, False),
        ({"filesystem_type": "xfs"}, False),
        ({"filesystem_label": "other"}, False),
        ({"tags": ["job:nightly"]}, True),
        ({"tags": ("job:nightly", "missing")}, False),
    ],
)
def test_a_volume_is_what_a_create_asked_for(wanted: dict[str, Any], matches: bool) -> None:
    assert volumes.matches_request(VOLUME, wanted) is matches


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [({}, True), ({"tags": None}, True), ({"tags": ["x"]}, True), ({"tags": ("x", "z")}, False)],
)
def test_a_snapshot_is_what_a_create_asked_for(wanted: dict[str, Any], matches: bool) -> None:
    assert snapshots.matches_request(SNAPSHOT, wanted) is matches


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ({"type": "attach", "droplet_id": 7}, True),
        ({"type": "attach", "droplet_id": 8}, False),
        ({"type": "detach", "droplet_id": 7}, False),
        ({"type": "detach", "droplet_id": 8}, True),
        ({"type": "resize", "size_gigabytes": 10}, True),
        ({"type": "resize", "size_gigabytes": 11}, False),
    ],
)
def test_a_volume_is_as_an_action_was_to_leave_it(wanted: dict[str, Any], matches: bool) -> None:
    assert actions.matches_request(VOLUME, wanted) is matches
