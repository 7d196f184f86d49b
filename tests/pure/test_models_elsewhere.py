"""Models in other people's libraries: as they are, and at no cost to who uses none of them."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import cattrs
import msgspec
import orjson
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from rich.console import Console

from do_blockstore_async import (
    Action,
    Page,
    RateLimit,
    Region,
    Response,
    Volume,
    VolumeSnapshot,
    json_default,
    make_converter,
)
from do_blockstore_async._interop.model import row_of

AT = datetime(2020, 3, 2, 17, 0, 49, tzinfo=UTC)
REGION = Region("nyc3", "New York 3", True, ("storage",), tuple(f"s-{n}vcpu" for n in range(14)))
VOLUME = Volume(
    "506f78a4-e098-11e5-ad9f-000f53306ae1",
    "orders-db",
    100,
    REGION,
    AT,
    droplet_ids=(11612190,),
    tags=("prod",),
)
SNAPSHOT = VolumeSnapshot(
    "8fa70202-873f-11e6-8b68-000f533176b1", "big", AT, VOLUME.id, "volume", ("nyc3",), 10, 0.5
)
ACTION = Action(72531856, "completed", "attach_volume", AT, AT, region=REGION, volume_id=VOLUME.id)
RATE = RateLimit(5000, 4816, AT)
MODELS = (REGION, VOLUME, SNAPSHOT, ACTION, RATE)
EVERY = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)

texts = st.text(max_size=20)
times = st.datetimes(timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0, year=max(1000, at.year))
)
regions = st.builds(Region, texts, texts, st.booleans(), *[st.lists(texts).map(tuple)] * 2)
volumes = st.builds(
    Volume,
    texts,
    texts,
    st.integers(1, 16_384),
    regions,
    times,
    texts,
    st.lists(st.integers(1, 2**50)).map(tuple),
    texts,
    texts,
    st.lists(texts).map(tuple),
)


@given(volumes)
def test_a_volume_comes_back_from_everywhere(volume: Volume) -> None:
    adapter = TypeAdapter(Volume)
    data = volume.to_dict()
    assert json.loads(adapter.dump_json(volume)) == adapter.dump_python(volume, mode="json")
    assert adapter.validate_json(adapter.dump_json(volume)) == volume
    assert adapter.validate_python(data) == volume
    assert msgspec.json.decode(msgspec.json.encode(volume), type=Volume) == volume
    assert json.loads(json.dumps(volume, default=json_default)) == data
    assert orjson.loads(orjson.dumps(volume, default=json_default)) == data
    assert make_converter().structure(data, Volume) == volume
    assert pickle.loads(pickle.dumps(volume)) == volume  # noqa: S301 -- our own
    assert dict(volume) == attrs.asdict(volume, recurse=False)
    assert hash(copy.deepcopy(volume)) == hash(volume)


@EVERY
def test_pydantic_takes_every_model(model: Any) -> None:
    kind = type(model)
    adapter = TypeAdapter(kind)
    assert adapter.validate_python(model) is model
    assert adapter.validate_json(adapter.dump_json(model)) == model
    assert adapter.validate_python(model.to_dict()) == model
    assert json.loads(adapter.dump_json(model)) == model.to_dict()
    page = Page((model,), 1, 1)
    assert TypeAdapter(Page[kind]).validate_json(msgspec.json.encode(page)) == page  # type: ignore[valid-type]
    assert TypeAdapter(dict[str, Any]).dump_python({"a": [model]}, mode="json") == {
        "a": [model.to_dict()]
    }


@EVERY
@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_every_field_is_described_and_the_example_is_one(model: Any, mode: Any) -> None:
    adapter = TypeAdapter(type(model))
    schema = adapter.json_schema(mode=mode)
    assert schema["description"]
    assert list(schema["properties"]) == [field.name for field in attrs.fields(type(model))]
    for name, field in schema["properties"].items():
        assert field.get("description"), name
    (example,) = schema["examples"]
    assert adapter.validate_python(example).to_dict() == example


class Order(BaseModel):
    number: int
    volume: Volume
    snapshots: Page[VolumeSnapshot]
    region: Region | None = None
    history: list[Action] = []


def test_models_live_in_models_of_users() -> None:
    order = Order(number=1, volume=VOLUME, snapshots=Page((SNAPSHOT,), 1, 1), history=[ACTION])
    assert order.volume is VOLUME
    assert Order.model_validate_json(order.model_dump_json()) == order
    assert order.model_copy(deep=True) == order
    defined = Order.model_json_schema()["$defs"]
    assert {"Volume", "Region", "Action", "VolumeSnapshot"} <= set(defined)
    with pytest.raises(ValidationError, match=r"volume\.created_at"):
        Order.model_validate(
            {
                "number": 1,
                "volume": {**VOLUME.to_dict(), "created_at": "2020-01-01T00:00:00"},
                "snapshots": Page((), 1, 0),
            }
        )


def test_a_response_of_request_can_be_returned_as_it_is() -> None:
    response = Response(200, {"a": "b"}, {"account": {"email": "x"}}, RATE)
    assert json.loads(TypeAdapter(Response).dump_json(response)) == response.to_dict()


@EVERY
def test_a_repr_fits_a_line_and_has_no_list_of_sizes(model: Any) -> None:
    assert len(repr(model)) <= 160
    assert "vcpu" not in repr(model)


def test_a_volume_is_shown_on_one_line() -> None:
    assert repr(VOLUME) == (
        "Volume(id='506f78a4-e098-11e5-ad9f-000f53306ae1', name='orders-db', size_gigabytes=100, "
        "region='nyc3', droplet_ids=(11612190,))"
    )


def test_rich_and_ipython_show_a_small_table() -> None:
    pretty = pytest.importorskip("IPython.lib.pretty").pretty
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(VOLUME)
    shown = console.export_text()
    for text in (shown, pretty(VOLUME), VOLUME._repr_html_()):
        assert "orders-db" in text
        assert "11612190" in text
        assert "2020-03-02T17:00:49Z" in text
        assert "filesystem_type" not in text, "what is empty is left out"
        assert len(text.splitlines()) <= 12
    assert pretty([VOLUME]) == f"[{VOLUME!r}]"
    assert pretty(REGION).count("vcpu") == 0, "of many, their number"


def test_html_of_a_notebook_is_escaped() -> None:
    evil = attrs.evolve(VOLUME, description="<script>alert(1)</script>")
    assert "<script>" not in evil._repr_html_()


def test_a_row_for_tables_is_flat() -> None:
    row = row_of(VOLUME)
    assert (row["region"], row["created_at"], row["tags"]) == ("nyc3", AT, ["prod"])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_take_rows(library: str) -> None:
    frames = pytest.importorskip(library)
    frame = frames.DataFrame([row_of(VOLUME), row_of(attrs.evolve(VOLUME, tags=()))])
    assert list(frame["region"]) == ["nyc3", "nyc3"]
    assert next(iter(frame["created_at"])).year == 2020


def test_plain_cattrs_and_attrs_work_too() -> None:
    assert cattrs.unstructure(VOLUME)["region"]["slug"] == "nyc3"
    assert attrs.asdict(VOLUME)["region"]["slug"] == "nyc3"
    replace: Callable[..., Any] = getattr(copy, "replace", attrs.evolve)  # of Python 3.13
    assert replace(VOLUME, name="b").name == "b"


def test_what_is_no_model_has_no_form() -> None:
    with pytest.raises(TypeError, match="timedelta has no form in JSON"):
        json.dumps(timedelta(1), default=json_default)
    with pytest.raises(KeyError):
        VOLUME["nothing"]
    with pytest.raises(TypeError, match="not iterable"):
        list(VOLUME)  # type: ignore[call-overload]


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    program = (
        "import sys; from do_blockstore_async import Volume, BlockStore; "
        "print({'pydantic', 'pydantic_core', 'rich', 'IPython'} & {*sys.modules})"
    )
    done = subprocess.run(  # noqa: S603 -- this very Python
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_without_pydantic_its_marks_are_absent() -> None:
    program = (
        "import sys; sys.modules['pydantic_core'] = None; sys.modules['pydantic'] = None; "
        "from do_blockstore_async import Volume; print(hasattr(Volume, '__pydantic_serializer__'))"
    )
    done = subprocess.run(  # noqa: S603 -- this very Python
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_what_a_route_leaves_out_is_left_out() -> None:
    class Holder(BaseModel):
        volume: Volume

    holder = Holder(volume=VOLUME)
    shown = holder.model_dump(exclude={"volume": {"region", "tags"}})["volume"]
    assert set(shown) == {field.name for field in attrs.fields(Volume)} - {"region", "tags"}
    assert holder.model_dump(include={"volume": {"id"}}) == {"volume": {"id": VOLUME.id}}
    adapter = TypeAdapter(Volume)
    assert set(adapter.dump_python(VOLUME, include={"id", "name"})) == {"id", "name"}
    app = FastAPI()

    @app.get("/", response_model=Volume, response_model_exclude={"description", "region"})
    def route() -> Volume:
        return VOLUME

    found = TestClient(app).get("/").json()
    assert {"description", "region"}.isdisjoint(found)
    assert found["id"] == VOLUME.id


def test_optional_times_want_a_zone_too_and_schemas_have_a_title() -> None:
    adapter = TypeAdapter(Action)
    with pytest.raises(ValidationError, match="timezone"):
        adapter.validate_python(
            {
                "id": 1,
                "status": "completed",
                "type": "resize",
                "started_at": "2020-11-12T17:51:03Z",
                "completed_at": "2020-11-12T17:51:03",
                "resource_id": 1,
                "resource_type": "volume",
            }
        )
    for mode in ("validation", "serialization"):
        assert adapter.json_schema(mode=mode)["title"] == "Action"
