"""The documentation site: Sphinx, MyST, furo. `nox -s docs` builds it, warnings are errors."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.ext.intersphinx import resolve_reference_detect_inventory

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import generate  # noqa: E402 -- beside this file

from do_blockstore_async import __version__  # noqa: E402 -- from this tree

generate.main()

project = "do-blockstore-async"
author = "The do-blockstore-async maintainers"
version = release = __version__

copyright = author  # noqa: A001 -- its name in Sphinx

extensions = [
    "myst_parser",
    "names",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "do-blockstore-async"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_copy_source = html_show_sourcelink = False
copybutton_prompt_text = "$ "

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Scopes", "notes_style")]

# The names that are referred to, in files of our own: a build asks nobody. Who refers to another
# one adds its line.
intersphinx_mapping = {
    name: (url, f"inventories/{name}.inv")
    for name, url in {
        "python": "https://docs.python.org/3",
        "aiohttp": "https://docs.aiohttp.org/en/stable",
        "attrs": "https://www.attrs.org/en/stable",
        "fastapi": "https://fastapi.tiangolo.com",
    }.items()
}

nitpicky = True
nitpick_ignore_regex = [
    # Type variables, and what is not API: it is returned or accepted, and never named by users.
    (r"py:.*", r"(.*\.)?T(_co)?"),
    (r"py:.*", r"(.*\.)?(Budget|Clock|Contents|FaultRule|ListingCounts|Status|Timeout)"),
    (r"py:.*", r"TokenSource|Transport|WaitKind|_Observer"),
    # Packages without an inventory.
    (r"py:.*", r"ASGIApp|CollectorRegistry|(rich\.console\.)?Console|TracerProvider"),
]
# As annotations name them, for those who import them for type checkers only.
ELSEWHERE = {
    "Path": "pathlib.Path",
    "asyncio.locks.Event": "asyncio.Event",
    "datetime": "datetime.datetime",
    "fastapi.params.Depends": "fastapi.Depends",
    "timedelta": "datetime.timedelta",
}

_SECTION = re.compile(r"^\w[\w ]*:$")


def _one_by_one(text: str) -> str:
    """Give each of several names that share a description (`first, second: ...`) its own line."""
    text = re.sub(r"(?m)^    ((?:\w+,\s+)+\w+): ((?:.*\n?)(?:     .*\n?)*)", _split_names, text)
    # What stands before a colon in there would be taken for a type.
    return re.sub(r"(?m)^((?:Returns|Yields):\n    [^:\n]*): ", r"\1 – ", text)  # noqa: RUF001


def _split_names(found: re.Match[str]) -> str:
    described = found[2].rstrip("\n")
    return "".join(f"    {name}: {described}\n" for name in re.split(r",\s+", found[1]))


def _rst(text: str) -> list[str]:
    """Turn a docstring (Markdown's code, napoleon's sections) into reStructuredText."""
    out: list[str] = []
    lines = _one_by_one(text).splitlines()
    in_section = in_code = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if line.strip() and not indented:
            in_section, in_code = bool(_SECTION.match(line)), False
        before_blank = number == 0 or not lines[number - 1].strip()
        if indented and not in_section and not in_code and before_blank:
            out += [".. code-block:: python", ""]
            in_code = True
        if in_code:
            out.append(line)
            continue
        if re.match(r"1\. |- ", line) and not before_blank:
            out.append("")
        line = re.sub(r"`+([^`]+)`+", r"``\1``", line)
        out.append(re.sub(r"(?<![\w`*])\*(?=\w)", r"\\*", line))
    return _tables(out)


def _tables(lines: list[str]) -> list[str]:
    """Markdown's tables as list tables."""
    out: list[str] = []
    inside = False
    for line in lines:
        if not line.startswith("|"):
            out += ["", line] if inside else [line]
            inside = False
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if all(set(cell) <= set("-: ") and cell for cell in cells):
            continue
        if not inside:
            out += [".. list-table::", "   :header-rows: 1", ""]
            inside = True
        out += [f"   {'* -' if column == 0 else '  -'} {cell}" for column, cell in enumerate(cells)]
    return out


def _prepare(
    _app: object, what: str, _name: str, _obj: object, _opts: object, lines: list[str]
) -> None:
    if what == "data" and lines and lines[0] == "Represent a PEP 604 union type":
        lines[:] = ["Any of those on this page."]
    lines[:] = _rst("\n".join(lines))
    if what in {"attribute", "property"} and lines:
        # Napoleon takes what stands before a colon for the type.
        lines[0] = lines[0].replace(": ", " – ", 1)  # noqa: RUF001


def _by_another_name(
    _app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: TextElement
) -> Element | None:
    node["reftarget"] = ELSEWHERE.get(node.get("reftarget", ""), node.get("reftarget", ""))
    node["reftype"] = "obj" if node.get("reftype") == "class" else node.get("reftype")
    return resolve_reference_detect_inventory(env, node, shown)


def setup(app: Sphinx) -> None:
    """Read docstrings before napoleon does, and find names of others."""
    app.connect("autodoc-process-docstring", _prepare, priority=100)
    app.connect("missing-reference", _by_another_name, priority=100)
