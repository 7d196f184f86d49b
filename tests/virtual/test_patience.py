"""One timer ends every transmission whose time is up, and nothing else (N1, N2)."""

from __future__ import annotations

import asyncio

import pytest

from do_blockstore_async._http.attempt_timer import AttemptTimer, expire
from tests.support.virtual_time import run_virtual


async def use(timer: AttemptTimer, lasts_s: float, own: float | None = None) -> tuple[bool, float]:
    """Whether a scope that needs `lasts_s` was ended, and when."""
    loop = asyncio.get_running_loop()
    scope = asyncio.timeout(own)
    try:
        async with scope:
            timer.begin(scope, loop.time())
            await asyncio.sleep(lasts_s)
    except TimeoutError:
        return True, loop.time()
    finally:
        timer.end(scope)
    return False, loop.time()


@pytest.mark.parametrize("gap_s", [0.0, 0.3, 7.0])
def test_each_has_its_own_time_whatever_the_others_do(gap_s: float) -> None:
    async def main() -> None:
        timer = AttemptTimer(10.0)
        lasting = [2.0, 30.0, 9.5, 11.0, 0.0, 30.0]

        async def begin(number: int) -> tuple[bool, float]:
            await asyncio.sleep(number * gap_s)
            return await use(timer, lasting[number])

        ended = await asyncio.gather(*map(begin, range(len(lasting))))
        for number, (expired, at) in enumerate(ended):
            assert expired == (lasting[number] > 10.0)
            assert at == pytest.approx(number * gap_s + min(lasting[number], 10.0), abs=1e-3)
        again = await use(timer, 30.0)
        assert again[0], "the timer is armed again after a pause"

    run_virtual(main())


def test_an_earlier_end_of_its_own_counts() -> None:
    async def main() -> None:
        timer = AttemptTimer(10.0)
        early, late = await asyncio.gather(use(timer, 30.0, own=4.0), use(timer, 30.0))
        assert early[0]
        assert early[1] == pytest.approx(4.0, abs=1e-3)
        assert late[0]
        assert late[1] == pytest.approx(10.0, abs=1e-3)

    run_virtual(main())


def test_one_that_is_just_expiring_is_left_alone() -> None:
    async def main() -> None:
        async with asyncio.timeout(1.0) as scope:
            try:
                await asyncio.sleep(5.0)
            finally:
                assert scope.expired()
                expire(scope, asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        run_virtual(main())


def test_nothing_rings_after_the_close() -> None:
    async def main() -> None:
        timer = AttemptTimer(10.0)
        async with asyncio.timeout(None) as scope:
            timer.begin(scope, asyncio.get_running_loop().time())
            timer.close()
            await asyncio.sleep(30.0)

    run_virtual(main())
