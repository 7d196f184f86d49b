"""The API in small: a pure world, reachable in process, over HTTP and as a pytest fixture.

    from do_blockstore_async.simulator import Simulator

    async with Simulator(volumes=120, seed=7) as sim:
        async with BlockStore(sim.token, base_url=sim.url) as store:
            ...

Names are loaded when they are first used: pytest imports this package in every run, and most runs
want no simulator.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fault_spec import parse_faults
    from .faults import Faults
    from .in_process import InProcessTransport, connect_in_process
    from .messages import RequestRecord, SimRequest, SimResponse
    from .options import WorldOptions
    from .server import Simulator, serve
    from .simclock import SimClock
    from .world import World

__all__ = [
    "Faults",
    "InProcessTransport",
    "RequestRecord",
    "SimClock",
    "SimRequest",
    "SimResponse",
    "Simulator",
    "World",
    "WorldOptions",
    "connect_in_process",
    "parse_faults",
    "serve",
]

_WHERE = {
    "Faults": "faults",
    "InProcessTransport": "in_process",
    "RequestRecord": "messages",
    "SimClock": "simclock",
    "SimRequest": "messages",
    "SimResponse": "messages",
    "Simulator": "server",
    "World": "world",
    "WorldOptions": "options",
    "connect_in_process": "in_process",
    "parse_faults": "fault_spec",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
