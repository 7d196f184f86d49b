"""What a task carries with it: its job, and the time by which it wants an answer.

Both are context variables, so the tasks that a task starts inherit them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

from ..errors import InvalidArgumentError
from ..events import unobserved

__all__ = [
    "Job",
    "background",
    "current_deadline",
    "current_job",
    "deadline",
    "deadline_at",
    "detached",
]


@attrs.frozen
class Job:
    """A bulk job: those of equal key share one place in line."""

    key: Hashable
    weight: float


_job: ContextVar[Job | None] = ContextVar("do_blockstore_async_job", default=None)
_deadline: ContextVar[float | None] = ContextVar("do_blockstore_async_deadline", default=None)

current_job = _job.get
current_deadline = _deadline.get


@contextmanager
def background(job: Hashable | None = None, weight: float = 1.0) -> Iterator[None]:
    """Requests made inside belong to a bulk job: after interactive ones, outside the reserve.

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
def deadline_at(deadline: float | None) -> Iterator[None]:
    """Calls made inside end, and permits asked for are granted, by `deadline`: a loop time.

    None sets no deadline. Of nested deadlines the earliest counts.
    """
    outer = _deadline.get()
    if deadline is None or (outer is not None and outer <= deadline):
        yield
        return
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def deadline(timeout_s: float) -> Iterator[None]:
    """Calls made inside end within `timeout_s` seconds from now, all together.

    Raises:
        InvalidArgumentError: `timeout_s` is not a number of seconds, 0 or more.
    """
    if not 0 <= timeout_s < float("inf"):
        raise InvalidArgumentError(f"timeout_s must be seconds, 0 or more, not {timeout_s!r}")
    with deadline_at(asyncio.get_running_loop().time() + timeout_s):
        yield


@contextmanager
def detached() -> Iterator[None]:
    """Work begun inside does not belong to the surrounding task: no job, deadline or observer."""
    job, outer = _job.set(None), _deadline.set(None)
    try:
        with unobserved():
            yield
    finally:
        _deadline.reset(outer)
        _job.reset(job)
