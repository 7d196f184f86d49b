"""Help pages: of the program, a group, a command, and of the options that all commands have."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator

from ..registry import ALIASES, GROUPS, PROGRAM, SECTIONS, Command, find, words_of
from .table import EVERYWHERE, Argument, Option, usages

__all__ = ["ABOUT", "EXITS", "global_page", "label", "page_of", "synopsis", "write_page"]

ABOUT = "DigitalOcean Block Storage, within the token's request budget."
EXITS = (
    "0 done, 1 failed, 2 usage or an unusable plan, journal or setting, 3 partly done or stopped, "
    "4 stopped by a guard, by --max-failures or declined at the prompt, 5 quota, 130 interrupted, "
    "143 terminated."
)
_TRY = f"{PROGRAM} --simulate bulk snapshot --keep-last 2 --yes"
_WIDEST = 100
_STACKED_BELOW = 60
_LABEL_AT_MOST = 32


def write_page(page: str, *, to_stderr: bool = False) -> None:
    """Write a help page; its headings are bold at a terminal."""
    stream = sys.stderr if to_stderr else sys.stdout
    bold = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for line in page.splitlines():
        heading = bold and line.endswith(":") and not line.startswith(" ")
        stream.write(f"\x1b[1m{line}\x1b[0m\n" if heading else f"{line}\n")


def page_of(words: tuple[str, ...], width: int | None = None) -> str:
    """Return the page of a command or group; of the program for no words.

    Args:
        words: those of the command or group, as the registry has them.
        width: columns; by default those of the terminal, 100 at most.
    """
    room = min(width or shutil.get_terminal_size().columns, _WIDEST)
    command = find(" ".join(words))
    if command is not None:
        lines = _command(command, room)
    else:
        lines = _group(words[0], room) if words else _top(room)
    return "\n".join(lines)


def global_page(width: int | None = None) -> str:
    """Return the page of the options that every command has."""
    room = min(width or shutil.get_terminal_size().columns, _WIDEST)
    options = usages()[EVERYWHERE].options
    rows = [(label(option), option.help) for option in options]
    lines = [*_filled("They may stand before or after the command's name.", room), ""]
    return "\n".join([*_block("Options for every command", rows, room), "", *lines]).rstrip()


def synopsis(command: Command) -> str:
    """Return how a command is written: `do-blockstore volumes get VOLUME_ID [OPTIONS]`."""
    usage = usages()[command.words]
    parts = [PROGRAM, command.words]
    for argument in usage.arguments:
        more = f"{argument.name}..." if argument.repeats else argument.name
        parts.append(more if argument.required else f"[{more}]")
    parts.extend(label(option) for option in usage.options if option.required)
    return " ".join([*parts, "[OPTIONS]"])


def label(option: Option) -> str:
    """Return an option's names and the kind of its value: `-o, --output table|json|csv`."""
    names = ", ".join(sorted(option.names, key=len))
    return f"{names} {option.value}".rstrip()


def _top(width: int) -> Iterator[str]:
    known = words_of()
    yield from _filled(ABOUT, width)
    yield ""
    yield from _filled(f"Usage: {PROGRAM} COMMAND [OPTIONS]", width, "  ")
    yield ""
    yield "Try it without an account:"
    yield f"  {_TRY}"
    for title, words in SECTIONS.items():
        yield ""
        yield from _block(title, [(word, known[word]) for word in words], width, label_at_least=12)
    yield ""
    yield from _footer(width)
    yield from _filled(f"Help of a command: {PROGRAM} help COMMAND", width, "  ")
    yield from _filled(f"Exit codes: {EXITS}", width, "  ")


def _group(group: str, width: int) -> Iterator[str]:
    known = words_of(group)
    yield from _filled(GROUPS[group], width)
    yield ""
    yield from _filled(f"Usage: {PROGRAM} {group} COMMAND [OPTIONS]", width, "  ")
    yield ""
    yield from _block("Commands", known.items(), width)
    others = [
        f"{', '.join(word for word in ALIASES if ALIASES[word] == full)} for {full}"
        for full in known
        if full in ALIASES.values()
    ]
    if others:
        yield ""
        yield from _filled(f"Aliases: {'; '.join(others)}.", width, "  ")
    yield ""
    yield from _footer(width)
    yield from _filled(f"Help of a command: {PROGRAM} help {group} COMMAND", width, "  ")


def _command(command: Command, width: int) -> Iterator[str]:
    usage = usages()[command.words]
    for paragraph in usage.text.split("\n\n"):
        yield from _filled(paragraph, width)
        yield ""
    yield from _filled(f"Usage: {synopsis(command)}", width, "  ")
    if usage.arguments:
        yield ""
        yield from _block("Arguments", [_row(each) for each in usage.arguments], width)
    groups = dict.fromkeys(option.group for option in usage.options)
    for group in sorted(groups, key=lambda group: group != "Options"):
        rows = [(label(each), _help(each)) for each in usage.options if each.group == group]
        yield ""
        yield from _block(group, rows, width)
    yield ""
    # Never folded: a line that is copied must be one line.
    yield "Example:"
    yield f"  {PROGRAM} {command.example}"
    yield ""
    yield from _footer(width)


def _row(argument: Argument) -> tuple[str, str]:
    choices = f" ({', '.join(argument.choices)})" if argument.choices else ""
    return argument.name, argument.help + choices


def _help(option: Option) -> str:
    return f"{option.help} Required." if option.required else option.help


def _footer(width: int) -> Iterator[str]:
    names = [max(option.names, key=len) for option in usages()[EVERYWHERE].options]
    few = ", ".join(name for name in ("--output", "--context", "--timeout") if name in names)
    yield from _filled(f"Options for every command ({few}, ...): --help-global", width, "  ")


def _block(
    title: str, rows: Iterable[tuple[str, str]], width: int, *, label_at_least: int = 0
) -> Iterator[str]:
    """A title and rows of two columns; below each other where they would be too narrow."""
    rows = list(rows)
    longest = max((len(left) for left, _ in rows), default=0)
    column = min(max(longest, label_at_least), _LABEL_AT_MOST) + 4
    yield from _filled(f"{title}:", width)
    for left, right in rows:
        if width < _STACKED_BELOW:
            yield from _filled(left, width, "    ", first="  ")
            yield from _filled(right, width, "      ", first="      ")
            continue
        indent = " " * column
        lines = list(_filled(right, width, indent, first=indent))
        if len(left) + 4 <= column and lines:
            yield f"  {left}".ljust(column) + lines.pop(0)[column:]
        else:
            yield f"  {left}"
        yield from lines


def _filled(text: str, width: int, indent: str = "", *, first: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        " ".join(text.split()),
        width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
