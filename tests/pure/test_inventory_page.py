"""The report of an inventory without a browser: its figures, its markup, its files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from do_blockstore_async._export import visible
from do_blockstore_async.bulk import Inventory, InventoryRow, Prices, SnapshotAgeGroup
from do_blockstore_async.bulk.model.inventory import take_inventory
from do_blockstore_async.cli.exit_codes import CommandError, UsageError
from do_blockstore_async.cli.pages.earlier import Past, read_earlier
from do_blockstore_async.cli.pages.figures import Figures, figures_of
from do_blockstore_async.cli.pages.picture import Picture, drawing
from do_blockstore_async.cli.pages.replacing import replacing
from do_blockstore_async.cli.pages.report import report_page, show_chart
from do_blockstore_async.simulator.ratelimit import MinuteModel, RequestBudget, Window
from tests.support import bulk_models
from tests.support.bulk_models import snapshot, volume

NOW = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)
ROW = InventoryRow(
    volume_id="506f78a4-e098-11e5-ad9f-000f53306ae1",
    name="db-1",
    region="nyc3",
    size_gigabytes=100,
    age_days=30.0,
    droplet_id=None,
    tags=("prod",),
    snapshots=1,
    snapshots_gigabytes=12.5,
    newest_snapshot_at=NOW - timedelta(days=2),
    monthly_cost=10.75,
)
GROUPS = (
    SnapshotAgeGroup(
        from_days=0, under_days=7, snapshots=1, size_gigabytes=12.5, monthly_cost=0.75
    ),
    SnapshotAgeGroup(from_days=7, under_days=None),
)


def of(
    rows: Sequence[InventoryRow], earlier: Sequence[Past] = (), at: datetime = NOW, **how: Any
) -> Figures:
    how = {"scope": "all volumes", "with_snapshots": True, "unprotected_days": 7, **how}
    return figures_of(Inventory(tuple(rows), at, "USD", GROUPS), Prices(), earlier=earlier, **how)


class Skeleton(HTMLParser):
    """The elements of a page with their attributes, apart from its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[object] = []
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, attrs))
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(tag)


HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "]]><!--",
    "{{ 7 * 7 }}{% raw %}",
    "\u202e\x1b[31m\u2028\ud800",
)
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))
regions = texts.filter(lambda text: len(visible(text)) <= 20)


@cache
def harmless() -> list[object]:
    return Skeleton(report_page(of([ROW]))).elements


@settings(max_examples=20, deadline=None)
@given(name=texts, region=regions, tag=texts, identifier=texts)
def test_no_text_of_the_api_changes_the_page(
    name: str, region: str, tag: str, identifier: str
) -> None:
    hostile = replace(ROW, name=name, region=region, tags=(tag,), volume_id=identifier)
    page = report_page(of([hostile], scope=f"tag {tag}"))
    assert Skeleton(page).elements == harmless()
    assert page.count("<script") == 3
    page.encode()
    # What it holds is nevertheless what was there, control characters shown.
    rows = re.search(r'id="inventory-rows">(.*?)</script>', page)
    assert rows
    kept = json.loads(rows[1])[0]
    if name.isprintable() and not any("\ud800" <= each <= "\udfff" for each in name):
        assert kept[0] == name


def test_a_report_reaches_for_nothing() -> None:
    page = report_page(of([ROW]))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "default-src &#39;none&#39;" in policy[1]
    assert "unsafe" not in policy[1]
    names = Skeleton(page).attributes
    assert not names & {"src", "href", "srcset", "action", "style", "xlink:href"}
    assert not [name for name in names if name.startswith("on")]
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_figures_count_what_needs_a_look() -> None:
    old = replace(ROW, name="old", newest_snapshot_at=NOW - timedelta(days=7))
    none = replace(ROW, name="none", newest_snapshot_at=None, droplet_id=7)
    gone = replace(ROW, name="gone", orphaned=True, newest_snapshot_at=None, size_gigabytes=0)
    figures = of([ROW, old, none, gone])
    assert [row.name for row in figures.unprotected.rows] == ["none", "old"]
    assert [row.name for row in figures.unattached.rows] == ["db-1", "old"]
    assert figures.orphaned.count == 1
    flags = {row[0]: row[-1] for row in figures.rows()}
    assert flags == {"db-1": 0, "old": 2, "none": 3, "gone": 4}
    assert {bar.label: bar.cells for bar in figures.newest if bar.parts[0]} == {
        "1 to 7 days": ("1",), "7 to 30 days": ("1",), "no snapshot": ("1",),
    }  # fmt: skip
    assert not of([none], with_snapshots=False).unprotected.count


@given(st.lists(st.tuples(st.sampled_from(["nyc3", "ams3"]), st.integers(0, 10**6)), max_size=9))
def test_bars_and_lines_stay_inside_their_charts(sizes: list[tuple[str, int]]) -> None:
    rows = [
        replace(ROW, region=region, size_gigabytes=size, monthly_cost=size / 7)
        for region, size in sizes
    ]
    past = read_earlier_data(of(rows[:1], at=NOW - timedelta(days=3)))
    figures = of(rows, [past])
    for bar in (*figures.regions, *figures.ages, *figures.newest):
        assert all(0 <= part <= 100 for part in bar.parts)
        assert sum(bar.parts) <= 100.1
    assert figures.growth is not None
    for x, y, _ in figures.growth.points:
        assert 0 <= x <= 100
        assert 0 < y < 90
    assert len(figures.growth.ticks) <= 7


def read_earlier_data(figures: Figures) -> Past:
    return msgspec.convert(figures.data, Past)


# What earlier reports are.


def test_reports_are_a_chain_and_old_json_a_link_of_it(tmp_path: Path) -> None:
    as_json = tmp_path / "first.json"
    as_json.write_text(Inventory((ROW,), NOW - timedelta(days=9), "USD").to_json())
    page = tmp_path / "report.html"
    page.write_text(report_page(of([ROW], read_earlier([as_json]), NOW - timedelta(days=2))))
    # The newest holds the one before it; named twice, each counts once.
    earlier = read_earlier([page, as_json])
    assert [past.taken_at for past in earlier] == [NOW - timedelta(days=9), NOW - timedelta(days=2)]
    growth = of([ROW, ROW], earlier).growth
    assert growth is not None
    assert (len(growth.points), growth.changed) == (3, 10.75)
    assert of([ROW], earlier[:0]).growth is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no inventory: give a report of --html"),
        (b"\xff\xfe", "is no inventory"),
        (b"<html><body>another page</body></html>", "is no inventory"),
        (b"[]", "is no inventory"),
        (b'{"currency": "USD", "total": {"volumes": 1, "size_gigabytes": 1, "snapshots": 0, '
         b'"snapshots_gigabytes": 0, "monthly_cost": 1}}', "does not say when it was made"),
        (b'{"taken_at": "2026-11-28T03:00:00", "currency": "USD", "total": {"volumes": 1, '
         b'"size_gigabytes": 1, "snapshots": 0, "snapshots_gigabytes": 0, "monthly_cost": 1}}',
         "without a time zone"),
        (b'{"taken_at": "0001-01-01T00:00:00+14:00", "currency": "USD", "total": {"volumes": 1, '
         b'"size_gigabytes": 1, "snapshots": 0, "snapshots_gigabytes": 0, "monthly_cost": 1}}',
         "a date that cannot be"),
        (b'{"history":[' * 5_000, "is no inventory"),
    ],
)  # fmt: skip
def test_what_is_no_report_is_said(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "old"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_earlier([file])
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_earlier([tmp_path / "absent"])


def test_a_report_from_the_future_is_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, page = tmp_path / "old.json", tmp_path / "report.html"
    old.write_text(Inventory((ROW,), NOW + timedelta(days=1), "USD").to_json())
    picture = Picture(html=page, earlier=(old,))
    with drawing(picture, "all volumes", Prices(), with_snapshots=True) as draw:
        draw.write_page(Inventory((ROW,), NOW, "USD", GROUPS))
    told = "earlier reports left out: 1 not older than this report (2026-11-29 03:00)"
    assert told in capsys.readouterr().err
    assert "Cost over time" not in page.read_text()


def test_amounts_of_two_currencies_are_not_drawn_in_one_line(tmp_path: Path) -> None:
    files = []
    for currency in ("USD", "EUR"):
        files.append(tmp_path / currency)
        at = NOW - timedelta(days=len(files))
        files[-1].write_text(Inventory((ROW,), at, currency).to_json())
    with pytest.raises(UsageError, match="several currencies: EUR, USD"):
        read_earlier(files)


def test_years_of_nightly_reports_stay_readable(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    earlier: list[Past] = []
    for day in range(3):
        at = NOW + timedelta(days=day)
        file.write_text(report_page(of([ROW], earlier * 1 or many(1_500), at)))
        earlier = read_earlier([file])
    assert len(earlier) <= 1_000
    assert earlier[-1].taken_at == NOW + timedelta(days=2)


def many(count: int) -> list[Past]:
    newest = read_earlier_data(of([ROW], at=NOW - timedelta(days=1)))
    return [attrs_replace(newest, NOW - timedelta(days=day)) for day in range(count, 0, -1)]


def attrs_replace(past: Past, at: datetime) -> Past:
    return Past(at, past.currency, past.total, past.scope)


# Where it goes.


def test_a_file_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "no" / "r.html", Path("/dev/null"), Path("a\0b")):
        with pytest.raises(UsageError, match="cannot be written"), replacing(path):
            pytest.fail("it was not noticed")


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / f"{'報' * 80}.html"  # nearly as long as a name may be
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(file):
        raise KeyboardInterrupt
    with replacing(file) as replacement:
        with monkeypatch.context() as broken:
            broken.setattr("os.fsync", no_space)
            with pytest.raises(CommandError, match="No space left"):
                replacement.write("new")
        assert file.read_text() == "old"
        replacement.write("new")
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "new"


def no_space(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_options_of_pictures_that_contradict_each_other_are_refused() -> None:
    for picture, words in [
        (Picture(earlier=(Path("a.json"),)), "--html FILE"),
        (Picture(unprotected_days=0), "1 or more"),
    ]:
        with pytest.raises(UsageError, match=words):
            picture.check()


def test_without_the_extra_a_report_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    picture = Picture(html=tmp_path / "r.html")
    with (
        pytest.raises(CommandError, match=r"pip install 'do-blockstore-async\[cli,pages\]'"),
        drawing(picture, "all volumes", Prices(), with_snapshots=True),
    ):
        pytest.fail("it was not noticed")
    assert not list(tmp_path.iterdir())


# The same in a terminal.


def test_bars_in_a_terminal_are_as_wide_as_there_is_room(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for width in (40, 60, 200):
        show_chart(of([ROW, replace(ROW, region="ams3")]), width)
        lines = capsys.readouterr().out.splitlines()
        assert "Cost by region, USD a month" in lines
        assert re.search(r"^  nyc3 +[━#]+ +10\.75$", "\n".join(lines), re.M)
        assert max(map(len, lines)) <= max(width, 44)
        assert all(line == line.rstrip() for line in lines)


# What the figures rest on.


def test_snapshots_are_grouped_by_age() -> None:
    one, two = volume(1), volume(2)
    shots = [
        snapshot(one, 1, days=0.5),
        snapshot(one, 2, days=1),
        snapshot(two, 3, days=400),
        snapshot(volume(3), 4, days=8),
    ]
    at = bulk_models.NOW
    everything = take_inventory([one, two], shots, at, Prices(), with_orphaned=True)
    ages = {group.from_days: group.snapshots for group in everything.snapshots_by_age}
    assert ages == {0: 1, 1: 1, 7: 1, 30: 0, 90: 0, 365: 1}
    assert sum(group.monthly_cost for group in everything.snapshots_by_age) == pytest.approx(
        Prices().snapshot(everything.total.snapshots_gigabytes)
    )
    selected = take_inventory([one], shots, at, Prices(), with_orphaned=False)
    assert sum(group.snapshots for group in selected.snapshots_by_age) == 2
    assert json.loads(selected.to_json())["snapshots_by_age"][-1]["under_days"] is None


@given(
    model=st.sampled_from(["sliding", "fixed", "bucket"]),
    gaps=st.lists(st.floats(0, 20), min_size=1, max_size=30),
)
def test_a_simulated_window_says_when_its_slots_are_free(
    model: MinuteModel, gaps: list[float]
) -> None:
    budget = RequestBudget((Window(5, 10.0), Window(20, 60.0)), model)
    now = 1_000_000.0
    for gap in gaps:
        now += gap
        budget.check(now)
    for index, usage in enumerate(budget.usage(now)):
        assert 0 <= usage.used <= usage.limit
        if usage.next_free_in_s is None or usage.all_free_in_s is None:
            assert usage.used == 0
            continue
        assert -1e-6 <= usage.next_free_in_s <= usage.all_free_in_s + 1e-6
        assert budget.usage(now + usage.next_free_in_s + 1e-3)[index].used < usage.used
