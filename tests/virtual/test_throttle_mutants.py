"""The invariants have teeth: each mutant of the throttle breaks the one that names its fault.

The first three are: count at send time, drop the guard, forget abandoned leases. For each mutant a
fixed range of seeds is tried until one catches it; the unchanged throttle passes them all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from types import ModuleType
from typing import Any

import pytest
from async_solipsism import SleepForeverError

import tests.support.throttle_invariants as invariants
from do_blockstore_async._ratelimit import local_budget as budget_module
from do_blockstore_async._ratelimit import queue as line_module
from do_blockstore_async._ratelimit import throttle as throttle_module
from do_blockstore_async._ratelimit.dispatcher import Dispatcher
from do_blockstore_async._ratelimit.fair_queue import FairQueue
from do_blockstore_async._ratelimit.pure import ledger as ledger_module
from do_blockstore_async._ratelimit.pure.forecast import Forecast
from do_blockstore_async._ratelimit.pure.gate import Gate
from do_blockstore_async._ratelimit.pure.ledger import Admission, LeaseRecord, Ledger
from do_blockstore_async._ratelimit.queue import WaitQueue
from do_blockstore_async.config import Config
from tests.support.strict_servers import MODELS


class CountsAtSendTime(Ledger):
    def close_done(self, lease: LeaseRecord, now: float, *rest: Any) -> Any:
        kind = super().close_done(lease, now, *rest)
        for window in self.windows:
            window.answered.pop()
            times = sorted([*window.answered, lease.sent_at + window.hold_s])
            window.answered = deque(times)
        return kind


class DropsTheGuard(Ledger):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        for window in self.windows:
            window.hold_s = window.length_s


class ForgetsAbandonedLeases(Ledger):
    def close_lost(self, lease: LeaseRecord, now: float) -> None:
        super().close_lost(lease, now)
        for window in self.windows:
            window.lost.clear()


class ForgetsTheLinger(Ledger):
    def close_lost(self, lease: LeaseRecord, now: float) -> None:
        super().close_lost(lease, now)
        for window in self.windows:
            window.lost.pop()
            window.lost.append(now + window.hold_s)


class ForgetsTheHour(Ledger):
    def _long_admission(
        self, now: float, background: bool, free: int, kept: int
    ) -> tuple[float, bool]:
        return now, False

    def _uncontended(self, now: float, background: bool) -> bool:
        return False


class LeaksUnusedSlots(Ledger):
    def close_unused(self, lease: LeaseRecord, now: float) -> None:
        super().close_unused(lease, now)
        self.in_flight += 1


class TakesTheReserve(Ledger):
    def admission(self, now: float, background: bool) -> Admission:
        return super().admission(now, False)


class ProbesInCrowds(Ledger):
    def admission(self, now: float, background: bool) -> Admission:
        in_flight, self.in_flight = self.in_flight, 0
        try:
            return super().admission(now, background)
        finally:
            self.in_flight = in_flight


class BelievesTheBurst(Ledger):
    def close_done(
        self, lease: LeaseRecord, now: float, headers: Mapping[str, str], *rest: Any
    ) -> Any:
        kind = super().close_done(lease, now, headers, *rest)
        if kind == "burst":
            self._learn(lease, now, headers, [])
        return kind


class IgnoresPauses(Gate):
    def pause(self, now: float, wait_s: float) -> None:
        pass


class FirstComeFirstServed(FairQueue[Any]):
    def push(self, key: Hashable, weight: float, item: Any) -> None:
        super().push("everybody", 1.0, item)


class ForeseesNothing(Forecast):
    def grant_at(self, now: float, position: int, background: bool) -> float:
        return now


class ForecastsAnEmptyBudget(Forecast):
    def answer_later(self, now: float, count: int, background: bool) -> Callable[[], float]:
        return super().answer_later(now, max(1, count - 10), background)


class ServesBulkFirst(WaitQueue):
    def next(self, background: bool) -> Any:
        return super().next(background or self.waiting[1] > 0)


class NeverWakes(Dispatcher):
    def wake(self) -> None:
        pass


def catches(check: Callable[[int], None]) -> bool:
    """Whether one of forty seeds makes `check` fail; a stall is a failure too."""
    for seed in range(40):
        try:
            check(seed)
        except (AssertionError, TimeoutError, ExceptionGroup, SleepForeverError):
            return True
    return False


def i1(seed: int) -> None:
    phase_s = seed % 7
    invariants.i1_no_refusal(seed, 120, MODELS[seed % 3], 0.3, seed % 4 * 5.0, phase_s)


def i1_none_lost(seed: int) -> None:
    invariants.i1_no_refusal(seed, 120, "sliding", 0.0, seed % 4 * 2.0)


def i2(seed: int) -> None:
    invariants.i2_all_slots_come_free(seed, 20, 0.1)


def i3(seed: int) -> None:
    invariants.i3_no_stall(seed, 60, 0.3)


def i4_i5(seed: int) -> None:
    invariants.i4_and_i5_classes(seed, 60, 20, (0.2, 0.1))


def i6(_: int) -> None:
    invariants.i6_fair_shares([1.0, 2.0, 3.5], 12, 0)


def i7(seed: int) -> None:
    invariants.i7_deadlines(seed, 60, 0.2)


def i8(seed: int) -> None:
    invariants.i8_forecast(seed, 10, 30 + seed, False)


def i9(seed: int) -> None:
    invariants.i9_silence(seed, 40, 5, 10)


def i10(seed: int) -> None:
    invariants.i10_one_probe(seed, 20, 5.0)


def i11(seed: int) -> None:
    invariants.i11_hour_untouched(seed, 5)


CASES: dict[str, tuple[type[Any], Callable[[int], None]]] = {
    "I1: count at send time": (CountsAtSendTime, i1_none_lost),
    "I1: drop the guard": (DropsTheGuard, i1_none_lost),
    "I1: forget abandoned leases": (ForgetsAbandonedLeases, i1),
    "I1: forget the linger": (ForgetsTheLinger, i1),
    "I1: forget the hour": (ForgetsTheHour, i1_none_lost),
    "I2: leak unused slots": (LeaksUnusedSlots, i2),
    "I3: never wake the dispatcher": (NeverWakes, i3),
    "I4: serve bulk first": (ServesBulkFirst, i4_i5),
    "I5: let bulk take the reserve": (TakesTheReserve, i4_i5),
    "I6: first come first served": (FirstComeFirstServed, i6),
    "I7: foresee nothing": (ForeseesNothing, i7),
    "I8: forecast ten too few": (ForecastsAnEmptyBudget, i8),
    "I9: ignore pauses": (IgnoresPauses, i9),
    "I10: probe in crowds": (ProbesInCrowds, i10),
    "I11: believe a burst's remaining": (BelievesTheBurst, i11),
}


def put_in_place(patch: pytest.MonkeyPatch, mutant: type[Any]) -> None:
    module: ModuleType = throttle_module
    if issubclass(mutant, Gate):
        module = ledger_module
    elif issubclass(mutant, Ledger | Forecast):
        module = budget_module
    elif issubclass(mutant, FairQueue):
        module = line_module
    original = next(base for base in mutant.__mro__[1:] if hasattr(module, base.__name__))
    patch.setattr(module, original.__name__, mutant)


@pytest.mark.parametrize("name", CASES)
def test_a_mutant_is_caught_by_the_invariant_it_breaks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant, check = CASES[name]
    put_in_place(monkeypatch, mutant)
    assert catches(check), f"nothing noticed: {name}"


@pytest.mark.parametrize("check", sorted({check for _, check in CASES.values()}, key=str))
def test_the_throttle_itself_passes_the_same_seeds(check: Callable[[int], None]) -> None:
    assert not catches(check)
