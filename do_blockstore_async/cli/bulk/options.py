"""The options of bulk jobs, and the values of `store.bulk` they become."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

import attrs
from cyclopts import Group, Parameter

from ..._log.places import state_folder
from ..exit_codes import UsageError
from ..options import Settings
from ..output.terminal import print_stderr

if TYPE_CHECKING:
    from ...bulk.execution.run import Run
    from ...bulk.model.guards import Guards
    from ...bulk.model.plan import Plan
    from ...bulk.model.retention import Retention
    from ...bulk.model.selection import Selection
    from ...bulk.service import Bulk

__all__ = ["Job", "Keep", "Pick", "RunFlags", "shown_journal", "tell_no_journal"]

_PICK = Group("Which volumes (all by default)", sort_key=10)
_KEEP = Group("Which snapshots to keep, of each volume (restic's meaning; -1 is all)", sort_key=20)
_RUN = Group("How it runs", sort_key=30)


@Parameter(name="*", group=_PICK)
@attrs.frozen(kw_only=True)
class Pick:
    """Which volumes.

    Args:
        region: in this region; repeat it for more.
        tag: with this tag; repeat it: with all of them.
        exclude_tag: without this tag; repeat it for more.
        name: whose name matches this pattern, such as 'db-*'.
        attached: only those attached to a Droplet.
        unattached: only those that are not.
    """

    region: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    exclude_tag: tuple[str, ...] = ()
    name: str = ""
    attached: bool = False
    unattached: bool = False

    def words(self) -> str:
        """Say which volumes these are, in words."""
        named = [
            *(("regions " if len(self.region) > 1 else "region ") + ", ".join(self.region),)
            * bool(self.region),
            *(f"tag {tag}" for tag in self.tag),
            *(f"without tag {tag}" for tag in self.exclude_tag),
            *((f"name {self.name}",) if self.name else ()),
            *(("attached",) if self.attached else ()),
            *(("unattached",) if self.unattached else ()),
        ]
        return "; ".join(named) or "all volumes"

    def selection(self) -> Selection:
        """Return the same for `store.bulk`."""
        from ...bulk.model.selection import Selection

        if self.attached and self.unattached:
            raise UsageError("--attached and --unattached exclude each other")
        return Selection(
            regions=self.region,
            tags=self.tag,
            exclude_tags=self.exclude_tag,
            name=self.name,
            attached=True if self.attached else False if self.unattached else None,
        )


@Parameter(name="*", group=_KEEP)
@attrs.frozen(kw_only=True)
class Keep:
    """What to keep.

    Args:
        keep_last: keep the newest N.
        keep_hourly: the newest of each of the last N hours that have one.
        keep_daily: of each of the last N days.
        keep_weekly: of each of the last N weeks.
        keep_monthly: of each of the last N months.
        keep_yearly: of each of the last N years.
        keep_within: all within this time before the newest, such as 2d or 1y6m.
        keep_tag: all with this tag; a,b asks for both; repeat it for more.
        match_by: recognize the job's snapshots by its tag, or by their names (default tag).
        max_pruned_share: allow pruning of this share of one volume's snapshots (default 0.75).
    """

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: str | None = None
    keep_tag: tuple[str, ...] = ()
    match_by: Literal["tag", "name"] = "tag"
    max_pruned_share: float = 0.75

    def retention(self) -> Retention | None:
        """The same for `store.bulk`; None without any rule."""
        from ...bulk.model.retention import Retention

        if attrs.evolve(self, match_by="tag", max_pruned_share=0.75) == Keep():
            return None
        return Retention(
            last=self.keep_last,
            hourly=self.keep_hourly,
            daily=self.keep_daily,
            weekly=self.keep_weekly,
            monthly=self.keep_monthly,
            yearly=self.keep_yearly,
            within=self.keep_within,
            tags=self.keep_tag,
        )


@Parameter(name="*", group=_RUN)
@attrs.frozen(kw_only=True)
class Job:
    """What the job is called.

    Args:
        job: the job's name; it tags its snapshots bulk-job:NAME, and only those are pruned
            (default nightly, of `bulk delete` delete).
        template: names of new snapshots (default {volume}-{region}-{date}); also {time}, {job},
            {volume_id}, {volume:.40}.
        time_zone: of the names and of the days to keep, such as Europe/Rome (default UTC).
    """

    job: str = "nightly"
    template: str = "{volume}-{region}-{date}"
    time_zone: str = "UTC"


@Parameter(name="*", group=_RUN)
@attrs.frozen(kw_only=True)
class RunFlags:
    """How it runs.

    Args:
        dry_run: show the plan with every step, and stop.
        yes: do not ask.
        journal: record the run in this file, or in postgresql://HOST/DB#NAME; by default in a new
            file in the state directory.
        resume: continue the run recorded in --journal.
        retry_failed: with --resume: repeat only what failed.
        max_failures: stop after more than N failures (default 10).
        max_items: allow N deletions (100 volumes, 10000 snapshots).
        max_share: allow deletion of this share of all (0.25 of volumes, 0.9 of snapshots).
        concurrency: maximum concurrent requests (default 16).
        report: write the outcome of every item to this file: .json, .csv, or text.
    """

    dry_run: Annotated[bool, Parameter(alias="-n")] = False
    yes: Annotated[bool, Parameter(alias="-y")] = False
    journal: str | None = None
    resume: bool = False
    retry_failed: bool = False
    max_failures: int = 10
    max_items: int | None = None
    max_share: float | None = None
    concurrency: int = 16
    report: Path | None = None

    def check(self) -> None:
        """Reject options that exclude each other.

        Raises:
            UsageError: see its message.
        """
        if self.resume and self.journal is None:
            raise UsageError("--resume continues a journal: name it with --journal FILE")
        if self.retry_failed and not self.resume:
            raise UsageError("--retry-failed repeats the failures of an earlier run: add --resume")
        if self.resume and self.dry_run:
            raise UsageError("--resume runs the plan in the journal: leave --dry-run out")
        if self.journal is not None and not self.resume and "://" not in self.journal:
            if Path(self.journal).exists():
                raise self.exists()
            if not Path(self.journal).absolute().parent.is_dir():
                raise UsageError(f"the folder of the journal {self.journal} does not exist")
        if self.report is not None:
            try:
                self.report.open("a").close()
            except OSError as error:
                raise UsageError(
                    f"the report cannot be written to {self.report}: {error.strerror}"
                ) from None

    def exists(self) -> UsageError:
        """A run is recorded in the journal already."""
        return UsageError(
            f"the journal {shown_journal(self.journal)} exists: add --resume to continue it, "
            "or name another"
        )

    def guards(self) -> Guards:
        """The same for `store.bulk`: how much may be deleted."""
        from ...bulk.model.guards import Guards

        return Guards(max_items=self.max_items, max_share=self.max_share)

    def started(self, bulk: Bulk, plan: Plan, journal: str | None) -> Run:
        """Make a run of the plan with these options."""
        return bulk.run(plan, journal=journal, **self._options())

    def resumed(self, bulk: Bulk, journal: str) -> Run:
        """Make a run that goes on with a journal, with these options."""
        return bulk.resume(journal, retry_failed=self.retry_failed, **self._options())

    def _options(self) -> dict[str, Any]:
        shared = ("max_failures", "concurrency", "max_items", "max_share")
        return {name: getattr(self, name) for name in shared}

    def journal_path(self, settings: Settings, job: str, stamp: str) -> tuple[str | None, bool]:
        """Where the journal goes, and whether it is ours to remove once all is done.

        A run against the embedded simulator needs none: what it could resume ends with it.
        """
        if self.journal is not None:
            return self.journal, False
        if settings.simulate:
            return None, False
        try:
            folder = state_folder()
        except OSError as error:
            tell_no_journal(str(error.strerror))
            return None, False
        # The process id keeps two runs that begin in the same second apart.
        return str(folder / f"{job.replace(':', '-')}-{stamp}-{os.getpid()}.db"), True


def shown_journal(journal: str | None) -> str:
    """Return a journal's name for a message: without the passwords of a URL."""
    if journal is None or "://" not in journal:
        return str(journal)
    try:
        url = urlsplit(journal)
    except ValueError:
        return "of that URL"
    user, _, host = url.netloc.rpartition("@")
    name = user.partition(":")[0]
    query = "&".join(each for each in url.query.split("&") if "password" not in each.lower())
    if "@" in f"{url.path}{query}{url.fragment}":
        return "of that URL"
    netloc = f"{name}@{host}" if name else host
    return urlunsplit(url._replace(netloc=netloc, query=query))


def tell_no_journal(reason: str) -> None:
    """Say that a run goes on without a journal of its own, and what that means."""
    print_stderr(
        f"no journal ({reason}): if this run dies, run the command again, which skips what is "
        "there; or name a file with --journal"
    )
