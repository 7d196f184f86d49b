"""The rules of evidence: what became of a request whose response was lost. Pure.

The API has no idempotency key. What it has: (name, region) of a volume is unique, a snapshot's
name is unique on its volume, a volume keeps a list of its actions, and everything carries the
second at which it was created. So after a lost response the same name is queried, and:

S1. Nothing found: the request has had no effect so far. It is sent again at once if the server
    rejects duplicates, and otherwise only after the time in which the lost request may still
    arrive.
S2. Found, and known to this client from an earlier create, or clearly created before the request
    was sent (by 5 s; by a day where no earlier response shows that the server's clock runs as
    ours): another client's. A conflict, never adopted.
S3. Found, created since, and matching the request: ours.
S4. Found and created since, but not matching the request; or another call of this client asks for
    the same at the same time, or did so shortly before and ended without knowing; or the dates of
    the responses contradict each other or are missing: unknown. `OutcomeUnknownError` carries what
    was found.

The server's clock decides "before" and "since": its `Date` at the query, less the time that has
passed here since the request was sent, is the server's time of sending. Both `Date` and
`created_at` are whole seconds, so two resources created within the same second cannot be told
apart: a volume with exactly the same properties, created by another process less than two seconds
(plus one round trip) before ours, would be adopted. One created by this client is remembered by its
id.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from datetime import datetime
from operator import attrgetter
from typing import Final, TypeVar

from ..request import Evidence, Finding, Listing

__all__ = ["SAME_SECOND_S", "classify_create", "clock_margin_s"]

T = TypeVar("T")

# Two whole-second truncations, that of `Date` and that of `created_at`.
SAME_SECOND_S: Final = 2.0
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
    """Classify a lost create by S1 to S4; the newest candidate that is not known counts.

    Args:
        listing: what the query returned.
        evidence: what else is known.
        is_candidate: whether an item may have come of the request.
        matches_request: whether an item is what the request asked for.
        created_at: when an item was created.
        identity: what makes an item the same item.
        unique_name: only one item of the name can exist, so an older one is a conflict. Of actions
            there may be many, and older ones mean nothing.
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
    if older_s > clock_margin_s(evidence):
        return Finding("conflict", candidate=found)
    if older_s > 0 or evidence.concurrent_duplicate or not matches_request(found):
        return Finding("unknown", candidate=found)
    return Finding("adopted", value=found, candidate=found)


def clock_margin_s(evidence: Evidence) -> float:
    """Return by how much something must be older than the request to be older for certain."""
    return _SKEW_S if evidence.clocks_agree else _DAY_S
