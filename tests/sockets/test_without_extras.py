"""What users are told where an extra is not installed: a sentence, and the command that helps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection

import pytest

from tests.package import without_extras


@pytest.mark.parametrize("present", [(), ("cli",)], ids=["core", "cli"])
def test_each_thing_that_needs_an_extra_names_it_and_the_command(present: Collection[str]) -> None:
    absent = [extra for extra in without_extras.HIDDEN if extra not in present]
    done = subprocess.run(  # noqa: S603 -- a program of the tests
        [sys.executable, "-W", "error", without_extras.__file__, "--hide", *absent],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not done.returncode, done.stderr
    assert not without_extras.judge(done.stdout, present)
