"""What a jobs file says: accounts, jobs, when and with which options. Pure data.

No token stands here: an account names the environment variable or the file that holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

import attrs

from ..bulk.model.retention import Retention
from ..bulk.model.selection import Selection
from ..bulk.model.snapshot_names import TEMPLATE
from .schedule import Schedule

__all__ = ["API_URL", "Account", "Job", "JobKind", "JobsFile"]

API_URL: Final = "https://api.digitalocean.com"

JobKind: TypeAlias = Literal[
    "snapshot", "prune", "delete", "orphan-tags", "orphan-delete", "inventory"
]


@attrs.frozen(kw_only=True)
class Account:
    """An account: where its token stands, and where its API is.

    Attributes:
        token_env: the environment variable that holds the token.
        token_file: the file that holds the token and nothing else. One of the two is given.
    """

    name: str
    token_env: str | None = None
    token_file: Path | None = None
    base_url: str = API_URL

    @property
    def token_place(self) -> str:
        """Where the token stands, in words."""
        return f"the file {self.token_file}" if self.token_file else f"${self.token_env}"


@attrs.frozen(kw_only=True)
class Job:
    """A job over some accounts; options that its kind does not know have their defaults.

    Attributes:
        kind: what it does; each is a plan of `store.bulk`, or its inventory.
        accounts: names of accounts.
        schedule: when it is due; None for a job that only runs when it is asked for.
        time_zone: of snapshot names and of the days that `keep` counts.
        snapshots_of: the job whose snapshots a `prune` prunes.
        report: path of a file for the report of each run, with `{account}`, `{job}`, `{date}` and
            `{time}`.
    """

    name: str
    kind: JobKind
    accounts: tuple[str, ...]
    schedule: Schedule | None = None
    time_zone: str = "UTC"
    select: Selection | None = None
    keep: Retention | None = None
    match_by: Literal["tag", "name"] = "tag"
    max_pruned_share: float = 0.75
    name_template: str = TEMPLATE
    tags: tuple[str, ...] = ()
    snapshots_of: str | None = None
    snapshot_first: bool = False
    grace_days: int = 30
    prefix: str | None = None
    snapshots: bool = True
    max_failures: int = 10
    max_items: int | None = None
    max_share: float | None = None
    concurrency: int = 16
    per_region: int | None = None
    report: str | None = None


@attrs.frozen(kw_only=True)
class JobsFile:
    """A jobs file, read and checked.

    Attributes:
        name: tells the files that share a database apart.
        database: URL of the PostgreSQL with the queue; may hold a password, so never shown.
        budget: who shares each token's budget, as `Config.budget`; None for the default: the
            database where there is one, else this machine.
        keep_days: for how many days the database keeps reports.
    """

    path: Path
    name: str
    database: str | None = attrs.field(default=None, repr=False)
    budget: str | None = attrs.field(default=None, repr=False)
    keep_days: int = 90
    accounts: Mapping[str, Account]
    jobs: Mapping[str, Job]
