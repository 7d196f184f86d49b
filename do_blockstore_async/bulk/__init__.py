"""Bulk jobs: plan, run, resume, retain. Public as `store.bulk`; these are its values and errors.

Everything is imported when first used: a program that only makes single calls needs none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .concurrency.map import MapRun
    from .errors import BulkError, GuardError, JournalError, NothingSelectedError, PlanError
    from .execution.journal_reader import remove_journal
    from .execution.run import Run
    from .execution.watch import read_details, read_status, watch_status
    from .model.guards import Guards
    from .model.inventory import Inventory, InventoryRow, InventoryTotal, SnapshotAgeGroup
    from .model.outcome import Outcome, Skip
    from .model.plan import Plan, SkippedStep, Step
    from .model.prices import Prices
    from .model.report import Report, ReportRow
    from .model.retention import Duration, Retention
    from .model.run_status import RunActivity, RunDetails, RunStatus, RunStep, RunWorker
    from .model.selection import Selection
    from .model.specs import VolumeSpec, parse_specs
    from .service import Bulk

__all__ = [
    "Bulk",
    "BulkError",
    "Duration",
    "GuardError",
    "Guards",
    "Inventory",
    "InventoryRow",
    "InventoryTotal",
    "JournalError",
    "MapRun",
    "NothingSelectedError",
    "Outcome",
    "Plan",
    "PlanError",
    "Prices",
    "Report",
    "ReportRow",
    "Retention",
    "Run",
    "RunActivity",
    "RunDetails",
    "RunStatus",
    "RunStep",
    "RunWorker",
    "Selection",
    "Skip",
    "SkippedStep",
    "SnapshotAgeGroup",
    "Step",
    "VolumeSpec",
    "parse_specs",
    "read_details",
    "read_status",
    "remove_journal",
    "watch_status",
]

__getattr__, __dir__ = lazy_names(
    globals(),
    {
        "Bulk": ".service",
        "BulkError": ".errors",
        "Duration": ".model.retention",
        "GuardError": ".errors",
        "Guards": ".model.guards",
        "Inventory": ".model.inventory",
        "InventoryRow": ".model.inventory",
        "InventoryTotal": ".model.inventory",
        "JournalError": ".errors",
        "MapRun": ".concurrency.map",
        "NothingSelectedError": ".errors",
        "Outcome": ".model.outcome",
        "Plan": ".model.plan",
        "PlanError": ".errors",
        "Prices": ".model.prices",
        "Report": ".model.report",
        "ReportRow": ".model.report",
        "Retention": ".model.retention",
        "Run": ".execution.run",
        "RunActivity": ".model.run_status",
        "RunDetails": ".model.run_status",
        "RunStatus": ".model.run_status",
        "RunStep": ".model.run_status",
        "RunWorker": ".model.run_status",
        "Selection": ".model.selection",
        "Skip": ".model.outcome",
        "SkippedStep": ".model.plan",
        "SnapshotAgeGroup": ".model.inventory",
        "Step": ".model.plan",
        "VolumeSpec": ".model.specs",
        "parse_specs": ".model.specs",
        "read_details": ".execution.watch",
        "read_status": ".execution.watch",
        "remove_journal": ".execution.journal_reader",
        "watch_status": ".execution.watch",
    },
)
