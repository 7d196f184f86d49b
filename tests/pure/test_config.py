"""Settings that make no sense are rejected when they are made, by name."""

from __future__ import annotations

from typing import Any

import pytest

from do_blockstore_async import Config, ConfigError

POSITIVE = [
    "burst",
    "cold_start_concurrency",
    "attempt_timeout_s",
    "connect_timeout_s",
    "max_attempts",
    "backoff_base_s",
    "backoff_cap_s",
    "retry_budget",
    "max_body_bytes",
    "max_pages",
    "max_items",
    "page_concurrency",
    "max_connections",
    "timeout_s",
]
NOT_NEGATIVE = ["window_margin_s", "late_arrival_s"]


def config_with(field: str, value: float) -> Config:
    settings: dict[str, Any] = {field: value}
    return Config(**settings)


@pytest.mark.parametrize("field", POSITIVE)
def test_what_must_be_positive(field: str) -> None:
    for value in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match=f"{field} must be more than 0"):
            config_with(field, value)


@pytest.mark.parametrize("field", NOT_NEGATIVE)
def test_what_must_not_be_negative(field: str) -> None:
    assert getattr(config_with(field, 0), field) == 0
    for value in (-0.1, float("nan")):
        with pytest.raises(ConfigError, match=f"{field} must be 0 or more"):
            config_with(field, value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"windows": ()}, "at least one"),
        ({"windows": ((0, 60.0),)}, "not a window"),
        ({"windows": ((250, 0.0),)}, "not a window"),
        ({"windows": ((5000, 3600.0), (250, 60.0))}, "from the shortest to the longest"),
        ({"reserve": (0.1,)}, "one share for each window"),
        ({"reserve": (0.1, 1.0)}, "must lie in"),
        ({"reserve": (-0.1, 0.0)}, "must lie in"),
    ],
)
def test_windows_and_reserve(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)


def test_the_default_reserve_follows_the_number_of_windows() -> None:
    assert Config(windows=((10, 1.0),)).reserve == (0.10,)
    assert Config(windows=((10, 1.0), (20, 9.0), (30, 99.0))).reserve == (0.10, 0.05, 0.05)
