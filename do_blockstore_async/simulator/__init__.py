"""A simulator of the API: in process, over HTTP and as a pytest fixture.

    from do_blockstore_async.simulator import Simulator

    async with Simulator(volumes=120, seed=7) as sim:
        async with BlockStore(sim.token, base_url=sim.url) as store:
            ...

Names are loaded when they are first used: pytest imports this package in every run, and most runs
want no simulator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from ._messages import RequestRecord, SimRequest, SimResponse
    from .clock import SimClock
    from .control.files import read_scenario
    from .control.scenario import Scenario, parse_scenario
    from .faults.parser import parse_faults
    from .faults.rules import FaultInjector
    from .in_process import InProcessTransport, connect_in_process
    from .server import Simulator, serve
    from .state.options import WorldOptions
    from .world import World

__all__ = [
    "FaultInjector",
    "InProcessTransport",
    "RequestRecord",
    "Scenario",
    "SimClock",
    "SimRequest",
    "SimResponse",
    "Simulator",
    "World",
    "WorldOptions",
    "connect_in_process",
    "parse_faults",
    "parse_scenario",
    "read_scenario",
    "serve",
]

__getattr__, __dir__ = lazy_names(
    globals(),
    {
        "FaultInjector": ".faults.rules",
        "InProcessTransport": ".in_process",
        "RequestRecord": "._messages",
        "Scenario": ".control.scenario",
        "SimClock": ".clock",
        "SimRequest": "._messages",
        "SimResponse": "._messages",
        "Simulator": ".server",
        "World": ".world",
        "WorldOptions": ".state.options",
        "connect_in_process": ".in_process",
        "parse_faults": ".faults.parser",
        "parse_scenario": ".control.scenario",
        "read_scenario": ".control.files",
        "serve": ".server",
    },
)
