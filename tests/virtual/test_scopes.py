"""Blocks of jobs and deadlines in async generators, tasks and context managers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing

import pytest

from do_blockstore_async import BlockStore
from do_blockstore_async._context import background, current_job
from do_blockstore_async._deadline import NEVER, current_deadline, deadline
from tests.support.virtual_time import run_virtual


def is_outside() -> bool:
    return current_job() is None and current_deadline() is NEVER


def is_inside() -> bool:
    return current_job() is not None and current_deadline() is not NEVER


@contextlib.contextmanager
def both() -> Iterator[None]:
    with background("job"), deadline(5):
        yield


@contextlib.contextmanager
def stacked() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(background("job"))
        stack.enter_context(deadline(5))
        yield


Blocks = pytest.mark.parametrize("block", [both, stacked])
Block = Callable[[], AbstractContextManager[None]]


async def numbers(block: Block) -> AsyncGenerator[int, None]:
    with block():
        for number in range(5):
            await asyncio.sleep(0)
            assert is_inside()  # V1: also when it is resumed
            yield number


@Blocks
def test_a_generators_block_is_not_seen_by_who_iterates_it(block: Block) -> None:
    async def main() -> None:
        async for number in numbers(block):
            assert is_outside()  # V2
            if number == 2:
                break
        assert is_outside()
        gc.collect()
        await asyncio.sleep(0)
        assert is_outside()  # V3: its finally has run by now, in another context
        async with aclosing(numbers(block)) as source:
            async for _ in source:
                break
        assert is_outside()
        # A leak could only be seen by a call; none is made with a deadline that has passed.
        for _ in range(3):
            await anext(numbers(block))
        await asyncio.sleep(100)
        assert is_outside()

    run_virtual(main())


@Blocks
def test_a_block_around_the_iteration_survives_the_generators_own(block: Block) -> None:
    async def main() -> None:
        source = numbers(block)
        await anext(source)
        with background("mine"):
            async for _ in source:
                job = current_job()
                assert job is not None
                assert job.key == "mine"
            # The generator has ended and left its block, inside of ours.
            job = current_job()
            assert job is not None
            assert job.key == "mine"
        assert is_outside()

    run_virtual(main())


@Blocks
def test_tasks_started_inside_inherit_it_and_may_outlive_it(block: Block) -> None:
    async def main() -> None:
        async def work() -> bool:
            await asyncio.sleep(1)
            return is_inside()

        with block():
            started = asyncio.create_task(work())
        assert is_outside()
        assert await started

        async def fan_out() -> AsyncIterator[bool]:
            with block():
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(work()) for _ in range(3)]
                yield all(task.result() for task in tasks)

        assert [each async for each in fan_out()] == [True]

    run_virtual(main())


def test_the_body_of_an_async_context_manager_is_inside() -> None:
    @contextlib.asynccontextmanager
    async def nightly() -> AsyncIterator[None]:
        with both():
            yield

    async def through_a_generator() -> AsyncIterator[bool]:
        async with nightly():
            yield is_inside()

    async def main() -> None:
        async with nightly():
            assert is_inside()
        assert is_outside()
        async for inside in through_a_generator():
            assert inside
            assert is_outside()
        assert is_outside()

    run_virtual(main())


def test_blocks_nest_and_the_earliest_deadline_counts() -> None:
    async def main() -> None:
        with BlockStore.deadline(5):
            at = current_deadline().at
            with BlockStore.deadline(9):
                assert current_deadline().at == at
            with BlockStore.detached():
                assert current_deadline() is NEVER
            with BlockStore.deadline(1):
                assert current_deadline().at < at
            assert current_deadline().at == at

    run_virtual(main())
