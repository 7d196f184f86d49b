"""Every error of the API in one table: its status, id and message.

Each entry is marked: `E` where that response of the real API was reported (the issue stands
beside it), `GUESS` where the status or the wording is ours because no report confirms it. A
client should rely on the status of a guess only, never on its wording. What was seen with more
than one text has its other texts in `OTHER_MESSAGES`; `WorldOptions.messages` chooses.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable

from ._messages import ApiError

__all__ = ["OTHER_MESSAGES", "api_error", "is_error", "is_guess"]

E = "evidence"
GUESS = "guess"

# name: (status, id, message, sure)
_TABLE: dict[str, tuple[int, str, str, str]] = {
    # Whole requests.
    "unauthorized": (401, "unauthorized", "Unable to authenticate you.", E),
    "scope": (403, "forbidden", "You are not authorized to perform this operation", GUESS),
    "not_found": (404, "not_found", "The resource you were accessing could not be found.", E),
    "method": (405, "method_not_allowed", "The method is not allowed for this resource.", GUESS),
    "media_type": (415, "unsupported_media_type", "Content-Type must be application/json.", GUESS),
    "body": (400, "bad_request", "error parsing request body", E),  # the vendor's OpenAPI example
    "page": (400, "bad_request", "page and per_page must be positive integers", GUESS),
    # 429s. The vendor's OpenAPI example has one message for both windows.
    "rate": (429, "too_many_requests", "API rate limit exceeded.", E),
    "route": (429, "too_many_requests", "Too many requests to this endpoint.", GUESS),
    "cooldown": (
        429,
        "too_many_requests",
        "failed to create snapshot: this operation is rate-limited - one request per 10m0s",
        E,  # velero-plugin#6; per volume: the product's limits page
    ),
    # Volumes.
    "name": (
        422,
        "unprocessable_entity",
        "failed to create volume: invalid volume name. names must be lowercase and alphanumeric",
        E,
    ),
    "size": (
        422,
        "unprocessable_entity",
        "failed to create volume: invalid size specified",
        E,  # csi-digitalocean PR 654
    ),
    "taken": (409, "conflict", "already exists", E),  # 2016
    "region_storage": (
        422,
        "unprocessable_entity",
        "Storage is not supported for this region",
        E,  # 2017
    ),
    "region_unknown": (422, "unprocessable_entity", "invalid region specified", GUESS),
    "capacity": (
        403,
        "forbidden",
        "failed to create volume: volume/snapshot capacity limit exceeded",
        E,  # csi-digitalocean PR 481, 654
    ),
    "resize_capacity": (
        403,
        "forbidden",
        "error resizing volume: volume/snapshot capacity limit exceeded",
        E,  # csi-digitalocean#476
    ),
    "filesystem": (422, "unprocessable_entity", "invalid filesystem type", GUESS),
    "label": (422, "unprocessable_entity", "invalid filesystem label", GUESS),
    "tag": (422, "unprocessable_entity", "invalid tag name", GUESS),
    "snapshot_region": (
        422,
        "unprocessable_entity",
        "snapshot is not available in this region",
        GUESS,
    ),
    "attached": (
        409,
        "conflict",
        "failed to delete volume: attached volume cannot be deleted",
        E,  # pulumi-digitalocean#158, 2020
    ),
    "busy": (409, "conflict", "volume has a pending event", GUESS),
    "name_missing": (422, "unprocessable_entity", "name is required", GUESS),
    "name_ambiguous": (
        422,
        "unprocessable_entity",
        "region is required: more than one volume has this name",
        GUESS,
    ),
    # Snapshots.
    "snapshot_name": (422, "unprocessable_entity", "snapshot name is required", GUESS),
    "snapshot_taken": (409, "conflict", "snapshot already exists", E),  # csi controller
    "snapshot_many": (
        422,
        "unprocessable_entity",
        "failed to create snapshot: a volume can have at most 25 snapshots",
        GUESS,  # the number stands in the product's limits page
    ),
    "not_a_snapshot": (400, "bad_request", "the resource is not a snapshot", E),  # OpenAPI example
    # Actions.
    "action_type": (422, "unprocessable_entity", "invalid action type", GUESS),
    "action_region": (422, "unprocessable_entity", "volume is not in this region", GUESS),
    "droplet_missing": (422, "unprocessable_entity", "droplet_id is required", GUESS),  # attach
    "droplet_region": (
        422,
        "unprocessable_entity",
        "Droplet and volume must be in the same region",
        GUESS,
    ),
    "droplet_busy": (422, "unprocessable_entity", "Droplet already has a pending event.", E),
    "volume_busy": (422, "unprocessable_entity", "Volume already has a pending event.", GUESS),
    "already_attached": (422, "unprocessable_entity", "This volume is already attached", E),
    # Also of a detach that names no Droplet: godo#102, doctl#207.
    "not_attached": (422, "unprocessable_entity", "Attachment not found", E),
    "droplet_full": (
        422,
        "unprocessable_entity",
        "cannot attach more volumes to the Droplet",
        E,
    ),
    "resize": (422, "unprocessable_entity", "volumes can only be resized upwards", GUESS),
    "resize_size": (
        422,
        "unprocessable_entity",
        "failed to resize volume: invalid size specified",
        GUESS,
    ),
    "action_lag": (
        404,
        "not_found",
        "could not get volume action: no volume event found",
        E,  # rexray PR 1344
    ),
    # Tags.
    "resource_type": (422, "unprocessable_entity", "invalid resource type", GUESS),
    # The simulator's own: nothing that a client could take for an answer of the API.
    "unknown": (
        501,
        "not_implemented",
        "the simulator does not know this request; the real API may",
        E,
    ),
}

OTHER_MESSAGES: dict[str, tuple[str, ...]] = {
    "attached": (
        "attached volume cannot be deleted",  # doctl#543, 2019
        "A volume that's attached to a Droplet cannot be deleted.",  # csi-digitalocean#32, 2018
    ),
    "rate": ("Too many requests",),  # csi-digitalocean#404, rexray#1262
    "droplet_full": (
        "cannot attach more than 7 volumes to a single Droplet",  # csi-digitalocean, legacy
    ),
    "taken": ("failed to create volume",),  # ansible#39655, 2018
}
"""Texts that were seen besides the table's, by the name of the error; all evidence."""

_KINDS = {"cooldown": "snapshot_cooldown", "route": "route", "resize_capacity": "capacity"}


def api_error(
    name: str,
    *,
    retry_after_s: int | None = None,
    status: int | None = None,
    allow: Iterable[str] = (),
    detail: str = "",
) -> ApiError:
    """Make the error of that name, to be raised.

    Args:
        name: a key of the table.
        retry_after_s: adds a `retry-after` header.
        status: overrides the table's status, for responses that were seen with two.
        allow: adds an `allow` header with these methods.
        detail: is added to the message.
    """
    usual, identifier, message, _ = _TABLE[name]
    used = usual if status is None else status
    kind = None
    if used == 429:
        identifier = "too_many_requests"
        kind = _KINDS.get(name, name)
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    if allow:
        headers["allow"] = ", ".join(sorted(allow))
    message = f"{message}: {detail}" if detail else message
    return ApiError(name, used, identifier, message, kind=kind, headers=headers)


def is_error(name: str) -> bool:
    """Whether the table has an error of that name."""
    return name in _TABLE


def is_guess(name: str) -> bool:
    """Whether no report confirms that error."""
    return _TABLE[name][3] == GUESS
