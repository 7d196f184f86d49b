"""The pages of the documentation, and the Python they show."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pages() -> list[Path]:
    """README.md, CONTRIBUTING.md and every page of docs/."""
    named = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
    return [page for page in [*named, *sorted(ROOT.glob("docs/**/*.md"))] if page.exists()]


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page, in order."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
