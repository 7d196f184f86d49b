"""Planners of snapshots, prunes, deletions and creations. The requests stand in `jobs`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ...errors import InvalidArgumentError
from ...models import Volume
from ..errors import PlanError
from ..model.plan import Plan
from ..model.prices import Prices
from ..model.retention import Retention
from ..model.selection import Selection
from ..model.specs import VolumeSpec, parse_specs, read_specs
from .planbase import TEMPLATE, PlanBase, read_text, selected
from .policy import creation_steps, deletion_steps, prune_steps, snapshot_steps

__all__ = ["PlanBuilder"]


class PlanBuilder(PlanBase):
    """Plans of jobs over volumes and snapshots."""

    async def plan_snapshots(
        self,
        selection: Selection | None = None,
        *,
        name_template: str = TEMPLATE,
        tags: Iterable[str] = (),
        job: str = "nightly",
        keep: Retention | None = None,
        match_by: Literal["tag", "name"] = "tag",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan a snapshot of each selected volume and, with `keep`, the pruning of older ones.

        Skipped: a volume that has a snapshot of that name, one whose newest snapshot is less than
        ten minutes old, one that has 25 and none that may go. The retention counts the new
        snapshot; nothing of a volume is deleted before it is there, but where there are 25.

        Requests: v + s. To run: one for each snapshot and one for each deletion.

        Args:
            selection: which volumes; all by default.
            name_template: of the names, which must differ; see `names.Template`.
            tags: for the snapshots, besides the job's own, `bulk-job:<job>`.
            job: letters, digits, `_`, `-` and `:`; its tag is how the job knows its snapshots.
            keep: what to keep of this job's snapshots.
            match_by: `tag`, or `name`: then by the template, and nothing is tagged with the job.
            at: the time for names and retention; now by default.
            prices: by default `Prices()`.

        Raises:
            PlanError: no volume is selected, a template or name cannot be.
            InvalidArgumentError: a tag that cannot be.
        """
        chosen = Selection() if selection is None else selection
        making = self._making(job, name_template, at, prices, tags, match_by)
        sighting = self._sighting()
        with self._throttle.background(job):
            volumes = await self._account.volumes(chosen.only_region)
            fleet = selected(volumes, chosen)
            snapshots = await self._account.snapshots()
        steps, skips = snapshot_steps(fleet, snapshots, making, keep)
        options = {"template": name_template, "keep": "" if keep is None else str(keep)}
        return self._plan(
            "snapshots", making, chosen, steps, skips, volumes, snapshots, sighting, options
        )

    async def plan_prune(
        self,
        keep: Retention,
        *,
        selection: Selection | None = None,
        job: str = "nightly",
        name_template: str = TEMPLATE,
        match_by: Literal["tag", "name"] = "tag",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the deletion of what `keep` lets go of this job's snapshots.

        Without a selection, snapshots of volumes that are gone are pruned too.

        Requests: s; v + s with a selection or `match_by="name"`. To run: one for each deletion.

        Args and errors: as `plan_snapshots`.
        """
        if not isinstance(keep, Retention):
            raise InvalidArgumentError("keep must be a Retention, such as Retention(last=7)")
        chosen = Selection() if selection is None else selection
        making = self._making(job, name_template, at, prices, (), match_by)
        sighting = self._sighting()
        volumes: list[Volume] | None = None
        fleet: Sequence[Volume] | None = None
        with self._throttle.background(job):
            if making.by_name or not chosen.is_everything:
                volumes = await self._account.volumes(chosen.only_region)
                fleet = selected(volumes, chosen)
            snapshots = await self._account.snapshots()
        steps, skips = prune_steps(snapshots, fleet, making, keep)
        options = {"keep": str(keep)}
        return self._plan(
            "prune", making, chosen, steps, skips, volumes, snapshots, sighting, options
        )

    async def plan_deletions(
        self,
        selection: Selection,
        *,
        snapshot_first: bool = False,
        job: str = "delete",
        name_template: str = TEMPLATE,
        tags: Iterable[str] = (),
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the deletion of the selected volumes; attached ones are skipped.

        Requests: v; v + s with `snapshot_first`. To run: one for each volume, two with it.

        Args:
            selection: which volumes; one that selects everything is refused.
            snapshot_first: take a last snapshot of each, and delete only what has one. Where the
                name is taken already, the volume is skipped: `{time}` makes names of their own.
            job, name_template, tags, at, prices: as `plan_snapshots`.

        Raises:
            PlanError: everything or nothing is selected; a template or name cannot be.
        """
        if selection.is_everything:
            raise PlanError("this would delete every volume: say which, by region, tag or name")
        making = self._making(job, name_template, at, prices, tags, "tag")
        sighting = self._sighting()
        with self._throttle.background(job):
            volumes = await self._account.volumes(selection.only_region)
            fleet = selected(volumes, selection)
            snapshots = await self._account.snapshots() if snapshot_first else None
        steps, skips = deletion_steps(fleet, snapshots, making)
        options = {"snapshot_first": str(snapshot_first).lower()}
        return self._plan(
            "deletions", making, selection, steps, skips, volumes, snapshots, sighting, options
        )

    async def plan_creations(
        self,
        source: str | os.PathLike[str] | Iterable[VolumeSpec | Mapping[str, Any]],
        *,
        tags: Iterable[str] = (),
        job: str = "create",
        at: datetime | None = None,
        prices: Prices | None = None,
    ) -> Plan:
        """Plan the creation of volumes; a name that is taken in its region is skipped.

        Requests: v. To run: one for each volume.

        Args:
            source: specs, or mappings with their fields, or the path of a JSON, JSON lines or CSV
                file of them (see `specs`). Reading a file blocks for a moment.
            tags: for every volume, besides those of its spec.
            job, at, prices: as `plan_snapshots`.

        Raises:
            PlanError: the file or a spec cannot be used, two have one name; nothing was sent.
        """
        making = self._making(job, TEMPLATE, at, prices, tags, "tag")
        if isinstance(source, str | os.PathLike):
            specs = parse_specs(read_text(Path(source)), Path(source).suffix.lower())
        else:
            specs = read_specs(source)
        sighting = self._sighting()
        with self._throttle.background(job):
            volumes = await self._account.volumes()
        steps, skips = creation_steps(specs, volumes, making.tags, making.prices)
        return self._plan(
            "creations", making, Selection(), steps, skips, volumes, None, sighting, {}
        )
