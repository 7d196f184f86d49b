"""The arguments of `store.bulk`, checked by their types before a method looks into them.

The methods share their arguments' names, so one table describes them all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from .._interop.habits import checking_types
from .model.plan import Plan
from .model.prices import Prices
from .model.retention import Retention
from .model.selection import Selection

__all__ = ["check_arguments"]

C = TypeVar("C", bound=type[Any])

_PATH: Final = ((str, os.PathLike), "a path")
_NUMBER: Final = ((int, float), "a number")
# The classes, and what to call them.
_KINDS: Final[Mapping[str, tuple[tuple[type[Any], ...], str]]] = {
    "at": ((datetime,), "a datetime"),
    "every_s": _NUMBER,
    "grace": ((timedelta,), "a timedelta"),
    "job": ((str,), "some text"),
    "journal": _PATH,
    "keep": ((Retention,), "a Retention"),
    "match_by": ((str,), "'tag' or 'name'"),
    "max_failures": _NUMBER,
    "max_items": _NUMBER,
    "max_plan_age_s": _NUMBER,
    "max_pruned_share": _NUMBER,
    "max_share": _NUMBER,
    "name_template": ((str,), "some text"),
    "path": _PATH,
    "plan": ((Plan,), "a Plan, such as of `await store.bulk.plan_snapshots(...)`"),
    "prefix": ((str,), "some text"),
    "prices": ((Prices,), "Prices"),
    "retry_failed": ((bool,), "True or False"),
    "selection": ((Selection,), "a Selection"),
    "snapshot_first": ((bool,), "True or False"),
    "snapshots": ((bool,), "True or False"),
    "source": ((str, os.PathLike, Iterable), "a path, or a list of VolumeSpec"),
    "tags": ((Iterable,), "a list of strings"),
}


def check_arguments(cls: C) -> C:
    """Decorate a class: its public methods reject arguments of the wrong type.

    They raise an `InvalidArgumentError` that says what is wanted.
    """
    return checking_types(cls, _KINDS)
