"""What keeps large plans and listings cheap: parts, ids in parts, rows the collector passes by."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import cattrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async import Config, _export
from do_blockstore_async._export import json_text
from do_blockstore_async._http.request import encode_json
from do_blockstore_async._log.store import Fact
from do_blockstore_async.bulk.execution import journal_state
from do_blockstore_async.bulk.execution.journal_state import (
    FORMAT,
    JournalState,
    Planned,
    encode_fact,
    planned,
)
from do_blockstore_async.bulk.files import replace_file
from do_blockstore_async.bulk.model import plan as plan_module
from do_blockstore_async.bulk.model import rows as rows_module
from do_blockstore_async.bulk.model.listed import (
    Gatherer,
    SnapshotsByVolume,
    snapshot_of,
    volume_of,
)
from do_blockstore_async.bulk.model.plan import Plan, SkippedStep, Step
from do_blockstore_async.bulk.model.report import ReportRow
from do_blockstore_async.bulk.model.rows import CompactRows, LongRows, kept
from do_blockstore_async.bulk.model.selection import Selection
from do_blockstore_async.models import VolumeSnapshot
from do_blockstore_async.resources._ids import IdMap, IdSet, PairMap
from tests.support.bulk_models import NOW, policy_of, snapshot, volume

# What a part could be cut at, if it stood inside of a text.
TEXTS = st.sampled_from(['},{"action":', '},{"code":', '],"skips":[', "]", '"', "\\", "é\u2028"])


def step(number: int, text: str = "", **changes: Any) -> Step:
    values: dict[str, Any] = {"key": f"k{number}", "action": "delete_volume", "name": text}
    return Step(**{**values, "region": "nyc3", "volume_id": "aa", "target_id": "aa", **changes})


def plan_of(steps: list[Step], skips: list[SkippedStep] | None = None) -> Plan:
    return Plan(
        kind="deletions",
        job="delete",
        made_at=NOW,
        selection=Selection(name="a*"),
        steps=tuple(steps),
        skips=tuple(skips or ()),
        account_sample_ids=("a", "b"),
    )


def whole(plan: Plan) -> bytes:
    """A plan as one call writes it: the format, from which the parts must not differ."""
    saved = {
        field.name: getattr(plan, field.name)
        for field in attrs.fields(Plan)
        if field.name != "_sighting"
    }
    document = {"format": 2, "digest": plan.digest, "plan": saved}
    return msgspec.json.encode(document)


@given(st.lists(TEXTS, max_size=9), st.lists(TEXTS, max_size=5))
def test_a_plan_in_parts_is_the_plan_in_one(names: list[str], reasons: list[str]) -> None:
    skips = [SkippedStep(name=t, region="r", code="c", reason=t) for t in reasons]
    made = plan_of([step(n, text) for n, text in enumerate(names)], skips)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "_AT_ONCE", 2)
        patch.setattr(plan_module, "_PART_BYTES", 1)
        text = made.to_json().encode()
        assert text == whole(made)
        assert Plan.read_as_written(text) == made
        assert Plan.read_as_written(bytearray(text)) == made


def test_other_texts_are_read_in_one_or_refused_as_before() -> None:
    made = plan_of([step(1), step(2)])
    text = made.to_json()
    assert Plan.read_as_written(text.replace('"k1"', '"k9"').encode()) is None
    assert Plan.read_as_written(text.replace(",", ", ").encode()) is None
    assert Plan.from_json(text.replace('"region":', '"region": ')) == made


def test_no_call_writes_or_reads_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """While such a call runs, the event loop stands still, whatever thread it runs in."""
    made = plan_of([step(n) for n in range(5_000)])
    sizes: list[int] = []
    encode = encode_json

    def noting(value: Any) -> bytes:
        sizes.append(len(value) if isinstance(value, tuple) else 1)
        return encode(value)

    monkeypatch.setattr(plan_module, "encode_json", noting)
    text = made.to_json().encode()
    assert max(sizes) <= 500
    decoder, parts = msgspec.json.Decoder, list[int]()

    class Noting:
        def __init__(self, kind: Any) -> None:
            self._decode = decoder(kind).decode

        def decode(self, data: bytes) -> Any:
            parts.append(len(data))
            return self._decode(data)

    monkeypatch.setattr(msgspec.json, "Decoder", Noting)
    assert Plan.read_as_written(text) == made
    assert len(parts) > 5
    assert max(parts) <= 101_000


def test_a_long_plan_is_written_to_a_journal_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan_of([step(1, '"\\é\u2028'), step(2)])
    (fact,) = planned(made.digest, made.to_json_pieces())
    raw = msgspec.Raw(made.to_json().encode())
    assert fact == encode_fact(Planned("", FORMAT, made.digest, raw))
    monkeypatch.setattr(journal_state, "_PART_BYTES", 50)
    for facts in ([fact], planned(made.digest, made.to_json_pieces())):
        state = JournalState()
        for position, data in enumerate(facts, 1):
            state.apply(Fact(position, 0.0, data))
        assert (state.format, state.digest) == (FORMAT, made.digest)
        assert state.plan is not None
        assert Plan.from_json(state.plan) == made
    assert len(facts) > 5
    with pytest.raises(ValueError, match="not a plan"):
        JournalState().apply(Fact(1, 0.0, facts[1]))


@given(st.lists(st.text(max_size=3) | st.integers()))
def test_ids_in_parts_are_a_set(ids: list[str | int]) -> None:
    found, expected = IdSet(), set[str | int]()
    for each in ids:
        assert found.add(each) == (each not in expected)
        expected.add(each)
        assert each in found
    assert len(found) == len(expected)
    assert found == IdSet(reversed(ids))
    assert found != IdSet([*ids, "another"])
    assert "another" not in found


@given(st.dictionaries(st.tuples(st.text(max_size=3), st.text(max_size=3)), st.integers()))
def test_maps_in_parts_are_maps(items: dict[tuple[str, str], int]) -> None:
    pairs = PairMap(items.items())
    assert dict(pairs) == items
    assert len(pairs) == len(items)
    assert pairs.get(("none", "such")) is None
    by_id = IdMap((f"{key}", value) for key, value in items.items())
    assert dict(by_id) == {f"{key}": value for key, value in items.items()}
    assert "none" not in by_id


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_json_in_parts_is_json_in_one(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_export, "_AT_ONCE", 2)
        in_parts = json_text(value)
    assert in_parts == _export._json_at_once(value)


def test_steps_and_rows_go_where_attrs_values_go() -> None:
    one = step(1, size_gigabytes=10)
    assert repr(one.size_gigabytes) == "10.0"
    assert attrs.evolve(one, name="x").name == "x"  # type: ignore[misc] # told late
    assert attrs.asdict(one)["key"] == "k1"  # type: ignore[arg-type]
    # As they were before: programs write columns and unpack tuples in this order.
    assert list(attrs.asdict(one))[:4] == ["key", "action", "name", "region"]  # type: ignore[arg-type]
    assert repr(one).startswith("Step(key='k1', action='delete_volume', name='', region='nyc3', ")
    assert sorted(attrs.asdict(one)) == sorted(Step.__struct_fields__)  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one  # noqa: S301 -- our own
    for kind in (Step, SkippedStep, ReportRow):
        assert attrs.has(kind)
    with pytest.raises(AttributeError):
        one.name = "other"  # type: ignore[misc]
    assert hash(one) == hash(step(1, size_gigabytes=10.0))


def test_the_collector_passes_rows_and_steps_by() -> None:
    gatherer = Gatherer()
    one, two = volume(1), volume(2)
    taken = [snapshot(one, n, days=n) for n in range(1, 4)]
    rows = [gatherer.snapshot(each) for each in taken]
    assert [snapshot_of(row) for row in rows] == taken
    assert volume_of(gatherer.volume(one)) == one
    assert rows[0].resource_id is rows[1].resource_id
    assert not gc.is_tracked(rows[0])
    assert not gc.is_tracked(gatherer.volume(two))
    assert not gc.is_tracked(step(1))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=40))
def test_snapshots_are_grouped_by_volume_from_the_oldest(made: list[tuple[int, int]]) -> None:
    of = [volume(n) for n in range(6)]
    taken = [snapshot(of[which], n, days=days) for n, (which, days) in enumerate(made)]
    stray = attrs.evolve(snapshot(of[0], 99), resource_id="")
    grouped = SnapshotsByVolume([*taken, stray])
    expected: dict[str, list[VolumeSnapshot]] = {}
    for each in sorted(taken, key=lambda each: (each.created_at, each.id)):
        expected.setdefault(each.resource_id, []).append(each)
    assert dict(grouped) == expected
    assert list(grouped) == list(dict.fromkeys(each.resource_id for each in taken))
    assert len(grouped) == len(expected)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("spgd"), st.integers(0, 3))))
def test_a_mapping_in_parts_is_a_mapping(done: list[tuple[str, str, int]]) -> None:
    found, expected = IdMap[int](), dict[str, int]()
    for key, what, value in done:
        if what == "s":
            found[key] = expected[key] = value
        elif what == "p":
            assert found.pop(key, None) == expected.pop(key, None)
        elif what == "g":
            assert found.get(key, -1) == expected.get(key, -1)
            assert found.get(key) == expected.get(key)
        elif key in expected:
            del found[key], expected[key]
        else:
            with pytest.raises(KeyError):
                found.pop(key)
    copy = found.copy()
    found.clear()
    assert not found
    assert dict(copy) == dict(copy.items()) == expected
    assert sorted(copy.values()) == sorted(expected.values())
    assert (len(copy), bool(copy)) == (len(expected), bool(expected))


def test_the_collector_passes_a_long_plan_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MANY", 10)
    skips = [SkippedStep(code="exists", name=f"v{n}", reason="", region="r") for n in range(1_000)]
    made = plan_of([step(n) for n in range(1_000)], skips)
    read = Plan.read_as_written(made.to_json().encode())
    assert read is not None
    assert (read, hash(read.steps)) == (made, hash(made.steps))
    gc.collect(0)
    for rows in (read.steps, read.skips):
        assert isinstance(rows, LongRows)
        assert not any(map(gc.is_tracked, rows._pages))
    assert read.to_json() == made.to_json()
    assert Plan.from_json(json.dumps(json.loads(made.to_json()))) == made


@given(st.integers(0, 300), st.data())
def test_rows_are_like_a_tuple(count: int, data: st.DataObject) -> None:
    plain = tuple(range(count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "_IN_PAGE", 7)
        patch.setattr(rows_module, "MANY", 0)
        compact = CompactRows(plain)
        rows = kept(plain) if data.draw(st.booleans()) else kept(compact)
        assert isinstance(rows, LongRows) or not count
        near = st.integers(-count - 9, count + 9)
        part = data.draw(st.builds(slice, near | st.none(), near | st.none(), st.none()))
        stepped = data.draw(st.builds(slice, near, near, st.integers(-3, 3).filter(bool)))
        assert (rows[part], rows[stepped]) == (plain[part], plain[stepped])
        number = data.draw(near)
        if -count <= number < count:
            assert rows[number] == compact[number] == plain[number]
        else:
            with pytest.raises(IndexError):
                rows[number]
        assert (number in rows, rows.count(number)) == (number in plain, plain.count(number))
        assert rows == plain == rows == kept(rows) == compact
        assert [*rows] == [*plain] == [*reversed(rows)][::-1]
        assert (len(rows), repr(rows), hash(rows)) == (count, repr(plain), hash(plain))
        assert rows != (*plain, 1)
        assert (rows + (1,), (1,) + rows) == ((*plain, 1), (1, *plain))  # noqa: RUF005 -- `+`
        assert copy.copy(rows) == copy.deepcopy(rows) == LongRows(rows) == plain
        compact.append(1)
        assert rows == plain


def test_rows_are_those_of_the_pages() -> None:
    rows: CompactRows[int] = CompactRows()
    rows.extend([0, 1])
    rows.extend(())
    rows.append(2)
    assert list(rows) == list(rows) == [0, 1, 2]
    rows.extend(range(3, 3_000))
    assert list(rows) == list(range(3_000)) == [rows.at(n) for n in range(3_000)]
    assert len(rows) == 3_000
    assert 3 in rows
    assert 2_999 in rows
    assert 3_000 not in rows


def test_a_job_recognizes_many_snapshots_as_it_does_one() -> None:
    one = volume(1)
    policy = policy_of()
    tags = [("bulk-job:nightly",), ("BULK-JOB:Nightly", "x"), ("bulk-job:other",), (), ("x",)]
    taken = [attrs.evolve(snapshot(one, n), tags=tags[n % 5]) for n in range(10)]
    owns = policy.recognizer()
    assert [owns(each, one) for each in taken] == [policy.owns(each, one) for each in taken]
    assert policy.count_own(taken, [one]) == sum(policy.owns(each, one) for each in taken) == 4


def test_annotations_of_a_config_are_resolved_without_the_events() -> None:
    assert typing.get_type_hints(Config)["burst"] is int
    assert cattrs.structure({"burst": 3}, Config).burst == 3


def test_files_saved_at_once_are_each_whole_and_leave_nothing_behind(tmp_path: Path) -> None:
    where = tmp_path / "plan.json"

    def meanwhile() -> Iterator[bytes]:
        yield b"one "
        replace_file(where, [b"another"])
        yield b"plan"

    replace_file(where, meanwhile())
    assert where.read_bytes() == b"one plan"

    def ended() -> Iterator[bytes]:
        yield b"a part"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(where, ended())
    assert where.read_bytes() == b"one plan"
    assert list(tmp_path.iterdir()) == [where]
