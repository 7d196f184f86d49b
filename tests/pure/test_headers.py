"""Reading budget headers: what is used, what is left out, and what is said about it."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async._ratelimit.pure.headers import (
    read_sample,
    refusal_kind,
    reset_in_s,
    retry_after_s,
)

NOW = 1_795_000_000
DATE = formatdate(NOW, usegmt=True)


def budget(limit: object, remaining: object) -> dict[str, str]:
    return {"ratelimit-limit": str(limit), "ratelimit-remaining": str(remaining)}


def test_a_plain_answer() -> None:
    ignored: list[tuple[str, str]] = []
    sample = read_sample(budget(5000, 4987), ignored)
    assert sample is not None
    assert (sample.limit, sample.remaining) == (5000, 4987)
    assert ignored == []


def test_no_headers_are_no_sample_and_no_complaint() -> None:
    ignored: list[tuple[str, str]] = []
    assert read_sample({}, ignored) is None
    assert reset_in_s({}, 3600.0, ignored) is None
    assert retry_after_s({}, ignored) is None
    assert ignored == []


@pytest.mark.parametrize(
    ("headers", "name", "reason"),
    [
        (budget(5000, -1), "ratelimit-remaining", "negative"),
        (budget(5000, "many"), "ratelimit-remaining", "not a whole number"),
        (budget(5000, "12.5"), "ratelimit-remaining", "not a whole number"),
        (budget(5000, "5_0"), "ratelimit-remaining", "not a whole number"),
        (budget(5000, "٣"), "ratelimit-remaining", "not a whole number"),
        (budget(5000, "9" * 5000), "ratelimit-remaining", "implausibly large"),
        (budget(5000, 5001), "ratelimit-remaining", "more than the limit"),
        (budget(0, 12), "ratelimit-limit", "zero"),
        (budget("", 12), "ratelimit-limit", "not a whole number"),
    ],
)
def test_what_makes_no_sense_is_left_out_and_named(
    headers: dict[str, str], name: str, reason: str
) -> None:
    ignored: list[tuple[str, str]] = []
    sample = read_sample(headers, ignored)
    assert (name, reason) in ignored
    assert sample is None or (name == "ratelimit-limit" and sample.limit is None)


@pytest.mark.parametrize(
    ("reset_s", "expected_s"),
    [(0, 0.0), (60, 60.0), (3600, 3600.0), (-3, 0.0), (3603, 3600.0)],
)
def test_reset_is_measured_against_the_answers_own_date(reset_s: int, expected_s: float) -> None:
    headers = {"ratelimit-reset": str(NOW + reset_s), "date": DATE}
    assert reset_in_s(headers, 3600.0, []) == expected_s


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"ratelimit-reset": str(NOW - 3600), "date": DATE}, "in the past"),
        ({"ratelimit-reset": str(NOW + 86400 * 36525), "date": DATE}, "later than any request"),
        ({"ratelimit-reset": str(NOW + 60), "date": formatdate(NOW + 3700)}, "in the past"),
        ({"ratelimit-reset": str(NOW + 60), "date": formatdate(NOW - 3700)}, "later than any"),
        ({"ratelimit-reset": str(NOW + 60), "date": "yesterday"}, "not an HTTP date"),
        ({"ratelimit-reset": "soon", "date": DATE}, "not a whole number"),
    ],
)
def test_a_reset_that_cannot_be_true_is_left_out(headers: dict[str, str], reason: str) -> None:
    ignored: list[tuple[str, str]] = []
    assert reset_in_s(headers, 3600.0, ignored) is None
    assert any(said.startswith(reason) for _, said in ignored)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("1000000", 3600.0),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("a while", None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(value: str, wait_s: float | None) -> None:
    assert retry_after_s({"retry-after": value, "date": DATE}) == wait_s


def test_a_retry_after_date_without_a_date_to_compare_with_is_left_out() -> None:
    ignored: list[tuple[str, str]] = []
    assert retry_after_s({"retry-after": formatdate(NOW + 30)}, ignored) is None
    assert ignored[0][0] == "retry-after"


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        (budget(5000, 0) | {"retry-after": "12"}, "burst"),
        (budget(5000, 0), "hourly"),
        (budget(5000, 17) | {"retry-after": "600"}, None),
        (budget(5000, 17), None),
        ({"retry-after": "600"}, None),
        ({}, None),
        (budget(5000, "none"), None),
    ],
)
def test_the_kind_of_a_429_by_its_headers(headers: dict[str, str], kind: str | None) -> None:
    assert refusal_kind(headers) == kind


NAMES = [
    "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after", "date",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30) | st.integers().map(str)))
def test_no_header_breaks_the_reader_or_makes_an_endless_wait(headers: dict[str, str]) -> None:
    ignored: list[tuple[str, str]] = []
    sample = read_sample(headers, ignored)
    assert sample is None or sample.remaining >= 0
    for wait_s in (reset_in_s(headers, 3600.0, ignored), retry_after_s(headers, ignored)):
        assert wait_s is None or (math.isfinite(wait_s) and 0 <= wait_s <= 3600)
    refusal_kind(headers)
