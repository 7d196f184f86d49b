"""The ledger as a pure machine: slots, other users of the token, announced limits, fairness."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from do_blockstore_async._ratelimit.fair_queue import FairQueue
from do_blockstore_async._ratelimit.pure.estimator import OtherClients
from do_blockstore_async._ratelimit.pure.gate import Gate
from do_blockstore_async._ratelimit.pure.ledger import Admission, LeaseRecord, Ledger
from do_blockstore_async.config import Config

NEVER = math.inf
PLAIN = Config(
    windows=((10, 6.0), (40, 60.0)), window_margin_s=0.5, late_arrival_s=3.0, reserve=(0.2, 0.1)
)


def headers(limit: int, remaining: int) -> dict[str, str]:
    return {"ratelimit-limit": str(limit), "ratelimit-remaining": str(remaining)}


def send(ledger: Ledger, now: float) -> LeaseRecord:
    lease = LeaseRecord()
    ledger.open(lease, now, Admission(now))
    return lease


def answered(ledger: Ledger, now: float, said: dict[str, str] | None = None) -> None:
    ledger.close_done(send(ledger, now), now, said or {}, 200, [])


def test_a_slot_is_held_from_sending_until_the_answer_and_the_window_and_the_guard() -> None:
    ledger = Ledger(PLAIN)
    lease = send(ledger, 0.0)
    ledger.close_done(lease, 2.0, {}, 200, [])
    window = ledger.windows[0]
    assert window.closed(8.499) == 1
    assert window.closed(8.5) == 0


def test_a_lost_request_lingers_and_an_unused_one_does_not() -> None:
    ledger = Ledger(PLAIN)
    lost, unused = send(ledger, 0.0), send(ledger, 0.0)
    ledger.close_lost(lost, 2.0)
    ledger.close_unused(unused, 2.0)
    window = ledger.windows[0]
    assert ledger.in_flight == 0
    assert window.closed(11.499) == 1
    assert window.closed(11.5) == 0


def test_before_the_first_answer_two_may_be_in_flight() -> None:
    ledger = Ledger(PLAIN)
    first, _ = send(ledger, 0.0), send(ledger, 0.0)
    assert ledger.admission(0.0, background=False).at == NEVER
    ledger.close_done(first, 0.1, {}, 200, [])
    assert ledger.admission(0.1, background=False).at <= 0.1


def test_a_full_window_says_when_to_ask_again() -> None:
    ledger = Ledger(PLAIN)
    for _ in range(10):
        answered(ledger, 1.0)
    assert ledger.admission(2.0, background=False).at == 7.5


def test_bulk_stops_at_the_reserve() -> None:
    ledger = Ledger(PLAIN)
    for _ in range(8):
        answered(ledger, 1.0)
    assert ledger.admission(2.0, background=True).at == 7.5
    assert ledger.admission(2.0, background=False).at <= 2.0


def test_with_any_reserve_bulk_keeps_one_slot() -> None:
    ledger = Ledger(Config(windows=((1, 6.0), (2, 60.0)), reserve=(0.99, 0.99)))
    assert ledger.admission(0.0, background=True).at <= 0.0


def test_alone_nobody_else_is_seen() -> None:
    ledger = Ledger(PLAIN)
    leases = [send(ledger, 0.0) for _ in range(6)]
    # Answered in another order than sent, and counted in a third.
    for lease, remaining in zip(reversed(leases), [37, 34, 39, 36, 38, 35], strict=True):
        ledger.close_done(lease, 0.3, headers(40, remaining), 200, [])
    assert ledger.others.used == 0
    assert ledger.others_in(0, 0.4) == 0


def test_others_are_seen_in_the_remaining_and_fade() -> None:
    ledger = Ledger(PLAIN)
    answered(ledger, 0.0, headers(40, 39))
    answered(ledger, 1.0, headers(40, 28))
    assert ledger.others_in(1, 1.0) == 10
    assert 4 < ledger.others_in(1, 31.0) < 6
    assert ledger.others_in(1, 62.0) == 0


def test_nothing_remaining_is_believed_whatever_the_configured_limit() -> None:
    ledger = Ledger(Config(windows=((500_000, 60.0), (10_000_000, 3600.0))))
    answered(ledger, 0.0, headers(5000, 1))
    assert ledger.admission(1.0, background=False).at <= 1.0
    answered(ledger, 1.0, headers(5000, 0))
    assert ledger.admission(1.0, background=False).at > 1.0
    assert ledger.longest.limit == 10_000_000


def test_a_server_whose_remaining_never_moves_stops_nobody() -> None:
    ledger = Ledger(Config(windows=((500_000, 60.0), (10_000_000, 3600.0))))
    for count in range(6000):
        answered(ledger, count / 1000, headers(5000, 4987))
    assert ledger.admission(6.0, background=False).at <= 6.0


def test_a_stale_answer_never_raises_what_is_left() -> None:
    ledger = Ledger(PLAIN)
    old, new = send(ledger, 0.0), send(ledger, 0.0)
    ledger.close_done(new, 0.1, headers(40, 5), 200, [])
    left = ledger.others.remaining(0.2, ledger.in_flight + ledger.longest.closed(0.2))
    ledger.close_done(old, 0.2, headers(40, 30), 200, [])
    assert ledger.others.remaining(0.2, ledger.in_flight + ledger.longest.closed(0.2)) <= left


def test_a_raised_limit_is_adopted_in_proportion_and_given_back_after_a_429() -> None:
    ledger = Ledger(Config())
    answered(ledger, 0.0, headers(6000, 5999))
    assert [window.limit for window in ledger.windows] == [300, 6000]
    assert ledger.limits.changes == [(6000, 5000, "announced")]
    for _ in range(260):
        answered(ledger, 1.0)
    ledger.refused("burst", 1.0, 5.0)
    assert [window.limit for window in ledger.windows] == [250, 6000]
    answered(ledger, 10.0, headers(6000, 5700))
    assert [window.limit for window in ledger.windows] == [250, 6000], "not believed again"
    answered(ledger, 11.0, headers(5000, 4700))
    assert [window.limit for window in ledger.windows] == [250, 5000]


def test_who_configures_less_than_the_server_allows_is_left_at_that() -> None:
    ledger = Ledger(Config(windows=((100, 60.0), (2000, 3600.0))))
    answered(ledger, 0.0, headers(5000, 4999))
    assert [window.limit for window in ledger.windows] == [100, 2000]


def test_an_absurd_raise_is_ignored() -> None:
    ledger = Ledger(Config())
    ignored: list[tuple[str, str]] = []
    ledger.close_done(send(ledger, 0.0), 0.0, headers(900_000_000, 899_999_999), 200, ignored)
    assert [window.limit for window in ledger.windows] == [250, 5000]
    assert ignored[0][0] == "ratelimit-limit"


@given(st.lists(st.sampled_from(["send", "done", "lost", "unused", "wait"]), max_size=120))
def test_i2_the_books_always_add_up(steps: list[str]) -> None:
    ledger = Ledger(PLAIN)
    now, leases = 0.0, []
    for step in steps:
        now += 0.37
        if step == "send":
            if ledger.admission(now, background=False).at <= now:
                leases.append(send(ledger, now))
        elif step == "wait":
            now += 5.0
        elif leases:
            lease = leases.pop(0)
            if step == "done":
                ledger.close_done(lease, now, {}, 200, [])
            elif step == "lost":
                ledger.close_lost(lease, now)
            else:
                ledger.close_unused(lease, now)
        assert ledger.opened == ledger.in_flight + ledger.done + ledger.lost + ledger.unused
        for window in ledger.windows:
            assert ledger.in_flight + window.closed(now) <= window.limit
    for lease in leases:
        ledger.close_lost(lease, now)
    assert [window.closed(now + 63.6) for window in ledger.windows] == [0, 0]


@pytest.mark.parametrize("retry_after_s", [0.0, 5.0, 1e9])
def test_a_pause_ends_within_the_hour(retry_after_s: float) -> None:
    gate = Gate(2, 2.0, 60.0)
    gate.pause(0.0, retry_after_s)
    assert gate.until(0.0, 0) <= 3600.0


def test_probes_come_at_two_to_sixty_seconds() -> None:
    gate = Gate(2, 2.0, 60.0)
    now, waits = 0.0, []
    gate.begin_probing(now, None)
    for _ in range(8):
        waits.append(gate.probe_at - now)
        now = gate.probe_at
        gate.probe_failed(now, None)
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.5, 1.0, 3.0])), max_size=60),
    st.sets(st.integers(0, 59)),
)
def test_a_fair_queue_serves_everybody_alive_once_and_each_job_in_order(
    pushes: Any, dead: Any
) -> None:
    queue: FairQueue[int] = FairQueue(lambda item: item not in dead)
    for number, (job, weight) in enumerate(pushes):
        queue.push(job, weight, number)
    served = []
    while (item := queue.pop()) is not None:
        served.append(item)
    assert sorted(served) == [number for number in range(len(pushes)) if number not in dead]
    for job in "abc":
        of_job = [number for number in served if pushes[number][0] == job]
        assert of_job == sorted(of_job)


def test_a_job_that_was_idle_has_no_credit() -> None:
    queue: FairQueue[str] = FairQueue(lambda _: True)
    for _ in range(20):
        queue.push("busy", 1.0, "busy")
    for _ in range(10):
        queue.pop()
    for _ in range(10):
        queue.push("late", 1.0, "late")
    first_ten = [queue.pop() for _ in range(10)]
    assert first_ten.count("late") == 5


def test_how_many_are_ahead() -> None:
    queue: FairQueue[int] = FairQueue(lambda _: True)
    for number in range(10):
        queue.push("a", 1.0, number)
    assert queue.ahead_of("a", 1.0) == 10
    assert queue.ahead_of("b", 1.0) <= 1


class _Computing(OtherClients):
    """Never spares an estimate."""

    def at_most(self, index: int) -> float:
        return NEVER


_ROOMY = Config(windows=((80, 6.0), (400, 60.0)), window_margin_s=0.5, reserve=(0.2, 0.1))
_STEPS = st.tuples(
    st.sampled_from(["send", "send", "bulk", "done", "done", "stale", "lost", "429"]),
    st.sampled_from([0.0, 0.01, 0.1, 0.4, 3.0, 20.0]),
    st.sampled_from([0, 0, 0, 0, 1, 3, 25]),
)


def _answer(ledger: Ledger, lease: LeaseRecord, step: str, now: float, remaining: int) -> None:
    if step == "lost":
        ledger.close_lost(lease, now)
    elif step == "429":
        said = {**headers(400, 0), "retry-after": "1"}
        ledger.close_done(lease, now, said, 429, [])
    else:
        ledger.close_done(lease, now, headers(400, remaining), 200, [])


# Almost nothing remains of the long window, long after what the short one may have inherited.
_NEARLY_USED_UP = [("send", 0.0, 0), ("done", 0.1, 0), ("send", 20.0, 0), ("done", 0.1, 0)]


@settings(max_examples=60)
@example(395, [*_NEARLY_USED_UP, *[("send", 0.01, 0)] * 4])
@given(st.integers(0, 60), st.lists(_STEPS, min_size=20, max_size=150))
def test_far_from_a_limit_what_is_spared_would_have_changed_nothing(
    foreign: int, steps: list[tuple[str, float, int]]
) -> None:
    quick, plain = Ledger(_ROOMY), Ledger(_ROOMY)
    plain.others = _Computing([(w.hold_s, w.length_s, w.limit) for w in plain.windows])
    now, open_now = 100.0, list[tuple[LeaseRecord, LeaseRecord]]()
    counted = deque([now] * foreign)
    for step, passed_s, others in steps:
        now += passed_s
        counted.extend([now] * others)
        while counted and counted[0] <= now - 60.0:
            counted.popleft()
        if step in {"send", "bulk"}:
            admissions = [ledger.admission(now, step == "bulk") for ledger in (quick, plain)]
            assert [max(now, one.at) for one in admissions] == [max(now, admissions[1].at)] * 2
            assert admissions[0].wakes_on_response == admissions[1].wakes_on_response
            if admissions[0].at <= now:
                leases = LeaseRecord(), LeaseRecord()
                quick.open(leases[0], now, admissions[0])
                plain.open(leases[1], now, admissions[1])
                assert leases[0].probe == leases[1].probe
                open_now.append(leases)
                counted.append(now)
        elif open_now:
            leases = open_now.pop(-1 if step == "stale" else 0)
            for ledger, lease in zip((quick, plain), leases, strict=True):
                _answer(ledger, lease, step, now, max(0, 400 - len(counted)))
        for index in range(2):
            assert quick.others_in(index, now) == plain.others_in(index, now)
            assert quick.windows[index].full_at == plain.windows[index].full_at
        assert quick.others.worst_case(0, now) <= quick.others.at_most(0)
        assert quick.others.in_window(0, now) <= quick.others.at_most(0)
