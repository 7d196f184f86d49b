"""Errors carry what a caller needs to act, and survive a trip between processes."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from do_blockstore_async import (
    Action,
    ActionFailedError,
    ActionTimeoutError,
    APIStatusError,
    BlockStoreError,
    ClientClosedError,
    ConfigError,
    DecodeError,
    InvalidArgumentError,
    ListingChangedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QuotaWaitTooLongError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    StoreUnusableError,
    TransportError,
    errors,
)

ACTION = Action(1, "errored", "attach_volume", datetime(2026, 1, 1, tzinfo=UTC))
REQUEST: dict[str, Any] = {"method": "GET", "path": "/v2/x", "attempts": 2}
STATUS: dict[str, Any] = {"status": 418, "id": "x", "request_id": "r", "body": "b", **REQUEST}
EVERY: list[BlockStoreError] = [
    BlockStoreError("m", **REQUEST),
    TransportError("m", sent=False, **REQUEST),
    RequestTimeoutError("m", sent=True, **REQUEST),
    *(
        cls("m", **STATUS)  # type: ignore[operator]
        for cls in (APIStatusError, *APIStatusError.__subclasses__())
        if cls not in {PermissionDeniedError, RateLimitedError}
    ),
    PermissionDeniedError("m", scopes=("a:b",), **STATUS),
    RateLimitedError("m", kind="burst", retry_after=1.5, **STATUS),
    InvalidArgumentError("m", **REQUEST),
    DecodeError("m", field="volume.id", status=200, request_id="r", **REQUEST),
    QuotaWaitTooLongError("m", retry_after=2.5, **REQUEST),
    OutcomeUnknownError("m", candidate=ACTION, **REQUEST),
    ListingChangedError("m", **REQUEST),
    ActionFailedError("m", action=ACTION, **REQUEST),
    ActionTimeoutError("m", action=ACTION, **REQUEST),
    ClientClosedError("m", **REQUEST),
    ConfigError("m", **REQUEST),
    StoreUnusableError("m", **REQUEST),
]


def test_every_class_is_here() -> None:
    classes = {getattr(errors, name) for name in errors.__all__ if name.endswith("Error")}
    assert {type(error) for error in EVERY} == classes


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_pickled_and_copied(error: BlockStoreError) -> None:
    for again in (
        pickle.loads(pickle.dumps(error)),  # noqa: S301
        copy.copy(error),
        copy.deepcopy(error),
    ):
        assert type(again) is type(error)
        assert again.args == error.args
        assert vars(again) == vars(error)
        assert str(again) == str(error)
        assert repr(again) == repr(error)


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_the_text_says_what_where_and_how_often(error: BlockStoreError) -> None:
    assert "m (GET /v2/x, 2 attempts)" in str(error)
    if isinstance(error, APIStatusError):
        assert str(error).startswith("418 ")
        assert str(error).endswith("[request id r]")
    error.attempts = 1
    try:
        assert "attempts" not in str(error)
    finally:
        error.attempts = 2


def test_the_least_an_error_says() -> None:
    assert str(BlockStoreError("m")) == "m"
    assert str(ServerError("m", status=500)) == "500 m"
    assert BlockStoreError("m").attempts == 0
    assert BlockStoreError("m").method is None


def test_pickled_with_its_cause() -> None:
    """A cause is lost by pickling, as with every exception; nothing breaks."""
    error = OutcomeUnknownError("m")
    error.__cause__ = TransportError("lost")
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert again.__notes__ == ["a note"]
