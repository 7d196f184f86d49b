"""Plans and reports of bulk jobs, for people: the figures are those of `Plan` and `Report`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..._export import csv_text, json_text, visible
from ..options import Output
from ..output.errors import for_the_shell
from ..output.prompts import confirm
from ..output.tables import show_table, write, write_json
from ..output.terminal import errors, print_error
from ..output.text import folded, span_text

if TYPE_CHECKING:
    from rich.console import Console

    from ...bulk.model.plan import Plan, SkippedStep
    from ...bulk.model.report import Report
    from ...bulk.model.run_status import RunDetails

__all__ = [
    "TITLES",
    "TYPED_FROM",
    "confirm_plan",
    "plan_lines",
    "print_failures",
    "print_plan",
    "show_report",
    "show_steps",
    "summary_line",
    "victim_lines",
]

TYPED_FROM = 20
"""With more deletions than these, their number has to be typed instead of y."""

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
_VICTIMS = {
    "delete_volume": ("1 volume", "{} volumes"),
    "delete_snapshot": ("1 snapshot", "{} snapshots"),
}
_REGIONS = ("1 region", "{} regions")
_STATUSES = ("done", "skipped", "failed", "unknown")
_CONCLUSIONS = {"done": "done", "partial": "partly done", "failed": "failed", "stopped": "stopped"}
_ACTIONS = {
    "create_snapshot": "take snapshot",
    "delete_snapshot": "delete snapshot",
    "delete_volume": "delete volume",
    "create_volume": "create volume",
    "tag_volume": "tag volume",
    "untag_volume": "untag volume",
}
_COLUMNS = {
    "create_snapshot": "taken",
    "delete_snapshot": "pruned",
    "delete_volume": "deleted",
    "create_volume": "created",
    "tag_volume": "tagged",
    "untag_volume": "untagged",
}
_STEP_COLUMNS = ("action", "region", "volume", "name", "monthly", "why")
_STEP_PRIORITIES = (0, 1, 4, 0, 3, 2)
_MOST_FAILURES = 10
_MOST_VICTIMS = 20
_MOST_SKIPPED = 5


def _several(forms: tuple[str, str], count: int) -> str:
    return forms[0] if count == 1 else forms[1].format(f"{count:,}")


def plan_lines(plan: Plan, earlier: RunDetails | None = None) -> list[str]:
    """What a plan will do: items, requests, time, cost, what is skipped and why.

    Args:
        plan: the plan, or what is left of an earlier one.
        earlier: the run that this resumes.
    """
    counts = plan.counts
    steps = [_several(_PLANNED[action], counts[action]) for action in _PLANNED if counts[action]]
    regions = len({step.region for step in plan.steps})
    where = f" in {_several(_REGIONS, regions)}" if regions else ""
    title = "Plan" if earlier is None else "Left"
    lines = [] if earlier is None else _earlier(earlier)
    # What is created was not selected.
    which = "" if plan.kind == "creations" else f" ({plan.selection})"
    lines.append(f"{title}: {', '.join(steps) or 'nothing to do'}{where}{which}")
    if plan.steps:
        requests = _several(("1 request", "{} requests"), plan.requests)
        about = ", about " if plan.duration_s >= 1 else ", "
        # What a journal says was not forecast by anybody.
        span = f"{about}{span_text(plan.duration_s)} at today's budget" if plan.duration_s else ""
        lines.append(f"  {requests}{span}")
    if plan.monthly_change:
        at_most = "at most " if plan.monthly_change > 0 else ""
        lines.append(
            f"  storage cost: {at_most}{plan.monthly_change:+,.2f} {plan.currency} a month"
        )
    lines += _skipped(plan)
    lines += [f"  warning: {for_the_shell(warning)}" for warning in plan.warnings]
    return lines


def _earlier(earlier: RunDetails) -> list[str]:
    """How far an earlier run came."""
    status = earlier.status
    ended = [f"{getattr(status, each):,} {each}" for each in _STATUSES if getattr(status, each)]
    lines = [
        f"Run of job {status.job}, planned {status.made_at:%Y-%m-%d %H:%M} UTC: "
        f"{', '.join(ended) or 'nothing done'} of {status.total:,}"
    ]
    if status.in_doubt:
        lines.append(
            f"  {_several(('1 step was', '{} steps were'), status.in_doubt)} in flight when it "
            "ended: looked up first, and repeated only if the account does not show it"
        )
    if status.workers:
        names = ", ".join(worker.name for worker in status.workers)
        lines.append(f"  {names} is working on it: this would help")
    return lines


def _width_of(console: Console) -> int:
    """Its width; 0 where lines may be of any length, as in a file."""
    return console.width if console.is_terminal else 0


def print_plan(lines: Sequence[str], *, is_deleting: bool) -> None:
    """Write a plan to stderr; names are never folded."""
    console = errors()
    for number, line in enumerate(lines):
        for part in folded(visible(line), _width_of(console), "    "):
            style = "red" if is_deleting and not number else None
            console.print(part, style=style, soft_wrap=True)


def _skipped(plan: Plan) -> list[str]:
    """What is skipped and why, a line for each kind of reason."""
    kinds: dict[str, list[SkippedStep]] = {}
    for skip in plan.skips:
        kinds.setdefault(skip.code, []).append(skip)
    lines = []
    for code, skips in kinds.items():
        reason = for_the_shell(skips[0].reason)
        if code == "attached":
            names = [f"{skip.region} {skip.name}" for skip in skips]
            reason = f"attached to a Droplet: {_first(names)}"
        elif any(skip.reason != skips[0].reason for skip in skips):
            reason = f"such as {skips[0].name} in {skips[0].region}: {reason}"
        lines.append(f"  skipped: {len(skips):,}, {reason}")
    return lines


def _first(names: Sequence[str]) -> str:
    more = len(names) - _MOST_SKIPPED
    text = ", ".join(names[:_MOST_SKIPPED])
    return f"{text} and {more:,} more" if more > 0 else text


def victim_lines(plan: Plan, width: int) -> list[str]:
    """Name what a plan deletes: the first 20, and what all of it is and costs.

    Args:
        plan: the plan.
        width: of the terminal; where name and size do not fit, the size stands below.
    """
    steps = sorted(
        (step for step in plan.steps if step.is_destructive),
        key=lambda step: (step.region, step.name),
    )
    if not steps:
        return []
    lines = ["To be deleted permanently:"]
    for step in steps[:_MOST_VICTIMS]:
        what = f"  {step.region} {step.name}"
        volume = f"of {step.volume_name}, " if step.volume_name != step.name else ""
        volume = volume if step.volume_name else ""
        attached = ", attached" if step.attached else ""
        more = f"{volume}{step.size_gigabytes:,g} GiB{attached}"
        both = f"{what} ({more})"
        lines += [both] if not width or len(both) <= width else [what, f"      {more}"]
    if len(steps) > _MOST_VICTIMS:
        lines.append(f"  ... and {len(steps) - _MOST_VICTIMS:,} more; --dry-run lists all")
    size = sum(step.size_gigabytes for step in steps)
    cost = -sum(step.monthly_cost for step in steps)
    kinds = [_several(_VICTIMS[action], plan.counts[action]) for action in _VICTIMS]
    kinds = [kind for kind in kinds if not kind.startswith("0 ")]
    lines.append(
        f"  {' and '.join(kinds)} in all: {size:,.0f} GiB, {cost:,.2f} {plan.currency} a month"
    )
    return lines


def confirm_plan(plan: Plan, *, yes: bool) -> None:
    """Ask whether to go ahead, naming what would be deleted.

    Raises:
        UsageError: nobody can be asked.
        CommandError: the user declined.
    """
    deletions = plan.deletion_count
    if not yes:
        console = errors()
        for line in victim_lines(plan, _width_of(console)):
            console.print(visible(line), soft_wrap=True)
    if deletions <= TYPED_FROM:
        confirm("Go ahead?", yes=yes)
    else:
        confirm(f"This deletes {deletions:,} items.", yes=yes, number=deletions)


def show_steps(output: Output, plan: Plan) -> None:
    """Every step of a plan, on stdout."""
    if output == "json":
        # A saved plan is compact: it is a line of the journal, too.
        write_json(json_text(json.loads(plan.to_json())))
    elif output == "csv":
        write(csv_text(_STEP_COLUMNS, _step_rows(plan)))
    else:
        header, rows = plan.table()
        shown = [(*row[:-1], for_the_shell(row[-1])) for row in rows]
        show_table(header, shown, priorities=_STEP_PRIORITIES)


def _step_rows(plan: Plan) -> Iterator[tuple[object, ...]]:
    for step in plan.steps:
        volume = step.volume_name or step.volume_id
        why = for_the_shell(step.reason)
        yield step.action, step.region, volume, step.name, round(step.monthly_cost, 4), why
    for skip in plan.skips:
        yield "skip", skip.region, skip.name, None, None, for_the_shell(skip.reason)


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
        reason = for_the_shell(row.reason)
        print_error(f"{row.status}: {_ACTIONS[row.action]} {row.region} {what}: {reason}")
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
        word = "stopped after too many failures (see --max-failures)"
    text = f"{word} in {span_text(report.duration_s)}: {', '.join(parts) or 'nothing to do'}"
    requests = _several(("1 request", "{} requests"), report.requests)
    text += f"\n{requests}, {report.rate_limited:,} rate limited"
    if report.monthly_change:
        text += f"; storage {report.monthly_change:+,.2f} {report.currency} a month"
    if report.warning:
        text += f"\nwarning: {for_the_shell(report.warning)}"
    return text
