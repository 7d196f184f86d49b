"""What a run did: counts, regions, items, requests, time. Pure data, for people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Literal, TypeAlias

import attrs
import msgspec

from ..._export import csv_text, json_text
from ..._interop.structs import known_to_attrs
from .outcome import Ended, Status
from .plan import Plan
from .rows import CompactRows, kept

__all__ = ["Report", "ReportRow", "report_of"]

_STATUSES: Final[tuple[Status, ...]] = ("done", "skipped", "failed", "unknown")
_SLOWEST: Final = 10
_BLOCKED: Final = frozenset({"snapshot_limit", "name_too_long", "prune_guard"})

Conclusion: TypeAlias = Literal["done", "partial", "failed", "stopped"]


@known_to_attrs()
class ReportRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One item.

    Attributes:
        name: of the snapshot, volume or tag.
        volume: the volume's name, or its id.
        code: for `skipped`, the reason in one word.
        planned: it was skipped by the plan already.
        resumed: it was found done, or had ended, before this run.
    """

    key: str
    action: str
    region: str
    volume: str
    name: str
    status: Status
    reason: str = ""
    code: str = ""
    duration_s: float = 0.0
    planned: bool = False
    resumed: bool = False


_COLUMNS: Final = ReportRow.__struct_fields__


@attrs.frozen(kw_only=True)
class Report:
    """What became of a plan.

    Attributes:
        rows: every item that has an outcome, what the plan skipped included.
        remaining: how many steps have none yet: the run was stopped before it started them.
        stopped: why it was stopped: `stopped`, `max_failures`, `cancelled`; None if it was not.
        requests: requests that this run sent, the checking and retries included.
        rate_limited: how many of them were answered 429.
        duration_s: from entering the run to its end, or to this moment.
        monthly_change: of the storage cost, by the steps that were done.
    """

    kind: str
    job: str
    rows: Sequence[ReportRow]
    remaining: int = 0
    stopped: str | None = None
    requests: int = 0
    rate_limited: int = 0
    duration_s: float = 0.0
    monthly_change: float = 0.0
    currency: str = "USD"

    @property
    def counts(self) -> dict[Status, int]:
        """How many items finished in each status."""
        found = Counter(row.status for row in self.rows)
        return {status: found[status] for status in _STATUSES}

    @property
    def blocked(self) -> int:
        """How many were skipped and stay so night after night, until somebody acts.

        Their codes: `snapshot_limit` (25 snapshots of which none may go), `name_too_long`, and
        `prune_guard`.
        """
        return sum(row.code in _BLOCKED for row in self.rows)

    @property
    def warning(self) -> str:
        """Say so where snapshots were to be taken and none was: how many, and why; else empty.

        A volume that has its snapshot of this run already counts as taken.
        """
        if self.kind != "snapshots" or self.stopped is not None or self.remaining:
            return ""
        wanted = [
            row
            for row in self.rows
            if row.action == "create_snapshot" or (row.planned and row.code != "prune_guard")
        ]
        if not wanted or any(row.status == "done" or row.code == "exists" for row in wanted):
            return ""
        reasons = Counter(row.code or row.reason for row in wanted)
        example = {row.code or row.reason: row.reason for row in reversed(wanted)}
        why = "; ".join(f"{count:,}: {example[code]}" for code, count in reasons.most_common(3))
        more = f"; and {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
        return f"0 of {len(wanted):,} snapshots taken ({why}{more})"

    @property
    def by_region(self) -> dict[str, dict[Status, int]]:
        """The same for each region, by slug."""
        regions: dict[str, Counter[Status]] = {}
        for row in self.rows:
            regions.setdefault(row.region, Counter())[row.status] += 1
        return {
            region: {status: found[status] for status in _STATUSES}
            for region, found in sorted(regions.items())
        }

    @property
    def by_action(self) -> dict[str, int]:
        """How many steps of each action were done."""
        return dict(Counter(row.action for row in self.rows if row.status == "done"))

    def tally(self) -> dict[str, Counter[str]]:
        """Count, for each region, the items that are done by action and the others by status."""
        regions: dict[str, Counter[str]] = {}
        for row in self.rows:
            what = row.action if row.status == "done" else row.status
            regions.setdefault(row.region, Counter())[what] += 1
        return dict(sorted(regions.items()))

    @property
    def slowest(self) -> tuple[ReportRow, ...]:
        """The ten items that took longest, the slowest first."""
        timed = [row for row in self.rows if row.duration_s > 0]
        return tuple(sorted(timed, key=lambda row: -row.duration_s)[:_SLOWEST])

    @property
    def conclusion(self) -> Conclusion:
        """In a word: `done`, `partial`, `failed` or `stopped`.

        Partial: some failed or were blocked. Failed: so, and none was done; or snapshots were to be
        taken, and none was (see `warning`).
        """
        counts = self.counts
        if self.stopped is not None or self.remaining:
            return "stopped"
        if self.warning:
            return "failed"
        if not (counts["failed"] or counts["unknown"] or self.blocked):
            return "done"
        return "partial" if counts["done"] else "failed"

    def table(
        self, by: Literal["region", "item"] = "region"
    ) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return header and rows as strings, for each region or for each item."""
        if by == "region":
            rows = [
                (region, *(str(found[status]) for status in _STATUSES))
                for region, found in self.by_region.items()
            ]
            rows.append(("all", *(str(self.counts[status]) for status in _STATUSES)))
            return ("region", *_STATUSES), rows
        header = ("region", "volume", "action", "name", "status", "seconds", "reason")
        return header, [
            (r.region, r.volume, r.action, r.name, r.status, f"{r.duration_s:.2f}", r.reason)
            for r in self.rows
        ]

    def summary(self) -> Mapping[str, Any]:
        """Return everything but the items."""
        return {
            "kind": self.kind,
            "job": self.job,
            "conclusion": self.conclusion,
            "stopped": self.stopped,
            "counts": self.counts,
            "blocked": self.blocked,
            "warning": self.warning,
            "remaining": self.remaining,
            "by_action": self.by_action,
            "by_region": self.by_region,
            "requests": self.requests,
            "rate_limited": self.rate_limited,
            "duration_s": round(self.duration_s, 3),
            "monthly_change": round(self.monthly_change, 4),
            "currency": self.currency,
            "slowest": [msgspec.structs.asdict(row) for row in self.slowest],
        }

    def to_json(self) -> str:
        """Return the summary and every item as one JSON object."""
        return json_text({**self.summary(), "items": self.rows})

    def to_csv(self) -> str:
        """Return one line of CSV for each item, with a header.

        A string that a spreadsheet would take for a formula gets an apostrophe in front.
        """
        return csv_text(_COLUMNS, map(attrgetter(*_COLUMNS), self.rows))


def report_of(
    plan: Plan,
    ended: Mapping[str, Ended],
    *,
    earlier: Container[str],
    stopped: str | None,
    requests: int,
    rate_limited: int,
    duration_s: float,
) -> Report:
    """Make the report of a plan from the outcomes of its steps, of earlier runs too."""
    rows: CompactRows[ReportRow] = CompactRows()
    monthly_change = 0.0
    for step in plan.steps:
        found = ended.get(step.key)
        if found is None:
            continue
        monthly_change += step.monthly_cost if found.status == "done" else 0.0
        rows.append(
            ReportRow(
                key=step.key,
                action=step.action,
                region=step.region,
                volume=step.volume_name or step.volume_id,
                name=step.name,
                status=found.status,
                reason=found.reason,
                code=found.code,
                duration_s=found.duration_s,
                resumed=step.key in earlier,
            )
        )
    remaining = len(plan.steps) - len(rows)
    rows.extend(
        ReportRow(
            key=f"skip:{skip.region}:{skip.name}",
            action="skip",
            region=skip.region,
            volume=skip.name,
            name="",
            status="skipped",
            reason=skip.reason,
            code=skip.code,
            planned=True,
        )
        for skip in plan.skips
    )
    return Report(
        kind=plan.kind,
        job=plan.job,
        rows=kept(rows),
        remaining=remaining,
        stopped=stopped,
        requests=requests,
        rate_limited=rate_limited,
        duration_s=duration_s,
        monthly_change=monthly_change,
        currency=plan.currency,
    )
