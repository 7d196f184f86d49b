"""One invocation, from the arguments to the exit code.

Whatever happens, the user gets results on stdout, at most a few honest lines on stderr and one of
the documented exit codes; never a traceback without `--verbose`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .exit_codes import ExitCode, MistypedError, UsageError
from .output.terminal import print_error, tidy_streams
from .registry import PROGRAM
from .signals import terminable

if TYPE_CHECKING:
    from .app import PageRequest
    from .options import Settings

__all__ = ["run"]


def run(argv: Sequence[str]) -> int:
    """Run the command line.

    Args:
        argv: the arguments after the program's name.

    Returns:
        The exit code.
    """
    tidy_streams()
    code: int = ExitCode.DONE
    with terminable() as ended:
        try:
            code = _run(list(argv))
            sys.stdout.flush()
        except KeyboardInterrupt as error:
            print_error("terminated" if ended else "interrupted")
            _tell_notes(error)
            return ExitCode.TERMINATED if ended else ExitCode.INTERRUPTED
        except BrokenPipeError:
            # The reader of the output closed it (`| head`): no failure of its own.
            _silence(sys.stdout)
            return code
        except OSError as error:
            # Only stdout is left to fail here: a full disk behind a `>`.
            _silence(sys.stdout)
            print_error(f"{PROGRAM}: cannot write the results: {error.strerror or error}")
            return ExitCode.FAILED
    return ExitCode.TERMINATED if ended and code == ExitCode.INTERRUPTED else code


def _run(words: list[str]) -> int:
    from .app import PageRequest, read

    try:
        asked = read(words)
    except MistypedError as error:
        at = f"{PROGRAM} {error.where}".strip()
        print_error(f"{at}: {error}\nTry: {at} --help")
        return ExitCode.USAGE
    except UsageError as error:
        print_error(f"{PROGRAM}: {error}")
        return ExitCode.USAGE
    if isinstance(asked, PageRequest):
        return _page(asked)
    from .options import using

    with using(asked.settings):
        try:
            result = asked.run()
            if isinstance(result, int):
                return result
            import asyncio

            return asyncio.run(result)
        except (BrokenPipeError, KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:  # noqa: BLE001 -- the last line of defence before the user
            return _failed(error, asked.settings)


def _page(asked: PageRequest) -> int:
    from .help.pages import global_page, page_of, write_page

    if asked.kind == "version":
        from importlib.metadata import version

        sys.stdout.write(f"{PROGRAM} {version('do-blockstore-async')}\n")
    elif asked.kind == "global":
        write_page(global_page())
    else:
        write_page(page_of(asked.words), to_stderr=asked.mistaken)
    return ExitCode.USAGE if asked.mistaken else ExitCode.DONE


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


def _silence(stream: Any) -> None:
    """Keep the interpreter from failing once more when it flushes at exit."""
    try:
        target = os.open(os.devnull, os.O_WRONLY)
        os.dup2(target, stream.fileno())
        os.close(target)
    except (OSError, ValueError, AttributeError):
        pass
