"""Errors as problem details: the right status, a Retry-After where waiting helps, no secrets."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async import (
    ActionFailedError,
    ActionTimeoutError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BlockStoreError,
    ClientClosedError,
    ConfigError,
    ConflictError,
    DecodeError,
    InvalidArgumentError,
    ListingChangedError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QuotaWaitTooLongError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    StoreUnusableError,
    TransportError,
    UnprocessableEntityError,
    errors,
)
from do_blockstore_async.integrations._web.problem_details import (
    only_error,
    problem_of,
    whole_seconds,
)
from do_blockstore_async.integrations._web.request_scope import timeout_from

CANARY = "dop_v1_" + "c0ffee" * 10 + "beef"


def refused(kind: Any, retry_after: float | None = None) -> RateLimitedError:
    return RateLimitedError("no", status=429, kind=kind, retry_after=retry_after)


CASES: list[tuple[BlockStoreError, int, str, int | None]] = [
    (QuotaWaitTooLongError("wait", retry_after=12.3), 503, "budget", 13),
    (refused("burst", 7.0), 503, "budget", 7),
    (refused("hourly"), 503, "budget", 1),
    (refused("route", 2.5), 503, "budget", 3),
    (refused("snapshot_cooldown"), 429, "snapshot-cooldown", None),
    (refused("snapshot_cooldown", 600), 429, "snapshot-cooldown", 600),
    (refused("capacity", 5), 507, "capacity", None),
    (NotFoundError("gone", status=404), 404, "not-found", None),
    (ConflictError("taken", status=409), 409, "conflict", None),
    (UnprocessableEntityError("no", status=422), 422, "not-possible", None),
    (InvalidArgumentError("not an id"), 422, "invalid-argument", None),
    (OutcomeUnknownError("lost"), 502, "outcome-unknown", None),
    (RequestTimeoutError("slow"), 504, "upstream-timeout", None),
    (TransportError("reset"), 502, "upstream", None),
    (ServerError("html", status=503), 502, "upstream", None),
    (StoreUnusableError("no such folder"), 500, "configuration", None),
    (AuthenticationError("no", status=401), 502, "upstream", None),
    (PermissionDeniedError("no", status=403), 502, "upstream", None),
    (BadRequestError("no", status=400), 502, "upstream", None),
    (APIStatusError("teapot", status=418), 502, "upstream", None),
    (DecodeError("odd"), 502, "upstream", None),
    (ListingChangedError("moving"), 502, "upstream", None),
    (ActionFailedError("errored", action=None), 502, "action-failed", None),  # type: ignore[arg-type]
    (ActionTimeoutError("slow", action=None), 504, "action-timeout", None),  # type: ignore[arg-type]
    (ClientClosedError("closed"), 503, "shutting-down", 1),
    (ConfigError("no token"), 500, "configuration", None),
    (BlockStoreError("anything"), 502, "upstream", None),
]


@pytest.mark.parametrize(("error", "status", "kind", "retry_after_s"), CASES)
def test_each_error_has_its_answer(
    error: BlockStoreError, status: int, kind: str, retry_after_s: int | None
) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.kind, problem.retry_after_s) == (status, kind, retry_after_s)
    body = json.loads(problem.encode())
    assert body["status"] == status
    assert body["type"].endswith(f":{kind}")
    assert body["title"]
    assert body["detail"]
    assert problem.headers.get("Retry-After") == (retry_after_s and str(retry_after_s))
    assert body.get("retry_after") == retry_after_s


def test_no_class_of_error_is_forgotten() -> None:
    classes = {
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, BlockStoreError)
    }
    assert classes == {type(error) for error, *_ in CASES}


def test_only_a_wrong_setup_is_a_500() -> None:
    assert {problem_of(error).kind for error, status, *_ in CASES if status == 500} == {
        "configuration"
    }


@pytest.mark.parametrize(
    "words",
    [CANARY, f"Bearer {CANARY}", f"authorization: bearer abc{CANARY}", "c0ffee12" * 8],
)
@pytest.mark.parametrize("error", [case[0] for case in CASES], ids=lambda e: type(e).__name__)
def test_no_token_gets_into_an_answer(error: BlockStoreError, words: str) -> None:
    error.message = f"it said {words} and more"
    if isinstance(error, APIStatusError):
        error.request_id, error.body = words, words
    error.path = f"/v2/{words}"
    problem = problem_of(error)
    told = problem.encode().decode() + repr(problem.headers)
    assert CANARY not in told
    assert "c0ffee12" not in told
    assert "/v2/" not in told


def test_words_of_the_api_are_passed_on_where_they_help() -> None:
    error = ConflictError("attached volume cannot be deleted", status=409, request_id="4d9d8375-1")
    problem = problem_of(error)
    assert problem.detail == "attached volume cannot be deleted"
    assert problem.body["upstream_request_id"] == "4d9d8375-1"
    gateway = ServerError("<html>nginx at 10.1.2.3</html>", status=502)
    assert "nginx" not in problem_of(gateway).encode().decode()


@given(st.text())
def test_details_are_one_short_printable_line(text: str) -> None:
    detail = problem_of(NotFoundError(text, status=404)).detail
    assert len(detail) <= 200
    assert detail.isprintable()


def test_a_time_handed_in_counts_where_waiting_helps() -> None:
    late = QuotaWaitTooLongError("wait", retry_after=1)
    assert problem_of(late, retry_after_s=9).retry_after_s == 9
    assert problem_of(NotFoundError("x", status=404), retry_after_s=9).retry_after_s is None


def test_of_a_group_the_error_that_waiting_does_not_cure_is_told() -> None:
    late, gone = QuotaWaitTooLongError("wait", retry_after=1), NotFoundError("x", status=404)
    assert only_error(ExceptionGroup("", [late, ExceptionGroup("", [gone])])) is gone
    assert only_error(ExceptionGroup("", [late])) is late
    assert only_error(ExceptionGroup("", [late, ValueError()])) is None
    assert only_error(ExceptionGroup("", [ExceptionGroup("", [OSError()])])) is None


@given(st.floats(0, 1e6))
def test_retry_after_is_rounded_up_to_whole_seconds(wait_s: float) -> None:
    assert max(1.0, wait_s) <= whole_seconds(wait_s) < max(1.0, wait_s) + 1


@pytest.mark.parametrize(
    ("header", "default_s", "longest_s", "expected"),
    [
        (None, 30.0, 300.0, 30.0),
        (None, None, None, None),
        (None, None, 300.0, 300.0),
        ("10", 30.0, 300.0, 9.75),
        ("1", 30.0, 300.0, 0.9),
        ("1e3", 30.0, 300.0, 300.0),
        ("10", 30.0, None, 9.75),
        *(
            (wrong, 30.0, 300.0, 30.0)
            for wrong in ("", "soon", "0", "-1", "nan", "inf", "1s", "٣", "1" * 400)
        ),
    ],
)
def test_a_request_says_how_long_it_has(
    header: str | None, default_s: float | None, longest_s: float | None, expected: float | None
) -> None:
    assert timeout_from(header, default_s, longest_s) == (
        None if expected is None else pytest.approx(expected)
    )
