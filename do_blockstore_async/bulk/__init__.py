"""Bulk jobs: plan, run, resume, retain. Public as `store.bulk`; these are its values and errors.

Everything is imported when first used: a program that only makes single calls needs none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .errors import BulkError, GuardError, JournalError, PlanError
    from .guards import Guards
    from .inventory import Inventory, InventoryRow, InventoryTotal
    from .jobs import Bulk
    from .mapping import MapRun
    from .outcome import Outcome, Skip
    from .plan import Plan, SkippedStep, Step
    from .prices import Prices
    from .report import Report, ReportRow
    from .retention import Duration, Retention
    from .run import Run
    from .selection import Selection
    from .specs import VolumeSpec

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
    "Outcome",
    "Plan",
    "PlanError",
    "Prices",
    "Report",
    "ReportRow",
    "Retention",
    "Run",
    "Selection",
    "Skip",
    "SkippedStep",
    "Step",
    "VolumeSpec",
]

__getattr__, __dir__ = lazy_names(
    globals(),
    {
        "Bulk": ".jobs",
        "BulkError": ".errors",
        "Duration": ".retention",
        "GuardError": ".errors",
        "Guards": ".guards",
        "Inventory": ".inventory",
        "InventoryRow": ".inventory",
        "InventoryTotal": ".inventory",
        "JournalError": ".errors",
        "MapRun": ".mapping",
        "Outcome": ".outcome",
        "Plan": ".plan",
        "PlanError": ".errors",
        "Prices": ".prices",
        "Report": ".report",
        "ReportRow": ".report",
        "Retention": ".retention",
        "Run": ".run",
        "Selection": ".selection",
        "Skip": ".outcome",
        "SkippedStep": ".plan",
        "Step": ".plan",
        "VolumeSpec": ".specs",
    },
)
