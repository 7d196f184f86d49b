"""From the words typed to a command and its settings.

Only the command that is asked for is imported and inspected: the registry says which one that is.
Its options, and those that every command has, are functions' parameters, parsed by cyclopts.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from .exit_codes import MistypedError, UsageError
from .hints import command_words
from .registry import ALIASES, GROUPS, PROGRAM, Command, find

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import ArgumentCollection

    from .options import Settings

__all__ = ["Call", "PageRequest", "arguments_of", "read"]

_HELP = ("--help", "-h")
_VERSION = ("--version", "-V")
_HELP_GLOBAL = "--help-global"
_END = "--"
# What completion starts in the background; no command for people.
_REFRESH = Command("__refresh", "completion.refresh:refresh", "", "")


class Call(NamedTuple):
    """A command with its arguments, ready to be run under its settings."""

    command: Command
    settings: Settings
    run: Callable[[], Coroutine[Any, Any, int] | int]


class PageRequest(NamedTuple):
    """A page instead of a command.

    Attributes:
        words: the command or group whose help is wanted; none for the program's.
        kind: which page.
        mistaken: a group was named and no command of it.
    """

    words: tuple[str, ...] = ()
    kind: str = "help"
    mistaken: bool = False


def read(words: Sequence[str]) -> Call | PageRequest:
    """Find out what is asked for.

    Raises:
        MistypedError: there is no such command, or it does not take what was typed.
        UsageError: a setting of the configuration file is unusable.
    """
    head, tail = list(words), []
    if _END in head:
        cut = head.index(_END)
        head, tail = head[:cut], head[cut:]
    if not words:
        return PageRequest()
    if _HELP_GLOBAL in head:
        return PageRequest(kind="global")
    if any(word in _VERSION for word in head) or words == ["version"]:
        return PageRequest(kind="version")
    if any(word in _HELP for word in head):
        return PageRequest(command_words(_without_options(head)))
    if not tail and all(word in GROUPS or word in ALIASES for word in head):
        # Known without the parser: a group without a command, most likely.
        found = command_words(head)
        if find(" ".join(found)) is None:
            return PageRequest(found, mistaken=True)
    return _call(head, tail)


def _call(head: list[str], tail: list[str]) -> Call | PageRequest:
    """A command with what follows its name, `tail` after `--`."""
    from cyclopts import CycloptsError

    try:
        return _parsed_call(head, tail)
    except CycloptsError as error:
        from .output.usage import where_of, wording

        raise MistypedError(wording(error, head, tail), where_of(error)) from None


def _parsed_call(head: list[str], tail: list[str]) -> Call | PageRequest:
    from .everywhere import everywhere

    if any(word.startswith("-") for word in head):
        settings, rest, has_output = _parsed(everywhere, head)()
    else:
        settings, rest, has_output = everywhere(*head)
    is_refresh = rest[:1] == (_REFRESH.words,)
    found = rest[:1] if is_refresh else command_words(rest)
    command = _REFRESH if is_refresh else find(" ".join(found))
    if command is None:
        if len(rest) > len(found):
            from .output.usage import misplaced

            raise MistypedError(misplaced(rest[len(found)], rest), " ".join(found))
        if tail:
            raise MistypedError("-- stands after the words of a command", " ".join(found))
        return PageRequest(found, mistaken=bool(found))
    # Whoever mends the configuration needs its commands.
    if not has_output and not command.words.startswith("config"):
        settings = _with_usual_output(settings)
    function = _imported(command)
    return Call(command, settings, _parsed(function, [*rest[len(found) :], *tail], command))


def _without_options(words: Sequence[str]) -> list[str]:
    """The first words that are no options nor values of those that every command has."""
    from .help.table import EVERYWHERE, usages

    valued = {name for option in usages()[EVERYWHERE].options if option.value
              for name in option.names}  # fmt: skip
    left = list(words)
    while left and left[0].startswith("-"):
        del left[: 2 if left[0] in valued else 1]
    return left


def _with_usual_output(settings: Settings) -> Settings:
    """The settings with the configuration file's output, if it names one."""
    from typing import get_args

    import attrs

    from .config_file import load
    from .options import Output

    file = load()
    named = file.defaults.output
    if named is None:
        return settings
    for choice in get_args(Output):
        if choice == named:
            return attrs.evolve(settings, shown=choice)
    choices = ", ".join(get_args(Output))
    raise UsageError(f"{file.path}: output is one of {choices}, not {named!r}")


def _imported(command: Command) -> Callable[..., Any]:
    module, _, name = command.target.partition(":")
    function: Callable[..., Any] = getattr(import_module(f".{module}", __package__), name)
    return function


def _app(function: Callable[..., Any], command: Command | None = None) -> App:
    from cyclopts import App, Group, Parameter

    app = App(
        name=f"{PROGRAM} {command.words}" if command else PROGRAM,
        help_flags=(),
        version_flags=(),
        group_arguments=Group("Arguments"),
        group_parameters=Group("Options"),
        # `--no-x` and `--empty-x` for every flag and list would double the help.
        default_parameter=Parameter(negative=(), show_default=False, show_env_var=False),
    )
    app.default(function)
    return app


def _parsed(
    function: Callable[..., Any], words: Iterable[str], command: Command | None = None
) -> Callable[[], Any]:
    app = _app(function, command)
    bound = app.parse_args(list(words), print_error=False, exit_on_error=False)[1]
    return partial(function, *bound.args, **bound.kwargs)


def arguments_of(command: Command | None) -> tuple[Callable[..., Any], ArgumentCollection]:
    """Return a command's function and its arguments, or those of every command, for the help."""
    from .everywhere import everywhere

    function = everywhere if command is None else _imported(command)
    return function, _app(function, command).assemble_argument_collection(parse_docstring=True)
