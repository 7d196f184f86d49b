"""Which volumes a job is about."""

from __future__ import annotations

from typing import Any

import pytest

from do_blockstore_async import Region
from do_blockstore_async.bulk.model.selection import Selection
from do_blockstore_async.cli.exit_codes import UsageError
from do_blockstore_async.cli.options import selection_of
from do_blockstore_async.errors import InvalidArgumentError
from tests.support.bulk_models import snapshot, volume

ONE = volume(1, region="nyc3", tags=("prod", "db"), droplet_ids=(1,))


@pytest.mark.parametrize(
    ("criteria", "matches"),
    [
        ({}, True),
        ({"regions": ("ams3", "nyc3")}, True),
        ({"regions": ["ams3"]}, False),
        ({"tags": ("prod", "db")}, True),
        ({"tags": ("prod", "web")}, False),
        ({"exclude_tags": ("web",)}, True),
        ({"exclude_tags": ("web", "db")}, False),
        ({"name": "db-*"}, True),
        ({"name": "DB-*"}, False),
        ({"name": "db"}, False),
        ({"attached": True}, True),
        ({"attached": False}, False),
        ({"attached": True, "name": "web-*"}, False),
    ],
)
def test_every_criterion_must_be_met(criteria: dict[str, Any], matches: bool) -> None:
    assert Selection(**criteria).matches(ONE) is matches


@pytest.mark.parametrize(
    ("criteria", "matches"),
    [
        (
            {"regions": ("ams3", "nyc3"), "tags": ("NIGHTLY",), "name": "db-*", "attached": True},
            True,
        ),
        ({"regions": ("ams3",)}, False),
        ({"tags": ("nightly", "weekly")}, False),
        ({"exclude_tags": ("nightly",)}, False),
        ({"name": "web-*"}, False),
    ],
)
def test_snapshots_are_selected_by_what_they_have(criteria: dict[str, Any], matches: bool) -> None:
    one = snapshot(ONE, 1, name="db-1-a", tags=("nightly",))
    assert Selection(**criteria).matches_snapshot(one) is matches


def test_a_variable_that_is_not_set_never_selects_everything() -> None:
    with pytest.raises(UsageError, match="--name takes a name"):
        selection_of(name="")
    with pytest.raises(UsageError, match="exclude each other"):
        selection_of(attached=True, unattached=True)
    assert selection_of(name="db-*", unattached=True) == Selection(name="db-*", attached=False)


def test_unknown_regions_are_told_apart_from_those_without_volumes() -> None:
    there = [
        Region(name=slug, slug=slug, features=features, available=True, sizes=())
        for slug, features in (("sfo3", ("storage",)), ("nyc3", ("storage",)), ("ams1", ()))
    ]
    assert Selection(regions=["nyc3"]).unknown_regions(there) == ""
    told = "unknown region nyc8, nyc9; ams1 has no volumes; regions with volumes: nyc3, sfo3"
    asked = Selection(regions=["nyc9", "ams1", "nyc8", "nyc3"])
    assert asked.unknown_regions(there) == told


def test_a_selection_knows_whether_it_selects_everything() -> None:
    assert Selection().is_everything
    assert str(Selection()) == "all volumes"
    assert not Selection(attached=False).is_everything


def test_only_a_single_region_is_listed_by_itself() -> None:
    assert Selection(regions=("nyc3", "nyc3")).only_region == "nyc3"
    assert Selection(regions=("nyc3", "ams3")).only_region is None


def test_a_selection_says_what_it_selects() -> None:
    selection = Selection(
        regions=("nyc3", "ams3"), tags=("a", "b"), exclude_tags=("c",), name="d*", attached=False
    )
    text = "region nyc3 or ams3, tag a and b, not tag c, name d*, unattached"
    assert str(selection) == text


@pytest.mark.parametrize(
    "criteria",
    [
        {"regions": "nyc3"},
        {"regions": ("NYC 3",)},
        {"tags": "prod"},
        {"tags": ("a b",)},
        {"exclude_tags": ("",)},
        {"name": "a\nb"},
    ],
)
def test_criteria_that_cannot_be_are_refused(criteria: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        Selection(**criteria)
