"""The command line: the commands of `registry.py`, the global options, what `--help` says."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from .options import Output, Settings, seconds_of
from .registry import COMMANDS, GROUPS, PROGRAM

__all__ = ["build"]

_PACKAGE = "do_blockstore_async.cli"

Launch = Callable[[Settings, Callable[[], Coroutine[Any, Any, int] | int]], int]


_ABOUT = """DigitalOcean Block Storage, within the token's request budget.

Try it without an account: do-blockstore --simulate bulk snapshot --keep-last 2 --yes"""

_EXITS = (
    "Exit codes: 0 done, 1 failed, 2 usage or an unusable plan, journal or setting, 3 partly done "
    "or stopped, 4 stopped by a guard, by --max-failures or declined at the prompt, 5 quota, "
    "130 interrupted."
)


def _version() -> str:
    from importlib.metadata import version

    return f"{PROGRAM} {version('do-blockstore-async')}"


def build(launch: Launch) -> App:
    """Build the whole command line.

    Args:
        launch: runs a parsed command under its settings and returns the exit code.
    """
    everywhere = Group("Options for every command", sort_key=90)
    app = App(
        name=PROGRAM,
        help=_ABOUT,
        help_format="plaintext",
        help_epilogue=_EXITS,
        version=_version,
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        # `--no-x` and `--empty-x` for every flag and list would double the help.
        default_parameter=Parameter(negative=(), show_default=False, show_env_var=False),
    )
    app.meta.group_parameters = everywhere
    app.meta.suppress_keyboard_interrupt = False
    groups = {name: App(name=name, help=text) for name, text in GROUPS.items()}
    for group in groups.values():
        app.command(group)
    for command in COMMANDS:
        *parent, name = command.words.split()
        (groups[parent[0]] if parent else app).command(
            f"{_PACKAGE}.{command.target}",
            name=name,
            help=command.summary,
            help_epilogue=f"Example: {PROGRAM} {command.example}",
        )

    @app.meta.default
    def meta(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        simulate: bool = False,
        output: Annotated[Output, Parameter(alias="-o")] = "table",
        api_url: str | None = None,
        token_file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
        context: str | None = None,
        limits: str | None = None,
        budget_store: str | None = None,
        timeout: str | None = None,
        quiet: Annotated[bool, Parameter(alias="-q")] = False,
        verbose: Annotated[bool, Parameter(alias="-v")] = False,
    ) -> int:
        """Take the options that every command has, before or after its name.

        Args:
            simulate: use an embedded simulator with 120 volumes; no token needed.
            output: how results are written (default table): wide has all columns, name only ids,
                json-full the API's own shape.
            api_url: where the API is; also DIGITALOCEAN_API_URL.
            token_file: a file that holds the token and nothing else; - is standard input.
            context: take the token of this doctl context.
            limits: REQUESTS/SECONDS,... (default 250/60,5000/3600); none for a simulator.
            budget_store: who shares the token's budget: process, machine (default), or a redis://
                or postgresql:// URL; also DO_BLOCKSTORE_BUDGET.
            timeout: 30s, 5m, 1h for each call, the wait for the budget included; not for bulk jobs.
            quiet: nothing but results and errors.
            verbose: events on stderr, and tracebacks of failures.
        """
        settings = Settings(
            simulate=simulate,
            api_url=api_url,
            shown=output,
            quiet=quiet,
            verbose=verbose,
            token_file=token_file,
            context=context,
            limits=limits,
            budget=budget_store,
            timeout_s=None if timeout is None else seconds_of(timeout, "--timeout"),
        )
        function, bound, _ = app.parse_args(tokens, print_error=False, exit_on_error=False)
        return launch(settings, lambda: function(*bound.args, **bound.kwargs))

    return app
