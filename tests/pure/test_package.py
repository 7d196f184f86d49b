"""What the package says about itself: dependencies, addresses, Pythons, fragments, the release."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from tests.support.documentation import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
META = PROJECT["project"]


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return found[0].lower()


def test_the_page_of_dependencies_is_that_of_the_project() -> None:
    page = (ROOT / "docs" / "project" / "dependencies.md").read_text()
    rows = re.findall(r"^\| `(\S+)` \| (?:`(\S+)` \| )?(\S.*) \| (\S.*) \|$", page, re.MULTILINE)
    core = [library for library, in_extra, *_ in rows if not in_extra]
    assert core == sorted(name_of(each) for each in META["dependencies"])
    extras = sorted(
        (extra, name_of(each))
        for extra, wanted in META["optional-dependencies"].items()
        if extra != "test"
        for each in wanted
    )
    assert [(extra, library) for extra, library, *_ in rows if library] == extras


def test_everything_that_is_needed_has_a_lowest_version_and_no_highest() -> None:
    extras = [each for wanted in META["optional-dependencies"].values() for each in wanted]
    for requirement in [*META["dependencies"], *extras]:
        bare = requirement.startswith("do-blockstore-async[")
        assert bare or re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?>=[0-9.]+", requirement)


def test_test_brings_every_other_extra() -> None:
    (own,) = [
        each for each in META["optional-dependencies"]["test"] if "[" in each and "do-" in each
    ]
    named = set(own.partition("[")[2].rstrip("]").split(","))
    assert named == set(META["optional-dependencies"]) - {"test"}


def test_an_index_shows_where_everything_is() -> None:
    urls = META["urls"]
    assert [*urls] == ["Documentation", "Source", "Changelog", "Issues"]
    assert all(url.startswith("https://") for url in urls.values())


def test_the_pythons_are_the_same_everywhere() -> None:
    listed = re.findall(r"Python :: (3\.\d+)$", "\n".join(META["classifiers"]), re.MULTILINE)
    noxfile = (ROOT / "noxfile.py").read_text()
    assert f"PYTHONS = {listed}".replace("'", '"') in noxfile
    assert META["requires-python"] == f">={listed[0]}"
    policy = (ROOT / "docs" / "project" / "support.md").read_text()
    assert f"{listed[0]} to {listed[-1]}" in policy


def test_fragments_have_names_that_the_changelog_is_made_from() -> None:
    kinds = "|".join(PROJECT["tool"]["towncrier"]["fragment"])
    folder = ROOT / PROJECT["tool"]["towncrier"]["directory"]
    others = {"README.md", Path(PROJECT["tool"]["towncrier"]["template"]).name}
    for path in folder.iterdir():
        assert path.name in others or re.fullmatch(rf"(\d+|\+[a-z-]+)\.({kinds})\.md", path.name)
    assert "<!-- towncrier release notes start -->" in (ROOT / "CHANGELOG.md").read_text()


def test_a_release_is_uploaded_without_a_token_of_the_index() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    flow = yaml.safe_load(text)
    assert "secrets." not in text
    assert flow["permissions"] == {}
    publish = flow["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"] == "pypi"
    # What is uploaded is what was built and checked, and nothing is installed beside the right.
    assert publish["needs"] == "build"
    assert not [step for step in publish["steps"] if "run" in step]
    assert any(
        "tests.package.check" in step.get("run", "") for step in flow["jobs"]["build"]["steps"]
    )
