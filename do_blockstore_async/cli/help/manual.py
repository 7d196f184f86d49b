"""The manual page, in the man macros of troff. Pure: from the registry and the table of options."""

from __future__ import annotations

from collections.abc import Iterator

from ..registry import ALIASES, COMMANDS, PROGRAM
from .pages import ABOUT, EXITS, label, synopsis
from .table import EVERYWHERE, Option, usages

__all__ = ["manual"]

_VARIABLES = (
    ("DIGITALOCEAN_TOKEN, DIGITALOCEAN_ACCESS_TOKEN", "The token; the first one that is set."),
    ("DIGITALOCEAN_API_URL", "Where the API is."),
    ("DO_BLOCKSTORE_BUDGET", "Who shares the token's budget, as --budget-store."),
    ("DO_BLOCKSTORE_CONFIG", "The configuration file."),
    ("HTTPS_PROXY, NO_PROXY", "The proxy, and the hosts that are reached without it."),
    ("SSL_CERT_FILE", "Certificate authorities to trust instead of the system's, as --ca-file."),
    ("NO_COLOR", "No colors and no bold text."),
)
_FILES = (
    ("$XDG_CONFIG_HOME/do-blockstore/config.toml", "Defaults and contexts; ~/.config without it."),
    ("$XDG_STATE_HOME/do-blockstore/", "Journals of runs and the machine's budget."),
    ("$XDG_CACHE_HOME/do-blockstore/", "Names and ids that the shell completes."),
)


def manual() -> str:
    """Return the manual page of the program and of all its commands."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH {PROGRAM.upper()} 1 "" "do\\-blockstore\\-async" "User Commands"'
    yield ".SH NAME"
    yield f"{_plain(PROGRAM)} \\- {_plain(ABOUT.rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield f".B {_plain(PROGRAM)}"
    yield ".I COMMAND"
    yield "[OPTIONS]"
    yield ".SH COMMANDS"
    for command in COMMANDS:
        usage = usages()[command.words]
        yield f".SS {_plain(command.words)}"
        yield _plain(synopsis(command))
        for paragraph in usage.text.split("\n\n"):
            yield ".PP"
            yield _plain(" ".join(paragraph.split()))
        for argument in usage.arguments:
            yield from _item(argument.name, argument.help)
        yield from _options(usage.options)
        yield ".PP"
        yield f"Example: {_plain(PROGRAM)} {_plain(command.example)}"
    yield ".SH OPTIONS FOR EVERY COMMAND"
    yield from _options(usages()[EVERYWHERE].options)
    yield ".SH ALIASES"
    yield _plain(", ".join(f"{word} for {full}" for word, full in ALIASES.items()) + ".")
    yield ".SH EXIT STATUS"
    yield _plain(EXITS)
    yield ".SH ENVIRONMENT"
    for names, text in _VARIABLES:
        yield from _item(names, text)
    yield ".SH FILES"
    for place, text in _FILES:
        yield from _item(place, text)


def _options(options: tuple[Option, ...]) -> Iterator[str]:
    for option in options:
        yield from _item(label(option), option.help)


def _item(what: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {_plain(what)}"
    yield _plain(text) if text else "\\&"


def _plain(text: str) -> str:
    r"""Text as it is to be read: no hyphen becomes a dash, no line a request."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{safe}" if safe.startswith(".") else safe
