"""CSV, JSON and plain text, byte for byte."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async._export import aligned_text, ascii_json, csv_text, json_text, visible
from do_blockstore_async.bulk.model.inventory import take_inventory
from do_blockstore_async.bulk.model.plan import Plan, Step
from do_blockstore_async.bulk.model.prices import Prices
from do_blockstore_async.bulk.model.report import Report, ReportRow
from do_blockstore_async.bulk.model.selection import Selection
from do_blockstore_async.cli.bulk.view import show_report, show_steps
from do_blockstore_async.cli.output.columns import VOLUMES
from do_blockstore_async.cli.output.tables import show_one, show_rows, write_json
from tests.support.bulk_models import NOW, snapshot, volume

# CSI in both forms, a bell, an override of the writing direction, an isolate, a line separator.
HOSTILE = "a\x1b[31m\x9b1m\x07\u202eb\u2066\u061c\u2028c"
TAMED = r"a\x1b[31m\x9b1m\x07\u202eb\u2066\u061c\u2028c"


def is_tame(text: str) -> bool:
    return visible(text.replace("\n", "")) == text.replace("\n", "")


# CSV.


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (-5, "-5"),
        (-0.6, "-0.6"),
        (2.5, "2.5"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:00:00Z"),
        (("a", "b"), "a;b"),
        ([], ""),
        ([7, True, None], "7;true;"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        (" =1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        (("=1", "b"), "'=1;b"),
        ("a=1", "a=1"),
        ("a,b", '"a,b"'),
        ('say "x"', '"say ""x"""'),
        ("two\r\nlines", r"two\r\nlines"),
        ("\n=1", r"\n=1"),
        ("grün 大", "grün 大"),
        (HOSTILE, TAMED),
    ],
)
def test_a_field_of_csv(value: Any, field: str) -> None:
    assert csv_text(["x", "y"], [[value, "z"]]) == f"x,y\n{field},z\n"


@given(st.lists(st.tuples(st.text(), st.text())))
def test_csv_has_a_line_for_each_row_and_is_read_back(rows: list[tuple[str, str]]) -> None:
    text = csv_text(["x", "y"], rows)
    assert is_tame(text)
    assert text.count("\n") == len(rows) + 1
    read = list(csv.reader(io.StringIO(text)))[1:]
    assert [[field.removeprefix("'") for field in row] for row in read] == [
        [visible(value).removeprefix("'") for value in row] for row in rows
    ]


# JSON.


@attrs.frozen
class Thing:
    name: str
    at: datetime
    tags: tuple[str, ...] = ()
    _secret: str = "hidden"


def test_json_byte_for_byte() -> None:
    thing = Thing(
        "grün 大 \U0001f600", datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    )
    document = {"thing": thing, "map": MappingProxyType({1: None}), "flags": [True, 0.5]}
    assert json_text(document) == (
        "{\n"
        '  "thing": {\n'
        '    "name": "grün 大 \U0001f600",\n'
        '    "at": "2026-01-02T01:00:00Z",\n'
        '    "tags": []\n'
        "  },\n"
        '  "map": {\n'
        '    "1": null\n'
        "  },\n"
        '  "flags": [\n'
        "    true,\n"
        "    0.5\n"
        "  ]\n"
        "}"
    )


def test_control_characters_are_escaped_in_json() -> None:
    text = json_text([HOSTILE, "\x7f\ud800"])
    assert text == (
        '[\n  "a\\u001b[31m\\u009b1m\\u0007\\u202eb\\u2066\\u061c\\u2028c",\n  "\\u007f\\ufffd"\n]'
    )
    assert json.loads(text)[0] == HOSTILE


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_read_back(value: Any) -> None:
    text = json_text(value)
    assert is_tame(text)
    assert json.loads(text) == value
    assert json.loads(ascii_json(text)) == value
    assert ascii_json(text).isascii()


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_text(float("nan"))
    with pytest.raises(TypeError, match="object"):
        json_text(object())


# Plain text.


def test_columns_are_aligned() -> None:
    assert aligned_text(("a", "long"), [("x\x1b", ""), ("", "y")]) == (
        "a      long\nx\\x1b\n       y\n"
    )


# Whoever writes, by the same rules.

ROW = ReportRow(
    key="k", action="delete_volume", region="nyc3", volume=HOSTILE, name="=1", status="done",
    duration_s=1.5, resumed=True,
)  # fmt: skip
REPORT = Report(kind="deletions", job="nightly", rows=(ROW,))


def test_a_report_as_csv() -> None:
    assert REPORT.to_csv() == (
        "key,action,region,volume,name,status,reason,code,duration_s,planned,resumed\n"
        f"k,delete_volume,nyc3,{TAMED},'=1,done,,,1.5,false,true\n"
    )


def test_an_inventory_as_csv() -> None:
    one = volume(1, name="+db", tags=("a", "b"))
    taken = take_inventory([one], [snapshot(one, 1)], NOW, Prices(), with_orphaned=False)
    header, line, rest = taken.to_csv().split("\n")
    fields = dict(zip(header.split(","), line.split(","), strict=True))
    assert (fields["name"], fields["tags"], fields["droplet_id"]) == ("'+db", "a;b", "")
    assert fields["newest_snapshot_at"].endswith("Z")
    assert fields["orphaned"] == "false"
    assert rest == ""


def outputs(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Everything the command line and the library write of things with hostile names."""
    one = volume(1, name=HOSTILE, description=HOSTILE, tags=(HOSTILE,))
    step = Step(
        key="k",
        action="create_volume",
        name=HOSTILE,
        region="nyc3",
        volume_name=HOSTILE,
        reason="=1",
    )
    made = Plan(kind="snapshots", job="nightly", made_at=NOW, selection=Selection(), steps=(step,))
    taken = take_inventory([one], [], NOW, Prices(), with_orphaned=False)
    found = {
        "report.csv": REPORT.to_csv(),
        "report.json": REPORT.to_json(),
        "report.txt": aligned_text(*REPORT.table("item")),
        "inventory.csv": taken.to_csv(),
        "inventory.json": taken.to_json(),
    }
    for output in ("table", "json", "csv"):
        show_rows(output, VOLUMES, [one])
        found[f"rows {output}"] = capsys.readouterr().out
        show_one(output, VOLUMES, one)
        found[f"one {output}"] = capsys.readouterr().out
        show_steps(output, made)
        found[f"plan {output}"] = capsys.readouterr().out
        show_report(output, REPORT)
        found[f"report {output}"] = capsys.readouterr().out
    return found


def test_no_writer_lets_a_name_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for writer, text in outputs(capsys).items():
        assert text, writer
        assert is_tame(text), writer


def test_all_json_has_one_style(capsys: pytest.CaptureFixture[str]) -> None:
    for writer, text in outputs(capsys).items():
        if "json" in writer:
            assert text.rstrip("\n") == json_text(json.loads(text)), writer


def test_json_stays_json_where_the_stream_knows_few_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii", errors="backslashreplace"))
    write_json(json_text(["grün \U0001f600"]))
    sys.stdout.flush()
    assert json.loads(raw.getvalue()) == ["grün \U0001f600"]
