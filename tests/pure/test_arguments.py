"""What is refused before anything is sent, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from do_blockstore_async import ConfigError, InvalidArgumentError
from do_blockstore_async.wire import arguments


@pytest.mark.parametrize(
    "path",
    [
        "", "v2/account", "//evil.example/v2", "https://evil.example/v2", "/v2/../droplets",
        "/v2/volumes/./x", "/v2/%2e%2e/droplets", "/v2/volumes/..%2fdroplets",
        "/v2/volumes/%2E%2E%2Fx",
        "/v2/volumes/..%5cdroplets", "/v2/x%00", "/v2/x%0d%0aHost:%20evil", "/v2/50%", "/v2/%zz",
        "/v2/x?page=2", "/v2/x#y", "/v2/a b", "/v2/ä", "\\v2", None, 7,
    ],
)  # fmt: skip
def test_paths_that_are_refused(path: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        arguments.check_path(path)


@pytest.mark.parametrize("path", ["/v2/account", "/v2/tags/a%3Ab/resources", "/v2/x%20y", "/"])
def test_paths_that_are_not(path: str) -> None:
    assert arguments.check_path(path) == path


@pytest.mark.parametrize("value", ["", "..", "../x", "a/b", "g", "%2e", "a" * 65, "é", None, 7])
def test_ids_that_are_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        arguments.check_id(value, "volume id")


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a_b", "a.b", "a" * 65, "ä", None])
def test_volume_names_that_are_refused(name: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        arguments.check_volume_name(name)


@pytest.mark.parametrize("size", [0, -1, 16_385, 1.5, "10", True, None])
def test_sizes_that_are_refused(size: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        arguments.check_size(size)


@pytest.mark.parametrize(
    ("kind", "label"),
    [("ntfs", None), (None, "x"), ("ext4", "x" * 17), ("xfs", "x" * 13), ("ext4", "")],
)
def test_filesystems_that_are_refused(kind: Any, label: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        arguments.check_filesystem(kind, label)


def test_filesystems_that_are_not() -> None:
    arguments.check_filesystem(None, None)
    arguments.check_filesystem("ext4", "x" * 16)
    arguments.check_filesystem("xfs", "x" * 12)


@pytest.mark.parametrize("tags", ["prod", ["a b"], [""], ["x" * 256], [7]])
def test_tags_that_are_refused(tags: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        arguments.check_tags(tags)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_timeouts_that_are_refused(timeout: float) -> None:
    with pytest.raises(InvalidArgumentError):
        arguments.check_timeout(timeout)


@pytest.mark.parametrize("token", ["", " ", "a b", "a\n", "dor_v1_abc", "é", None])
def test_tokens_that_are_refused(token: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        arguments.check_token(token)
    assert not token or str(token) not in str(caught.value) or token == " "
