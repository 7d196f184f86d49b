"""Volumes to be created, read from files."""

from __future__ import annotations

from typing import Any

import pytest

from do_blockstore_async.bulk.errors import PlanError
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
        (".jsonl", "{}\nx", "cannot be read"),
        (".csv", "", "nothing to create"),
        (".csv", "name,region\na,nyc3,10\n", "more cells"),
        (".csv", "name,region,size_gigabytes\na,nyc3,ten\n", "size_gigabytes"),
        (".yaml", "", "files end in"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(suffix: str, text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse_specs(text, suffix)


def test_one_name_twice_in_a_region_is_refused() -> None:
    with pytest.raises(PlanError, match="volumes 1 and 3 are both named 'a' in nyc3"):
        read_specs([ONE, TWO, ONE])


def test_too_many_are_refused_before_they_are_all_read() -> None:
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
