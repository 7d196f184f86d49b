"""What has to be true of what an account holds, wherever it comes from: a test, a scenario, a file.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from .entities import SimAction, SimDroplet, SimSnapshot, SimVolume

__all__ = ["NAME", "TAG", "check_entity", "check_name", "check_tags"]

# 64 bits are what JSON can be trusted with, and far more than there is of anything.
_LARGEST = 2**63 - 1
TAG = re.compile(r"[a-zA-Z0-9_:-]{1,255}")
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


def check_tags(tags: Iterable[str]) -> None:
    """Raise ValueError for a tag that the API would refuse."""
    for tag in tags:
        if not isinstance(tag, str) or TAG.fullmatch(tag) is None:
            raise ValueError(f"a tag has letters, digits, and any of _:- in it, not {tag!r:.80}")


def check_name(name: str) -> None:
    """Raise ValueError for a volume's name that the API would refuse."""
    if NAME.fullmatch(name) is None:
        raise ValueError(
            "a volume's name begins with a letter and has lower-case letters, digits and hyphens, "
            f"64 at most, not {name!r:.80}"
        )


def check_entity(entity: SimVolume | SimSnapshot | SimDroplet | SimAction) -> None:
    """Raise ValueError where a number of it is out of range, or it cannot be rendered."""
    kind = type(entity).__name__.removeprefix("Sim").lower()
    for name in ("id", "seq", "size_gigabytes", "min_disk_size", "used_gigabytes", "busy"):
        number = getattr(entity, name, None)
        if number is None or (name == "id" and isinstance(number, str)):
            continue
        # So NaN is refused too.
        if not 0 <= number <= _LARGEST:
            raise ValueError(f"{kind}: {name} must be from 0 to 2**63 - 1, not {number!r:.80}")
    for name in ("created_s", "snapshot_s", "due_s", "visible_s", "started_at_s"):
        at_s = getattr(entity, name, None)
        if at_s is not None and not math.isfinite(at_s):
            raise ValueError(f"{kind}: {name} must be finite, not {at_s!r}")
    try:
        entity.json()
        if isinstance(entity, SimVolume | SimSnapshot):
            # It depends on the account how empty lists are shown.
            entity.cached_json = None
    except (ValueError, OverflowError, OSError, TypeError, KeyError) as error:
        raise ValueError(f"{kind} {entity.id!r:.80} cannot be shown: {error}") from None
