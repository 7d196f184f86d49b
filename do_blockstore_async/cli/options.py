"""The global options of one invocation, where commands find them, and how their values are read.

A size, a time or a choice of volumes means the same in every command: it is read here only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import attrs
from cyclopts import Group, Parameter

from .exit_codes import UsageError

if TYPE_CHECKING:
    from ..bulk import Selection

__all__ = [
    "Output",
    "Settings",
    "TableOptions",
    "current",
    "gigabytes_of",
    "seconds_of",
    "selection_of",
    "using",
]

# What the user types, and what it comes to for a command that knows no more than these three.
Output = Literal["table", "wide", "name", "json", "json-full", "csv"]
_Format = Literal["table", "json", "csv"]
_FORMATS: dict[str, _Format] = {"json": "json", "json-full": "json", "csv": "csv"}

_SIZE = re.compile(r"(\d+) ?(?:(g)(?:b|ib)?|(t)(?:b|ib)?)?", re.ASCII | re.IGNORECASE)
_SPAN = re.compile(r"(\d+(?:\.\d+)?) ?([smh]?)", re.ASCII)
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_TABLE = Group("How it is listed", sort_key=40)


@attrs.frozen(kw_only=True)
class Settings:
    """What the global options say.

    Attributes:
        shown: the form of the results, as `--output` names it.
        quiet: nothing but results and errors.
        limits: requests/seconds pairs, shortest window first; None means DigitalOcean's.
        budget: what shares the token's budget: `process`, `machine` or a URL; None means the
            environment's choice, or `machine`.
        timeout_s: for each call of a single command, the wait for quota included.
        ca_file: certificate authorities to trust instead of the system's.
    """

    simulate: bool = False
    api_url: str | None = None
    shown: Output = "table"
    quiet: bool = False
    verbose: bool = False
    token_file: Path | None = None
    context: str | None = None
    limits: str | None = None
    budget: str | None = None
    timeout_s: float | None = None
    ca_file: Path | None = None

    @property
    def output(self) -> _Format:
        """The form of the results, for commands that have one table and one JSON."""
        return _FORMATS.get(self.shown, "table")

    def check_no_names(self) -> None:
        """Refuse `-o name` where there are no ids to list: a table would reach xargs instead.

        Raises:
            UsageError: it was asked for.
        """
        if self.shown == "name":
            raise UsageError("-o name is for commands that list or show things with an id")


@Parameter(name="*", group=_TABLE)
@attrs.frozen(kw_only=True)
class TableOptions:
    """How a listing is written.

    Args:
        columns: only these columns, in this order, such as name,size.
        sort: by this column; -size for the largest first. It is printed after the last page.
        no_headers: leave the line of headers out.
    """

    columns: str | None = None
    sort: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    no_headers: bool = False


def gigabytes_of(text: str, option: str) -> int:
    """Read a size: `100`, `100GB`, `100GiB`, `1TB` or `1TiB`.

    The vendor's GB are GiB, so both mean the same, and a TB is 1,024 of them.

    Args:
        text: what was typed.
        option: what the message calls it.

    Raises:
        UsageError: it is no whole number of GiB.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{option} takes a whole number of GiB, such as 100, not {text!r}")
    return int(match[1]) * (1024 if match[3] else 1)


def seconds_of(text: str, option: str) -> float:
    """Read a time: `30` or `30s`, `5m`, `1h`.

    Args:
        text: what was typed.
        option: what the message calls it.

    Raises:
        UsageError: it is no time, or none at all.
    """
    match = _SPAN.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{option} takes a time above 0, such as 30s, 5m or 1h, not {text!r}")
    return seconds


def selection_of(
    *,
    regions: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    exclude_tags: tuple[str, ...] = (),
    name: str | None = None,
    attached: bool = False,
    unattached: bool = False,
) -> Selection:
    """Return what the options that pick volumes or snapshots ask for.

    Raises:
        UsageError: they exclude each other, or the name is empty: of a variable that is not set,
            which must not come to mean every volume.
        InvalidArgumentError: a region, a tag or the name is invalid.
    """
    from ..bulk import Selection

    if attached and unattached:
        raise UsageError("--attached and --unattached exclude each other")
    if name == "":
        raise UsageError("--name takes a name or a pattern, such as 'db-*'")
    return Selection(
        regions=regions,
        tags=tags,
        exclude_tags=exclude_tags,
        name=name or "",
        attached=True if attached else False if unattached else None,
    )


_current: ContextVar[Settings] = ContextVar("do_blockstore_settings")


def current() -> Settings:
    """Return the settings of the current invocation; the defaults outside of one."""
    return _current.get(Settings())


@contextmanager
def using(settings: Settings) -> Iterator[None]:
    """Make `settings` the current ones inside."""
    token = _current.set(settings)
    try:
        yield
    finally:
        _current.reset(token)
