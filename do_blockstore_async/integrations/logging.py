"""Events as structured records of the standard library's logging.

    config = Config(hooks=(LoggingHook(),))

Each event is one record: a sentence to read, and `record.blockstore`, a dict with the event's name
and fields, for formatters that write JSON; `JsonFormatter` is a small one. Calls and attempts are
logged at DEBUG, retries and reconciled outcomes at INFO, failed calls, pauses and changed limits at
WARNING. Nothing that an event carries is secret, and nothing else is logged.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from ..events import (
    AttemptFinished,
    AttemptSent,
    CallFinished,
    CallStarted,
    Event,
    HeaderIgnored,
    LimitChanged,
    ListingRestarted,
    OutcomeReconciled,
    PeerJoined,
    PeerLost,
    QuotaPaused,
    QuotaResumed,
    QuotaWaitBegan,
    QuotaWaited,
    RetryScheduled,
    SharedBudgetAway,
    SharedBudgetBack,
    TurnPassed,
)

__all__ = ["JsonFormatter", "LoggingHook"]

_FORMS: Final[dict[type[Any], tuple[int, str, str]]] = {
    CallStarted: (logging.DEBUG, "call_started", "{method} {route} started"),
    AttemptSent: (
        logging.DEBUG,
        "attempt_sent",
        "{method} {route} attempt {attempt} sent after waiting {waited_s:.3f} s",
    ),
    AttemptFinished: (
        logging.DEBUG,
        "attempt_finished",
        "{method} {route} attempt {attempt}: {outcome} after {duration_s:.3f} s",
    ),
    RetryScheduled: (
        logging.INFO,
        "retry_scheduled",
        "{method} {route} is retried in {delay_s:.3f} s ({reason})",
    ),
    CallFinished: (
        logging.DEBUG,
        "call_finished",
        "{method} {route}: {outcome} after {duration_s:.3f} s, {attempts} attempts",
    ),
    OutcomeReconciled: (
        logging.INFO,
        "outcome_reconciled",
        "{method} {route}: its response was lost; reconciled: {resolution}",
    ),
    ListingRestarted: (
        logging.INFO,
        "listing_restarted",
        "{route} changed while it was read, pass {listing_pass} ({reason})",
    ),
    QuotaWaitBegan: (
        logging.DEBUG,
        "quota_wait_began",
        "waiting for quota, about {wait_s:.3f} s ({kind})",
    ),
    QuotaWaited: (logging.DEBUG, "quota_waited", "waited {wait_s:.3f} s for quota"),
    QuotaPaused: (logging.WARNING, "quota_paused", "quota: paused for {pause_s:.1f} s ({kind})"),
    QuotaResumed: (logging.INFO, "quota_resumed", "quota: resumed after {paused_s:.1f} s"),
    LimitChanged: (
        logging.WARNING,
        "limit_changed",
        "quota: the limit is {limit}, was {previous} ({reason})",
    ),
    HeaderIgnored: (logging.INFO, "header_ignored", "header {name} not used: {reason}"),
    PeerJoined: (logging.INFO, "peer_joined", "quota: shared with {name}"),
    PeerLost: (
        logging.WARNING,
        "peer_lost",
        "quota: {name} has been silent for 15 s, and counts as gone",
    ),
    TurnPassed: (logging.INFO, "turn_passed", "quota: {name} did not take its turn"),
    SharedBudgetAway: (logging.WARNING, "shared_budget_away", "quota: {reason}"),
    SharedBudgetBack: (
        logging.WARNING,
        "shared_budget_back",
        "quota: the store of the budget answers again after {away_s:.1f} s",
    ),
}


class LoggingHook:
    """A hook that logs each event.

    Args:
        logger: by default `do_blockstore_async.events`.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logging.getLogger("do_blockstore_async.events") if logger is None else logger

    def __call__(self, event: Event) -> None:
        """Log `event`, if its level is wanted."""
        level, name, form = _FORMS[type(event)]
        if isinstance(event, CallFinished) and event.error is not None:
            level = logging.WARNING
        if not self._logger.isEnabledFor(level):
            return
        fields = attrs.asdict(event)
        outcome = fields.get("error") or fields.get("failure") or fields.get("status") or "done"
        # One key for all fields: a field called `name` would collide with the record's own.
        extra = {"blockstore": {"event": name, **fields}}
        self._logger.log(level, "%s", form.format(outcome=outcome, **fields), extra=extra)


class JsonFormatter(logging.Formatter):
    """One JSON object on a line for each record: time, level, logger, message, the event's fields.

    The time is UTC in ISO 8601. Records of other loggers are formatted as well, without fields.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        members: dict[str, Any] = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        members.update(getattr(record, "blockstore", {}))
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members, default=str)
