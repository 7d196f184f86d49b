"""Fixtures that tests of several folders share."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.scripted_server import ScriptedServer

# The suite runs beside others on few cores: what is slow there is not wrong.
settings.register_profile(
    "suite",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Spare the collector what is there for good: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """An HTTP server on loopback that answers what a test tells it to, byte by byte if need be.

    At the end of the test no connection may be open any more: a client that has been closed has
    given everything back.
    """
    scripted = ScriptedServer()
    async with scripted:
        yield scripted
        await scripted.wait_until_all_closed()


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect garbage at the end, so that a leak warns in the test that made it."""
    yield
    gc.collect()
