"""Which volumes a job is about."""

from __future__ import annotations

from typing import Any

import pytest

from do_blockstore_async.bulk.model.selection import Selection
from do_blockstore_async.errors import InvalidArgumentError
from tests.support.bulk_models import volume

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
