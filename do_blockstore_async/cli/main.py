"""One invocation, from the arguments to the exit code.

Whatever happens, the user gets results on stdout, at most a few honest lines on stderr and one of
the documented exit codes; never a traceback without `--verbose`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from cyclopts import CycloptsError

from .._export import visible
from .app import build
from .exit_codes import ExitCode, UsageError
from .options import Settings, using
from .output.terminal import pages, print_error, print_stderr, redact, tidy_streams
from .output.usage import usage_text
from .registry import PROGRAM

__all__ = ["run"]

_TOKEN_OPTIONS = ("--token", "--access-token", "--api-token", "-t")


def run(argv: Sequence[str]) -> int:
    """Run the command line.

    Args:
        argv: the arguments after the program's name.

    Returns:
        The exit code.
    """
    tidy_streams()
    app = build(_launch)
    words = list(argv) or ["--help"]
    if not {"--help", "-h"}.isdisjoint(words):
        # Help pages are drawn by rich, which costs a tenth of a short command's start.
        app.console = pages()
    try:
        # `--help` returns None; a command returns its exit code.
        code = int(app.meta(words) or ExitCode.DONE)
        sys.stdout.flush()
    except CycloptsError as error:
        print_stderr(_usage_line(error, words))
        return ExitCode.USAGE
    except UsageError as error:
        # Of a global option: a command's own are met in `_launch`.
        print_stderr(f"{PROGRAM}: {error}")
        return ExitCode.USAGE
    except KeyboardInterrupt as error:
        print_stderr("interrupted")
        _tell_notes(error)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of the output closed it (`| head`): no failure.
        _silence(sys.stdout)
        return ExitCode.DONE
    except OSError as error:
        # Only stdout is left to fail here: a full disk behind a `>`.
        _silence(sys.stdout)
        print_stderr(f"cannot write the results: {error.strerror or error}")
        return ExitCode.FAILED
    return code


def _launch(settings: Settings, call: Callable[[], Coroutine[Any, Any, int] | int]) -> int:
    """Run one parsed command; its failures become a line and an exit code."""
    with using(settings):
        try:
            result = call()
            if isinstance(result, int):
                return result
            import asyncio

            return asyncio.run(result)
        except (BrokenPipeError, KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:  # noqa: BLE001 -- the last line of defence before the user
            return _failed(error, settings)


def _failed(error: Exception, settings: Settings) -> int:
    from .output.errors import describe, exit_code

    if settings.verbose and not isinstance(error, UsageError):
        import traceback

        print_error("".join(traceback.format_exception(error)))
    print_error(f"{PROGRAM}: {describe(error, settings)}")
    _tell_notes(error)
    return exit_code(error)


def _tell_notes(error: BaseException) -> None:
    """Print the notes of the exception: what became of a request that was cut off."""
    for link in _chain(error):
        for text in getattr(link, "__notes__", ()):
            print_error(f"{PROGRAM}: {text}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _usage_line(error: CycloptsError, words: Sequence[str]) -> str:
    asked = {word.split("=", 1)[0] for word in words}
    for option in _TOKEN_OPTIONS:
        if option in asked and tuple(error.command_chain or ()) != ("simulator",):
            return (
                f"{PROGRAM}: {option} is no option: arguments are visible to others "
                "and kept in the history; use --token-file FILE or DIGITALOCEAN_TOKEN"
            )
    chain = " ".join(error.command_chain or ())
    where = f"{PROGRAM} {chain}".strip()
    text = redact(visible(usage_text(error)))
    return f"{where}: {text}\nTry: {where} --help"


def _silence(stream: Any) -> None:
    """Keep the interpreter from failing once more when it flushes at exit."""
    try:
        target = os.open(os.devnull, os.O_WRONLY)
        os.dup2(target, stream.fileno())
        os.close(target)
    except (OSError, ValueError, AttributeError):
        pass
