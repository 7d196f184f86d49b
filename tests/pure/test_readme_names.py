"""The documentation and `__all__` name the same things."""

from __future__ import annotations

import builtins
import re
from pathlib import Path

import do_blockstore_async
from do_blockstore_async import bulk

README = Path(__file__).parents[2] / "README.md"


def test_every_public_name_is_in_the_readme() -> None:
    text = README.read_text()
    missing = [name for name in do_blockstore_async.__all__ if not re.search(rf"\b{name}\b", text)]
    assert not missing, f"README.md does not mention {', '.join(missing)}"


def test_the_readme_imports_only_what_is_public() -> None:
    for names in re.findall(
        r"from do_blockstore_async import \(?([\w\s,]+?)\)?$", README.read_text(), re.MULTILINE
    ):
        for name in re.split(r"[\s,]+", names.strip()):
            assert not name or name in do_blockstore_async.__all__, name


def test_errors_named_in_the_readme_exist() -> None:
    for name in set(re.findall(r"\b[A-Z]\w+Error\b", README.read_text())):
        known = {*do_blockstore_async.__all__, *bulk.__all__}
        assert name in known or hasattr(builtins, name), name
