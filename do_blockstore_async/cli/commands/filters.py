"""Which volumes or snapshots a listing shows."""

from __future__ import annotations

from datetime import datetime

from ..._clock import Clock
from ...errors import InvalidArgumentError
from ...models import Volume, VolumeSnapshot
from ..exit_codes import UsageError
from ..options import selection_of

__all__ = ["Filter"]

_WILDCARDS = frozenset("*?[")


class Filter:
    """What every option of a listing asks for; volumes are matched as `bulk` matches them.

    Attributes:
        only_region: the region, where the API can be asked for just that one.
        only_name: the name, where it is one and no pattern.
        is_everything: whether nothing is asked for.
    """

    def __init__(
        self,
        *,
        regions: tuple[str, ...] = (),
        tags: tuple[str, ...] = (),
        name: str | None = None,
        attached: bool = False,
        unattached: bool = False,
        older_than: str | None = None,
    ) -> None:
        """Check the options.

        Raises:
            UsageError: they exclude each other, or one is invalid.
            InvalidArgumentError: so is a region, a tag or a pattern.
        """
        self._selection = selection_of(
            regions=regions, tags=tags, name=name, attached=attached, unattached=unattached
        )
        self._made_before = None if older_than is None else _so_long_ago(older_than)
        self.is_everything = self._selection.is_everything and older_than is None
        self.only_region = self._selection.only_region
        self.only_name = name if name and _WILDCARDS.isdisjoint(name) else None

    def takes_volume(self, volume: Volume) -> bool:
        """Whether a volume is wanted."""
        return self._is_old_enough(volume.created_at) and self._selection.matches(volume)

    def takes_snapshot(self, snapshot: VolumeSnapshot) -> bool:
        """Whether a snapshot is wanted; it lies in each of its regions."""
        return self._is_old_enough(snapshot.created_at) and self._selection.matches_snapshot(
            snapshot
        )

    def _is_old_enough(self, made_at: datetime) -> bool:
        return self._made_before is None or made_at < self._made_before


def _so_long_ago(text: str) -> datetime:
    from ...bulk import Duration

    try:
        return Duration.parse(text).before(Clock().utc_now())
    except InvalidArgumentError:
        raise UsageError(
            f"--older-than takes a time such as 30d, 12h or 1y6m, not {text!r}"
        ) from None
