"""The routes: method and path to operation, and the scopes of which a token needs one.

Scopes are those of the vendor's OpenAPI description; for what it leaves out they follow its rule
`<resource>:<read|create|update|delete>` and are marked `GUESS`.

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

__all__ = ["Route", "find_route"]

Operation = Callable[[Account, Call], tuple[int, bytes]]

# Evidence: digitalocean/openapi#52, #53. Anything else in that place is no route at all.
_PARTS = {
    "{id}": r"([0-9a-fA-F-]+)",
    "{number}": r"([0-9]+)",
    "{tag}": r"([a-zA-Z0-9_:-]{1,255})",
}


@attrs.frozen
class Route:
    """One operation of the API."""

    method: str
    pattern: str
    operation: Operation
    scopes: tuple[str, ...]


_ROUTES = (
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
    Route("GET", "/v2/actions", ops_actions.list_account_actions, ("actions:read",)),  # GUESS
    Route("GET", "/v2/actions/{number}", ops_actions.get_action, ("actions:read",)),  # GUESS
    Route("GET", "/v2/regions", ops_catalog.list_regions, ("regions:read",)),
    Route("GET", "/v2/droplets", ops_catalog.list_droplets, ("droplet:read",)),  # GUESS
    Route("GET", "/v2/tags", ops_tags.list_tags, ("tag:read",)),  # GUESS
    Route("POST", "/v2/tags", ops_tags.create_tag, ("tag:create",)),
    Route("GET", "/v2/tags/{tag}", ops_tags.get_tag, ("tag:read",)),  # GUESS
    Route("DELETE", "/v2/tags/{tag}", ops_tags.delete_tag, ("tag:delete",)),  # GUESS
    Route("POST", "/v2/tags/{tag}/resources", ops_tags.tag_resources, ("tag:create",)),
    Route("DELETE", "/v2/tags/{tag}/resources", ops_tags.untag_resources, ("tag:delete",)),
)


def _table() -> tuple[dict[str, dict[str, Route]], list[tuple[re.Pattern[str], dict[str, Route]]]]:
    exact: dict[str, dict[str, Route]] = {}
    matched: dict[str, dict[str, Route]] = {}
    for route in _ROUTES:
        table = matched if "{" in route.pattern else exact
        table.setdefault(route.pattern, {})[route.method] = route
    patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
    for pattern, methods in matched.items():
        text = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
        for name, part in _PARTS.items():
            text = text.replace(name, part)
        patterns.append((re.compile(text, re.ASCII), methods))
    return exact, patterns


_EXACT, _PATTERNS = _table()


def find_route(method: str, path: str) -> tuple[Route, tuple[Any, ...]]:
    """Find the route of a request and the values in its path; 404 or 405 if there is none."""
    methods = _EXACT.get(path)
    values: tuple[Any, ...] = ()
    if methods is None:
        for pattern, candidate in _PATTERNS:
            match = pattern.fullmatch(path)
            if match is not None:
                methods, values = candidate, match.groups()
                break
        else:
            raise api_error("not_found")
    route = methods.get(method)
    if route is None:
        raise api_error("method")
    return route, values
