"""What the user reads when something fails: one line that says what happened and what to do."""

from __future__ import annotations

import re

from ...errors import (
    AuthenticationError,
    BlockStoreError,
    ConfigError,
    InvalidArgumentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    QuotaWaitTooLongError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)
from ..exit_codes import CommandError, ExitCode, UsageError
from ..options import Settings

_OPTIONS = {
    "match_by name": "--match-by name",
    "max_pruned_share": "--max-pruned-share",
    "time_zone": "--time-zone",
    "Config.ca_file": "--ca-file",
    "base_url ": "the API's URL ",
    "budget must be ": "--budget-store must be ",
    "max_items": "--max-items",
    "max_share": "--max-share",
    "retry_failed": "--retry-failed",
    "max_failures": "--max-failures",
    "`store.bulk.inventory()`": "`do-blockstore bulk inventory`",
}

__all__ = ["describe", "exit_code", "for_the_shell"]

# What `bulk` says of a snapshot that a retention does not keep.
_NOT_KEPT = re.compile(r"not kept by (.+)")

_TOKENS_PAGE = "https://cloud.digitalocean.com/account/api/tokens"


def exit_code(error: BaseException) -> int:
    """Return the exit code for `error`."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, UsageError | InvalidArgumentError | ConfigError):
        return ExitCode.USAGE
    if isinstance(error, QuotaWaitTooLongError):
        return ExitCode.QUOTA
    if isinstance(error, RateLimitedError) and error.kind in ("burst", "hourly"):
        return ExitCode.QUOTA
    if isinstance(error, BlockStoreError):
        return _bulk_code(error)
    return ExitCode.FAILED


def _bulk_code(error: BlockStoreError) -> int:
    from ...bulk.errors import GuardError, JournalError, PlanError

    if isinstance(error, GuardError):
        return ExitCode.GUARD
    return ExitCode.USAGE if isinstance(error, PlanError | JournalError) else ExitCode.FAILED


def describe(error: BaseException, settings: Settings) -> str:
    """Describe `error`, mostly in one line."""
    from ...bulk.errors import PlanError

    if isinstance(error, UsageError | CommandError):
        return str(error)
    if isinstance(error, BlockStoreError):
        advice = _advice(error, settings)
        # Ours may say one thing a line; what comes from the API is one.
        is_ours = isinstance(error, PlanError)
        text = for_the_shell(str(error) if is_ours else _one_line(str(error)))
        return f"{text}; {advice}" if advice else text
    if isinstance(error, OSError):
        # Without a file name it is stdout that failed, such as a full disk behind a `>`.
        where = f"read or write {error.filename}" if error.filename else "write the results"
        return f"cannot {where}: {error.strerror or type(error).__name__}"
    # Only a bug of this program gets here.
    more = "" if settings.verbose else "; --verbose shows where, please report it"
    return f"internal error: {type(error).__name__}: {_one_line(str(error))}{more}"


def for_the_shell(text: str) -> str:
    """Replace the names of the library's keywords by those of the options.

    What says it in the options' words already stays as it is.
    """
    for keyword, option in _OPTIONS.items():
        text = text.replace(keyword, option)
    rules = _NOT_KEPT.fullmatch(text)
    if rules is not None:
        kept = ", ".join(f"--keep-{rule}" for rule in rules[1].split(", "))
        return f"not kept by {kept}"
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _advice(error: BlockStoreError, settings: Settings) -> str:
    if isinstance(error, AuthenticationError):
        return f"the API does not accept the token: check it, or make one at {_TOKENS_PAGE}"
    if isinstance(error, PermissionDeniedError) and error.scopes:
        return f"the token may lack a scope: {' or '.join(error.scopes)}"
    if isinstance(error, QuotaWaitTooLongError):
        return f"try again in {error.retry_after:.0f} s, or with a longer --timeout"
    if isinstance(error, RateLimitedError):
        return _rate_limited(error)
    if isinstance(error, OutcomeUnknownError):
        return "check before you repeat it"
    if isinstance(error, RequestTimeoutError):
        return "try again, or with a longer --timeout"
    if isinstance(error, TransportError):
        at = "--api-url" if settings.api_url else "the API's URL (`do-blockstore config show`)"
        return f"check the network and {at}"
    if isinstance(error, ServerError):
        return "the API failed: try again later"
    return ""


def _rate_limited(error: RateLimitedError) -> str:
    if error.kind == "capacity":
        return "the account's storage limit is reached: delete something or ask for more"
    if error.kind == "snapshot_cooldown":
        return "a volume takes one snapshot in ten minutes: try again later"
    if error.retry_after is not None:
        return f"try again in {error.retry_after:.0f} s"
    return "the token's budget is exhausted: see `do-blockstore quota`"
