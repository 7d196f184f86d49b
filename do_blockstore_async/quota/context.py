"""What a task carries with it: its job, and the time by which it wants an answer.

Both are context variables, so the tasks that a task starts inherit them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

__all__ = ["Job", "background", "current_deadline", "current_job", "deadline_at"]


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
        ValueError: `weight` is not a positive, finite number.
    """
    if not 0 < weight < float("inf"):
        raise ValueError(f"weight must be more than 0 and finite, not {weight!r}")
    token = _job.set(Job(object() if job is None else job, weight))
    try:
        yield
    finally:
        _job.reset(token)


@contextmanager
def deadline_at(deadline: float | None) -> Iterator[None]:
    """Permits asked for inside must be granted by `deadline`, in the event loop's time.

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
