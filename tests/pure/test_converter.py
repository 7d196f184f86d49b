"""Models to plain data and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import cattrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import Action, Region, Volume, VolumeSnapshot, make_converter
from tests.support.scripted_server import ACTION, REGION, SNAPSHOT, VOLUME

CONVERTER = make_converter()
names = st.text(max_size=6)
several = st.lists(names, max_size=3).map(tuple)
moments = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001 -- Hypothesis adds the zone
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.sampled_from(
        (UTC, timezone(timedelta(hours=-7)), timezone(timedelta(minutes=90)))
    ),
)
region = st.builds(Region, names, names, st.booleans(), several, several)
MODELS: dict[type, st.SearchStrategy[Any]] = {
    Region: region,
    Volume: st.builds(
        Volume,
        names,
        names,
        st.integers(),
        region,
        moments,
        names,
        st.lists(st.integers(), max_size=2).map(tuple),
        names,
        names,
        several,
    ),
    VolumeSnapshot: st.builds(
        VolumeSnapshot,
        names,
        names,
        moments,
        names,
        names,
        several,
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        several,
    ),
    Action: st.builds(
        Action,
        st.integers(),
        names,
        names,
        moments,
        st.none() | moments,
        st.none() | st.integers(),
        names,
        st.none() | region,
        st.none() | names,
    ),
}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_there_and_back(model: type) -> None:
    @settings(max_examples=60)
    @given(MODELS[model])
    def check(value: Any) -> None:
        plain = json.loads(json.dumps(CONVERTER.unstructure(value)))
        assert CONVERTER.structure(plain, model) == value

    check()


@pytest.mark.parametrize(
    ("model", "document"), [(Volume, VOLUME), (VolumeSnapshot, SNAPSHOT), (Region, REGION)]
)
def test_plain_data_is_what_the_api_sends(model: type, document: Any) -> None:
    assert json.loads(json.dumps(CONVERTER.unstructure(CONVERTER.structure(document, model)))) == (
        document
    )


def test_what_this_client_noted_is_not_part_of_it() -> None:
    action = attrs.evolve(CONVERTER.structure(ACTION, Action), volume_id="x")
    assert "volume_id" not in CONVERTER.unstructure(action)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"size_gigabytes": "10"}, "expected int"),
        ({"size_gigabytes": True}, "expected int"),
        ({"tags": "abc"}, "expected a list"),
        ({"tags": {}}, "expected a list"),
        ({"created_at": "2016-03-02T17:00:49"}, "offset from UTC"),
        ({"created_at": 5}, "ISO 8601"),
        ({"region": 1}, "expected an object"),
    ],
)
def test_nothing_is_coerced(change: dict[str, Any], why: str) -> None:
    with pytest.raises(cattrs.BaseValidationError) as caught:
        CONVERTER.structure({**VOLUME, **change}, Volume)
    assert why in str(caught.value.exceptions[0])


def test_hooks_of_users_stay_on_their_converter() -> None:
    mine = make_converter()
    mine.register_unstructure_hook(Region, lambda value: value.slug)
    volume = CONVERTER.structure(VOLUME, Volume)
    assert mine.unstructure(volume)["region"] == "nyc1"
    assert make_converter().unstructure(volume)["region"] == REGION
