"""What a task works for: its job, and who is asked before it changes something.

Both are inherited by the tasks that it starts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

import msgspec

from ._deadline import no_deadline
from ._observers import unobserved
from ._scope import ScopedValue
from .errors import InvalidArgumentError

__all__ = ["Gate", "Job", "background", "current_gate", "current_job", "detached", "gated"]

# Awaited once a transmission has its lease; raises where it must not be sent. What it returns tells
# whether it is too late for the first byte.
Gate: TypeAlias = Callable[[], Awaitable[Callable[[], bool]]]


class Job(msgspec.Struct, frozen=True):
    """A bulk job: requests of equal key are one job and take turns as one."""

    key: Hashable
    weight: float


_job: ScopedValue[Job | None] = ScopedValue("do_blockstore_async_job", None)

current_job = _job.get

_gate: ScopedValue[Gate | None] = ScopedValue("do_blockstore_async_gate", None)

current_gate = _gate.get


def gated(gate: Gate) -> AbstractContextManager[None]:
    """Ask `gate` before each transmission of a request made inside that may change something."""
    return _gate.block(lambda _: gate)


def background(job: Hashable | None = None, weight: float = 1.0) -> AbstractContextManager[None]:
    """Make requests sent inside part of a bulk job: after interactive ones, outside the reserve.

    Args:
        job: names the job; blocks with an equal name are one job. By default each block is one.
        weight: this job's share of the service, against the weights of the others; more than 0.

    Raises:
        InvalidArgumentError: `weight` is not a positive, finite number.
    """
    if not isinstance(weight, int | float) or not 0 < weight < float("inf"):
        raise InvalidArgumentError(f"weight must be more than 0 and finite, not {weight!r}")
    return _job.block(lambda _: Job(object() if job is None else job, weight))


@contextmanager
def detached() -> Iterator[None]:
    """Separate work started inside from the surrounding task: no job, gate, deadline, observer."""
    with _job.block(lambda _: None), _gate.block(lambda _: None), no_deadline(), unobserved():
        yield
