"""The bulk jobs that run on this machine at the moment, as their journals tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..._clock import wall_s
from ..._export import visible
from ..._log.places import state_folder

if TYPE_CHECKING:
    from ...bulk import RunStatus

__all__ = ["RunsUnderWay", "journal_name"]

# Who works on a run writes to its journal at least every few seconds.
_QUIET_S: Final = 60.0
_MOST: Final = 5
_KEPT: Final = 3


class RunsUnderWay:
    """Finds runs and how far they are.

    Args:
        journals: shown whatever their state: paths, or `postgresql://host/database#NAME`.
    """

    def __init__(self, journals: Sequence[str] = ()) -> None:
        self._named = tuple(journals)
        self._seen: dict[str, dict[str, Any]] = {}

    async def missing(self) -> list[str]:
        """Return those of the given journals that are not there yet.

        Raises:
            JournalError: something else is there, or it is not accessible.
        """
        from ...bulk import read_status

        return [name for name in self._named if await read_status(name) is None]

    async def read(self) -> list[dict[str, Any]]:
        """Return the runs, the newest first; those that have ended since stay for a while."""
        from ...bulk import JournalError, read_status

        found: dict[str, dict[str, Any]] = {}
        for journal in (*self._named, *_recent_journals()):
            try:
                status = await read_status(journal)
            except (JournalError, OSError):
                continue  # no journal, or one that is being removed
            if status is None or not (status.workers or journal in self._named):
                continue
            found[journal] = _shown(journal, status)
        for journal in self._seen.keys() - found.keys():
            self._seen[journal]["is_over"] = True
        self._seen = {**found, **{k: v for k, v in self._seen.items() if k not in found}}
        while len(self._seen) > max(_KEPT, len(found)):
            self._seen.popitem()
        return list(self._seen.values())


def _recent_journals() -> list[str]:
    try:
        folder = state_folder()
        files = [*folder.glob("*.db"), *folder.glob("jobs/*.db")]
    except OSError:
        return []
    changed = sorted(((_changed_s(file), str(file)) for file in files), reverse=True)
    return [file for at_s, file in changed[:_MOST] if wall_s() - at_s < _QUIET_S]


def _changed_s(file: Path) -> float:
    """When a database was written to; what is new in it may still be in the log beside it."""
    times = [0.0]
    for name in (file, file.with_name(f"{file.name}-wal")):
        try:
            times.append(name.stat().st_mtime)
        except OSError:
            continue
    return max(times)


def journal_name(journal: str) -> str:
    """Return what to call a journal: of a URL, which may hold a password, the name behind it."""
    return journal.rpartition("#")[2] if "://" in journal else Path(journal).stem


def _shown(journal: str, status: RunStatus) -> dict[str, Any]:
    return {
        "name": visible(journal_name(journal)),
        "kind": status.kind,
        "job": visible(status.job),
        "total": status.total,
        "done": status.done,
        "skipped": status.skipped,
        "failed": status.failed,
        "unknown": status.unknown,
        "remaining": status.remaining,
        "workers": [
            {"name": visible(worker.name), "in_flight": worker.in_flight}
            for worker in status.workers
        ],
        "ends_in_s": status.ends_in_s,
        "is_over": status.is_finished,
    }
