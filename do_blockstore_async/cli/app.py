"""The commands, their global options, and what `--help` says of them.

Commands are named as `module:function` and imported when they are run or asked for help, so this
table costs nothing. Each has an example; a test runs through them all.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import App, Group, Parameter

from .options import Output, Settings

__all__ = ["COMMANDS", "PROGRAM", "Command", "build"]

PROGRAM = "do-blockstore"
_PACKAGE = "do_blockstore_async.cli"

Launch = Callable[[Settings, Callable[[], Coroutine[Any, Any, int] | int]], int]


@attrs.frozen
class Command:
    """One command: its words, where it lives, its line in the help and an example."""

    words: str
    target: str
    summary: str
    example: str


_GROUPS = {
    "volumes": "Volumes, and attaching, detaching and resizing them.",
    "snapshots": "Snapshots of volumes.",
    "actions": "Actions in progress or finished on a volume.",
    "regions": "Data center regions.",
    "bulk": "Jobs over many volumes: planned, guarded, resumable.",
}

_ID = "506f78a4-e098-11e5-ad9f-000f53306ae1"

COMMANDS = (
    Command(
        "volumes list",
        "commands.volumes:list_",
        "List volumes, in all regions at once.",
        "volumes list --region nyc3 --output csv",
    ),
    Command("volumes get", "commands.volumes:get", "Show one volume.", f"volumes get {_ID}"),
    Command(
        "volumes find",
        "commands.volumes:find",
        "Show the volume with this name in this region.",
        "volumes find db-1 --region nyc3",
    ),
    Command(
        "volumes create",
        "commands.volumes:create",
        "Create a volume.",
        "volumes create db-1 --region nyc3 --size-gigabytes 100 --filesystem-type ext4",
    ),
    Command(
        "volumes delete",
        "commands.volumes:delete",
        "Delete a volume and its data permanently.",
        "volumes delete --name db-1 --region nyc3",
    ),
    Command(
        "volumes attach",
        "commands.volumes:attach",
        "Attach a volume to a Droplet.",
        "volumes attach --name db-1 --region nyc3 --droplet 3164444 --wait",
    ),
    Command(
        "volumes detach",
        "commands.volumes:detach",
        "Detach a volume from a Droplet.",
        f"volumes detach {_ID} --droplet 3164444",
    ),
    Command(
        "volumes resize",
        "commands.volumes:resize",
        "Make a volume larger.",
        f"volumes resize {_ID} 200 --wait",
    ),
    Command(
        "snapshots list",
        "commands.snapshots:list_",
        "List snapshots of one volume, or of all.",
        f"snapshots list --volume {_ID}",
    ),
    Command(
        "snapshots get", "commands.snapshots:get", "Show one snapshot.", f"snapshots get {_ID}"
    ),
    Command(
        "snapshots create",
        "commands.snapshots:create",
        "Take a snapshot of a volume.",
        f"snapshots create {_ID} db-1-before-upgrade --tag keep",
    ),
    Command(
        "snapshots delete",
        "commands.snapshots:delete",
        "Delete a snapshot permanently.",
        f"snapshots delete {_ID} --yes",
    ),
    Command(
        "actions list",
        "commands.actions:list_",
        "List the actions of a volume.",
        f"actions list {_ID}",
    ),
    Command(
        "actions get", "commands.actions:get", "Show one action.", f"actions get {_ID} 72531856"
    ),
    Command(
        "actions wait",
        "commands.actions:wait",
        "Wait until an action has finished.",
        f"actions wait {_ID} 72531856 --timeout 60",
    ),
    Command(
        "regions list", "commands.regions:list_", "List the regions.", "regions list --storage"
    ),
    Command(
        "bulk snapshot",
        "bulk.commands:snapshot",
        "Snapshot many volumes; prune old snapshots.",
        "bulk snapshot --tag prod --keep-daily 7 --keep-weekly 4 --yes",
    ),
    Command(
        "bulk prune",
        "bulk.commands:prune",
        "Delete snapshots that no --keep-* rule keeps.",
        "bulk prune --keep-last 2 --dry-run",
    ),
    Command(
        "bulk delete",
        "bulk.commands:delete",
        "Delete many volumes.",
        "bulk delete --tag staging --unattached --snapshot-first --journal clean-up.journal",
    ),
    Command(
        "bulk create",
        "bulk.commands:create",
        "Create many volumes from a file.",
        "bulk create volumes.csv --dry-run",
    ),
    Command(
        "bulk inventory",
        "bulk.commands:inventory",
        "List volumes with snapshots, costs and ages.",
        "bulk inventory --output csv > inventory.csv",
    ),
    Command(
        "quota",
        "commands.quota:quota",
        "Show the token's request budget.",
        "quota --watch --interval 5",
    ),
    Command(
        "simulator",
        "commands.simulator:simulator",
        "Run a local simulator of the API.",
        "simulator --port 8080 --volumes 120 --limits none",
    ),
    Command(
        "completion",
        "commands.completion:completion",
        "Print a completion script for your shell.",
        "completion bash > ~/.local/share/bash-completion/completions/do-blockstore",
    ),
)

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
    from .output.terminal import errors, pages

    everywhere = Group("Options for every command", sort_key=90)
    app = App(
        name=PROGRAM,
        help=_ABOUT,
        help_format="plaintext",
        help_epilogue=_EXITS,
        version=_version,
        console=pages(),
        error_console=errors(),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        # `--no-x` and `--empty-x` for every flag and list would double the help.
        default_parameter=Parameter(negative=(), show_default=False, show_env_var=False),
    )
    app.meta.group_parameters = everywhere
    app.meta.suppress_keyboard_interrupt = False
    groups = {name: App(name=name, help=text) for name, text in _GROUPS.items()}
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
        timeout: float | None = None,
        verbose: Annotated[bool, Parameter(alias="-v")] = False,
    ) -> int:
        """Take the options that every command has, before or after its name.

        Args:
            simulate: use an embedded simulator with 120 volumes; no token needed.
            output: how results are written (default table).
            api_url: where the API is; also DIGITALOCEAN_API_URL.
            token_file: a file that holds the token and nothing else; - is standard input.
            context: take the token of this doctl context.
            limits: REQUESTS/SECONDS,... (default 250/60,5000/3600); none for a simulator.
            timeout: seconds for each call, the wait for the budget included; not for bulk jobs.
            verbose: events on stderr, and tracebacks of failures.
        """
        settings = Settings(
            simulate=simulate,
            api_url=api_url,
            output=output,
            verbose=verbose,
            token_file=token_file,
            context=context,
            limits=limits,
            timeout_s=timeout,
        )
        function, bound, _ = app.parse_args(tokens, print_error=False, exit_on_error=False)
        return launch(settings, lambda: function(*bound.args, **bound.kwargs))

    return app
