"""Plan the creation of volumes from specs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ..model.listed import AnyVolume
from ..model.plan import SkippedStep, Step
from ..model.prices import Prices
from ..model.rows import CompactRows
from ..model.specs import VolumeSpec
from .policy import Steps, skip_volume

__all__ = ["creation_steps"]


def creation_steps(
    specs: Iterable[VolumeSpec],
    volumes: Iterable[AnyVolume],
    tags: tuple[str, ...],
    prices: Prices,
) -> Steps:
    """Create each volume whose name is free in its region."""
    existing = {(volume.name, volume.region.slug): volume for volume in volumes}
    steps: CompactRows[Step] = CompactRows()
    skips: CompactRows[SkippedStep] = CompactRows()
    for spec in specs:
        found = existing.get((spec.name, spec.region))
        if found is not None:
            same = spec.size_gigabytes in (None, found.size_gigabytes)
            code = "exists" if same else "name_conflict"
            reason = "already exists" + ("" if same else f", with {found.size_gigabytes} GiB")
            skips.append(skip_volume(found, code, reason))
            continue
        wanted = attrs.evolve(spec, tags=tuple(dict.fromkeys((*spec.tags, *tags))))
        size = spec.size_gigabytes or 0
        steps.append(
            Step(
                key=f"create-volume:{spec.region}:{spec.name}",
                action="create_volume",
                name=spec.name,
                region=spec.region,
                volume_name=spec.name,
                size_gigabytes=size,
                tags=wanted.tags,
                reason=f"from snapshot {spec.snapshot_id}" if spec.snapshot_id else f"{size} GiB",
                monthly_cost=prices.volume(size),
                spec=wanted,
            )
        )
    return steps, skips
