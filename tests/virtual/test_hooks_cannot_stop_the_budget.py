"""Nothing a hook does may stop the budget: whoever waits is served all the same."""

from __future__ import annotations

import asyncio
import logging

import pytest

from do_blockstore_async import Config, Throttle
from do_blockstore_async.events import Event, QuotaWaited
from tests.support.virtual_time import run_virtual


class OwnBaseError(BaseException):
    """What a framework may raise through everything, such as a timeout of its own."""


def raises(event: Event) -> None:
    raise OwnBaseError


def raises_cancelled(event: Event) -> None:
    raise asyncio.CancelledError


def cancels(event: Event) -> None:
    task = asyncio.current_task()
    if isinstance(event, QuotaWaited) and task is not None:
        task.cancel()


@pytest.mark.parametrize("hook", [raises, raises_cancelled, cancels])
def test_every_waiting_request_is_served(hook: object, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)

    async def main() -> int:
        config = Config(windows=((2, 60.0),), reserve=(0.0,), hooks=(hook,))  # type: ignore[arg-type]
        served = 0
        async with Throttle(config) as throttle:

            async def one() -> None:
                nonlocal served
                async with throttle.acquire() as lease:
                    lease.complete({}, 200)
                served += 1

            async with asyncio.timeout(3600), asyncio.TaskGroup() as group:
                for _ in range(7):
                    group.create_task(one())
        return served

    assert run_virtual(main()) == 7


def test_what_ends_the_program_is_not_swallowed() -> None:
    def leaves(event: Event) -> None:
        raise SystemExit(3)

    async def main() -> None:
        config = Config(windows=((1, 60.0),), reserve=(0.0,), hooks=(leaves,))
        async with Throttle(config) as throttle:
            for _ in range(2):
                async with throttle.acquire() as lease:
                    lease.complete({}, 200)

    with pytest.raises(SystemExit):
        run_virtual(main())
