"""The options of bulk jobs, and the values of `store.bulk` they become.

What is not given is None or empty, so that an option typed beside `--resume` is noticed, whatever
its value.
"""

from __future__ import annotations

import math
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

import attrs
from cyclopts import Group, Parameter

from ..._log.places import state_folder
from ...errors import InvalidArgumentError
from ..exit_codes import UsageError
from ..options import Settings, selection_of
from ..output.terminal import print_stderr

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...bulk.execution.run import Run
    from ...bulk.model.guards import Guards
    from ...bulk.model.plan import Plan
    from ...bulk.model.retention import Retention
    from ...bulk.model.selection import Selection
    from ...bulk.service import Bulk

__all__ = [
    "Job",
    "Keep",
    "Pick",
    "ProgressStyle",
    "RunFlags",
    "no_journal",
    "quoted_journal",
    "share_of",
    "shown_journal",
]

ProgressStyle = Literal["auto", "bar", "lines", "json", "none"]

_PERIODS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")

_PICK = Group("Which volumes (all by default)", sort_key=10)
_KEEP = Group("Which snapshots to keep, of each volume (restic's meaning; -1 is all)", sort_key=20)
_RUN = Group("How it runs", sort_key=30)


def _given(options: Any) -> tuple[str, ...]:
    """Return the names of the options that were typed."""
    fields = attrs.fields(type(options))
    values = ((field.name, getattr(options, field.name)) for field in fields)
    # By identity: 0 was typed, too.
    return tuple(
        f"--{name.replace('_', '-')}"
        for name, value in values
        if value is not None and value is not False and value != ()
    )


def share_of(option: str, text: str | None) -> float | None:
    """Read a share: `0.25`, or `25%`.

    Raises:
        UsageError: it is neither, or not between 0 and 1.
    """
    if text is None:
        return None
    number, percent, rest = text.strip().partition("%")
    try:
        share = math.nan if rest else float(number) / (100 if percent else 1)
    except ValueError:
        share = math.nan
    if 0 <= share <= 1:
        return share
    example = ""
    if 1 < share <= 100 and not percent:
        example = f"; {share:g} % is {share / 100:g} or {share:g}%"
    raise UsageError(
        f"{option} takes a share between 0 and 1, such as 0.25 or 25%, not {text!r}{example}"
    )


def _check_number(option: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UsageError(f"{option} takes a whole number, {least} or more, not {value}")


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
    name: str | None = None
    attached: bool = False
    unattached: bool = False

    @property
    def given(self) -> tuple[str, ...]:
        """The options that were typed."""
        return _given(self)

    def selection(self) -> Selection:
        """Return the same for `store.bulk`."""
        return selection_of(
            regions=self.region,
            tags=self.tag,
            exclude_tags=self.exclude_tag,
            name=self.name,
            attached=self.attached,
            unattached=self.unattached,
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
        max_pruned_share: prune at most this share of one volume's snapshots (default 0.75).
    """

    keep_last: int | None = None
    keep_hourly: int | None = None
    keep_daily: int | None = None
    keep_weekly: int | None = None
    keep_monthly: int | None = None
    keep_yearly: int | None = None
    keep_within: str | None = None
    keep_tag: tuple[str, ...] = ()
    match_by: Literal["tag", "name"] | None = None
    max_pruned_share: str | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """The options that were typed."""
        return _given(self)

    def retention(self) -> Retention | None:
        """The same for `store.bulk`; None without any rule."""
        from ...bulk.model.retention import Retention

        if attrs.evolve(self, match_by=None, max_pruned_share=None) == Keep():
            return None
        counts = {each: getattr(self, f"keep_{each}") for each in _PERIODS}
        for each, count in counts.items():
            if count is not None and count < -1:
                raise UsageError(f"--keep-{each} takes a whole number, or -1 for all, not {count}")
        try:
            return Retention(
                **{each: count or 0 for each, count in counts.items()},
                within=self.keep_within,
                tags=self.keep_tag,
            )
        except InvalidArgumentError as error:
            if not any((*counts.values(), self.keep_within, self.keep_tag)):
                raise UsageError(
                    "no --keep-* rule keeps anything: give one, such as --keep-last 2"
                ) from None
            which = "--keep-tag" if "keep tags" in str(error) else "--keep-within"
            text = str(error).removeprefix("keep tags: ").removeprefix("keep within: ")
            raise UsageError(f"{which}: {text}") from None

    def how(self) -> dict[str, Any]:
        """How pruning goes, as keywords of `store.bulk`; only what was given."""
        share = share_of("--max-pruned-share", self.max_pruned_share)
        return _without_none(match_by=self.match_by, max_pruned_share=share)


@Parameter(name="*", group=_RUN)
@attrs.frozen(kw_only=True)
class Job:
    """What the job is called.

    Args:
        job: the job's name; only snapshots it tagged bulk-job:NAME are pruned (default nightly).
        template: snapshot names (default {volume}-{region}-{date}); also {time}, {volume:.40}.
        time_zone: of the names and of the days to keep, such as Europe/Rome (default UTC).
    """

    job: str | None = None
    template: str | None = None
    time_zone: str | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """The options that were typed."""
        return _given(self)

    def names(self) -> dict[str, Any]:
        """The same as keywords of `store.bulk`; only what was given."""
        return _without_none(job=self.job, name_template=self.template, time_zone=self.time_zone)


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@Parameter(name="*", group=_RUN)
@attrs.frozen(kw_only=True)
class RunFlags:
    """How it runs.

    Args:
        dry_run: show the plan with every step, and stop; with --resume, what is left of it.
        yes: do not ask.
        journal: record the run in this file or postgresql://HOST/DB#NAME (default a new file).
        resume: continue the run recorded in --journal.
        retry_failed: with --resume: repeat only what failed.
        max_failures: stop after more than N failures (default 10).
        max_items: delete at most N (default 100 volumes, 10000 snapshots).
        max_share: delete at most this share (default 25% of volumes, 90% of snapshots).
        concurrency: maximum concurrent requests (default 16).
        report: write the outcome of every item to this file: .json, .csv, or text.
        progress: how progress is told (default auto: a bar at a terminal, else lines).
    """

    dry_run: Annotated[bool, Parameter(alias="-n")] = False
    yes: Annotated[bool, Parameter(alias="-y")] = False
    journal: str | None = None
    resume: bool = False
    retry_failed: bool = False
    max_failures: int = 10
    max_items: int | None = None
    max_share: str | None = None
    concurrency: int = 16
    report: Path | None = None
    progress: ProgressStyle = "auto"

    def check(self, given: tuple[str, ...] = ()) -> None:
        """Reject options that exclude each other or are out of range, before anything is sent.

        Args:
            given: the options typed that would change the plan.

        Raises:
            UsageError: see its message.
        """
        if self.resume and self.journal is None:
            raise UsageError("--resume continues a journal: name it with --journal FILE")
        if self.retry_failed and not self.resume:
            raise UsageError("--retry-failed repeats the failures of an earlier run: add --resume")
        if self.resume and given:
            raise UsageError(
                f"--resume continues the plan in the journal, which {', '.join(given)} would "
                "change: leave that out, or make a new plan without --resume"
            )
        _check_number("--concurrency", self.concurrency, 1)
        _check_number("--max-failures", self.max_failures, 0)
        _check_number("--max-items", self.max_items, 0)
        share_of("--max-share", self.max_share)
        if self.progress == "json" and not (self.yes or self.dry_run):
            raise UsageError("--progress json is for programs and cannot ask: add --yes")
        self._check_places()

    def _check_places(self) -> None:
        if self.journal is not None and not self.resume and "://" not in self.journal:
            if Path(self.journal).exists():
                raise self.exists()
            folder = Path(self.journal).absolute().parent
            if not folder.is_dir():
                raise UsageError(f"the folder of the journal {self.journal} does not exist")
            if not os.access(folder, os.W_OK | os.X_OK):
                raise UsageError(
                    f"the journal {self.journal} cannot be made: {folder} is not writable"
                )
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

        return Guards(max_items=self.max_items, max_share=share_of("--max-share", self.max_share))

    def started(self, bulk: Bulk, plan: Plan, journal: str | None) -> Run:
        """Make a run of the plan with these options."""
        return bulk.run(plan, journal=journal, **self._options())

    def resumed(self, bulk: Bulk, journal: str) -> Run:
        """Make a run that goes on with a journal, with these options."""
        return bulk.resume(journal, retry_failed=self.retry_failed, **self._options())

    def _options(self) -> dict[str, Any]:
        return {
            "max_failures": self.max_failures,
            "concurrency": self.concurrency,
            "max_items": self.max_items,
            "max_share": share_of("--max-share", self.max_share),
        }

    def journal_path(
        self,
        settings: Settings,
        job: str,
        stamp: str,
        tell: Callable[[str], None] = print_stderr,
    ) -> tuple[str | None, bool]:
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
            tell(no_journal(str(error.strerror)))
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


def quoted_journal(journal: str) -> str:
    """Return a journal's name for a command line that can be pasted."""
    return shlex.quote(shown_journal(journal))


def no_journal(reason: str) -> str:
    """Say that a run goes on without a journal of its own, and what that means."""
    return (
        f"no journal ({reason}): if this run dies, run the command again, which skips what is "
        "there; or name a file with --journal"
    )
