"""Request limits as text."""

from __future__ import annotations

from typing import Any

import pytest

from do_blockstore_async import Config
from do_blockstore_async._limits import DEFAULT_LIMITS, parse_limits


def test_limits_are_read_from_text_and_pairs() -> None:
    assert parse_limits(DEFAULT_LIMITS) == Config().windows
    assert parse_limits(" 5 / 0.5 ") == ((5, 0.5),)
    assert parse_limits([(2, 1), (3, 60)]) == ((2, 1.0), (3, 60.0))
    for nothing in (None, "none", " None "):
        assert parse_limits(nothing) == ()


@pytest.mark.parametrize("limits", ["", "x", "250", "250/60/1", "250/60,", "1/x", [(1,)], 5])
def test_what_is_no_limit_says_how_one_looks(limits: Any) -> None:
    with pytest.raises(ValueError, match="REQUESTS/SECONDS, the shortest window first"):
        parse_limits(limits)


@pytest.mark.parametrize("limits", ["0/60", "1/0", "1/-1", "1/inf", "1/nan", "9/60,1/1", []])
def test_limits_that_cannot_hold_are_refused(limits: Any) -> None:
    with pytest.raises(ValueError, match="at least one request in more than 0 seconds"):
        parse_limits(limits)
