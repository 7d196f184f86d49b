"""The operations of the table: what a client that claims one must have sent, and been granted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from do_blockstore_async.simulator import RequestRecord

_ID = "[0-9a-f-]{36}"


class Operation(NamedTuple):
    """A row of the table.

    `status` is what the API answers; `accept` looks into the body that was sent. Clients add
    pages to any request, pydo even to those with a body: the vendor's description says so.
    """

    name: str
    method: str
    path: str
    status: int
    accept: Callable[[dict[str, Any]], bool] = lambda body: True
    query: str = ".*"

    def is_in(self, record: RequestRecord) -> bool:
        if (record.method, record.status) != (self.method, self.status):
            return False
        query = record.target.partition("?")[2]
        if not re.fullmatch(self.path, record.path) or not re.fullmatch(self.query, query):
            return False
        body = json.loads(record.body) if record.body and record.method != "GET" else None
        return self.accept(body if isinstance(body, dict) else {})


def _sends(**fields: Any) -> Callable[[dict[str, Any]], bool]:
    return lambda body: all(body.get(name) == value for name, value in fields.items())


def _restores(body: dict[str, Any]) -> bool:
    return bool(body.get("snapshot_id"))


def _creates(body: dict[str, Any]) -> bool:
    return not _restores(body)


_VOLUME, _BY_NAME = f"/v2/volumes/{_ID}", "/v2/volumes/actions"
_SNAPSHOT = f"/v2/(volumes/)?snapshots/{_ID}"
_NAMED, _UNNAMED = r"(.*&)?name=\w.*", r"(?!(.*&)?name=\w).*"

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("read the account", "GET", "/v2/account", 200),
        Operation("list regions", "GET", "/v2/regions", 200),
        Operation("list Droplets", "GET", "/v2/droplets", 200),
        Operation("get a Droplet", "GET", r"/v2/droplets/\d+", 200),
        Operation("list volumes", "GET", "/v2/volumes", 200, query=_UNNAMED),
        Operation("find a volume by name", "GET", "/v2/volumes", 200, query=_NAMED),
        Operation("create a volume", "POST", "/v2/volumes", 201, _creates),
        Operation("create one from a snapshot", "POST", "/v2/volumes", 201, _restores),
        Operation("be told that a name is taken", "POST", "/v2/volumes", 409),
        Operation("get a volume", "GET", _VOLUME, 200),
        Operation("be told that a volume is gone", "GET", _VOLUME, 404),
        Operation("attach", "POST", f"{_VOLUME}/actions", 202, _sends(type="attach")),
        Operation("detach", "POST", f"{_VOLUME}/actions", 202, _sends(type="detach")),
        Operation("attach by name", "POST", _BY_NAME, 202, _sends(type="attach")),
        Operation("detach by name", "POST", _BY_NAME, 202, _sends(type="detach")),
        Operation("resize", "POST", f"{_VOLUME}/actions", 202, _sends(type="resize")),
        Operation("list a volume's actions", "GET", f"{_VOLUME}/actions", 200),
        Operation("get a volume's action", "GET", rf"{_VOLUME}/actions/\d+", 200),
        Operation("list all actions", "GET", "/v2/actions", 200),
        Operation("get an action", "GET", r"/v2/actions/\d+", 200),
        Operation("create a snapshot", "POST", f"{_VOLUME}/snapshots", 201),
        Operation("list a volume's snapshots", "GET", f"{_VOLUME}/snapshots", 200),
        Operation("list all snapshots", "GET", "/v2/snapshots", 200),
        Operation("get a snapshot", "GET", _SNAPSHOT, 200),
        Operation("delete a snapshot", "DELETE", _SNAPSHOT, 204),
        Operation("create a tag", "POST", "/v2/tags", 201),
        Operation("tag a volume", "POST", "/v2/tags/[^/]+/resources", 204),
        Operation("be told that it is attached", "DELETE", f"/v2/volumes|{_VOLUME}", 409),
        Operation("delete a volume", "DELETE", _VOLUME, 204),
        Operation("delete a volume by name", "DELETE", "/v2/volumes", 204, query=_NAMED),
    )
}
