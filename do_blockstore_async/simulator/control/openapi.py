"""The OpenAPI description of the administration by HTTP. Pure values."""

from __future__ import annotations

from typing import Any

__all__ = ["PREFIX", "admin_description"]

PREFIX = "/_simulator"


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    """An object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _some_of(**properties: dict[str, Any]) -> dict[str, Any]:
    """An object that has any of these and nothing else."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT: dict[str, Any] = {"type": "string"}
_WHOLE: dict[str, Any] = {"type": "integer"}
_NUMBER: dict[str, Any] = {"type": "number"}
_FLAG: dict[str, Any] = {"type": "boolean"}
_ANYTHING: dict[str, Any] = {}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "nullable": True}


_ERROR = _object(id=_TEXT, message=_TEXT)
_CLOCK = _object(now={**_TEXT, "format": "date-time"}, now_s=_NUMBER, frozen=_FLAG)
_MOVE = _some_of(
    advance_s={**_NUMBER, "minimum": 0, "maximum": 3_153_600_000}, frozen=_or_null(_FLAG)
)
_FAULT_FIELDS: dict[str, dict[str, Any]] = {
    "kind": _TEXT,
    "method": _or_null(_TEXT),
    "path": _or_null({**_TEXT, "pattern": "^[/*]"}),
    "rate": {**_NUMBER, "minimum": 0, "maximum": 1},
    "times": _or_null({**_WHOLE, "minimum": 0}),
    "skip": {**_WHOLE, "minimum": 0},
    "commit": _or_null({**_NUMBER, "minimum": 0, "maximum": 1}),
    "seconds": _or_null(_NUMBER),
    "return_second": _FLAG,
}
_INJECTED = _object(number=_WHOLE, kind=_TEXT, method=_TEXT, target=_TEXT, commit=_FLAG)
_RECORD = _object(
    at={**_TEXT, "format": "date-time"},
    at_s=_NUMBER,
    method=_TEXT,
    target=_TEXT,
    path=_TEXT,
    status=_WHOLE,
    token=_TEXT,
    refused=_or_null(_TEXT),
    body={**_ANYTHING, "nullable": True},
)
_STATE = _object(
    format={**_WHOLE, "enum": [1]},
    now=_NUMBER,
    skew_s=_NUMBER,
    restarts=_WHOLE,
    next_action=_WHOLE,
    seq=_WHOLE,
    droplets=_list({"type": "object"}),
    volumes=_list({"type": "object"}),
    snapshots=_list({"type": "object"}),
    actions=_list({"type": "object"}),
    tags=_list(_TEXT),
)


def _answer(description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"description": description}
    if schema is not None:
        made["content"] = _json(schema)
    return made


def _operation(
    name: str,
    summary: str,
    status: int,
    answer: dict[str, Any] | None = None,
    *,
    body: dict[str, Any] | None = None,
    parameters: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {
            str(status): _answer(summary, answer),
            "403": _answer("Not from this machine itself, or of a web page.", _ERROR),
        },
    }
    if body is not None:
        made["requestBody"] = {"required": True, "content": _json(body)}
    if body is not None or parameters:
        made["responses"]["400"] = _answer("What was sent does not fit; nothing changed.", _ERROR)
    if parameters:
        made["parameters"] = list(parameters)
    return made


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def admin_description(fault_kinds: tuple[str, ...]) -> dict[str, Any]:
    """The OpenAPI 3.0 document; `fault_kinds` are those that may be asked for."""
    fields = {**_FAULT_FIELDS, "kind": {**_TEXT, "enum": list(fault_kinds)}}
    asked = {**_some_of(**fields), "required": ["kind"]}
    rule = _object(**fields)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Administration of the simulator",
            "version": "1",
            "description": "For tests, from this machine only: it needs no token, costs no budget "
            "and stands in no log.",
        },
        "paths": {
            f"{PREFIX}/state": {
                "get": _operation(
                    "getState", "What the account holds, to keep or compare.", 200, _STATE
                ),
                "put": _operation(
                    "putState", "Hold what an earlier GET returned.", 204, body=_STATE
                ),
            },
            f"{PREFIX}/reset": {
                "post": _operation(
                    "reset",
                    "Return to the beginning: seed or scenario, budgets, faults, log. Time is "
                    "kept; it stands still or flows as at the beginning.",
                    204,
                )
            },
            f"{PREFIX}/clock": {
                "get": _operation("getClock", "The simulator's time.", 200, _CLOCK),
                "post": _operation(
                    "moveClock",
                    "Move time forward, or stop it or let it flow.",
                    200,
                    _CLOCK,
                    body=_MOVE,
                ),
            },
            f"{PREFIX}/faults": {
                "get": _operation(
                    "getFaults",
                    "The rules as they stand, and every fault that was injected.",
                    200,
                    _object(faults=_list(rule), log=_list(_INJECTED)),
                ),
                "post": _operation("addFault", "Add a rule.", 201, _object(fault=rule), body=asked),
                "delete": _operation("clearFaults", "Remove every rule; the log is kept.", 204),
            },
            f"{PREFIX}/requests": {
                "get": _operation(
                    "getRequests",
                    "The requests that arrived, the oldest first.",
                    200,
                    _object(requests=_list(_RECORD), total=_WHOLE),
                    parameters=(
                        _query("method", "Only these.", _TEXT),
                        _query("path", "Only these, without query.", _TEXT),
                        _query("status", "Only these.", {**_WHOLE, "minimum": 100, "maximum": 599}),
                    ),
                ),
                "delete": _operation("clearRequests", "Forget the requests.", 204),
            },
        },
    }
