"""Guards: how much a run may delete without an explicit override. Pure.

| deletes | at most | and at most |
| --- | --- | --- |
| volumes | 100 | a quarter of the volumes in the regions of the selection |
| snapshots | 10,000 | nine tenths of the job's own snapshots, with those that the plan makes |

Snapshots have wider ones, since only the job's own are ever candidates, and a retention keeps at
least one of each volume's by itself: the newest, where no rule keeps any.
"""

from __future__ import annotations

from typing import Final

import attrs

from ...errors import InvalidArgumentError
from ..errors import GuardError
from .plan import Plan

__all__ = ["Guards"]

_DEFAULTS: Final = {"delete_volume": (100.0, 0.25), "delete_snapshot": (10_000.0, 0.90)}
_WORDS: Final = {"delete_volume": "volumes", "delete_snapshot": "snapshots"}


@attrs.frozen(kw_only=True)
class Guards:
    """How much may be deleted; None takes the default of what is deleted.

    Args:
        max_items: at most so many, of each kind; `math.inf` for any number.
        max_share: at most this share of what exists (see above), in [0, 1].

    Raises:
        InvalidArgumentError: a value is out of range.
    """

    max_items: float | None = None
    max_share: float | None = None

    def __attrs_post_init__(self) -> None:
        if self.max_items is not None and not self.max_items >= 0:
            raise InvalidArgumentError(f"max_items must be 0 or more, not {self.max_items!r}")
        if self.max_share is not None and not 0 <= self.max_share <= 1:
            raise InvalidArgumentError(f"max_share must be in [0, 1], not {self.max_share!r}")

    def check(self, plan: Plan) -> None:
        """Reject a plan that deletes more.

        Raises:
            GuardError: it does; nothing was sent.
        """
        counts = plan.counts
        made = counts["create_snapshot"]
        fleets = {
            "delete_volume": plan.listing_counts.volumes_in_scope or 0,
            "delete_snapshot": (plan.listing_counts.owned_snapshots or 0) + made,
        }
        for action, (default_items, default_share) in _DEFAULTS.items():
            items = counts[action]
            fleet = fleets[action]
            most = default_items if self.max_items is None else self.max_items
            share = default_share if self.max_share is None else self.max_share
            if items and (items > most or items > share * fleet):
                limit, more = f"{most:g} deletions", "max_items"
                if items <= most:
                    limit, more = f"{share:.0%} of {fleet} {_WORDS[action]}", "max_share"
                raise GuardError(
                    f"the plan deletes {items} {_WORDS[action]}; the limit is {limit} per run: "
                    f"check the plan, then narrow the selection, or allow more with {more}",
                    items=items,
                    fleet=fleet,
                    max_items=most,
                    max_share=share,
                )
