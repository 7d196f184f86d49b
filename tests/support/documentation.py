"""The pages of the documentation, and the code they show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# A comment above a block says what the tests have to know of it: `not run: why` or `file: name`.
# `LANGUAGE is not run: why` anywhere on a page speaks of all its blocks in that language.
_BLOCK = re.compile(
    r"(?:^<!-- (?P<remark>.*?) -->\n\n)?^```(?P<language>[^`{\s]+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A block of a page.

    `not_run` is the reason why nothing executes it, if nothing does; `file` the name under which
    the commands of the page expect it.
    """

    language: str
    code: str
    not_run: str | None = None
    file: str | None = None


def pages() -> list[Path]:
    """README.md, CONTRIBUTING.md and every page of docs/."""
    named = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
    return [page for page in [*named, *sorted(ROOT.glob("docs/**/*.md"))] if page.exists()]


def all_blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    of_page = dict(re.findall(r"^<!-- (\S+) is not run: (.*?) -->$", text, re.MULTILINE))
    found = []
    for match in _BLOCK.finditer(text):
        language, remark = match["language"], match["remark"] or ""
        reason = remark.removeprefix("not run: ") if remark.startswith("not run: ") else None
        file = remark.removeprefix("file: ") if remark.startswith("file: ") else None
        found.append(Block(language, match["code"], of_page.get(language, reason), file))
    return found


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page that are executed, in order."""
    return [b.code for b in all_blocks(page) if b.language == "python" and not b.not_run]


def scripts(page: Path) -> list[str]:
    """The shell scripts of a page that do more than call `do-blockstore`."""
    return [b.code for b in all_blocks(page) if b.language == "sh" and _is_script(b)]


def commands(page: Path) -> list[list[str]]:
    """The words of each `do-blockstore ...` that a page shows, in order.

    They stand in `sh` and after the prompts of `console`, in lines of a crontab, and after
    `ExecStart=`.
    """
    found = []
    for block in all_blocks(page):
        if block.not_run or (block.language == "sh" and _is_script(block)):
            continue
        for line in re.sub(r"\\\n\s*", "", block.code).splitlines():
            called = re.match(_PROMPTS.get(block.language, "(?!)"), line)
            if called:
                found.append(shlex.split(line[called.end() :], comments=True))
    return found


_CALL = r"(?:\S*/)?do-blockstore "
_PROMPTS = {
    "sh": _CALL,
    "console": rf"\$ {_CALL}",
    "text": rf"(?:\S+ +){{5}}{_CALL}",
    "ini": rf"ExecStart={_CALL}",
}


def _is_script(block: Block) -> bool:
    lines = re.sub(r"\\\n\s*", "", block.code).splitlines()
    return not block.not_run and not all(re.match(_CALL, line) for line in lines)
