"""`do-blockstore completion`, `man` and `help`: what a shell and its user want to know."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Literal

from ..exit_codes import UsageError

__all__ = ["completion", "help_", "man"]


def completion(shell: Literal["bash", "zsh", "fish"] | None = None, /) -> int:
    """Print a script that completes commands, options, choices, regions, names and ids.

    For bash: echo 'source <(do-blockstore completion bash)' >> ~/.bashrc

    For zsh: echo 'source <(do-blockstore completion zsh)' >> ~/.zshrc

    For fish: do-blockstore completion fish > ~/.config/fish/completions/do-blockstore.fish

    Names and ids are those that lists have shown in the last minutes; older ones are fetched in the
    background, and no key press waits for that.

    Args:
        shell: which one; by default that of SHELL.
    """
    from ..completion.scripts import SCRIPTS
    from ..output.tables import write

    named = shell or PurePath(os.environ.get("SHELL", "")).name
    if named not in SCRIPTS:
        raise UsageError("which shell? bash, zsh or fish")
    write(SCRIPTS[named])
    return 0


def man() -> int:
    """Print the manual page, for `man -l` or a folder man1. Wheels install it."""
    from ..help.manual import manual
    from ..output.tables import write

    write(manual())
    return 0


def help_(*words: str) -> int:
    """Show the help of a command or a group; without words, all commands.

    Args:
        words: the command's or group's words.
    """
    from ..help.pages import page_of, write_page
    from ..hints import command_words

    found = command_words(words)
    if len(words) > len(found):
        raise UsageError(f"unexpected argument: {words[len(found)]}")
    write_page(page_of(found))
    return 0
