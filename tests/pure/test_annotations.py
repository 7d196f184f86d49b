"""The annotations of everything public can be resolved, as frameworks and converters do."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import do_blockstore_async
from do_blockstore_async._ratelimit.status import QuotaStatus, WaitReason, WindowStatus
from do_blockstore_async.bulk.service import Bulk
from do_blockstore_async.models import Action

NAME = do_blockstore_async.__name__
MODULES = [
    NAME,
    *(f"{NAME}.{part}" for part in ("accounts", "bulk", "config", "errors", "events", "jobs")),
    *(f"{NAME}.{part}" for part in ("models", "simulator")),
    *(f"{NAME}.integrations.{part}" for part in ("aiohttp", "asgi", "fastapi", "logging")),
    *(f"{NAME}.integrations.{part}" for part in ("opentelemetry", "procrastinate", "prometheus")),
]


def functions_of(label: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """A public function or class, and the functions behind the public members of the class."""
    if inspect.isfunction(thing) or inspect.isclass(thing):
        yield label, thing
    if not inspect.isclass(thing):
        return
    for name in dir(thing):
        member = inspect.getattr_static(thing, name)
        if isinstance(member, property):
            member = member.fget
        elif isinstance(member, staticmethod | classmethod):
            member = member.__func__
        is_public = not name.startswith("_") or name == "__init__"
        if is_public and inspect.isfunction(member):
            yield f"{label}.{name}", member


@pytest.mark.parametrize("module", MODULES)
def test_every_annotation_is_resolved(module: str) -> None:
    found = pytest.importorskip(module, exc_type=ModuleNotFoundError)
    names = [name for name in found.__all__ if name in dir(found)]
    assert names
    wrong = []
    for name in names:
        for label, thing in functions_of(name, getattr(found, name)):
            if not getattr(inspect.unwrap(thing), "__module__", "").startswith(NAME):
                continue
            try:
                typing.get_type_hints(thing)
            except NameError as error:
                wrong.append(f"{label}: {error}")
    assert not wrong


def test_what_is_imported_late_is_the_real_thing() -> None:
    store = do_blockstore_async.BlockStore
    throttle = do_blockstore_async.Throttle

    def returned(function: Any) -> Any:
        return typing.get_type_hints(function)["return"]

    assert returned(typing.cast("property", store.quota).fget) is QuotaStatus
    assert returned(typing.cast("property", store.bulk).fget) is Bulk
    assert returned(store.explain) is returned(throttle.explain) is WaitReason
    assert returned(throttle.status) is QuotaStatus
    assert typing.get_type_hints(QuotaStatus)["windows"] == tuple[WindowStatus, ...]
    errors = do_blockstore_async.errors
    assert typing.get_type_hints(errors.ActionFailedError.__init__)["action"] is Action
