"""What people write who come from other clients, or from code without `await`; and what to write.

Python's own answer to `with` for `async with` names a protocol, and to an unknown argument only the
argument. These answers say what to write instead. They cost nothing where nothing is wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TypeVar

from ..errors import BlockStoreError, InvalidArgumentError

__all__ = ["AsyncOnly", "answering", "answering_async", "checking_types"]

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type[Any])

# By what the argument is called elsewhere.
_OF_CALLS: Final = {
    "body": "each field by its own name: create(**body)",
    "droplet": "droplet_id=, the Droplet's number",
    "filesystem": "filesystem_type=",
    "limit": "per_page=, or leave the loop early",
    "max_retries": "BlockStore(token, config=Config(max_attempts=...))",
    "page_size": "per_page=",
    "retries": "BlockStore(token, config=Config(max_attempts=...))",
    "size": "size_gigabytes=",
    "size_gb": "size_gigabytes=",
    "snapshot": "snapshot_id=, which takes the snapshot or its id",
    "timeout_s": "timeout=",
    "volume": "volume_id=, which takes the volume or its id",
}


class AsyncOnly:
    """Base of what works with `async with` only."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __enter__(self) -> NoReturn:
            raise TypeError("write `async with` here, not `with`")

        def __exit__(self, *_: object) -> None:
            raise NotImplementedError


def answering(
    error: type[BlockStoreError], hints: Mapping[str, str]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that arguments it does not take are answered with what to write.

    Args:
        error: what is raised.
        hints: for names that other libraries use, what to write here.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError:
                problem = _problem(function, args, kwargs, hints)
                if problem is None:
                    raise
            finally:
                del args, kwargs  # there may be a token, and error reporters show local variables
            raise error(problem)

        return call

    return decorate


def answering_async(
    function: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Decorate a coroutine function in the same way; of a method of a manager."""

    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            work = function(*args, **kwargs)  # binds the arguments; nothing has run yet
        except TypeError:
            problem = _problem(function, args, kwargs, _OF_CALLS)
            if problem is None:
                raise
        else:
            return await work
        raise InvalidArgumentError(problem)

    return call


def _problem(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    hints: Mapping[str, str],
) -> str | None:
    """Say what is wrong with how `function` was called; None if it was called well."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        reason = str(error)
    else:
        return None
    name = function.__qualname__.removesuffix(".__init__")
    known = [parameter for parameter in signature.parameters if parameter != "self"]
    for wrong in kwargs:
        if wrong not in known:
            # Imported late: only a mistake needs it.
            from difflib import get_close_matches

            near = get_close_matches(wrong, known, 1, 0.7)
            hint = hints.get(wrong) or (f"{near[0]}=" if near else None)
            told = f"write {hint}" if hint else f"it takes {', '.join(known)}"
            return f"{name} takes no {wrong!r}: {told}"
    named = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    missing = next((known for known in hints if f"argument: {known!r}" in reason), None)
    if missing is not None:
        return f"{name} needs {missing!r}: {hints[missing]}"
    if "positional" in reason and "too many" in reason and named:
        return f"{name}: name what follows, as {named[0]}=...; it takes {', '.join(named)} by name"
    return f"{name}: {reason}"


def checking_types(
    cls: C, kinds: Mapping[str, tuple[tuple[type[Any], ...], str]], besides: tuple[str, ...] = ()
) -> C:
    """Make the public methods of a class reject arguments of the wrong type.

    Args:
        cls: the class; its methods are replaced.
        kinds: by the name of an argument the classes that it may have, and what to call them. None
            is taken where the annotation says so.
        besides: methods that are left alone.
    """
    for name, method in [*vars(cls).items()]:
        if inspect.isfunction(method) and not name.startswith("_") and name not in besides:
            setattr(cls, name, _checking(method, kinds))
    return cls


def _checking(
    method: Callable[..., Any], kinds: Mapping[str, tuple[tuple[type[Any], ...], str]]
) -> Callable[..., Any]:
    signature = inspect.signature(method)
    known = {name: kinds[name] for name in signature.parameters if name in kinds}
    if not known:
        return method

    optional = {name for name in known if "None" in str(signature.parameters[name].annotation)}

    def check(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            given = signature.bind_partial(*args, **kwargs).arguments
        except TypeError:
            problem = _problem(method, args, kwargs, _OF_CALLS)
            raise InvalidArgumentError(problem or "wrong arguments") from None
        for name, (classes, words) in known.items():
            value = given.get(name)
            if name not in given or (value is None and name in optional):
                continue
            # True counts as a number elsewhere; here it is a mistake.
            if not isinstance(value, classes) or (isinstance(value, bool) and bool not in classes):
                raise InvalidArgumentError(
                    f"{name} must be {words}, not {_article(type(value).__name__)}"
                )

    if inspect.iscoroutinefunction(method):

        @wraps(method)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            check(args, kwargs)
            return await method(*args, **kwargs)

        return call_async

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        check(args, kwargs)
        return method(*args, **kwargs)

    return call


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
