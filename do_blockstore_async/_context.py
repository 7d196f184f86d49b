"""The job that a task works for: a context variable, inherited by the tasks that it starts."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

from ._deadline import no_deadline
from ._observers import unobserved
from .errors import InvalidArgumentError

__all__ = ["Job", "background", "current_job", "detached"]


@attrs.frozen
class Job:
    """A bulk job: requests of equal key are one job and take turns as one."""

    key: Hashable
    weight: float


_job: ContextVar[Job | None] = ContextVar("do_blockstore_async_job", default=None)

current_job = _job.get


@contextmanager
def background(job: Hashable | None = None, weight: float = 1.0) -> Iterator[None]:
    """Make requests sent inside part of a bulk job: after interactive ones, outside the reserve.

    Args:
        job: names the job; blocks with an equal name are one job. By default each block is one.
        weight: this job's share of the service, against the weights of the others; more than 0.

    Raises:
        InvalidArgumentError: `weight` is not a positive, finite number.
    """
    if not 0 < weight < float("inf"):
        raise InvalidArgumentError(f"weight must be more than 0 and finite, not {weight!r}")
    token = _job.set(Job(object() if job is None else job, weight))
    try:
        yield
    finally:
        _job.reset(token)


@contextmanager
def detached() -> Iterator[None]:
    """Separate work started inside from the surrounding task: no job, deadline or observer."""
    token = _job.set(None)
    try:
        with no_deadline(), unobserved():
            yield
    finally:
        _job.reset(token)
