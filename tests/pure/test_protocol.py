"""Statuses, kinds of 429 and retry-after: `wire/protocol.py` as tables."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import APIStatusError, RateLimitedError
from do_blockstore_async._http.protocol import parse_response, rate_limit_kind
from do_blockstore_async._http.request import RawResponse, Request
from do_blockstore_async._ratelimit.pure.headers import retry_after_s as retry_after

DATE = "Mon, 23 Nov 2026 10:00:00 GMT"
LIMITS = {"ratelimit-limit": "5000", "ratelimit-reset": "1795432000", "date": DATE}
NOTHING_LEFT = {**LIMITS, "ratelimit-remaining": "0"}
MUCH_LEFT = {**LIMITS, "ratelimit-remaining": "4000"}
COOLDOWN = "failed to create snapshot: this operation is rate-limited - one request per 10m0s"
FULL = "failed to create volume: volume/snapshot capacity limit exceeded"
PLAIN = "API rate limit exceeded."

KINDS = [
    (PLAIN, {**NOTHING_LEFT, "retry-after": "5"}, "burst"),
    (PLAIN, NOTHING_LEFT, "hourly"),
    (PLAIN, {**MUCH_LEFT, "retry-after": "5"}, "route"),
    (PLAIN, MUCH_LEFT, "route"),
    ("Too many requests to this endpoint", MUCH_LEFT, "route"),
    # Without any word on the budget a 429 is about the budget: the safe reading.
    (PLAIN, {}, "hourly"),
    (PLAIN, {"retry-after": "5"}, "burst"),
    (COOLDOWN, {}, "snapshot_cooldown"),
    (COOLDOWN.upper(), NOTHING_LEFT, "snapshot_cooldown"),
    (COOLDOWN, {**NOTHING_LEFT, "retry-after": "5"}, "snapshot_cooldown"),
    (FULL, {}, "capacity"),
    (FULL, {**NOTHING_LEFT, "retry-after": "5"}, "capacity"),
    ("failed to create snapshot: " + FULL, {}, "capacity"),
    ("", NOTHING_LEFT, "hourly"),
]


@pytest.mark.parametrize(("message", "headers", "kind"), KINDS)
def test_kinds_of_429(message: str, headers: dict[str, str], kind: str) -> None:
    assert rate_limit_kind(message, headers) == kind


RETRY_AFTER = [
    ("5", 5.0),
    ("0", 0.0),
    (" 7 ", 7.0),
    ("2.5", 2.5),
    ("1e2", 100.0),
    ("3600", 3600.0),
    ("86400", 3600.0),
    ("1e999", None),
    ("inf", None),
    ("nan", None),
    ("soon", None),
    ("", None),
    ("0x10", None),
    ("Mon, 23 Nov 2026 10:00:30 GMT", 30.0),
    ("Mon, 23 Nov 2026 09:00:00 GMT", 0.0),
    ("Tue, 23 Nov 2027 10:00:00 GMT", 3600.0),
    ("Mon, 99 Nov 2026 10:00:30 GMT", None),
]


@pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value, "date": DATE}) == seconds


def test_a_negative_retry_after_is_none_or_now() -> None:
    assert retry_after({"retry-after": "-5", "date": DATE}) in (None, 0.0)


def test_a_date_needs_the_answers_own_date() -> None:
    later = "Mon, 23 Nov 2026 10:00:30 GMT"
    assert retry_after({"retry-after": later}) is None
    assert retry_after({"retry-after": later, "date": "nonsense"}) is None
    assert retry_after({}) is None


@settings(max_examples=200)
@given(st.text(max_size=30), st.text(max_size=30))
def test_any_retry_after_gives_a_sane_wait(value: str, date: str) -> None:
    for headers in itertools.chain(
        ({"retry-after": value, "date": date},), ({"retry-after": value},)
    ):
        seconds = retry_after(headers)
        assert seconds is None or 0 <= seconds <= 3600


@settings(max_examples=200)
@given(
    st.integers(300, 999),
    st.binary(max_size=80) | st.just(b'{"id": "x", "message": "y"}'),
    st.dictionaries(
        st.sampled_from(("retry-after", "date", "x-request-id", "ratelimit-remaining")),
        st.text(max_size=20),
    ),
)
def test_any_refusal_is_a_status_error(status: int, body: bytes, headers: dict[str, str]) -> None:
    request: Request[Any] = Request(
        method="GET", path="/v2/x", route="/v2/x", decode=lambda raw: raw
    )
    with pytest.raises(APIStatusError) as caught:
        parse_response(request, RawResponse(status, headers, body))
    error = caught.value
    assert error.status == status
    assert str(error).isprintable()
    assert len(str(error)) < 1200
    assert isinstance(error, RateLimitedError) == (status == 429)


def refused(status: int, body: bytes) -> APIStatusError:
    request: Request[Any] = Request(method="GET", path="/", route="/", decode=lambda raw: None)
    with pytest.raises(APIStatusError) as error:
        parse_response(request, RawResponse(status, {"x-request-id": "r-1"}, body))
    return error.value


def test_an_error_whose_fields_are_objects_keeps_the_others() -> None:
    error = refused(422, b'{"id": "bad", "message": {"size": ["too big"]}, "request_id": "r-2"}')
    assert (error.id, error.request_id) == ("bad", "r-2")
    assert error.message == '{"size":["too big"]}'
    error = refused(404, b'{"id": 7, "message": null, "request_id": null}')
    assert (error.id, error.message, error.request_id) == ("7", "7", "r-1")


@pytest.mark.parametrize(
    ("status", "message", "refusal"),
    [
        (422, "Droplet already has a pending event.", "busy"),
        (409, "volume has a pending event", "busy"),
        (422, "This volume is already attached", None),
        (500, "pending event", None),
    ],
)
def test_what_is_busy_is_told_by_the_message(status: int, message: str, refusal: str) -> None:
    body = b'{"id": "x", "message": "%s"}' % message.encode()
    assert refused(status, body).refusal == refusal
