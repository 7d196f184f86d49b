"""Bulk jobs: plan, run, resume, retain. Public as `store.bulk`; these are its values and errors.

Everything is imported when first used: a program that only makes single calls needs none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import BulkError, GuardError, JournalError, PlanError
    from .guards import Guards
    from .inventory import Inventory, InventoryRow, InventoryTotal
    from .jobs import Bulk
    from .mapping import Fanout
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
    "Fanout",
    "GuardError",
    "Guards",
    "Inventory",
    "InventoryRow",
    "InventoryTotal",
    "JournalError",
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

_HOME = {
    "Bulk": "jobs",
    "BulkError": "errors",
    "Duration": "retention",
    "Fanout": "mapping",
    "GuardError": "errors",
    "Guards": "guards",
    "Inventory": "inventory",
    "InventoryRow": "inventory",
    "InventoryTotal": "inventory",
    "JournalError": "errors",
    "Outcome": "outcome",
    "Plan": "plan",
    "PlanError": "errors",
    "Prices": "prices",
    "Report": "report",
    "ReportRow": "report",
    "Retention": "retention",
    "Run": "run",
    "Selection": "selection",
    "Skip": "outcome",
    "SkippedStep": "plan",
    "Step": "plan",
    "VolumeSpec": "specs",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
