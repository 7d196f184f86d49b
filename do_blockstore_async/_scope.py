"""Values that hold inside a `with` block, and in the tasks started there: job, deadline, observers.

A context variable alone does too much in an async generator. What a generator sets is seen by the
code that iterates it, while the generator is suspended at a `yield`, and stays behind when the
iteration is left early. So a scope knows the generator it was entered in and counts only while that
generator runs, and one that was left counts nowhere any more.

V1. A value holds in the block, in what the block awaits, and in the tasks started in it.
V2. It does not hold in the code that iterates an async generator whose block is open. The generator
    behind an async context manager is none of these: its `yield` is the body of the user's block.
V3. Leaving a block never raises, in whatever context and order it happens, and never brings back a
    value of a block that was left already.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any, Generic, TypeVar

__all__ = ["Block", "ScopedValue"]

T = TypeVar("T")


class ScopedValue(Generic[T]):
    """A value that `with` blocks set for the code inside them.

    Args:
        name: of the context variable.
        default: the value outside of all blocks.
    """

    __slots__ = ("_default", "variable")

    def __init__(self, name: str, default: T) -> None:
        self.variable: ContextVar[Block[T] | None] = ContextVar(name, default=None)
        self._default = default

    def get(self) -> T:
        """Return the value of the innermost block that holds here."""
        scope = self.variable.get()
        while scope is not None:
            if scope.holds():
                return scope.value
            scope = scope.outer
        return self._default

    def block(self, make: Callable[[T], T]) -> Block[T]:
        """Return a block whose value is made on entering, from the one that holds there."""
        return Block(self, make)


class Block(Generic[T]):
    """One `with` block; not to be entered twice."""

    __slots__ = ("_frame", "_is_left", "_make", "_scoped", "_task", "outer", "value")

    value: T

    def __init__(self, scoped: ScopedValue[T], make: Callable[[T], T]) -> None:
        self._scoped = scoped
        self._make = make
        self._is_left = False
        self._frame: FrameType | None = None
        self._task: asyncio.Task[Any] | None = None
        self.outer: Block[T] | None = None

    def __enter__(self) -> None:
        variable = self._scoped.variable
        self.value = self._make(self._scoped.get())
        outer = variable.get()
        while outer is not None and not outer.holds():
            outer = outer.outer
        self.outer = outer
        self._frame = _generator_around(sys._getframe(1))
        self._task = _current_task()
        variable.set(self)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_left = True
        self._frame = None
        variable = self._scoped.variable
        if variable.get() is self:
            variable.set(self.outer)

    def holds(self) -> bool:
        """Whether the calling code is inside the block."""
        if not self._is_left and self._frame is None:
            return True
        if _current_task() is not self._task:
            return True  # of a task started inside, which may outlive the block
        if self._is_left:
            return False
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame is self._frame:
                return True
            frame = frame.f_back
        return False


def _generator_around(frame: FrameType | None) -> FrameType | None:
    """Return the async generator that enters a block, through any context managers; or None."""
    while frame is not None:
        flags, caller = frame.f_code.co_flags, frame.f_back
        if flags & inspect.CO_ASYNC_GENERATOR:
            if caller is None or not _is_contextlib(caller):
                return frame
        elif not (flags & inspect.CO_GENERATOR or _is_contextlib(frame)):
            return None
        frame = caller
    return None


def _is_contextlib(frame: FrameType) -> bool:
    return frame.f_code.co_filename == contextlib.__file__


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
