"""Which volumes a job is about. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import attrs

from ..._schema.validation import check_region, check_tags, check_text, fold_tags
from ...errors import InvalidArgumentError
from ...models import Region
from .listed import AnySnapshot, AnyVolume

__all__ = ["Selection"]


def _regions(value: Iterable[str | Region]) -> tuple[str, ...]:
    if isinstance(value, str | Region):
        raise InvalidArgumentError("regions must be a list of slugs, not a single one")
    return tuple(dict.fromkeys(check_region(slug) for slug in value))


def _pattern(value: str) -> str:
    return check_text(value, "a name pattern") if value else ""


@attrs.frozen(kw_only=True)
class Selection:
    """Volumes that meet every criterion given; without any, all volumes of the account.

    Args:
        regions: in one of these; slugs or regions.
        tags: with all of these, whatever their case.
        exclude_tags: with none of these, whatever their case.
        name: a pattern with `*`, `?` and `[...]`, case-sensitive.
        attached: True for attached ones only, False for the others only.

    Raises:
        InvalidArgumentError: a slug, tag or pattern is invalid.
    """

    regions: tuple[str, ...] = attrs.field(default=(), converter=_regions)
    tags: tuple[str, ...] = attrs.field(default=(), converter=check_tags)
    exclude_tags: tuple[str, ...] = attrs.field(default=(), converter=check_tags)
    name: str = attrs.field(default="", converter=_pattern)
    attached: bool | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no criterion is given."""
        return self == Selection()

    @property
    def only_region(self) -> str | None:
        """The region, where just one is asked for: then only that one needs to be listed."""
        return self.regions[0] if len(self.regions) == 1 else None

    def is_in_region(self, volume: AnyVolume) -> bool:
        """Whether the volume lies in one of the regions asked for."""
        return not self.regions or volume.region.slug in self.regions

    def matches(self, volume: AnyVolume) -> bool:
        """Whether the volume meets every criterion."""
        return (
            self.is_in_region(volume)
            and self._matches_tags(volume)
            and self._matches_name(volume)
            and (self.attached is None or self.attached == bool(volume.droplet_ids))
        )

    def _matches_tags(self, item: AnyVolume | AnySnapshot) -> bool:
        if not (self.tags or self.exclude_tags):
            return True
        tags = fold_tags(item.tags)
        return tags >= fold_tags(self.tags) and tags.isdisjoint(fold_tags(self.exclude_tags))

    def unknown_regions(self, there: Iterable[Region]) -> str:
        """Say which of the regions have no block storage, and which do; else an empty text.

        Args:
            there: all regions, as `store.regions` lists them.
        """
        has_storage = {region.slug: "storage" in region.features for region in there}
        unknown = sorted(slug for slug in self.regions if slug not in has_storage)
        bare = sorted(slug for slug in self.regions if has_storage.get(slug) is False)
        if not (unknown or bare):
            return ""
        with_volumes = sorted(slug for slug, has in has_storage.items() if has)
        said = [f"unknown region {', '.join(unknown)}"] if unknown else []
        said += [f"{slug} has no volumes" for slug in bare]
        return "; ".join([*said, f"regions with volumes: {', '.join(with_volumes)}"])

    def matches_snapshot(self, snapshot: AnySnapshot) -> bool:
        """Whether a snapshot meets the criteria: one of its regions, its tags, its own name.

        No snapshot is attached: that criterion does not count.
        """
        return (
            (not self.regions or not set(self.regions).isdisjoint(snapshot.regions))
            and self._matches_tags(snapshot)
            and self._matches_name(snapshot)
        )

    def _matches_name(self, item: AnyVolume | AnySnapshot) -> bool:
        return not self.name or fnmatchcase(item.name, self.name)

    def __str__(self) -> str:
        parts = [
            *(["region " + " or ".join(self.regions)] if self.regions else []),
            *(["tag " + " and ".join(self.tags)] if self.tags else []),
            *(["not tag " + " nor ".join(self.exclude_tags)] if self.exclude_tags else []),
            *([f"name {self.name}"] if self.name else []),
            *([] if self.attached is None else ["attached" if self.attached else "unattached"]),
        ]
        return ", ".join(parts) or "all volumes"
