"""Why a request waits: a cause exactly where the ledger would not let it go, and the right one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async._ratelimit.pure.causes import cause_of
from do_blockstore_async._ratelimit.pure.ledger import Admission, LeaseRecord, Ledger
from do_blockstore_async.config import Config

PLAIN = Config(
    windows=((10, 6.0), (40, 60.0)), window_margin_s=0.5, late_arrival_s=3.0, reserve=(0.2, 0.1)
)
STEPS = ("send", "force", "done", "said", "lost", "unused", "wait", "burst", "hourly", "reserve")


def said(remaining: int, **more: str) -> dict[str, str]:
    return {"ratelimit-limit": "40", "ratelimit-remaining": str(remaining), **more}


def send(ledger: Ledger, now: float) -> LeaseRecord:
    lease = LeaseRecord()
    ledger.open(lease, now, Admission(now))
    return lease


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 40)), max_size=80))
def test_there_is_a_cause_exactly_where_a_request_has_to_wait(steps: Any) -> None:
    ledger, now, leases = Ledger(PLAIN), 0.0, []
    for step, number in steps:
        now += 0.21
        may_go = ledger.admission(now, background=False).at <= now
        if (step == "send" and may_go) or (step == "force" and ledger.in_flight < 9):
            leases.append(send(ledger, now))
        elif step == "wait":
            now += number / 4
        elif step == "reserve":
            ledger.reserve_at(now + number / 10)
        elif leases:
            lease = leases.pop(0)
            if step == "done":
                ledger.close_done(lease, now, {}, 200, [])
            elif step == "said":
                ledger.close_done(lease, now, said(number), 200, [])
            elif step == "burst":
                wait = {"retry-after": str(number % 5)} if number % 2 else {}
                ledger.close_done(lease, now, said(0, **wait), 429, [])
            elif step == "hourly":
                ledger.close_done(lease, now, said(0), 429, [])
            elif step == "lost":
                ledger.close_lost(lease, now)
            else:
                ledger.close_unused(lease, now)
        for background in (False, True):
            full_at = [window.full_at for window in ledger.windows]
            cause = cause_of(ledger, now, background)
            assert [window.full_at for window in ledger.windows] == full_at
            admission = ledger.admission(now, background)
            assert (cause is None) == (admission.at <= now), (cause, admission.at - now)
            if cause is not None and cause.kind in ("minute", "hour", "reserve"):
                index = [window.length_s for window in ledger.windows].index(cause.window_s or 0)
                window = ledger.windows[index]
                kept = ledger.reserved_slots(window, now) if background else 0
                assert ledger.in_flight + window.closed(now) + kept >= window.limit
                assert background or cause.kind != "reserve"


def fill(ledger: Ledger, count: int, now: float = 0.0) -> None:
    for _ in range(count):
        ledger.close_done(send(ledger, now), now, {}, 200, [])


def test_each_cause_has_its_name() -> None:
    ledger = Ledger(PLAIN)
    assert cause_of(ledger, 0.0, background=False) is None
    for _ in range(2):
        send(ledger, 0.0)
    assert cause_of(ledger, 0.0, background=False) == ("cold_start", None, ())

    full = Ledger(PLAIN)
    fill(full, 10)
    assert cause_of(full, 0.1, background=False) == ("minute", 6.0, ())

    nearly = Ledger(PLAIN)
    fill(nearly, 8)
    assert cause_of(nearly, 0.1, background=False) is None
    assert cause_of(nearly, 0.1, background=True) == ("reserve", 6.0, ())

    hour = Ledger(PLAIN)
    for round_ in range(4):
        fill(hour, 10, 7.0 * round_)
    assert cause_of(hour, 28.0, background=False) == ("hour", 60.0, ())

    paused = Ledger(PLAIN)
    paused.close_done(send(paused, 0.0), 0.0, said(0, **{"retry-after": "5"}), 429, [])
    assert cause_of(paused, 0.1, background=False) == ("pause", None, ())

    others = Ledger(PLAIN)
    others.close_done(send(others, 0.0), 0.0, said(0), 200, [])
    send(others, 0.05)
    assert cause_of(others, 0.1, background=False) == ("others", 60.0, ())

    single = Ledger(Config(windows=((5, 60.0),), reserve=(0.0,)))
    fill(single, 5)
    assert cause_of(single, 0.1, background=False) == ("minute", 60.0, ())


@pytest.mark.parametrize("background", [False, True])
def test_looking_at_a_cause_changes_no_admission(background: bool) -> None:
    seen, unseen = Ledger(PLAIN), Ledger(PLAIN)
    for ledger in (seen, unseen):
        fill(ledger, 10)
    for tenth in range(80):
        cause_of(seen, tenth / 10, background)
        assert seen.admission(tenth / 10, background) == unseen.admission(tenth / 10, background)
