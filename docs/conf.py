"""The documentation site: Sphinx, MyST, furo. `nox -s docs` builds it, warnings are errors."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import generate  # noqa: E402 -- beside this file

from do_blockstore_async import __version__  # noqa: E402 -- from this tree

generate.main()

project = "do-blockstore-async"
author = "The do-blockstore-async maintainers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.mermaid"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "do-blockstore-async"
html_static_path: list[str] = []

myst_enable_extensions = ["colon_fence"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Scopes", "notes_style")]

nitpicky = True
nitpick_ignore_regex = [
    # What other packages define, and what is not API, has no page here.
    (r"py:.*", r"(?!do_blockstore_async\.).*"),
    (r"py:.*", r".*\._.*"),
    (r"py:.*", r".*\.T(_co)?"),
    (r"py:.*", r"do_blockstore_async\.(bulk|simulator|resources|client)\..*"),
]

_SECTION = re.compile(r"^\w[\w ]*:$")


def _rst(text: str) -> list[str]:
    """Turn a docstring (Markdown's code, napoleon's sections) into reStructuredText."""
    out: list[str] = []
    lines = text.splitlines()
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
    lines[:] = _rst("\n".join(lines))
    if what in {"attribute", "property"} and lines:
        # Napoleon takes what stands before a colon for the type.
        lines[0] = lines[0].replace(": ", " – ", 1)  # noqa: RUF001


def setup(app: object) -> None:
    """Read docstrings before napoleon does."""
    app.connect("autodoc-process-docstring", _prepare, priority=100)  # type: ignore[attr-defined]
