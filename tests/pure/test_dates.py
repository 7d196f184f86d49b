"""HTTP dates: one rule, whatever the zone of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from do_blockstore_async._dates import date_header_s, http_date_s
from do_blockstore_async._ratelimit.pure.headers import reset_in_s, retry_after_s

TEN_S = 1_795_428_000  # 2026-11-23 10:00:00 UTC


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000", ""])
def test_every_spelling_of_utc_is_utc(zone: str) -> None:
    date = f"Mon, 23 Nov 2026 10:00:00 {zone}".strip()
    assert http_date_s(date) == TEN_S
    assert date_header_s({"date": date}) == TEN_S
    # The wait of 5 s was an hour: one date was read as local time.
    headers = {"date": date, "ratelimit-reset": str(TEN_S + 5)}
    assert reset_in_s(headers, 3600.0, []) == 5.0
    assert retry_after_s({**headers, "retry-after": "Mon, 23 Nov 2026 10:00:05 -0000"}) == 5.0


@pytest.mark.parametrize("text", ["", "yesterday", "Mon, 99 Nov 2026 10:00:00 GMT", "1" * 500])
def test_anything_else_is_no_date(text: str) -> None:
    assert http_date_s(text) is None
    assert date_header_s({"date": text}) is None
    assert date_header_s({}) is None
