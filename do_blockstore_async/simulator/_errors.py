"""Every error of the API in one table: its status, id and message.

Each entry is marked: `E` where that response of the real API was reported (the issue stands
beside it), `GUESS` where the status or the wording is ours because no report confirms it. A
client should rely on the status of a guess only, never on its wording.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from ._messages import ApiError

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
        E,  # velero-plugin#6; that it counts per volume is a guess
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
    "filesystem": (422, "unprocessable_entity", "invalid filesystem type", GUESS),
    "label": (422, "unprocessable_entity", "invalid filesystem label", GUESS),
    "tag": (422, "unprocessable_entity", "invalid tag name", GUESS),
    "snapshot_region": (
        422,
        "unprocessable_entity",
        "snapshot is not available in this region",
        GUESS,
    ),
    "attached": (409, "conflict", "attached volume cannot be deleted", E),  # doctl#543
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
    "droplet_missing": (422, "unprocessable_entity", "droplet_id is required", GUESS),
    "droplet_region": (
        422,
        "unprocessable_entity",
        "Droplet and volume must be in the same region",
        GUESS,
    ),
    "droplet_busy": (422, "unprocessable_entity", "Droplet already has a pending event.", E),
    "volume_busy": (422, "unprocessable_entity", "Volume already has a pending event.", GUESS),
    "already_attached": (422, "unprocessable_entity", "This volume is already attached", E),
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
}

_KINDS = {"cooldown": "snapshot_cooldown", "route": "route"}


def api_error(
    name: str, *, retry_after_s: int | None = None, status: int | None = None
) -> ApiError:
    """Make the error of that name, to be raised.

    Args:
        name: a key of the table.
        retry_after_s: adds a `retry-after` header.
        status: overrides the table's status, for responses that were seen with two.
    """
    usual, identifier, message, _ = _TABLE[name]
    used = usual if status is None else status
    kind = _KINDS.get(name)
    if used == 429:
        identifier = "too_many_requests"
        kind = kind or name
    return ApiError(used, identifier, message, kind=kind, retry_after_s=retry_after_s)


def is_guess(name: str) -> bool:
    """Whether no report confirms that error."""
    return _TABLE[name][3] == GUESS
