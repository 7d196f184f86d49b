"""What may follow the words typed so far. Pure: from the registry and the table of options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..help.table import EVERYWHERE, Option, Usage, usages
from ..registry import GROUPS, find, resolve, words_of

__all__ = ["Answer", "Dynamic", "Line", "candidates", "open_quote", "program_words", "read_line"]

# What stands for a value, and where such values come from.
_SOURCES = {
    "--add-tag": "tags",
    "--context": "contexts",
    "--exclude-tag": "tags",
    "--journal": "journals",
    "--keep-tag": "tags",
    "--region": "regions",
    "--snapshot": "snapshot_ids",
    "--tag": "tags",
    "--volume": "volumes",
    "CONTEXT": "contexts",
    "JOURNAL": "journals",
    "REGION": "regions",
    "SNAPSHOT": "snapshots",
    "SNAPSHOT_ID": "snapshot_ids",
    "VOLUME": "volumes",
    "VOLUME_ID": "volume_ids",
}
_FILES = {"FILE", "PATH", "PLACE", "FOLDER"}
_HELP = Option(("--help", "-h"), "", "show the help of this command.", "", (), False, False)

Dynamic = Callable[[str], Iterable[tuple[str, str]]]


class Line(NamedTuple):
    """What is known from the words before the cursor.

    Attributes:
        group: the group, once typed.
        words: the command's words, once typed.
        options: what was given, by its names, with the value of those that have one.
        position: how many of the command's arguments stand there.
        waiting: the option whose value comes next.
        only_arguments: `--` was typed.
    """

    group: str | None
    words: str | None
    options: dict[str, str]
    position: int
    waiting: Option | None
    only_arguments: bool


class Answer(NamedTuple):
    """Candidates with their descriptions; with `files`, names of files are some too."""

    found: list[tuple[str, str]]
    files: bool = False


def read_line(words: Sequence[str]) -> Line:
    """Read the words before the one at the cursor, without the program's name."""
    group: str | None = None
    command: str | None = None
    options: dict[str, str] = {}
    position, waiting, only_arguments = 0, None, False
    for word in words:
        if waiting is not None:
            options.update(dict.fromkeys(waiting.names, word))
            waiting = None
        elif word == "--" and not only_arguments:
            only_arguments = True
        elif word.startswith("-") and not only_arguments:
            name, equals, value = word.partition("=")
            option = _option(name, command)
            if option is not None:
                options.update(dict.fromkeys(option.names, value))
                waiting = option if option.value and not equals else None
            else:
                options[name] = value
        elif command is not None:
            position += 1
            if command == "help" and position == 1:
                group = resolve(word)
        elif group is None and (found := resolve(word)) is not None:
            group, command = (found, None) if found in GROUPS else (None, found)
        elif group is not None and (found := resolve(word, group)) is not None:
            command = f"{group} {found}"
    return Line(group, command, options, position, waiting, only_arguments)


def candidates(line: Line, current: str, dynamic: Dynamic) -> Answer:
    """Return what the word at the cursor may become.

    Args:
        line: the words before it.
        current: as much of it as is typed.
        dynamic: the values of a source, such as `regions`, with their descriptions.
    """
    if line.waiting is not None:
        return _values(line.waiting.names, line.waiting, current, dynamic)
    if current.startswith("-") and not line.only_arguments:
        name, equals, value = current.partition("=")
        if equals:
            option = _option(name, line.words)
            if option is None or not option.value:
                return Answer([])
            found, files = _values(option.names, option, value, dynamic)
            return Answer([(f"{name}={each}", text) for each, text in found], files)
        return Answer(_matching(_option_names(line, current), current))
    if line.words is None or line.words == "help":
        return Answer(_matching(words_of(line.group).items(), current))
    arguments = usages()[line.words].arguments if find(line.words) else ()
    if not arguments:
        return Answer([])
    last = arguments[-1]
    if line.position >= len(arguments) and not last.repeats:
        return Answer([])
    argument = arguments[min(line.position, len(arguments) - 1)]
    if argument.choices:
        return Answer(_matching(((each, "") for each in argument.choices), current))
    return _from_source((argument.name,), current, dynamic)


def _option(name: str, command: str | None) -> Option | None:
    for option in _options_of(command):
        if name in option.names:
            return option
    return None


def _options_of(command: str | None) -> Iterable[Option]:
    known = usages()
    own: Usage | None = known.get(command) if command else None
    return (*(own.options if own else ()), *known[EVERYWHERE].options, _HELP)


def _option_names(line: Line, current: str) -> Iterable[tuple[str, str]]:
    for option in _options_of(line.words):
        if any(name in line.options for name in option.names) and not option.repeats:
            continue
        longest = max(option.names, key=len)
        short = [name for name in option.names if name == current and name != longest]
        for name in [*short, longest]:
            yield name, option.help


def _values(names: Sequence[str], option: Option, current: str, dynamic: Dynamic) -> Answer:
    if option.choices:
        return Answer(_matching(((each, "") for each in option.choices), current))
    return _from_source((*names, option.value), current, dynamic)


def _from_source(names: Sequence[str], current: str, dynamic: Dynamic) -> Answer:
    source = next((_SOURCES[name] for name in names if name in _SOURCES), "")
    found = _matching(dynamic(source), current) if source else []
    return Answer(found, source == "journals" or bool(_FILES & set(names)))


def _matching(found: Iterable[tuple[str, str]], current: str) -> list[tuple[str, str]]:
    return [(value, text) for value, text in found if value.startswith(current) and value != ""]


def program_words(text: str) -> list[str]:
    """Split a command line at the cursor as a shell does; an open quote ends with it.

    Returns:
        The words after the program's name; the last one is the one at the cursor.
    """
    return _split(text)[0][1:] or [""]


def open_quote(text: str) -> str:
    """Return the quote that is open at the cursor; empty for none."""
    return _split(text)[1]


def _split(text: str) -> tuple[list[str], str]:
    words: list[str] = []
    word, quote, in_word, escaped = "", "", False, False
    for letter in text:
        if escaped:
            word, escaped, in_word = word + letter, False, True
        elif letter == "\\" and quote != "'":
            escaped = True
        elif quote:
            if letter == quote:
                quote = ""
            else:
                word += letter
        elif letter in "'\"":
            quote, in_word = letter, True
        elif letter.isspace():
            if in_word:
                words.append(word)
            word, in_word = "", False
        else:
            word, in_word = word + letter, True
    words.append(word)
    return words, quote
