"""What all planners share: how snapshots are made, what is selected, and the finished plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import attrs

from ..._http.engine import Engine
from ..._ratelimit.throttle import Throttle
from ..._schema.validation import check_tags
from ...errors import InvalidArgumentError
from ...models import Volume, VolumeSnapshot
from ...resources.snapshots import SnapshotManager
from ...resources.volumes import VolumeManager
from ..account import AccountReader
from ..errors import PlanError
from ..model.plan import (
    ListingCounts,
    Plan,
    PlanKind,
    Sighting,
    SkippedStep,
    Step,
    account_sample,
)
from ..model.prices import Prices
from ..model.selection import Selection
from ..model.snapshot_names import Template, check_job, check_own_tags
from .policy import Making

__all__ = ["TEMPLATE", "PlanBase", "read_text", "selected"]

TEMPLATE: Final = "{volume}-{region}-{date}"
_MAX_FILE_BYTES: Final = 1 << 30


class PlanBase:
    """Listings in, a plan out."""

    def __init__(
        self, engine: Engine, throttle: Throttle, volumes: VolumeManager, snapshots: SnapshotManager
    ) -> None:
        self._engine = engine
        self._throttle = throttle
        self._volumes = volumes
        self._snapshots = snapshots
        self._account = AccountReader(volumes, snapshots)

    def forecast(self, plan: Plan) -> timedelta:
        """How long the plan's requests would take from now on, as background."""
        return self._throttle.forecast(plan.requests, background=True)

    def _moment(self, at: datetime | None) -> datetime:
        if at is None:
            return self._engine.clock.utc_now()
        if at.tzinfo is None:
            raise InvalidArgumentError("at must know its time zone, such as datetime.now(UTC)")
        return at.astimezone(UTC)

    def _making(
        self,
        job: str,
        template: str,
        at: datetime | None,
        prices: Prices | None,
        tags: Iterable[str],
        match_by: str,
    ) -> Making:
        if match_by not in {"tag", "name"}:
            raise InvalidArgumentError(f"match_by is tag or name, not {match_by!r}")
        return Making(
            job=check_job(job),
            template=Template(template),
            at=self._moment(at),
            prices=Prices() if prices is None else prices,
            tags=check_own_tags(tuple(dict.fromkeys(check_tags(tags)))),
            by_name=match_by == "name",
        )

    def _sighting(self) -> Sighting:
        return Sighting(self._engine, self._engine.clock.monotonic())

    def _plan(
        self,
        kind: PlanKind,
        making: Making,
        selection: Selection,
        steps: Sequence[Step],
        skips: Sequence[SkippedStep],
        volumes: Sequence[Volume] | None,
        snapshots: Sequence[VolumeSnapshot] | None,
        sighting: Sighting,
        options: Mapping[str, str],
    ) -> Plan:
        targets = [step.target_id for step in steps if step.is_destructive]
        seen = (
            account_sample([each.id for each in listing], targets)
            for listing in (volumes, snapshots)
            if listing is not None
        )
        plan = Plan(
            kind=kind,
            job=making.job,
            made_at=making.at,
            selection=selection,
            steps=tuple(steps),
            skips=tuple(skips),
            listing_counts=ListingCounts(
                None if volumes is None else len(volumes),
                None if snapshots is None else len(snapshots),
                None if volumes is None else sum(map(selection.is_in_region, volumes)),
                None if snapshots is None else making.count_own(snapshots, volumes),
            ),
            currency=making.prices.currency,
            options=dict(options),
            account_sample_ids=tuple(each for ids in seen for each in ids),
            sighting=sighting,
        )
        return attrs.evolve(plan, duration_s=self.forecast(plan).total_seconds())


def selected(volumes: Sequence[Volume], selection: Selection) -> list[Volume]:
    """The volumes that match; refuses when none does."""
    found = [volume for volume in volumes if selection.matches(volume)]
    if not found:
        raise PlanError(
            f"nothing is selected: no volume of {len(volumes)} matches ({selection}); "
            "check regions, tags and name pattern against `store.bulk.inventory()`"
        )
    return found


def read_text(where: Path) -> str:
    """The text of a file of the user's; refuses what cannot be one."""
    try:
        if where.stat().st_size > _MAX_FILE_BYTES:
            raise PlanError(f"{where} is larger than a plan can be")
        return where.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise PlanError(f"{where} cannot be read: {reason}") from None
