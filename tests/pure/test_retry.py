"""Whether and when: the rules of `wire/retry.py` as a table and as properties."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BlockStoreError,
    ClientClosedError,
    Config,
    ConflictError,
    DecodeError,
    NotFoundError,
    PermissionDeniedError,
    QuotaWaitTooLongError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    UnprocessableEntityError,
)
from do_blockstore_async._http.retry import RetryBudget, decide, is_outcome_unknown

CONFIG = Config(max_attempts=4, backoff_base_s=1.0, backoff_cap_s=3.0)


def limited(kind: Any, retry_after: float | None = None) -> RateLimitedError:
    return RateLimitedError("x", status=429, kind=kind, retry_after=retry_after)


def server(status: int) -> ServerError:
    return ServerError("x", status=status)


def ask(error: BlockStoreError, **changes: Any) -> float | None:
    values: dict[str, Any] = {
        "repeatable": False,
        "attempt": 1,
        "jitter": 0.5,
        "remaining_s": inf,
        "retry_after_s": getattr(error, "retry_after", None),
        "config": CONFIG,
        **changes,
    }
    return decide(error, **values)


LOST = TransportError("x", sent=True)
NEVER_SENT = TransportError("x", sent=False)
AGAIN = (500, 502, 503, 504, 520, 521, 522, 523, 524)
# (rule, error, keywords, delay)
TABLE: list[tuple[str, BlockStoreError, dict[str, Any], float | None]] = [
    ("1 all attempts used", NEVER_SENT, {"attempt": 4}, None),
    ("1 more than all", LOST, {"attempt": 5, "repeatable": True}, None),
    ("2 never written", NEVER_SENT, {}, 0.5),
    ("2 the second time", NEVER_SENT, {"attempt": 2}, 1.0),
    ("2 capped", NEVER_SENT, {"attempt": 3}, 1.5),
    ("2 timed out before it was sent", RequestTimeoutError("x", sent=False), {}, 0.5),
    ("3 capacity", limited("capacity", 1.0), {"repeatable": True}, None),
    ("4 cooldown without a deadline", limited("snapshot_cooldown"), {}, None),
    ("4 cooldown with a hint, no deadline", limited("snapshot_cooldown", 60.0), {}, None),
    ("4 cooldown that does not fit", limited("snapshot_cooldown"), {"remaining_s": 600.0}, None),
    ("4 cooldown that fits", limited("snapshot_cooldown"), {"remaining_s": 601.0}, 600.0),
    ("4 a hint that fits", limited("snapshot_cooldown", 60.0), {"remaining_s": 61.0}, 60.0),
    ("5 route", limited("route"), {}, 0.5),
    ("5 route with a hint", limited("route", 7.0), {}, 7.0),
    ("5 a hint over the cap is honoured", limited("route", 700.0), {}, 700.0),
    ("5 burst with a hint", limited("burst", 2.0), {}, 2.0),
    ("5 hourly goes to the throttle", limited("hourly"), {}, 0.0),
    ("5 burst goes to the throttle", limited("burst"), {}, 0.0),
    ("5 a hint that does not fit", limited("burst", 30.0), {"remaining_s": 30.0}, None),
    ("6 lost, not repeatable", LOST, {}, None),
    ("6 lost, repeatable", LOST, {"repeatable": True}, 0.5),
    ("6 timed out", RequestTimeoutError("x"), {"repeatable": True}, 0.5),
    *((f"6 {s}", server(s), {"repeatable": True}, 0.5) for s in AGAIN),
    *((f"6 {s} of a POST", server(s), {}, None) for s in AGAIN),
    ("6 with a hint", server(503), {"repeatable": True, "retry_after_s": 9.0}, 9.0),
    *((f"7 {s}", server(s), {"repeatable": True}, None) for s in (501, 505, 519, 525, 530, 599)),
    *(
        (f"7 {cls.__name__}", cls("x", status=status), {"repeatable": True}, None)
        for cls, status in (
            (BadRequestError, 400),
            (AuthenticationError, 401),
            (PermissionDeniedError, 403),
            (NotFoundError, 404),
            (ConflictError, 409),
            (UnprocessableEntityError, 422),
            (APIStatusError, 302),
        )
    ),
    ("7 DecodeError", DecodeError("x"), {"repeatable": True}, None),
    ("7 closed", ClientClosedError("x"), {"repeatable": True}, None),
    (
        "7 no budget in time",
        QuotaWaitTooLongError("x", retry_after=1.0),
        {"repeatable": True},
        None,
    ),
]


@pytest.mark.parametrize(
    ("error", "values", "delay"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_rules(error: BlockStoreError, values: dict[str, Any], delay: float | None) -> None:
    assert ask(error, **values) == delay


errors = st.one_of(
    st.builds(TransportError, st.just("x"), sent=st.booleans()),
    st.builds(RequestTimeoutError, st.just("x"), sent=st.booleans()),
    st.builds(ServerError, st.just("x"), status=st.integers(500, 599)),
    st.builds(
        limited,
        st.sampled_from(("burst", "hourly", "snapshot_cooldown", "capacity", "route")),
        st.none() | st.floats(0, 3600),
    ),
    st.builds(ConflictError, st.just("x"), status=st.just(409)),
    st.builds(DecodeError, st.just("x")),
)
situations = st.fixed_dictionaries(
    {
        "repeatable": st.booleans(),
        "attempt": st.integers(1, 8),
        "jitter": st.floats(0, 1, exclude_max=True),
        "remaining_s": st.just(inf) | st.floats(0, 10_000),
    }
)


@settings(max_examples=300)
@given(errors, situations)
def test_what_may_have_been_written_is_only_repeated_where_that_is_harmless(
    error: BlockStoreError, situation: dict[str, Any]
) -> None:
    if is_outcome_unknown(error) and not situation["repeatable"]:
        assert ask(error, **situation) is None


@settings(max_examples=300)
@given(errors, situations)
def test_delays_lie_between_zero_and_the_deadline(
    error: BlockStoreError, situation: dict[str, Any]
) -> None:
    delay_s = ask(error, **situation)
    if delay_s is None:
        return
    assert situation["attempt"] < CONFIG.max_attempts
    assert delay_s >= 0
    assert delay_s < situation["remaining_s"]
    hint = getattr(error, "retry_after", None)
    if hint is not None:
        assert delay_s == hint, "what the server asks for is honoured whole"
    elif not isinstance(error, RateLimitedError) or error.kind == "route":
        bound = min(CONFIG.backoff_cap_s, CONFIG.backoff_base_s * 2 ** (situation["attempt"] - 1))
        assert delay_s <= bound


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_jitter_is_full(one: float, other: float) -> None:
    """From nothing to the bound, in proportion to the draw."""
    first, second = ask(NEVER_SENT, jitter=one), ask(NEVER_SENT, jitter=other)
    assert first is not None
    assert second is not None
    assert (first <= second) == (one <= other)
    assert ask(NEVER_SENT, jitter=0.0) == 0.0


@given(st.lists(st.booleans(), max_size=300), st.integers(1, 20))
def test_the_budget_lets_a_tenth_of_the_successes_through(steps: list[bool], size: int) -> None:
    budget = RetryBudget(size)
    taken = succeeded = 0
    for success in steps:
        if success:
            budget.succeeded()
            succeeded += 1
        elif budget.take():
            taken += 1
        assert taken <= size + succeeded / 10 + 1e-6


def test_an_empty_budget_refuses_and_recovers() -> None:
    budget = RetryBudget(2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(9):
        budget.succeeded()
    assert not budget.take()
    budget.succeeded()
    budget.succeeded()
    assert budget.take()


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (LOST, True),
        (NEVER_SENT, False),
        (RequestTimeoutError("x"), True),
        (server(500), True),
        (server(504), True),
        (limited("burst"), False),
        (ConflictError("x", status=409), False),
        (APIStatusError("x", status=302), False),
        (DecodeError("x"), False),
    ],
)
def test_which_outcomes_are_unknown(error: BlockStoreError, unknown: bool) -> None:
    assert is_outcome_unknown(error) is unknown
