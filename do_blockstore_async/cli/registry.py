"""The commands of the program: their words, where each lives, its line in the help, an example.

Commands are named as `module:function` and imported when they are run, so this table costs
nothing; completion and help pages read it with nothing else loaded. A test runs all examples.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ALIASES",
    "COMMANDS",
    "GROUPS",
    "PROGRAM",
    "SECTIONS",
    "Command",
    "find",
    "resolve",
    "words_of",
]

PROGRAM = "do-blockstore"


class Command(NamedTuple):
    """One command: its words, where it lives, its line in the help and an example."""

    words: str
    target: str
    summary: str
    example: str


GROUPS = {
    "volumes": "Volumes, and attaching, detaching and resizing them.",
    "snapshots": "Snapshots of volumes.",
    "actions": "Actions in progress or finished on a volume.",
    "regions": "Data center regions.",
    "bulk": "Jobs over many volumes: planned, guarded, resumable.",
    "journals": "Journals of bulk jobs: how far each is, and how to resume it.",
    "jobs": "Jobs of a file, for many accounts: here and now, or by workers on many machines.",
    "config": "The configuration file.",
    "contexts": "Contexts: which token goes to which API.",
}

# How the first page of the help lists groups and commands.
SECTIONS = {
    "Resources": ("volumes", "snapshots", "actions", "regions"),
    "Many volumes at once": ("bulk", "jobs", "journals"),
    "The account": ("quota", "contexts", "config"),
    "Trying and setting up": ("simulator", "completion", "man", "help"),
}

# What people type who come from a shell, doctl, gh or kubectl; a command's own word comes first.
ALIASES = {
    "action": "actions",
    "context": "contexts",
    "del": "delete",
    "describe": "get",
    "find": "get",
    "inspect": "get",
    "job": "jobs",
    "ls": "list",
    "region": "regions",
    "remove": "delete",
    "rm": "delete",
    "show": "get",
    "snap": "snapshots",
    "snapshot": "snapshots",
    "use-context": "use",
    "vol": "volumes",
    "volume": "volumes",
}

_ID = "506f78a4-e098-11e5-ad9f-000f53306ae1"

COMMANDS = (
    Command(
        "volumes list",
        "commands.volumes:list_",
        "List volumes, in all regions at once.",
        "volumes list --region nyc3 --output csv",
    ),
    Command(
        "volumes get",
        "commands.volumes:get",
        "Show one volume.",
        "volumes get db-1 --region nyc3",
    ),
    Command(
        "volumes create",
        "commands.volumes:create",
        "Create a volume.",
        "volumes create db-1 --region nyc3 --size 100GiB --filesystem-type ext4",
    ),
    Command(
        "volumes delete",
        "commands.volumes:delete",
        "Delete a volume and its data permanently.",
        "volumes delete db-1 --region nyc3",
    ),
    Command(
        "volumes attach",
        "commands.volumes:attach",
        "Attach a volume to a Droplet.",
        "volumes attach db-1 --region nyc3 --droplet 3164444 --wait",
    ),
    Command(
        "volumes detach",
        "commands.volumes:detach",
        "Detach a volume from a Droplet.",
        "volumes detach db-1 --droplet 3164444",
    ),
    Command(
        "volumes resize",
        "commands.volumes:resize",
        "Make a volume larger.",
        "volumes resize db-1 200 --wait",
    ),
    Command(
        "snapshots list",
        "commands.snapshots:list_",
        "List snapshots of one volume, or of all.",
        "snapshots list --volume db-1 --older-than 30d",
    ),
    Command(
        "snapshots get", "commands.snapshots:get", "Show one snapshot.", f"snapshots get {_ID}"
    ),
    Command(
        "snapshots create",
        "commands.snapshots:create",
        "Take a snapshot of a volume.",
        "snapshots create db-1 db-1-before-upgrade --tag keep",
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
        "actions list db-1",
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
        "bulk delete --tag staging --unattached --snapshot-first --journal clean-up.db",
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
        "journals list",
        "bulk.journals:list_",
        "List journals: whose, how far, how to resume.",
        "journals list",
    ),
    Command(
        "journals show",
        "bulk.journals:show",
        "Show each step of a journal, and what became of it.",
        "journals show nightly.db --state failed",
    ),
    Command(
        "jobs check",
        "jobs.commands:check",
        "Check a jobs file; show what is due when.",
        "jobs check fleet.toml",
    ),
    Command(
        "jobs run",
        "jobs.commands:run",
        "Run a job of a file in all its accounts.",
        "jobs run fleet.toml nightly",
    ),
    Command(
        "jobs worker",
        "jobs.commands:worker",
        "Work on the queue of a jobs file.",
        "jobs worker fleet.toml",
    ),
    Command(
        "jobs schedule",
        "jobs.commands:schedule",
        "Queue the jobs of a file when they are due.",
        "jobs schedule fleet.toml",
    ),
    Command(
        "jobs status",
        "jobs.commands:status",
        "Show how far runs are, and who works on them.",
        "jobs status fleet.toml",
    ),
    Command(
        "jobs migrate",
        "jobs.commands:migrate",
        "Make or upgrade the tables of the queue.",
        "jobs migrate fleet.toml",
    ),
    Command(
        "quota",
        "commands.quota:quota",
        "Show the token's request budget.",
        "quota --watch --interval 5",
    ),
    Command(
        "contexts list",
        "commands.contexts:list_",
        "List the contexts of the configuration file and of doctl.",
        "contexts list",
    ),
    Command(
        "contexts use",
        "commands.contexts:use",
        "Choose the context to use when none is named.",
        "contexts use production",
    ),
    Command(
        "config show",
        "commands.config:show",
        "Show the settings in force, and where each comes from.",
        "config show",
    ),
    Command(
        "config path",
        "commands.config:path",
        "Print where the configuration file is.",
        "config path",
    ),
    Command(
        "config init",
        "commands.config:init",
        "Write a configuration file to start from.",
        "config init",
    ),
    Command(
        "simulator",
        "commands.simulator:simulator",
        "Run a local simulator of the API.",
        "simulator --port 8080 --volumes 120 --limits none",
    ),
    Command(
        "completion",
        "commands.shell:completion",
        "Print a completion script for your shell.",
        "completion bash",
    ),
    Command("man", "commands.shell:man", "Print the manual page.", "man > do-blockstore.1"),
    Command("help", "commands.shell:help_", "Show the help of a command.", "help bulk snapshot"),
)


def find(words: str) -> Command | None:
    """Return the command with these words."""
    return next((command for command in COMMANDS if command.words == words), None)


def resolve(word: str, group: str | None = None) -> str | None:
    """Return the word that a user's word stands for: itself, or what it is an alias of.

    Args:
        word: what was typed.
        group: the group it follows; None at the top.
    """
    known = words_of(group)
    for each in (word, ALIASES.get(word)):
        if each in known:
            return each
    return None


def words_of(group: str | None = None) -> dict[str, str]:
    """Return the words that may come next, each with its line of help.

    Args:
        group: the group they follow; None for those at the top.
    """
    if group is None:
        single = {each.words: each.summary for each in COMMANDS if " " not in each.words}
        return {**GROUPS, **single}
    inside = f"{group} "
    return {
        each.words.removeprefix(inside): each.summary
        for each in COMMANDS
        if each.words.startswith(inside)
    }
