"""Answer a shell: `do-blockstore __complete SHELL WORD...`, and refresh what it answers from."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..exit_codes import UsageError
from .candidates import Answer, Line, candidates, open_quote, program_words, read_line

if TYPE_CHECKING:
    from ..auth.source import Source

__all__ = ["complete"]

_PASSED_ON = ("--context", "--api-url", "--ca-file", "--budget-store", "--limits")
_ID = re.compile(r"[0-9a-f]{1,8}(-[0-9a-f-]*)?")


def complete(shell: str, words: Sequence[str]) -> int:
    """Print a candidate a line, with a tab and its description; `:files` asks for files too.

    Nothing that goes wrong is shown: it would stand in the middle of a line being typed.

    Args:
        shell: bash, zsh or fish.
        words: for bash the line up to the cursor and the word as bash sees it; for the others the
            words after the program's name, the last one at the cursor.
    """
    typed = program_words(words[0]) if shell == "bash" else list(words)
    current = typed.pop() if typed else ""
    line = read_line(typed)
    try:
        answer = candidates(line, current, lambda source: _dynamic(source, line, current))
    except (UsageError, OSError):
        answer = Answer([])
    # What could steer the terminal is no word to be typed.
    answer = answer._replace(found=[each for each in answer.found if each[0].isprintable()])
    if shell == "bash":
        seen = words[1] if len(words) > 1 else current
        lines = list(_for_bash(answer, current, seen, open_quote(words[0])))
    else:
        lines = [
            f"{value}\t{''.join(filter(str.isprintable, ' '.join(text.split())))}"
            for value, text in answer.found
        ]
    if answer.files:
        lines.insert(0, ":files")
    sys.stdout.write("".join(f"{each}\n" for each in lines))
    return 0


def _for_bash(answer: Answer, current: str, seen: str, quote: str) -> Iterator[str]:
    """Candidates quoted, without what bash does not replace: it cuts words at `=` and `:`."""
    seen = "" if seen in ("=", ":") else seen.strip("'\"")
    kept = len(current) - len(seen) if current.endswith(seen) else 0
    for value, _ in answer.found:
        left = value[kept:]
        if answer.files:
            yield left  # bash quotes where there are files among them
        elif quote == "'":
            yield left.replace("'", r"'\''")
        elif quote:
            yield re.sub(r'([$`"\\])', r"\\\1", left)
        else:
            yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", left)


def _dynamic(source: str, line: Line, current: str) -> Iterator[tuple[str, str]]:
    if source == "journals":
        yield from _journals()
        return
    # Most presses of Tab ask for words of the program only, and need none of this.
    from collections import Counter
    from pathlib import Path

    from ..auth.source import SourceOptions, account_key, find_source
    from ..config_file import load
    from .cache import TAGS_FROM, ask_once, known

    env = os.environ
    file = load(env)
    if source == "contexts":
        from ..auth import doctl

        yield from ((name, "in the configuration file") for name in file.contexts)
        yield from ((name, "of doctl") for name in doctl.contexts(env) if name not in file.contexts)
        return
    if "--simulate" in line.options:
        return
    given = line.options
    place = os.path.expanduser(given.get("--token-file", ""))  # noqa: PTH111 -- fails never
    chosen = find_source(
        SourceOptions(
            Path(place) if place else None, given.get("--context"), given.get("--api-url")
        ),
        env,
        file,
    )
    account = account_key(chosen, env)
    if account is None:
        return
    kind, _, only_ids = source.partition("_")
    kind = "volumes" if source == "tags" else f"{kind}s" if only_ids else source
    if file.refresh_completions and ask_once(account, kind, env):
        _refresh(kind, line, chosen)
    rows = known(account, kind, env)
    if kind == "regions":
        yield from ((row[0], " ".join(row[1:])) for row in rows)
        return
    if source == "tags":
        counts = Counter(tag for row in rows for tag in row[TAGS_FROM:])
        yield from ((tag, f"{count} volumes") for tag, count in sorted(counts.items()))
        return
    region = given.get("--region")
    names: dict[str, list[str]] = {}
    for identity, name, *more in (row[:TAGS_FROM] for row in rows):
        if region and kind == "volumes" and region not in more:
            continue
        text = " ".join(more)
        names.setdefault(name, []).append(text)
        if only_ids or (current and _ID.fullmatch(current)):
            yield identity, f"{name} {text}".rstrip()
    if not only_ids:
        # One candidate for a name that is in several regions.
        yield from ((name, ", ".join(texts)) for name, texts in names.items())


def _journals() -> Iterator[tuple[str, str]]:
    from ..._log.places import state_folder

    for path in sorted(state_folder().glob("*.db")):
        yield str(path), "a journal"


def _refresh(kind: str, line: Line, source: Source) -> None:
    """Fetch a listing anew in a process of its own, which nobody waits for."""
    may_ask = source.token_command is not None or str(source.token_file) == "-"
    if may_ask or not hasattr(os, "posix_spawn"):
        return
    passed = [f"{name}={line.options[name]}" for name in _PASSED_ON if line.options.get(name)]
    if source.context is None and source.token_file is not None:
        passed.append(f"--token-file={source.token_file}")
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    with suppress(OSError):
        os.posix_spawn(
            sys.executable,
            # -P: a module of the current folder must not be taken for one of ours.
            [sys.executable, "-P", "-m", "do_blockstore_async.cli", "__refresh", kind, *passed],
            os.environ,
            file_actions=nowhere,
            setpgroup=0,
        )
