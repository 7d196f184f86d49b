"""What became of a request whose answer was lost: found out by looking, never by repeating.

The API has no idempotency key. What it has: (name, region) of a volume is unique, a snapshot's
name is unique on its volume, a volume keeps a list of its actions, and everything carries the
second at which it was made. So after a lost answer the same name is looked up, and:

S1. Nothing there: the request has not taken effect so far. It is sent again at once if the server
    would refuse a second one (`unique`), and otherwise only after the time in which the lost
    request may still arrive.
S2. There, and known to this client from an earlier create, or clearly made before the request was
    sent (by 5 s; by a day where no earlier answer shows that the server's clock runs as ours):
    somebody else's. A conflict, never adopted.
S3. There, made since, and as asked: ours.
S4. There and made since, but not as asked; or another call of this client asks for the same at the
    same time, or did so shortly before and ended without knowing; or the answers' dates contradict
    each other or are missing: cannot be told. `OutcomeUnknownError` carries what was found.

The server's clock decides "before" and "since": its `Date` at the look-up, less the time that has
passed here since the request was sent, is the server's time of sending. Both `Date` and
`created_at` are whole seconds, so two things made within the same second cannot be told apart:
a volume with exactly the same properties made by another process less than two seconds (plus one
round trip) before ours would be adopted. One made by this client is remembered by its id.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from datetime import datetime
from operator import attrgetter
from typing import Final, TypeVar

from ..models import Volume
from .messages import Evidence, Finding, Listing

__all__ = ["classify_create", "classify_delete"]

T = TypeVar("T")

# Two whole-second truncations, that of `Date` and that of `created_at`.
_SAME_SECOND_S: Final = 2.0
# `Date` may come from an edge and `created_at` from a backend whose clocks differ a little.
_SKEW_S: Final = 5.0
# No clock is off by a day, not even one that stood still while a machine slept over night.
_DAY_S: Final = 86_400.0
_CREATED_AT: Final = attrgetter("created_at")
_ID: Final = attrgetter("id")


def classify_create(
    listing: Listing[T],
    evidence: Evidence,
    *,
    is_candidate: Callable[[T], bool],
    matches_request: Callable[[T], bool],
    created_at: Callable[[T], datetime] = _CREATED_AT,
    identity: Callable[[T], Hashable] = _ID,
    unique_name: bool = True,
) -> Finding[T]:
    """Judge a lost create by S1 to S4; the newest candidate that is not somebody else's counts.

    `unique_name` says that only one can be there, so that an older one means a conflict; of
    actions there may be many, and older ones mean nothing.
    """
    candidates = sorted(
        (item for item in listing.items if is_candidate(item)), key=created_at, reverse=True
    )
    if not candidates:
        return Finding("not_found")
    fresh = [item for item in candidates if identity(item) not in evidence.known]
    if not fresh:
        return Finding("conflict", candidate=candidates[0]) if unique_name else Finding("not_found")
    found = fresh[0]
    if evidence.earliest_sent_s is None:
        return Finding("unknown", candidate=found)
    older_s = math.floor(evidence.earliest_sent_s) - created_at(found).timestamp()
    if older_s > 0 and not unique_name:
        return Finding("not_found")
    if older_s > _surely_s(evidence):
        return Finding("conflict", candidate=found)
    if older_s > 0 or evidence.concurrent_duplicate or not matches_request(found):
        return Finding("unknown", candidate=found)
    return Finding("adopted", value=found, candidate=found)


def classify_delete(listing: Listing[Volume], evidence: Evidence) -> Finding[None]:
    """Judge a lost delete by name.

    Gone, or there anew since: it was deleted, and what is there now is not what was asked to go.
    Still there from before: not deleted so far.
    """
    if not listing.items:
        return Finding("adopted")
    found = listing.items[0]
    if evidence.earliest_sent_s is None:
        return Finding("unknown", candidate=found)
    made_s = found.created_at.timestamp()
    if made_s + 1.0 + _surely_s(evidence) <= evidence.earliest_sent_s:
        return Finding("not_found", candidate=found)
    if made_s >= evidence.earliest_sent_s + _SAME_SECOND_S:
        return Finding("adopted")
    # Made around the second of sending. Deleting what may be new would be the worse error.
    return Finding("unknown", candidate=found)


def _surely_s(evidence: Evidence) -> float:
    """By how much something must be older than the request to be older for certain."""
    return _SKEW_S if evidence.clocks_agree else _DAY_S
