"""The pytest fixture `blockstore_simulator`: a fresh simulator for each test.

    async def test_inventory(blockstore_simulator):
        sim = blockstore_simulator
        async with BlockStore(sim.token, base_url=sim.url) as store:
            ...

    @pytest.mark.blockstore_simulator(volumes=5, limits="none")
    async def test_small(blockstore_simulator): ...

    def test_blocking(blockstore_simulator_in_thread): ...  # for TestClient, requests and the like

It begins with 120 volumes, ten in each region, and no budget limits other than the real ones; the
marker takes every keyword of `Simulator`. The first of them needs pytest-asyncio, in either mode.
pytest loads this module in every run, so it imports nothing of the simulator before a test asks
for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .server import Simulator

VOLUMES = 120

try:
    from pytest_asyncio import fixture as _fixture
except ImportError:  # pragma: no cover -- then the fixture below says what is missing
    _fixture = None  # type: ignore[assignment]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "blockstore_simulator(**options): how the fixture blockstore_simulator begins; "
        "keywords of do_blockstore_async.simulator.Simulator",
    )


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    options: dict[str, Any] = {"volumes": VOLUMES}
    for marker in reversed(list(request.node.iter_markers("blockstore_simulator"))):
        if marker.args:
            raise pytest.UsageError("the blockstore_simulator marker takes keywords only")
        options.update(marker.kwargs)
    return options


async def _simulator(request: pytest.FixtureRequest) -> AsyncIterator[Simulator]:
    from .server import Simulator

    async with Simulator(**_options(request)) as simulator:
        yield simulator


@pytest.fixture(name="blockstore_simulator_in_thread")
def blockstore_simulator_in_thread(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """Run a fresh simulator in a thread of its own, for tests whose client blocks."""
    from .server import Simulator

    with Simulator.in_thread(**_options(request)) as simulator:
        yield simulator


if _fixture is not None:
    blockstore_simulator = _fixture(_simulator, name="blockstore_simulator")
else:  # pragma: no cover

    @pytest.fixture(name="blockstore_simulator")
    def blockstore_simulator_unavailable() -> None:
        """Say what is missing."""
        pytest.fail("the fixture blockstore_simulator needs pytest-asyncio", pytrace=False)
