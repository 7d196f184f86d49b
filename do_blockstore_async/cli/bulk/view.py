"""Plans and reports of bulk jobs, for people: the figures are those of `Plan` and `Report`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..._export import csv_text, json_text, visible
from ..options import Output
from ..output.tables import show_table, write, write_json
from ..output.terminal import errors, print_error
from ..output.text import clock_text

if TYPE_CHECKING:
    from ...bulk.model.plan import Plan, SkippedStep
    from ...bulk.model.report import Report

__all__ = ["TITLES", "print_failures", "show_plan", "show_report", "show_steps", "summary_line"]

TITLES = {
    "snapshots": "Snapshots",
    "prune": "Pruning",
    "deletions": "Deleting",
    "creations": "Creating",
    "orphan-tags": "Marking",
}
_PLANNED = {
    "create_snapshot": ("take 1 snapshot", "take {} snapshots"),
    "delete_snapshot": ("delete 1 snapshot", "delete {} snapshots"),
    "delete_volume": ("delete 1 volume", "delete {} volumes"),
    "create_volume": ("create 1 volume", "create {} volumes"),
    "tag_volume": ("tag 1 volume", "tag {} volumes"),
    "untag_volume": ("untag 1 volume", "untag {} volumes"),
}
_MADE = {
    "create_snapshot": ("1 snapshot taken", "{} snapshots taken"),
    "delete_snapshot": ("1 snapshot deleted", "{} snapshots deleted"),
    "delete_volume": ("1 volume deleted", "{} volumes deleted"),
    "create_volume": ("1 volume created", "{} volumes created"),
    "tag_volume": ("1 volume tagged", "{} volumes tagged"),
    "untag_volume": ("1 volume untagged", "{} volumes untagged"),
}
_CONCLUSIONS = {"done": "done", "partial": "partly done", "failed": "failed", "stopped": "stopped"}
_COLUMNS = {
    "create_snapshot": "taken",
    "delete_snapshot": "pruned",
    "delete_volume": "deleted",
    "create_volume": "created",
    "tag_volume": "tagged",
    "untag_volume": "untagged",
}
_STEP_COLUMNS = ("action", "region", "volume", "name", "monthly", "why")
_STEP_PRIORITIES = (0, 1, 0, 0, 3, 2)
_MOST_FAILURES = 10


def _several(forms: tuple[str, str], count: int) -> str:
    return forms[0] if count == 1 else forms[1].format(f"{count:,}")


def show_plan(plan: Plan) -> None:
    """What a plan will do, on stderr: items, requests, time, cost, what is skipped and why."""
    counts = plan.counts
    steps = [_several(_PLANNED[action], counts[action]) for action in _PLANNED if counts[action]]
    regions = len({step.region for step in plan.steps})
    where = f" in {regions} region{'' if regions == 1 else 's'}" if regions else ""
    lines = [f"Plan: {', '.join(steps) or 'nothing to do'}{where} ({plan.selection})"]
    if plan.steps:
        requests = f"{plan.requests:,} request{'' if plan.requests == 1 else 's'}"
        lines.append(f"  {requests}, about {clock_text(plan.duration_s)} at today's budget")
    if plan.monthly_change:
        at_most = "at most " if plan.monthly_change > 0 else ""
        lines.append(
            f"  storage cost: {at_most}{plan.monthly_change:+,.2f} {plan.currency} a month"
        )
    lines += _skipped(plan)
    lines += [f"  warning: {warning}" for warning in plan.warnings]
    console = errors()
    for line in lines:
        console.print(
            visible(line), style="red" if plan.deletion_count and line is lines[0] else None
        )


def _skipped(plan: Plan) -> list[str]:
    """What is skipped and why, a line for each kind of reason."""
    kinds: dict[str, list[SkippedStep]] = {}
    for skip in plan.skips:
        kinds.setdefault(skip.code, []).append(skip)
    lines = []
    for skips in kinds.values():
        reason = skips[0].reason
        if any(skip.reason != reason for skip in skips):
            reason = f"such as {skips[0].name} in {skips[0].region}: {reason}"
        lines.append(f"  skipped: {len(skips):,}, {reason}")
    return lines


def show_steps(output: Output, plan: Plan) -> None:
    """Every step of a plan, on stdout."""
    if output == "json":
        # A saved plan is compact: it is a line of the journal, too.
        write_json(json_text(json.loads(plan.to_json())))
    elif output == "csv":
        write(csv_text(_STEP_COLUMNS, _step_rows(plan)))
    else:
        show_table(*plan.table(), priorities=_STEP_PRIORITIES)


def _step_rows(plan: Plan) -> Iterator[tuple[object, ...]]:
    for step in plan.steps:
        volume = step.volume_name or step.volume_id
        yield step.action, step.region, volume, step.name, round(step.monthly_cost, 4), step.reason
    for skip in plan.skips:
        yield "skip", skip.region, skip.name, None, None, skip.reason


def show_report(output: Output, report: Report) -> None:
    """What became of a plan, on stdout: by region, or every item as JSON or CSV."""
    if output == "json":
        write_json(report.to_json())
        return
    if output == "csv":
        write(report.to_csv())
        return
    tally = report.tally()
    total = sum(tally.values(), Counter[str]())
    planned = {row.action for row in report.rows}
    bad = [status for status in ("failed", "unknown") if total[status]] or ["failed"]
    columns = {action: word for action, word in _COLUMNS.items() if action in planned}
    columns |= {status: status for status in ("skipped", *bad)}
    rows = [
        [region or "-", *(f"{found[what]:,}" for what in columns)]
        for region, found in tally.items()
    ]
    totals = ["all", *(f"{total[what]:,}" for what in columns)]
    show_table(["region", *columns.values()], rows, totals=totals)


def print_failures(report: Report) -> None:
    """The first few items that failed or are unknown, on stderr, each with its reason."""
    bad = [row for row in report.rows if row.status in ("failed", "unknown")]
    for row in bad[:_MOST_FAILURES]:
        what = row.volume or row.name
        print_error(f"{row.status}: {row.action} {row.region} {what}: {row.reason}")
    if len(bad) > _MOST_FAILURES:
        more = len(bad) - _MOST_FAILURES
        print_error(f"... and {more:,} more; --report FILE or --output json has all")


def summary_line(report: Report) -> str:
    """The job in two lines."""
    done, counts = report.by_action, report.counts
    parts = [_several(_MADE[action], done[action]) for action in _MADE if done.get(action)]
    parts += [f"{counts[status]:,} {status}" for status in counts if status != "done"]
    parts = [part for part in parts if not part.startswith("0 ")]
    if report.remaining:
        parts.append(f"{report.remaining:,} not started")
    word = _CONCLUSIONS[report.conclusion]
    if report.stopped == "max_failures":
        word = "stopped after too many failures (--max-failures)"
    text = f"{word} in {clock_text(report.duration_s)}: {', '.join(parts) or 'nothing to do'}"
    text += f"\n{report.requests:,} requests, {report.rate_limited:,} rate limited"
    if report.monthly_change:
        text += f"; storage {report.monthly_change:+,.2f} {report.currency} a month"
    return text
