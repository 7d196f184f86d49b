"""Which volumes or snapshots a listing shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from ..._clock import Clock
from ...errors import InvalidArgumentError
from ...models import Volume, VolumeSnapshot
from ..exit_codes import UsageError

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
        if attached and unattached:
            raise UsageError("--attached and --unattached exclude each other")
        if name == "":
            raise UsageError("--name takes a name or a pattern, such as 'db-*'")
        from ...bulk import Selection

        self._selection = Selection(
            regions=regions,
            tags=tags,
            name=name or "",
            attached=True if attached else False if unattached else None,
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
        selection = self._selection
        return (
            self._is_old_enough(snapshot.created_at)
            and _has_all(snapshot.tags, selection.tags)
            and (not selection.regions or not set(selection.regions).isdisjoint(snapshot.regions))
            and self._matches_name(snapshot.name)
        )

    def _matches_name(self, name: str) -> bool:
        from fnmatch import fnmatchcase

        return not self._selection.name or fnmatchcase(name, self._selection.name)

    def _is_old_enough(self, made_at: datetime) -> bool:
        return self._made_before is None or made_at < self._made_before


def _has_all(tags: Iterable[str], wanted: Collection[str]) -> bool:
    """Whether all of these are there; the API ignores case in tags."""
    return {tag.lower() for tag in tags} >= {tag.lower() for tag in wanted}


def _so_long_ago(text: str) -> datetime:
    from ...bulk import Duration

    try:
        return Duration.parse(text).before(Clock().utc_now())
    except InvalidArgumentError:
        raise UsageError(
            f"--older-than takes a time such as 30d, 12h or 1y6m, not {text!r}"
        ) from None
