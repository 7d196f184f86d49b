"""Tables at any width: what is never cut, what goes first, and what JSON, sizes and times hold."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import Action, Region, Volume, VolumeSnapshot
from do_blockstore_async.cli.exit_codes import UsageError
from do_blockstore_async.cli.options import gigabytes_of, seconds_of
from do_blockstore_async.cli.output.columns import (
    ACTIONS,
    REGIONS,
    SNAPSHOTS,
    VOLUMES,
    lean_json,
)
from do_blockstore_async.cli.output.layout import Column, front_length, lay_out, text_width
from do_blockstore_async.cli.output.tables import show_table

cells = st.text(st.sampled_from("ab1-é大"), min_size=1, max_size=30)
uuids = st.uuids().map(str)


def column(name: str, priority: int, *, is_id: bool = False, right: bool = False) -> Column[Any]:
    return Column(name, lambda row: row, priority=priority, is_id=is_id, right=right)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column[Any]], list[list[str]]]:
    kinds = draw(st.lists(st.booleans(), min_size=1, max_size=6))
    columns = [
        column(
            f"c{number}", draw(st.integers(0, 4)), is_id=is_id,
            right=not is_id and draw(st.booleans()),
        )
        for number, is_id in enumerate(kinds)
    ]  # fmt: skip
    row = st.tuples(*(uuids if is_id else cells for is_id in kinds)).map(list)
    return columns, draw(st.lists(row, min_size=1, max_size=5))


@given(table=tables(), room=st.integers(1, 160), is_whole=st.booleans(), is_fixed=st.booleans())
def test_nothing_is_cut_but_the_ends_of_ids(
    table: tuple[list[Column[Any]], list[list[str]]], room: int, is_whole: bool, is_fixed: bool
) -> None:
    columns, rows = table
    layout = lay_out(columns, rows, room, is_whole=is_whole, is_fixed=is_fixed)
    lines = layout.lines(rows)
    if layout.is_stacked:
        # Everything is there: beside its name, or on a line of its own where it needs that.
        assert layout.left_out == []
        blocks = "\n".join(lines).split("\n\n")
        for row, block in zip(rows, blocks, strict=True):
            for each, cell in zip(columns, row, strict=True):
                assert f"{each.name}: {cell}" in block or f"{each.name}:\n{cell}" in block
        assert all(text_width(line) <= room or ": " not in line for line in lines)
        return
    assert room >= 60
    kept = [index for index, each in enumerate(columns) if each.name not in layout.left_out]
    worst = max(columns[index].priority for index in kept)
    for line, row in zip(lines, rows, strict=True):
        assert text_width(line) <= room
        assert line == line.rstrip()
        words = line.split()
        assert len(words) == len(kept)
        for word, index in zip(words, kept, strict=True):
            if word != row[index]:
                # An id's front, and no other id's of the column.
                assert columns[index].is_id
                assert is_whole
                assert not is_fixed
                assert len({r[index] for r in rows if r[index].startswith(word)}) == 1
    for each in columns:
        assert (each.name in layout.left_out) is (each.priority > worst)
        assert each.priority > 0 or each.name not in layout.left_out
    assert not (is_fixed and layout.left_out)


@settings(max_examples=50)
@given(table=tables(), later=st.lists(cells, min_size=1, max_size=3))
def test_a_pipe_gets_everything_aligned(
    table: tuple[list[Column[Any]], list[list[str]]], later: list[str]
) -> None:
    columns, rows = table
    layout = lay_out(columns, rows, None)
    more = [[each] * len(columns) for each in later]
    lines = [layout.header(), *layout.lines(rows)]
    # Pages that come later may need more room: the columns grow from there on.
    grown = layout.lines(more)
    assert [line.split() for line in (*lines[1:], *grown)] == [*rows, *more]
    for together in (lines, grown):
        assert not [line for line in together if line != line.rstrip()]
        if columns[-1].right:
            assert len({text_width(line) for line in together}) == 1


@pytest.mark.parametrize(
    ("text", "width"),
    [("日本", 4), ("e\u0301", 1), ("\N{HEAVY BLACK HEART}\ufe0f", 1), ("👩\u200d💻", 4), ("🎉", 2)],
)
def test_what_joins_characters_takes_no_column(text: str, width: int) -> None:
    assert text_width(text) == width


def test_columns_stay_straight_where_the_stream_escapes_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", errors="backslashreplace")
    monkeypatch.setattr("sys.stdout", stream)
    show_table(("description", "size"), [("日本", "1"), ("a\tb", "10")])
    stream.flush()
    header, *lines = stream.buffer.getvalue().decode().splitlines()
    assert lines == [r"\u65e5\u672c     1", r"a\tb            10"]
    assert len(header) == len(lines[0])


@settings(max_examples=50)
@given(st.lists(st.text("ab", min_size=12, max_size=12), min_size=1, max_size=12))
def test_fronts_tell_ids_apart(ids: list[str]) -> None:
    length = front_length(ids)
    assert len({each[:length] for each in ids}) == len(set(ids))
    assert length == 8 or len({each[: length - 1] for each in ids}) < len(set(ids))


def test_ids_are_shortened_only_when_less_important_columns_have_gone() -> None:
    columns = [column("id", 0, is_id=True), column("name", 0), column("tags", 3)]
    rows = [["506f78a4-e098-11e5-ad9f-000f53306ae1", "n" * 20, "t" * 30]]
    assert lay_out(columns, rows, 90).left_out == []
    first = lay_out(columns, rows, 80)
    assert (first.left_out, first.has_short_ids) == (["tags"], False)
    rows[0][1] = "n" * 40
    second = lay_out(columns, rows, 70)
    assert (second.left_out, second.has_short_ids) == (["tags"], True)
    # What is still coming could have the same front.
    assert lay_out(columns, rows, 70, is_whole=False).is_stacked
    assert lay_out(columns, rows, 59).is_stacked


# What JSON holds, for good.

WHEN = datetime(2026, 11, 2, tzinfo=UTC)
NYC3 = Region("nyc3", "New York 3", True, ("storage",), ("s-1vcpu-1gb",))


@pytest.mark.parametrize(
    ("model", "always", "where_there"),
    [
        (
            Volume("1", "db", 10, NYC3, WHEN, "text", (7,), "ext4", "data", ("a",)),
            "id name size_gigabytes region created_at droplet_ids tags",
            "description filesystem_type filesystem_label",
        ),
        (
            VolumeSnapshot("1", "s", WHEN, "2", "volume", ("nyc3",), 10, 0.5, ("a",)),
            "id name created_at resource_id regions min_disk_size size_gigabytes tags",
            "",
        ),
        (
            Action(1, "completed", "resize_volume", WHEN, WHEN, 3, "backend", NYC3, "nyc3", "2"),
            "id status type started_at",
            "completed_at resource_id region volume_id",
        ),
        (NYC3, "slug name available features", ""),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_the_keys_of_json_are_these(model: Any, always: str, where_there: str) -> None:
    import attrs

    full = lean_json(model)
    assert set(full) == {*always.split(), *where_there.split()}
    assert full.get("region", "nyc3") == "nyc3"
    empty = {
        field.name: () if isinstance(value, tuple) else "" if isinstance(value, str) else None
        for field in attrs.fields(type(model))
        if field.name in where_there.split() or isinstance(getattr(model, field.name), tuple)
        for value in [getattr(model, field.name)]
    }
    assert set(lean_json(attrs.evolve(model, **empty))) == set(always.split())


def test_each_table_begins_with_the_id_and_names_its_columns_once() -> None:
    for columns in (VOLUMES, SNAPSHOTS, ACTIONS, REGIONS):
        names = [each.name for each in columns]
        assert names[0] in ("id", "slug")
        assert len({name.lower() for name in names}) == len(names)
        # What identifies a row is always there.
        assert columns[0].priority == 0


# Sizes and times.


@pytest.mark.parametrize(
    ("text", "gigabytes"),
    [("100", 100), ("100GB", 100), ("100GiB", 100), ("100gib", 100), ("1TiB", 1024), ("2TB", 2048)],
)
def test_sizes(text: str, gigabytes: int) -> None:
    assert gigabytes_of(text, "--size") == gigabytes


@pytest.mark.parametrize("text", ["10.5", "1.0", "1e3", "-5", "", "ten", "100MB", "1 000", "٣"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="--size takes a whole number of GiB, such as 100"):
        gigabytes_of(text, "--size")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("30s", 30), ("0.5", 0.5), ("5m", 300), ("1h", 3600)]
)
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text, "--timeout") == seconds


@pytest.mark.parametrize("text", ["0", "0s", "-1", "", "soon", "5d", "inf", "nan", "9" * 400])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="--timeout takes a time above 0, such as 30s, 5m or 1h"):
        seconds_of(text, "--timeout")
