"""Read what earlier inventories cost: reports as HTML, or `bulk inventory --output json`.

A report holds the totals of those before it, so the newest one is enough to go on with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from ..exit_codes import UsageError

__all__ = ["Past", "PastTotal", "read_earlier"]

# In the page's data every `<` is escaped, so it ends with the first one.
_DATA: Final = re.compile(rb'<script type="application/json" id="inventory-data">([^<]*)</script>')
_MAX_BYTES: Final = 1 << 30
_KEPT: Final = 1_000


class PastTotal(msgspec.Struct, frozen=True):
    """Sums over an inventory; see `InventoryTotal`."""

    volumes: int
    size_gigabytes: int
    snapshots: int
    snapshots_gigabytes: float
    monthly_cost: float


class Past(msgspec.Struct, frozen=True):
    """One inventory of the past.

    Attributes:
        scope: which volumes it was about; None where that is not known.
        history: those before it.
    """

    taken_at: datetime
    currency: str
    total: PastTotal
    scope: str | None = None
    history: tuple[Past, ...] = ()


def read_earlier(paths: Iterable[Path]) -> list[Past]:
    """Return what the files hold, with what those hold of earlier ones, from the oldest on.

    Raises:
        UsageError: a file is no inventory, carries no date, or is in another currency than the
            others.
    """
    found: dict[datetime, Past] = {}
    for path in paths:
        past = _read(path)
        for each in (*past.history, past):
            if each.taken_at.tzinfo is None:
                raise UsageError(f"{path} carries a date without a time zone")
            try:
                taken_at = each.taken_at.astimezone(UTC)
            except OverflowError:
                raise UsageError(f"{path} carries a date that cannot be: {each.taken_at}") from None
            found[taken_at] = msgspec.structs.replace(each, taken_at=taken_at, history=())
    earlier = sorted(found.values(), key=lambda past: past.taken_at)
    currencies = sorted({past.currency for past in earlier})
    if len(currencies) > 1:
        raise UsageError(f"earlier reports are in several currencies: {', '.join(currencies)}")
    return _thinned(earlier)


def _thinned(earlier: Sequence[Past]) -> list[Past]:
    """Keep a thousand of them, evenly, and the newest in any case."""
    step = -(-len(earlier) // _KEPT)
    return list(earlier[::-1][:: max(1, step)][::-1])


def _read(path: Path) -> Past:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the earlier report {path} cannot be read: {reason}") from None
    page = _DATA.search(data)
    text = page[1] if page else data.removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.decode(text, type=Past)
    except msgspec.ValidationError as error:
        if "`taken_at`" in str(error):
            raise UsageError(f"{path} does not say when it was made (taken_at)") from None
        raise UsageError(f"{path} is no inventory: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UsageError(
            f"{path} is no inventory: give a report of --html, or the output of "
            "`bulk inventory --output json`"
        ) from None
