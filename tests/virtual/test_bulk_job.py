"""The nightly job under the real limits, in small; `benchmarks/bulk/nightly.py` runs it whole."""

from __future__ import annotations

import pytest

from do_blockstore_async import Config
from do_blockstore_async.bulk import Retention
from do_blockstore_async.simulator import World
from tests.support.nightly_job import ideal_s, nightly
from tests.support.virtual_time import run_virtual


def test_snapshot_and_prune_take_little_longer_than_the_budget_allows() -> None:
    world = World(volumes=600, snapshots=2400, seed=11)
    result = run_virtual(nightly(world, Config(), Retention(last=4), 5.0, 16))
    assert result.outcomes == {"done": 1200}
    assert result.refused == 0
    assert result.ratio <= 1.05, str(result)
    assert result.p99_s <= 1.0
    assert result.forecast_s == pytest.approx(result.took_s, rel=0.05)


def test_the_ideal_is_what_the_reserve_leaves() -> None:
    windows, reserve = ((250, 60.0), (5000, 3600.0)), (0.10, 0.05)
    assert ideal_s(225, windows, reserve) == 0.0
    assert ideal_s(226, windows, reserve) == 60.0
    assert ideal_s(4751, windows, reserve) == 3600.0
