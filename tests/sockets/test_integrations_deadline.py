"""A deadline is for the answer: who would get a lease just before it is refused at once."""

from __future__ import annotations

import attrs
import pytest

from do_blockstore_async import BlockStore, QuotaWaitTooLongError
from do_blockstore_async.simulator import Simulator
from tests.support.web_services import DRY


async def test_a_lease_too_late_for_the_answer_is_not_waited_for() -> None:
    config = attrs.evolve(DRY, windows=((2, 3.0), (1000, 3600.0)))
    async with (
        Simulator(limits="2/3,1000/3600", latency_s=0.3) as simulator,
        BlockStore(simulator.token, base_url=simulator.url, config=config) as store,
    ):
        for _ in range(2):
            async for _region in store.regions.list():
                pass
        free_s = store.quota.available_in_s
        assert 0.5 < free_s < 3
        # Enough for the lease, too little for an answer that takes 0.3 s.
        with pytest.raises(QuotaWaitTooLongError) as caught:
            async for _region in store.regions.list(timeout=free_s + 0.15):
                pass
        assert caught.value.retry_after == pytest.approx(free_s, abs=1.0)
        assert len(simulator.requests) == 2
