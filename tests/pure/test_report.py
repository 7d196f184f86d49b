"""Reports and inventories as tables, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from do_blockstore_async.bulk.model.inventory import take_inventory
from do_blockstore_async.bulk.model.outcome import Status
from do_blockstore_async.bulk.model.prices import Prices
from do_blockstore_async.bulk.model.report import Report, ReportRow
from tests.support.bulk_models import NOW, snapshot, volume


def row(number: int, status: Status, region: str = "nyc3", **values: object) -> ReportRow:
    return ReportRow(
        key=f"k{number}",
        action="create_snapshot",
        region=region,
        volume=f"db-{number}",
        name=f"db-{number}-x",
        status=status,
        duration_s=float(number),
        **values,  # type: ignore[arg-type]
    )


ROWS = (row(1, "done"), row(2, "failed", reason="no"), row(3, "skipped", "ams3"), row(4, "done"))


def report(*rows: ReportRow, **values: object) -> Report:
    return Report(kind="snapshots", job="nightly", rows=rows, **values)  # type: ignore[arg-type]


def test_counts_in_all_and_for_each_region() -> None:
    made = report(*ROWS)
    assert made.counts == {"done": 2, "skipped": 1, "failed": 1, "unknown": 0}
    assert made.by_region["ams3"] == {"done": 0, "skipped": 1, "failed": 0, "unknown": 0}
    assert made.by_action == {"create_snapshot": 2}
    assert [each.key for each in made.slowest] == ["k4", "k3", "k2", "k1"]


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (report(), "done"),
        (report(row(1, "done"), row(2, "skipped")), "done"),
        (report(*ROWS), "partial"),
        (report(row(1, "unknown"), row(2, "done")), "partial"),
        (report(row(1, "failed")), "failed"),
        (report(row(1, "skipped", code="exists")), "done"),
        (report(row(1, "skipped", code="snapshot_limit")), "failed"),
        (report(row(1, "skipped", code="name_too_long"), row(2, "done")), "partial"),
        (report(row(1, "done"), row(2, "skipped", code="prune_guard")), "partial"),
        (report(row(1, "done"), remaining=1), "stopped"),
        (report(row(1, "done"), stopped="max_failures"), "stopped"),
    ],
)
def test_a_report_concludes_in_a_word(made: Report, word: str) -> None:
    assert made.conclusion == word


def test_the_table_has_a_line_for_all() -> None:
    header, rows = report(*ROWS).table()
    assert header == ("region", "done", "skipped", "failed", "unknown")
    assert rows == [
        ("ams3", "0", "1", "0", "0"),
        ("nyc3", "2", "0", "1", "0"),
        ("all", "2", "1", "1", "0"),
    ]
    header, rows = report(*ROWS).table("item")
    assert all(len(each) == len(header) for each in rows)


def test_json_holds_summary_and_items() -> None:
    document = json.loads(report(*ROWS, requests=7, rate_limited=1).to_json())
    assert document["counts"]["done"] == 2
    assert (document["requests"], document["rate_limited"]) == (7, 1)
    assert [item["key"] for item in document["items"]] == ["k1", "k2", "k3", "k4"]


def test_csv_is_read_back_and_runs_no_formula() -> None:
    evil = row(5, "failed", reason='=HYPERLINK("x"),\n"quoted"')
    rows = list(csv.DictReader(io.StringIO(report(*ROWS, evil).to_csv())))
    assert len(rows) == 5
    assert rows[0]["status"] == "done"
    assert rows[4]["reason"].startswith("'=HYPERLINK")
    assert rows[4]["reason"].endswith('"quoted"')


def test_an_inventory_sums_sizes_costs_and_ages() -> None:
    one, two = volume(1, droplet_ids=(7,)), volume(2, region="ams3", size_gigabytes=50)
    gone = volume(9)
    shots = [snapshot(one, 1), snapshot(one, 2, days=2), snapshot(gone, 3)]
    taken = take_inventory([one, two], shots, NOW, Prices(), with_orphaned=True)
    first, second, third = taken.rows
    assert (first.droplet_id, first.snapshots, first.snapshots_gigabytes) == (7, 2, 10.0)
    assert first.monthly_cost == pytest.approx(1.0 + 0.6)
    assert first.age_days == pytest.approx(100)
    assert first.newest_snapshot_at == shots[0].created_at
    assert second.newest_snapshot_at is None
    assert third.orphaned
    assert (taken.total.volumes, taken.total.attached, taken.total.snapshots) == (2, 1, 3)
    assert taken.total.monthly_cost == pytest.approx(1.6 + 5.0 + 0.3)
    assert taken.by_region["ams3"].size_gigabytes == 50
    assert len(take_inventory([one], shots, NOW, Prices(), with_orphaned=False).rows) == 1
    header, rows = taken.table()
    assert all(len(each) == len(header) for each in rows)
    assert json.loads(taken.to_json())["total"]["volumes"] == 2
    assert len(list(csv.DictReader(io.StringIO(taken.to_csv())))) == 3


def test_the_tally_counts_what_is_done_by_action_and_the_rest_by_status() -> None:
    made = report(*ROWS)
    tally = made.tally()
    assert list(tally) == sorted(tally)
    assert sum(sum(found.values()) for found in tally.values()) == len(made.rows)
    done = {action for found in tally.values() for action in found} - {
        "skipped",
        "failed",
        "unknown",
    }
    assert {name: sum(found[name] for found in tally.values()) for name in done} == made.by_action
