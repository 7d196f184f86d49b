"""What the README and the pages of docs/ import and name is public."""

from __future__ import annotations

import builtins
import re
from pathlib import Path

import pytest

import do_blockstore_async
from do_blockstore_async import bulk, jobs
from do_blockstore_async.integrations import procrastinate
from tests.support.documentation import ROOT, pages

PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())


@PAGES
def test_a_page_imports_only_what_is_public(page: Path) -> None:
    for names in re.findall(
        r"from do_blockstore_async import \(?([\w\s,]+?)\)?$", page.read_text(), re.MULTILINE
    ):
        for name in re.split(r"[\s,]+", names.strip()):
            assert not name or name in do_blockstore_async.__all__, name


@PAGES
def test_errors_that_a_page_names_exist(page: Path) -> None:
    for name in set(re.findall(r"\b[A-Z]\w+Error\b", page.read_text())):
        modules = (do_blockstore_async, bulk, jobs, procrastinate)
        known = {"HttpResponseError"}.union(*(module.__all__ for module in modules))
        assert name in known or hasattr(builtins, name), name
