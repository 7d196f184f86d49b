"""How faults change a response: a pure function from response to response.

These are what a client has to survive: bodies that are no JSON, too large, or the page
of a gateway; page links that lead elsewhere; budget headers that make no sense.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import cache

import msgspec

from .._messages import SimResponse, encode, http_date

__all__ = ["HEADER_FAULTS", "HTML_STATUS", "HUGE_BYTES", "mutate_response"]

HTML_STATUS = {"html_502": 502, "html_503": 503, "html_504": 504}
HUGE_BYTES = 40 * 1024 * 1024
"""The size of a huge body, and of what a gzip bomb becomes: above the client's cap of 32 MiB."""

_REASONS = {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}
_BUDGET = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")
_GARBAGE = ("soon", "", "NaN", "1e999", "0x10", "12, 13", "9" * 400, "\u0663", "-", "4999.5")
_LINKS = (
    "https://attacker.invalid/v2/volumes?page=2&per_page=200",
    "http://169.254.169.254/latest/meta-data/?page=2",
    "//attacker.invalid/v2/volumes?page=2",
    "https://api.digitalocean.com/v2/volumes?page=99999999999999999999",
    "https://api.digitalocean.com/v2/volumes?page=-1",
    "javascript:alert(1)",
    "https://api.digitalocean.com/v2/volumes?page=1",
)
_HEAD = b'{"volumes":[],"links":{},"meta":{"total":0},"padding":"'


def _error(response: SimResponse, status: int, body: bytes, content_type: str) -> SimResponse:
    headers = {k: v for k, v in response.headers.items() if k != "retry-after"}
    return SimResponse(status, {**headers, "content-type": content_type}, body)


def _json_error(response: SimResponse, status: int, name: str, message: str) -> SimResponse:
    body = {"id": name, "message": message}
    request_id = response.headers.get("x-request-id")
    if request_id is not None:
        body["request_id"] = request_id
    return _error(response, status, encode(body), "application/json; charset=utf-8")


def _html(status: int) -> SimResponse:
    # Evidence: terraform provider #794. A gateway knows nothing of budgets and request ids.
    title = f"{status} {_REASONS[status]}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return SimResponse(status, {"content-type": "text/html"}, page.encode())


def _huge_json() -> bytes:
    return _HEAD + b"x" * (HUGE_BYTES - len(_HEAD) - 2) + b'"}'


@cache
def _packed_json() -> bytes:
    return gzip.compress(_huge_json(), compresslevel=9, mtime=0)


def _gzip_bomb(response: SimResponse) -> SimResponse:
    bent = _with_body(response, _packed_json())
    bent.headers["content-encoding"] = "gzip"
    return bent


def _with_body(response: SimResponse, body: bytes) -> SimResponse:
    # A 204 has no body to change.
    status = 200 if response.status == 204 else response.status
    headers = {**response.headers, "content-type": "application/json; charset=utf-8"}
    return SimResponse(status, headers, body)


def _hostile_next(response: SimResponse, number: int) -> SimResponse:
    try:
        body = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        return response
    if not isinstance(body, dict) or "meta" not in body:
        return response
    link = _LINKS[number % len(_LINKS)]
    body["links"] = {"pages": {"next": link, "last": link}}
    return SimResponse(response.status, response.headers, encode(body))


def _another(response: SimResponse) -> SimResponse:
    """Answer with another volume, snapshot or action, as on a connection that is out of step."""
    try:
        body = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        return response
    for key in ("volume", "snapshot", "action"):
        thing = body.get(key) if isinstance(body, dict) else None
        if isinstance(thing, dict):
            other = {"id": thing["id"] + 1 if key == "action" else f"0{thing['id'][1:-1]}0"}
            if "name" in thing:
                other["name"] = f"another-{thing['name']}"[:64]
            return SimResponse(
                response.status, response.headers, encode({**body, key: {**thing, **other}})
            )
    return response


def _malformed(response: SimResponse, number: int) -> SimResponse:
    forms = (
        response.body[: len(response.body) // 2] + b"}",
        b"{'volumes': []}",
        b"[",
        b"\xff\xfe\x00",
        b'{"volumes": NaN}',
    )
    return _with_body(response, forms[number % len(forms)])


def _headers(change: Callable[[float, int], dict[str, str | None]]) -> _Bend:
    def bend(response: SimResponse, now: float, number: int) -> SimResponse:
        headers = dict(response.headers)
        for name, value in change(now, number).items():
            if value is None:
                headers.pop(name, None)
            else:
                headers[name] = value
        return SimResponse(response.status, headers, response.body)

    return bend


_Bend = Callable[[SimResponse, float, int], SimResponse]

HEADER_FAULTS: dict[str, _Bend] = {
    "headers_missing": _headers(lambda now, number: dict.fromkeys(_BUDGET)),
    "headers_negative": _headers(
        lambda now, number: {name: f"-{number + at}" for at, name in enumerate(_BUDGET)}
    ),
    "headers_garbage": _headers(
        lambda now, number: {
            name: _GARBAGE[(number + at) % len(_GARBAGE)] for at, name in enumerate(_BUDGET)
        }
    ),
    # DNSControl/dnscontrol#636 met resets in the past.
    "reset_past": _headers(
        lambda now, number: {"ratelimit-reset": str(int(now) - 86_400 * number)}
    ),
    "reset_far": _headers(
        lambda now, number: {"ratelimit-reset": str(int(now) + 100 * 365 * 86_400)}
    ),
    "limit_zero": _headers(
        lambda now, number: {"ratelimit-limit": "0", "ratelimit-remaining": "0"}
    ),
    "date_off": _headers(
        lambda now, number: {"date": http_date(now + (3600 if number % 2 else -3600))}
    ),
}
"""Faults that only change headers."""


def _retry_after_date(response: SimResponse, now: float) -> SimResponse:
    refused = _json_error(response, 429, "too_many_requests", "API rate limit exceeded.")
    refused.headers.update(
        {
            "date": http_date(now),
            "ratelimit-limit": "5000",
            "ratelimit-remaining": "0",
            "ratelimit-reset": str(int(now) + 3600),
            "retry-after": http_date(now + 2),
        }
    )
    return refused


def mutate_response(kind: str, response: SimResponse, now: float, number: int = 1) -> SimResponse:
    """Return the response as that fault leaves it.

    Args:
        kind: one of `faults.KINDS`; one that leaves the response alone returns it.
        response: what the world answered, or an empty 500 where it was not asked.
        now: seconds since the epoch.
        number: picks the form where a fault has several.
    """
    if kind in HEADER_FAULTS:
        return HEADER_FAULTS[kind](response, now, number)
    if kind in HTML_STATUS:
        return _html(HTML_STATUS[kind])
    match kind:
        case "error_500_after_commit" | "error_500_before":
            return _json_error(response, 500, "server_error", "Unexpected server-side error")
        case "snapshot_errors":
            return _json_error(response, 500, "server_error", "failed to create snapshot")
        case "huge_body":
            return _with_body(response, _huge_json())
        case "gzip_bomb":
            return _gzip_bomb(response)
        case "malformed_json":
            return _malformed(response, number)
        case "empty_body":
            return _with_body(response, b"")
        case "another_answer":
            return _another(response)
        case "wrong_content_type":
            headers = {**response.headers, "content-type": "text/plain"}
            return SimResponse(response.status, headers, response.body)
        case "hostile_next":
            return _hostile_next(response, number)
        case "redirect":
            return SimResponse(302, {"location": "https://attacker.invalid/v2/volumes"}, b"")
        case "retry_after_date":
            return _retry_after_date(response, now)
        case _:
            return response
