"""What `do_blockstore_async.bulk` offers: named, described, and imported only when used."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from do_blockstore_async import BlockStoreError, bulk
from do_blockstore_async.bulk.execution.run import RunOptions

SHOWN = ("Bulk", "Guards", "Inventory", "MapRun", "Plan", "Prices", "Report", "Run", "Selection")


def test_every_name_is_there_and_sorted() -> None:
    assert list(bulk.__all__) == sorted(bulk.__all__)
    for name in bulk.__all__:
        assert getattr(bulk, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bulk.nothing


@pytest.mark.parametrize("name", SHOWN)
def test_every_public_member_is_described(name: str) -> None:
    cls = getattr(bulk, name)
    assert inspect.getdoc(cls)
    for member, value in inspect.getmembers(cls):
        if not member.startswith("_") and (callable(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{member}"


@pytest.mark.parametrize("name", ["BulkError", "GuardError", "JournalError", "PlanError"])
def test_errors_are_of_the_one_tree(name: str) -> None:
    assert issubclass(getattr(bulk, name), BlockStoreError)


def test_nothing_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, do_blockstore_async.bulk\n"
        "print([m for m in sys.modules if m.startswith('do_blockstore_async.bulk.')])"
    )
    done = subprocess.run(  # noqa: S603 -- this very interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("method", "missing"), [("run", set()), ("resume", {"max_plan_age_s"})])
def test_a_run_spells_out_all_its_options_with_their_defaults(
    method: str, missing: set[str]
) -> None:
    called = inspect.signature(getattr(bulk.Bulk, method)).parameters
    options = inspect.signature(RunOptions).parameters
    spelled = {p.name: p.default for p in called.values() if p.kind is p.KEYWORD_ONLY}
    if method == "resume":
        missing = missing | {"journal"}  # it comes first, and is required
    assert spelled == {name: p.default for name, p in options.items() if name not in missing}
    documented = inspect.getdoc(getattr(bulk.Bulk, method)) or ""
    assert [name for name in called if name != "self" and f"{name}:" not in documented] == []
