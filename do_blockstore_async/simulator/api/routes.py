"""The routes: method and path to operation, and the scopes of which a token needs one.

Scopes are those of the vendor's OpenAPI description; for what it leaves out they follow its rule
`<resource>:<read|create|update|delete>` and are marked `GUESS`.

A request that no route knows is a 501: a 404 would tell a client that something is gone, and it
might go on as if it had done its work. A 404 stays where the route is known and the id is none.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs

from .._errors import api_error
from ..state.account import Account
from . import (
    actions as ops_actions,
)
from . import (
    catalog as ops_catalog,
)
from . import (
    snapshots as ops_snapshots,
)
from . import (
    tags as ops_tags,
)
from . import (
    volumes as ops_volumes,
)
from .request import Call

__all__ = ["ROUTES", "Route", "find_route"]

Operation = Callable[[Account, Call], tuple[int, bytes]]

# Evidence: digitalocean/openapi#52, #53. Anything else in that place is no route at all.
_PARTS = {
    "{id}": r"([0-9a-fA-F-]+)",
    "{number}": r"([0-9]{1,19})",  # As many as an int64 has.
    "{tag}": r"([a-zA-Z0-9_:-]{1,255})",
}


@attrs.frozen
class Route:
    """One operation of the API."""

    method: str
    pattern: str
    operation: Operation
    scopes: tuple[str, ...]


ROUTES = (
    Route(
        "GET",
        "/v2/volumes",
        ops_volumes.list_volumes,
        ("api:read", "api:write", "block_storage:read"),
    ),
    Route(
        "POST",
        "/v2/volumes",
        ops_volumes.create_volume,
        ("api:write", "block_storage:create"),
    ),
    Route(
        "DELETE",
        "/v2/volumes",
        ops_volumes.delete_volume_by_name,
        ("block_storage:delete", "api:write"),
    ),
    Route(
        "POST",
        "/v2/volumes/actions",
        ops_actions.post_action_by_name,
        ("block_storage_action:create", "api:write"),
    ),
    Route(
        "GET",
        "/v2/volumes/snapshots/{id}",
        ops_snapshots.get_snapshot,
        ("block_storage_snapshot:read",),
    ),
    Route(
        "DELETE",
        "/v2/volumes/snapshots/{id}",
        ops_snapshots.delete_snapshot,
        ("block_storage_snapshot:delete",),
    ),
    Route("GET", "/v2/volumes/{id}", ops_volumes.get_volume, ("block_storage:read",)),
    Route("DELETE", "/v2/volumes/{id}", ops_volumes.delete_volume, ("block_storage:delete",)),
    Route(
        "GET",
        "/v2/volumes/{id}/snapshots",
        ops_snapshots.list_snapshots_of,
        ("block_storage_snapshot:read",),
    ),
    Route(
        "POST",
        "/v2/volumes/{id}/snapshots",
        ops_snapshots.create_snapshot,
        ("block_storage_snapshot:create",),
    ),
    Route(
        "GET",
        "/v2/volumes/{id}/actions",
        ops_actions.list_actions,
        ("block_storage_action:read",),
    ),
    Route(
        "POST",
        "/v2/volumes/{id}/actions",
        ops_actions.post_action,
        ("block_storage_action:create",),
    ),
    Route(
        "GET",
        "/v2/volumes/{id}/actions/{number}",
        ops_actions.get_action_of,
        ("block_storage_action:read",),
    ),
    Route("GET", "/v2/snapshots", ops_snapshots.list_snapshots, ("snapshot:read",)),
    Route(
        "GET",
        "/v2/snapshots/{id}",
        ops_snapshots.get_snapshot,
        ("snapshot:read", "block_storage_snapshot:read"),
    ),
    Route(
        "DELETE",
        "/v2/snapshots/{id}",
        ops_snapshots.delete_snapshot,
        ("image:delete", "snapshot:delete"),
    ),
    Route("GET", "/v2/actions", ops_actions.list_account_actions, ("actions:read",)),
    Route("GET", "/v2/actions/{number}", ops_actions.get_action, ("actions:read",)),
    Route("GET", "/v2/account", ops_catalog.get_account, ("account:read",)),
    Route("GET", "/v2/regions", ops_catalog.list_regions, ("regions:read",)),
    Route("GET", "/v2/droplets", ops_catalog.list_droplets, ("droplet:read",)),
    Route("GET", "/v2/droplets/{number}", ops_catalog.get_droplet, ("droplet:read",)),
    Route("GET", "/v2/tags", ops_tags.list_tags, ("tag:read",)),
    Route("POST", "/v2/tags", ops_tags.create_tag, ("tag:create",)),
    Route("GET", "/v2/tags/{tag}", ops_tags.get_tag, ("tag:read",)),
    Route("DELETE", "/v2/tags/{tag}", ops_tags.delete_tag, ("tag:delete",)),
    Route("POST", "/v2/tags/{tag}/resources", ops_tags.tag_resources, ("tag:create",)),
    Route("DELETE", "/v2/tags/{tag}/resources", ops_tags.untag_resources, ("tag:delete",)),
)


# What the vendor's description has on these paths and is not simulated. An id that cannot be one
# changes nothing: the caller meets what is missing here before what is missing there.
_NOT_SIMULATED: dict[str, frozenset[str]] = {
    "/v2/droplets": frozenset({"POST", "DELETE"}),
    "/v2/droplets/{number}": frozenset({"DELETE"}),
    "/v2/droplets/actions": frozenset({"POST"}),
    "/v2/droplets/autoscale": frozenset({"GET", "POST"}),
}


def _compiled(pattern: str, parts: dict[str, str]) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
    for name, part in parts.items():
        text = text.replace(name, part)
    return re.compile(text, re.ASCII)


def _table() -> tuple[dict[str, dict[str, Route]], list[tuple[re.Pattern[str], dict[str, Route]]]]:
    exact: dict[str, dict[str, Route]] = {}
    matched: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        table = matched if "{" in route.pattern else exact
        table.setdefault(route.pattern, {})[route.method] = route
    return exact, [(_compiled(pattern, _PARTS), methods) for pattern, methods in matched.items()]


_EXACT, _PATTERNS = _table()
# The same paths with anything in the place of ids: what has this form is known, and not found.
_FORMS = [
    _compiled(pattern, dict.fromkeys(_PARTS, r"[^/]+"))
    for pattern in dict.fromkeys(route.pattern for route in ROUTES if "{" in route.pattern)
]
_FORMS_NOT_SIMULATED = [
    (_compiled(pattern, dict.fromkeys(_PARTS, r"[^/]+")), methods)
    for pattern, methods in _NOT_SIMULATED.items()
]


def _is_simulated(method: str, path: str) -> bool:
    return not any(
        method in methods and form.fullmatch(path) for form, methods in _FORMS_NOT_SIMULATED
    )


def find_route(method: str, path: str) -> tuple[Route, tuple[Any, ...]]:
    """Find the route of a request and the values in its path; 404, 405 or 501 without one."""
    methods = _EXACT.get(path)
    values: tuple[Any, ...] = ()
    if methods is None:
        for pattern, candidate in _PATTERNS:
            match = pattern.fullmatch(path)
            if match is not None:
                methods, values = candidate, match.groups()
                break
        else:
            if _is_simulated(method, path) and any(form.fullmatch(path) for form in _FORMS):
                raise api_error("not_found")
            raise api_error("unknown", detail=f"{method} {path}")
    route = methods.get(method)
    if route is None:
        if not _is_simulated(method, path):
            raise api_error("unknown", detail=f"{method} {path}")
        raise api_error("method", allow=methods)
    return route, values
