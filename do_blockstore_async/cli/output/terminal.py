"""Where output goes: results to stdout, everything else to stderr.

Colors and live displays are for terminals. `NO_COLOR` takes every style away, a dumb terminal
gets plain lines, and whatever the API sent is shown without its control characters, so that no
volume's description can move the cursor or recolor the screen.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "bold",
    "errors",
    "is_live",
    "pages",
    "print_error",
    "print_stderr",
    "redact",
    "results",
    "styled",
    "terminal_width",
    "tidy_streams",
]

_TOKEN = re.compile(r"\b(do[a-z]_v1_)\w+")
# Wide enough that no table is ever cut in a file or a pipe.
_UNBOUNDED = 100_000
# The first file descriptor that is not one of the three standard streams.
_FIRST_OWN = 3


class _Lenient(io.FileIO):
    """A file that loses what it cannot take: a full disk, a reader that has gone."""

    def write(self, data: Any) -> int:
        try:
            written = super().write(data)
        except OSError:
            written = None
        # None: it would have to wait, on a terminal that others have made non-blocking.
        return len(data) if written is None else written


def tidy_streams() -> None:
    """Never fail on a character that the stream cannot encode: write it escaped instead.

    Streams that were closed from outside (`>&-`) become the null device. What cannot be told on
    stderr is lost: no job ends half done, or with another exit code, because nobody reads it.
    """
    _open_closed_streams()
    stderr = sys.__stderr__
    if os.name == "posix" and stderr is not None and sys.stderr is stderr:
        file = io.BufferedWriter(_Lenient(stderr.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(file, stderr.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _open_closed_streams() -> None:
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    # Below 3, or the next file that is opened would be what a stray write to stderr goes to.
    null = os.open(os.devnull, os.O_RDWR)
    while null < _FIRST_OWN:
        null = os.dup(null)
    os.close(null)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 -- for as long as we run
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def redact(text: str) -> str:
    """Return `text` without anything that looks like a token."""
    return _TOKEN.sub(r"\1***", text)


def _console(**how: Any) -> Console:
    from rich.console import Console

    if os.environ.get("NO_COLOR"):
        # rich would keep bold and underlined text; here it means no styling at all.
        how["color_system"] = None
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=False, **how)


def errors() -> Console:
    """The console for what is neither a result nor an error; silent with `--quiet`."""
    from ..options import current

    return _console(stderr=True, quiet=current().quiet)


def pages() -> Console:
    """The console for help pages, folded to the terminal's width."""
    return _console()


def results() -> Console:
    """The console for results. Outside a terminal lines are as long as they need to be."""
    return _console() if sys.stdout.isatty() else _console(width=_UNBOUNDED)


def terminal_width() -> int | None:
    """How many columns stdout has; None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def styled(text: str, codes: str) -> str:
    """Return `text` for stdout in a style of ECMA-48, such as `1` for bold, where it may be one."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{codes}m{text}\x1b[0m"


def bold(text: str) -> str:
    """Return `text` in bold where stdout shows styles."""
    return styled(text, "1")


def is_live(console: Console) -> bool:
    """Whether a display may be redrawn in place."""
    return console.is_terminal and not console.is_dumb_terminal


def print_error(message: str) -> None:
    """Print what went wrong to stderr, a few lines at most."""
    from ..._export import visible

    for line in message.splitlines():
        sys.stderr.write(f"{redact(visible(line))}\n")
    sys.stderr.flush()


def print_stderr(message: str) -> None:
    """Print what is neither a result nor an error to stderr, unless `--quiet` is given."""
    from ..options import current

    if not current().quiet:
        print_error(message)
