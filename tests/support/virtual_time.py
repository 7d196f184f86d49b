"""An event loop whose clock jumps: an hour of waiting passes in no time, and repeatably.

`run_virtual(main())` runs a coroutine in such a loop and returns its result. Whenever nothing is
ready, the clock jumps to the next timer; nothing ever waits for real, and there are no sockets. A
program that waits for what can never come ends with `async_solipsism.SleepForeverError` instead of
hanging. `loop.time()` starts at 0.

The clock also moves by a microsecond in each turn of the loop. A real clock does so too, and
aiolimiter needs it: the rounding residue of its level may otherwise arm a timer that is already
due, for ever. `VirtualTimeLoop` is for pytest-asyncio's `event_loop_policy` and the like.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import async_solipsism
import async_solipsism.clock

__all__ = ["VirtualTimeLoop", "run_virtual", "virtual"]

P = ParamSpec("P")
T = TypeVar("T")

_TICK_S = 1e-6


class _Clock(async_solipsism.clock.Clock):
    """Rounds up: a timer less than a tick away is due after one tick, not at once."""

    def advance(self, delta: float) -> None:
        super().advance(math.ceil(delta / self.resolution - 1e-9) * self.resolution)


class VirtualTimeLoop(async_solipsism.EventLoop):
    """An `async_solipsism` loop that moves on by at least a microsecond in each turn."""

    def __init__(self) -> None:
        super().__init__()
        # The base class offers no way to hand in a clock.
        self._selector.clock.__class__ = _Clock

    def _run_once(self) -> None:
        self._selector.clock.advance(_TICK_S)
        super()._run_once()


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time; tasks left over are cancelled, as asyncio.run does."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test out of a coroutine function, which runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **options: P.kwargs) -> None:
        run_virtual(test(*args, **options))

    return run
