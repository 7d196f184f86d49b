"""The codec's two ways agree (C1), and nothing but DecodeError comes out of any bytes (C2)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import DecodeError
from do_blockstore_async._dates import date_header_s
from do_blockstore_async._http.request import Listing, RawResponse
from do_blockstore_async._schema.json_to_models import Codec
from tests.support.scripted_server import ACTION, REGION, SNAPSHOT, VOLUME, listing

FORMS = ("volume", "volumes", "snapshot", "snapshots", "action", "actions", "regions")
HEADERS = {"date": "Mon, 23 Nov 2026 10:00:00 GMT"}

texts = st.text(max_size=8)
words = st.lists(texts, max_size=3)
dates = st.datetimes().map(lambda at: at.isoformat() + "Z") | st.sampled_from(
    ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00.123456Z", "2026-11-23T10:00:00+01:00")
)
whole = st.integers(-(2**53), 2**53)
sizes = whole | whole.map(float)  # 10.0 has been seen for 10
objects = st.fixed_dictionaries(
    {"slug": texts, "name": texts, "available": st.booleans()},
    optional={"features": words | st.none(), "sizes": words | st.none(), "new": texts},
)
regions = objects | texts  # a slug alone has been seen
volumes = st.fixed_dictionaries(
    {
        "id": texts,
        "name": texts,
        "size_gigabytes": sizes,
        "region": regions,
        "created_at": dates,
    },
    optional={
        "description": texts | st.none(),
        "droplet_ids": st.lists(whole, max_size=2) | st.none(),
        "filesystem_type": texts | st.none(),
        "filesystem_label": texts | st.none(),
        "tags": words | st.none(),
        "unknown": st.none() | words,
    },
)
snapshots = st.fixed_dictionaries(
    {
        "id": texts,
        "name": texts,
        "created_at": dates,
        "resource_id": texts,
        "resource_type": texts,
        "regions": words | st.none(),
        "min_disk_size": sizes,
        "size_gigabytes": whole | st.floats(allow_nan=False, allow_infinity=False),
    },
    optional={"tags": words | st.none()},
)
actions = st.fixed_dictionaries(
    {"id": whole, "status": texts, "type": texts, "started_at": dates},
    optional={
        "completed_at": dates | st.none(),
        "resource_id": whole | st.none(),
        "resource_type": texts | st.none(),
        "region": regions | st.none(),
        "region_slug": texts | st.none(),
    },
)
things = {"volume": volumes, "snapshot": snapshots, "action": actions, "region": objects}


def pages(key: str) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {key: st.lists(things[key[:-1]], max_size=3)},
        optional={
            "meta": st.none()
            | st.fixed_dictionaries({}, optional={"total": st.integers(0, 10**9)}),
            "links": st.none()
            | st.just({})
            | st.just({"pages": {"last": "https://x/?page=7&per_page=200"}}),
        },
    )


def answers(form: str) -> st.SearchStrategy[Any]:
    return pages(form) if form.endswith("s") else st.fixed_dictionaries({form: things[form]})


def raw(document: Any) -> RawResponse:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return RawResponse(200, HEADERS, body)


def decode(form: str, answer: RawResponse, codec: Codec | None = None) -> Any:
    """The value, or the field that does not fit."""
    try:
        return getattr(codec or Codec(), form)(answer)
    except DecodeError as error:
        return error


def explained(form: str, answer: RawResponse) -> Any:
    try:
        return Codec()._explain(answer, form)
    except DecodeError as error:
        return error


@pytest.mark.parametrize("form", FORMS)
def test_both_ways_agree_on_every_documented_answer(form: str) -> None:
    @settings(max_examples=60)
    @given(answers(form))
    def check(document: Any) -> None:
        answer = raw(document)
        fast = decode(form, answer)
        assert not isinstance(fast, DecodeError), str(fast)
        assert fast == explained(form, answer)

    check()


json_values = st.recursive(
    st.none() | st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    found: list[tuple[Any, Any]] = []
    if isinstance(document, dict):
        pairs: list[tuple[Any, Any]] = list(document.items())
    elif isinstance(document, list):
        pairs = list(enumerate(document))
    else:
        return []
    for key, value in pairs:
        found.append((document, key))
        found += places(value)
    return found


SAMPLES: dict[str, Any] = {
    "volume": {"volume": VOLUME},
    "volumes": listing("volumes", VOLUME, VOLUME),
    "snapshot": {"snapshot": SNAPSHOT},
    "snapshots": listing("snapshots", SNAPSHOT),
    "action": {"action": ACTION},
    "actions": listing("actions", ACTION),
    "regions": listing("regions", REGION),
}


@pytest.mark.parametrize("form", FORMS)
def test_both_ways_agree_on_what_does_not_fit(form: str) -> None:
    """A field changed into anything: both refuse it, or both make the same of it."""

    @settings(max_examples=120)
    @given(st.randoms(use_true_random=False), json_values, st.booleans())
    def check(draw: Any, value: Any, remove: bool) -> None:
        document = json.loads(json.dumps(SAMPLES[form]))
        holder, key = draw.choice(places(document))
        if remove:
            del holder[key]
        else:
            holder[key] = value
        answer = raw(document)
        fast, slow = decode(form, answer), explained(form, answer)
        if isinstance(fast, DecodeError) or isinstance(slow, DecodeError):
            assert isinstance(fast, DecodeError), f"only the explaining way refuses: {slow}"
            assert isinstance(slow, DecodeError), f"only the fast way refuses: {document}"
            assert fast.field
        else:
            assert fast == slow

    check()


@pytest.mark.parametrize("form", FORMS)
def test_any_bytes_give_a_model_or_a_decode_error(form: str) -> None:
    sample = json.dumps(SAMPLES[form]).encode()

    @settings(max_examples=120)
    @given(st.binary(max_size=60), st.integers(0, len(sample)), st.integers(0, 30))
    def check(noise: bytes, at: int, cut: int) -> None:
        for body in (noise, sample[:at] + noise + sample[at + cut :]):
            outcome = decode(form, raw(body))
            assert isinstance(outcome, DecodeError | Listing) or hasattr(outcome, "id")

    check()


@settings(max_examples=100)
@given(st.binary(max_size=60))
def test_any_bytes_are_anything_or_a_decode_error(body: bytes) -> None:
    try:
        Codec.anything(raw(body))
    except DecodeError as error:
        assert error.status == 200  # noqa: PT017


def test_the_fast_way_is_the_one_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Codec, "_explain", lambda self, raw, key: pytest.fail("not fast"))
    for form, document in SAMPLES.items():
        decode(form, raw(document))


def test_regions_are_one_object_however_they_are_written() -> None:
    codec = Codec()
    first = codec.volume(raw({"volume": VOLUME}))
    reordered = {**VOLUME, "region": dict(reversed(list(REGION.items())))}
    second = codec.volume(raw({"volume": reordered}))
    third = codec.action(raw({"action": ACTION}))
    (fourth,) = codec.regions(raw(listing("regions", REGION))).items
    assert first.region is second.region is third.region is fourth


@pytest.mark.parametrize(
    ("links", "page"),
    [
        ({}, None),
        ({"pages": {}}, None),
        ({"pages": {"last": "https://evil.example/?page=12"}}, 12),
        ({"pages": {"last": "?per_page=5&page=3"}}, 3),
        ({"pages": {"last": "https://x/?page=0"}}, 0),
        ({"pages": {"last": "https://x/?page=-3"}}, None),
        ({"pages": {"last": "https://x/?page=1_0"}}, None),
        ({"pages": {"last": "https://x/?page=%D9%A3"}}, None),
        ({"pages": {"last": "https://x/?page=1e3"}}, None),
        ({"pages": {"last": "https://x/?page="}}, None),
        ({"pages": {"last": "https://x/?page=9999999999"}}, None),
        ({"pages": {"last": "http://[::1?page=4"}}, None),
    ],
)
def test_a_link_is_read_for_its_page_number_only(links: Any, page: int | None) -> None:
    found = decode("volumes", raw({"volumes": [], "links": links}))
    assert found.last_page == page


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:01:40 GMT", 100.0),
        ("Thu, 01 Jan 1970 00:01:40", 100.0),
        ("Thursday, 01-Jan-70 00:01:40 GMT", 100.0),
        ("soon", None),
        ("", None),
        ("Thu, 99 Jan 1970 00:01:40 GMT", None),
        ("Thu, 01 Jan 99999999999 00:01:40 GMT", None),
        ("Thu, 01 Jan 1970 00:01:40 +9999999", None),
    ],
)
def test_the_date_of_an_answer(value: str, seconds: float | None) -> None:
    assert date_header_s({"date": value}) == seconds
    assert date_header_s({}) is None
