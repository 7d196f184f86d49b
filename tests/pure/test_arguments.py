"""Checks of arguments: what is refused before anything is sent, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from do_blockstore_async import InvalidArgumentError
from do_blockstore_async._http import checks
from do_blockstore_async._schema import validation as arguments

GOOD: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (arguments.check_id, ("506f78a4-e098-11e5-ad9f-000f53306ae1", "id")),
    (arguments.check_id, ("ABCDEF0", "id")),
    (arguments.check_size, (1,)),
    (arguments.check_size, (16_384,)),
    (arguments.check_per_page, (200,)),
    (arguments.check_volume_name, ("a",)),
    (arguments.check_volume_name, ("a-0" + "x" * 61,)),
    (arguments.check_region, ("nyc3",)),
    (arguments.check_text, ("old_one.x Ä", "name")),
    (arguments.check_snapshot_name, ("Nightly 2026-11-23 ä",)),
    (arguments.check_snapshot_name, ("x" * 255,)),
    (checks.check_timeout, (0.001,)),
    (checks.check_timeout, (None,)),
    (checks.check_timeout, (5,)),
    (checks.check_path, ("/v2/account",)),
    (checks.check_path, ("/v2/tags/a%3Ab/resources",)),
    (checks.check_path, ("/v2/a..b/...",)),
]


@pytest.mark.parametrize(("check", "values"), GOOD)
def test_let_through_as_it_is(check: Callable[..., Any], values: tuple[Any, ...]) -> None:
    assert check(*values) == values[0]


@settings(max_examples=300)
@given(st.text(max_size=70))
def test_only_hexadecimal_digits_and_hyphens_are_an_id(text: str) -> None:
    allowed = bool(text) and len(text) <= 64 and set(text) <= set("0123456789abcdefABCDEF-")
    if allowed:
        assert arguments.check_id(text, "id") == text
    else:
        with pytest.raises(InvalidArgumentError):
            arguments.check_id(text, "id")


@settings(max_examples=300)
@given(st.text(alphabet="/.%2eE5cC\\ab?#:@ \r\n", max_size=14))
def test_no_path_leaves_its_place(text: str) -> None:
    """Whatever is let through is one absolute path without dot segments, escaped or not."""
    try:
        path = checks.check_path(f"/{text}")
    except InvalidArgumentError:
        return
    plain = path.lower().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/")
    assert path.startswith("/")
    assert not path.startswith("//")
    assert not {".", ".."} & set(plain.split("/"))
    assert not set("?#\\ \r\n") & set(path)


@settings(max_examples=200)
@given(st.text(max_size=30))
def test_tags(text: str) -> None:
    try:
        (tag,) = arguments.check_tags([text])
    except InvalidArgumentError:
        return
    assert tag.replace(":", "").replace("-", "").replace("_", "").replace(".", "").isalnum() or (
        set(tag) <= set(":-_.")
    )


def test_tags_are_taken_from_any_iterable() -> None:
    assert arguments.check_tags(f"t{n}" for n in range(3)) == ("t0", "t1", "t2")
    assert arguments.check_tags(()) == ()
    with pytest.raises(InvalidArgumentError, match="list of strings"):
        arguments.check_tags("tag")
    with pytest.raises(InvalidArgumentError):
        arguments.check_tags([5])  # type: ignore[list-item]


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, None, 10**30])
def test_counts_are_positive_whole_numbers(value: Any) -> None:
    for check in (arguments.check_size, arguments.check_per_page):
        with pytest.raises(InvalidArgumentError):
            check(value)
    if value != 10**30:
        for check in (arguments.check_droplet_id, arguments.check_action_id):
            with pytest.raises(InvalidArgumentError):
                check(value)


@pytest.mark.parametrize(
    ("kind", "label", "fine"),
    [
        (None, None, True),
        ("ext4", None, True),
        ("xfs", None, True),
        ("ext4", "x" * 16, True),
        ("ext4", "x" * 17, False),
        ("xfs", "x" * 12, True),
        ("xfs", "x" * 13, False),
        (None, "x", False),
        ("btrfs", None, False),
        ("", None, False),
        ("ext4", "", False),
        ("ext4", "a\nb", False),
    ],
)
def test_filesystems(kind: str | None, label: str | None, fine: bool) -> None:
    if fine:
        arguments.check_filesystem(kind, label)
    else:
        with pytest.raises(InvalidArgumentError):
            arguments.check_filesystem(kind, label)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), float("-inf")])
def test_timeouts(value: float) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout"):
        checks.check_timeout(value)
