"""Volumes to be created, read from files."""

from __future__ import annotations

from typing import Any

import pytest

from do_blockstore_async.bulk.errors import PlanError
from do_blockstore_async.bulk.model import specs
from do_blockstore_async.bulk.model.specs import VolumeSpec, parse_specs, read_specs
from do_blockstore_async.errors import InvalidArgumentError

ONE = VolumeSpec(name="a", region="nyc3", size_gigabytes=10, tags=("x", "y"))
TWO = VolumeSpec(name="a", region="ams3", snapshot_id="ab-12", filesystem_type="ext4")


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (
            ".json",
            '[{"name":"a","region":"nyc3","size_gigabytes":10,"tags":["x","y"]},'
            '{"name":"a","region":"ams3","snapshot_id":"ab-12","filesystem_type":"ext4"}]',
        ),
        (
            ".jsonl",
            '{"name":"a","region":"nyc3","size_gigabytes":10,"tags":["x","y"]}\n\n'
            '{"name":"a","region":"ams3","snapshot_id":"ab-12","filesystem_type":"ext4"}\n',
        ),
        (
            ".csv",
            "name,region,size_gigabytes,tags,snapshot_id,filesystem_type\n"
            "a,nyc3,10,x; y,,\na,ams3,,,ab-12,ext4\n",
        ),
    ],
)
def test_every_form_of_file_is_read(suffix: str, text: str) -> None:
    assert parse_specs(text, suffix) == [ONE, TWO]


@pytest.mark.parametrize(
    ("suffix", "text", "words"),
    [
        (".json", "[", "cannot be read"),
        (".json", "{}", "a list"),
        (".json", "[]", "nothing to create"),
        (".json", "[1]", "volume 1: not an object"),
        (".json", '[{"name":"a"}]', "volume 1: region must be given"),
        (".json", '[{"name":"a","region":"nyc3"}]', "give size_gigabytes or snapshot_id"),
        (".json", '[{"name":"a","region":"nyc3","size":1}]', "unknown field size"),
        (".json", '[{"name":"A b","region":"nyc3","size_gigabytes":1}]', "lower-case"),
        (".json", '[{"name":"%s","region":"nyc3","size_gigabytes":1}]' % ("a" * 65), "64"),
        (".json", '[{"name":"a","region":"nyc3","size_gigabytes":0}]', "size_gigabytes"),
        (".json", '[{"name":"a","region":"nyc3","size_gigabytes":"1"}]', "size_gigabytes"),
        (".json", '[{"name":"a","region":"nyc3","size_gigabytes":1,"tags":"x"}]', "tags"),
        (
            ".json",
            '[{"name":"a","region":"nyc3","size_gigabytes":1,"description":3}]',
            "must be a string",
        ),
        (".jsonl", "x", "line 1: cannot be read"),
        (".csv", "", "nothing to create"),
        (".csv", "name,region\na,nyc3,10\n", "more cells"),
        (".csv", "name,region,name\na,nyc3,b\n", "header names name more than once"),
        (".csv", "name,region,size_gigabytes\na,nyc3,ten\n", "size_gigabytes"),
        (".yaml", "", "files end in"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(suffix: str, text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse_specs(text, suffix)


def test_all_that_is_wrong_is_said_at_once_with_the_lines() -> None:
    text = (
        "name,region,size_gigabytes\n"
        'a,nyc3,"ten"\n'
        "b,nyc3,10\n"
        "B,nyc3,10\n"
        "b,nyc3,10,extra\n"
        "b,nyc3,20\n"
    )
    with pytest.raises(PlanError) as caught:
        parse_specs(text, ".csv")
    head, *lines = str(caught.value).split("\n")
    assert head == "4 volumes cannot be created:"
    assert [line.split(":")[0].strip() for line in lines] == [
        "line 2",
        "line 4",
        "line 5",
        "line 6",
    ]
    assert "more cells" in lines[2]
    assert "the name of line 3 too" in lines[3]


def test_an_object_on_one_line_may_hold_any_character() -> None:
    line = '{"name": "a", "region": "nyc3", "size_gigabytes": 1, "description": "b\u2028c"}'
    (spec,) = parse_specs(f"{line}\r\n\r\n", ".jsonl")
    assert spec.description == "b\u2028c"


def test_a_thousand_mistakes_are_counted_and_the_first_twenty_shown() -> None:
    with pytest.raises(PlanError) as caught:
        parse_specs("{}\n" * 1000, ".jsonl")
    lines = str(caught.value).split("\n")
    assert lines[0] == "1,000 volumes cannot be created:"
    assert lines[-1] == "  ... and 980 more"
    assert len(lines) == 22


def test_one_name_twice_in_a_region_is_refused() -> None:
    with pytest.raises(PlanError, match="volume 3: 'a' in nyc3 is the name of volume 1 too"):
        read_specs([ONE, TWO, ONE])


def test_too_many_are_refused_before_they_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "MAX_SPECS", 1000)

    def endless() -> Any:
        number = 0
        while True:
            number += 1
            yield VolumeSpec(name=f"a{number}", region="nyc3", size_gigabytes=1)

    with pytest.raises(PlanError, match="make several plans"):
        read_specs(endless())


def test_one_text_is_no_list_of_tags() -> None:
    with pytest.raises(InvalidArgumentError, match="list of strings"):
        VolumeSpec(name="a", region="nyc3", size_gigabytes=1, tags="prod")


@pytest.mark.parametrize("number", ["1e999", "9" * 400, "9" * 5000])
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_huge_number_is_a_file_that_cannot_be_used(number: str, suffix: str) -> None:
    row = f'{{"name": "a", "region": "nyc3", "size_gigabytes": {number}}}'
    with pytest.raises(PlanError):
        parse_specs(f"[{row}]" if suffix == ".json" else row, suffix)
