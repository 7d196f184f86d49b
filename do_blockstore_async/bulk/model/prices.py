"""What storage costs, for plans and inventories. The one table; override it where it differs.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from typing import Any

import attrs

from ...errors import InvalidArgumentError

__all__ = ["Prices"]


def _price(instance: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise InvalidArgumentError(f"{attribute.name} must be 0 or more, not {value!r}")


@attrs.frozen(kw_only=True)
class Prices:
    """Prices of a month, as the product's pricing page had them in 2026.

    Args:
        volume_gib_month: a GiB of a volume, attached or not.
        snapshot_gib_month: a GiB of a snapshot's billable size.
        currency: shown beside each amount.
    """

    volume_gib_month: float = attrs.field(default=0.10, validator=_price)
    snapshot_gib_month: float = attrs.field(default=0.06, validator=_price)
    currency: str = "USD"

    def volume(self, size_gigabytes: float) -> float:
        """What a volume of that size costs in a month."""
        return size_gigabytes * self.volume_gib_month

    def snapshot(self, size_gigabytes: float) -> float:
        """What a snapshot of that billable size costs in a month."""
        return size_gigabytes * self.snapshot_gib_month
