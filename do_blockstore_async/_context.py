"""The job that a task works for: a context variable, inherited by the tasks that it starts."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager

import attrs

from ._deadline import no_deadline
from ._observers import unobserved
from ._scope import ScopedValue
from .errors import InvalidArgumentError

__all__ = ["Job", "background", "current_job", "detached"]


@attrs.frozen
class Job:
    """A bulk job: requests of equal key are one job and take turns as one."""

    key: Hashable
    weight: float


_job: ScopedValue[Job | None] = ScopedValue("do_blockstore_async_job", None)

current_job = _job.get


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
    """Separate work started inside from the surrounding task: no job, deadline or observer."""
    with _job.block(lambda _: None), no_deadline(), unobserved():
        yield
