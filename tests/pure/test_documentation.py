"""The documentation speaks of what is there: its tree, its links, the files it names."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import do_blockstore_async
from tests.support.documentation import ROOT, pages

PACKAGE = Path(do_blockstore_async.__file__).parent
DOCS = ROOT / "docs"
# What a page calls by its path inside the package, or from the root.
NAMED_FILE = re.compile(r"`([\w./-]+/[\w.-]*\.\w+|[\w./-]+/)`")
INTEGRATIONS = (
    ".integrations.fastapi",
    ".integrations.aiohttp",
    ".integrations.asgi",
    ".integrations.logging",
    ".integrations.prometheus",
    ".integrations.opentelemetry",
    ".integrations.procrastinate",
    ".jobs",
)
MADE_BY_TOOLS = {"docs/_build/html", "dist/"}


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def shown_tree() -> set[str]:
    """The modules in the tree of docs/architecture.md."""
    text = (DOCS / "architecture.md").read_text()
    found = re.search(r"^```text\n(do_blockstore_async/.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found
    folders: list[str] = []
    shown = set()
    for line in found[1].splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        words = line.split()
        if words[0].endswith("/"):
            folders[depth:] = [words[0]]
        else:
            shown |= {"".join([*folders[:depth], word]) for word in words}
    return shown


def test_the_tree_that_is_shown_is_the_tree_that_exists() -> None:
    existing = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    shown = shown_tree()
    assert not existing - shown, "add to the tree in docs/architecture.md"
    assert not shown - existing, "remove from the tree in docs/architecture.md"


# By docs/generate.py, when the site is built.
MADE_PAGES = {"docs/reference/cli.md", "docs/reference/scopes.md"}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        is_made = linked.is_relative_to(ROOT) and linked.relative_to(ROOT).as_posix() in MADE_PAGES
        assert linked.exists() or is_made, target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), target


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_exist(page: Path) -> None:
    for name in NAMED_FILE.findall(prose(page)):
        if name.startswith(("/", "~", "$")) or name in MADE_BY_TOOLS:
            continue
        places = (ROOT / name, PACKAGE / name, page.parent / name, *PACKAGE.glob(f"**/{name}"))
        assert any(place.exists() for place in places), name


def test_every_decision_is_in_the_index() -> None:
    index = (DOCS / "decisions" / "index.md").read_text()
    written = {page.name for page in (DOCS / "decisions").glob("*.md")} - {"index.md"}
    assert written == set(re.findall(r"\]\(([\w-]+\.md)\)", index))


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {"docs/index.md"}
    for page in DOCS.glob("**/*.md"):
        for tree in re.findall(r"^```{toctree}\n(.*?)^```", page.read_text(), re.M | re.S):
            for name in re.findall(r"^[\w./-]+$", tree, re.M):
                listed.add((page.parent / f"{name}.md").resolve().relative_to(ROOT).as_posix())
    existing = {page.relative_to(ROOT).as_posix() for page in DOCS.glob("**/*.md")}
    assert existing | MADE_PAGES == listed


def test_python_blocks_have_a_language_that_is_known() -> None:
    known = {"python", "text", "console", "sh", "mermaid", "toml", "yaml", "ini", "json"}
    # They are run by tests/clients/test_recipes.py, or say on their page why not.
    known |= {"go", "js", "ruby", "hcl", "{toctree}", "{eval-rst}", "{literalinclude}"}
    for page in pages():
        fences = re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)
        assert {fence.split(" ")[0] for fence in fences[::2]} <= known, page


def test_the_drawings_are_as_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    pictures = import_module("pictures")
    monkeypatch.setattr(pictures, "PICTURES", tmp_path)
    drawn = ("slot", "architecture", "call")
    pictures.main(*drawn)
    for name in drawn:
        made = (tmp_path / f"{name}.svg").read_text()
        assert made == (DOCS / "pictures" / f"{name}.svg").read_text(), "python docs/pictures.py"


def test_pictures_ask_nobody_for_anything() -> None:
    for picture in (DOCS / "pictures").glob("*.svg"):
        fetched = re.findall(r"(?:url\(|href=)[\"']?(?!#)[^)]*", picture.read_text())
        assert not fetched, picture


def test_commands_for_nox_are_sessions_that_exist() -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.M))
    for page in pages():
        assert set(re.findall(r"nox -s (\w+)", page.read_text())) <= sessions, page


def test_every_public_name_has_a_page_and_every_page_a_public_name() -> None:
    written = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    described = set(
        re.findall(r"^\.\. auto(?!module)\w+:: (do_blockstore_async[\w.]*)$", written, re.M)
    )
    public = set()
    for module in ("", ".bulk", ".simulator", ".events", *INTEGRATIONS):
        name = f"do_blockstore_async{module}"
        public |= {f"{name}.{entry}" for entry in import_module(name).__all__}
    managers = {name for name in described if name.startswith("do_blockstore_async.resources.")}
    # One page for it, under the package of its own.
    elsewhere = {"do_blockstore_async.Simulator"}
    assert not public - described - elsewhere, "add to docs/reference/"
    assert not described - public - managers, "remove from docs/reference/"


def test_every_error_has_advice() -> None:
    page = (DOCS / "reference" / "errors.md").read_text()
    for name in do_blockstore_async.__all__:
        assert not name.endswith("Error") or f"| `{name}` |" in page, name
