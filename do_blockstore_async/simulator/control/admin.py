"""The administration by HTTP: what a test in another language does to its simulator.

It answers for `/_simulator/...` beside the simulated API, to this machine only: a test has no token
to show, and nobody else may reset what a test rests on. A web page could send requests from a
browser on this machine, so one that comes with an `Origin` is refused too, as is one that names
this machine by anything but `localhost` or an address: a page's own name may be made to lead here.
What a proxy hands on comes from elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import attrs
import msgspec
from msgspec import Struct

from .._messages import SimRequest, SimResponse, encode, iso, path_of
from ..clock import SimClock
from ..faults.rules import KINDS, FaultInjector, FaultRule
from ..state.saved import dump_state, load_state
from ..world import World
from .openapi import PREFIX, admin_description
from .records import readable, record_json
from .scenario import FaultSpec

__all__ = ["Administration", "refusal"]

_LONGEST_STEP_S = 3_153_600_000.0
# Dates end with the year 9999.
_LATEST_S = 250_000_000_000.0
_STATUSES = range(100, 600)
_PROXY_HEADERS = frozenset({"forwarded", "x-forwarded-for"})
_OWN_SITES = frozenset({"none", "same-origin"})
_HOST = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]{1,5})?", re.ASCII)


class ClockMove(Struct, forbid_unknown_fields=True):
    """What a POST to the clock asks for."""

    advance_s: float = 0.0
    frozen: bool | None = None


class Administration:
    """Answers the requests below `/_simulator`.

    Args:
        world, faults, clock: the simulator's.
        reset: returns all of them to the beginning.
    """

    def __init__(
        self,
        world: World,
        faults: FaultInjector,
        clock: SimClock,
        reset: Callable[[], None],
    ) -> None:
        self._world, self._faults, self._clock, self._reset = world, faults, clock, reset
        self._operations: dict[str, dict[str, Callable[[SimRequest], SimResponse]]] = {
            "openapi.json": {"GET": self._describe},
            "state": {"GET": self._get_state, "PUT": self._put_state},
            "reset": {"POST": self._post_reset},
            "clock": {"GET": self._get_clock, "POST": self._move_clock},
            "faults": {
                "GET": self._get_faults,
                "POST": self._add_fault,
                "DELETE": self._clear_faults,
            },
            "requests": {"GET": self._get_requests, "DELETE": self._clear_requests},
        }

    @staticmethod
    def is_asked(target: str) -> bool:
        """Whether a request of that target is for the administration."""
        path = path_of(target)
        return path == PREFIX or path.startswith(f"{PREFIX}/")

    def handle(self, request: SimRequest, peer: str | None) -> SimResponse:
        """Answer a request that came from that address."""
        refused_because = refusal(request.headers, peer)
        if refused_because is not None:
            return _error(403, "forbidden", refused_because)
        methods = self._operations.get(request.path.removeprefix(f"{PREFIX}/"))
        if methods is None:
            known = ", ".join(f"{PREFIX}/{name}" for name in self._operations)
            return _error(404, "not_found", f"there are {known}")
        operation = methods.get(request.method)
        if operation is None:
            refused = _error(405, "method_not_allowed", "see /_simulator/openapi.json")
            refused.headers["allow"] = ", ".join(sorted(methods))
            return refused
        try:
            return operation(request)
        except (ValueError, msgspec.DecodeError, msgspec.ValidationError) as error:
            return _error(400, "bad_request", str(error))
        except RecursionError:
            return _error(400, "bad_request", "the body is nested too deeply")

    def _describe(self, _: SimRequest) -> SimResponse:
        return _answer(admin_description(KINDS))

    def _get_state(self, _: SimRequest) -> SimResponse:
        self._world.tick(self._clock.now())
        return _answer(dump_state(self._world))

    def _put_state(self, request: SimRequest) -> SimResponse:
        load_state(self._world, msgspec.json.decode(request.body))
        self._catch_up()
        return SimResponse(204)

    def _catch_up(self) -> None:
        behind_s = self._world.now - self._clock.now()
        if behind_s > 0:
            self._clock.advance(behind_s)

    def _post_reset(self, _: SimRequest) -> SimResponse:
        self._reset()
        return SimResponse(204)

    def _get_clock(self, _: SimRequest) -> SimResponse:
        now = self._clock.now()
        return _answer({"now": iso(now), "now_s": now, "frozen": self._clock.frozen})

    def _move_clock(self, request: SimRequest) -> SimResponse:
        move = msgspec.json.decode(request.body, type=ClockMove)
        if not 0 <= move.advance_s <= _LONGEST_STEP_S:
            raise ValueError("advance_s must be from 0 to a hundred years; time only moves forward")
        if self._clock.now() + move.advance_s > _LATEST_S:
            raise ValueError("time would go beyond what dates can say")
        if move.frozen is not None:
            (self._clock.freeze if move.frozen else self._clock.thaw)()
        self._clock.advance(move.advance_s)
        return self._get_clock(request)

    def _get_faults(self, _: SimRequest) -> SimResponse:
        log = [
            {
                **fault._asdict(),
                "target": readable(self._world.without_tokens(fault.target)),
            }
            for fault in self._faults.log
        ]
        return _answer({"faults": [_rule_json(rule) for rule in self._faults.rules], "log": log})

    def _add_fault(self, request: SimRequest) -> SimResponse:
        spec = msgspec.json.decode(request.body, type=FaultSpec)
        rule = self._faults.add(**msgspec.structs.asdict(spec))
        return _answer({"fault": _rule_json(rule)}, 201)

    def _clear_faults(self, _: SimRequest) -> SimResponse:
        self._faults.clear()
        return SimResponse(204)

    def _get_requests(self, request: SimRequest) -> SimResponse:
        wanted = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
        status = wanted.pop("status", None)
        known = {"method", "path"}
        if wanted.keys() - known:
            raise ValueError("requests are chosen by method, path and status")
        if status is not None and status not in map(str, _STATUSES):
            raise ValueError(f"not a status: {status!r}")
        found = [
            record_json(record)
            for record in self._world.requests
            if (status is None or record.status == int(status))
            and all(getattr(record, name) == value for name, value in wanted.items())
        ]
        return _answer({"requests": found, "total": len(found)})

    def _clear_requests(self, _: SimRequest) -> SimResponse:
        self._world.requests.clear()
        return SimResponse(204)


def refusal(headers: Mapping[str, str], peer: str | None) -> str | None:
    """Why a request with those headers, from that address, is refused; None where it is not."""
    if not _is_loopback(peer) or not headers.keys().isdisjoint(_PROXY_HEADERS):
        return "the administration answers this machine only"
    is_page = "origin" in headers or headers.get("sec-fetch-site", "none") not in _OWN_SITES
    if is_page or not _names_this_machine(headers.get("host")):
        return "the administration does not answer web pages"
    return None


def _names_this_machine(host: str | None) -> bool:
    """Whether it is `localhost` or an address: no page from elsewhere has that for its name."""
    if host is None:
        # Before HTTP/1.1; no browser leaves it out.
        return True
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    if match["name"] is not None and match["name"].lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(match["name"] or match["v6"])
    except ValueError:
        return False
    return True


def _is_loopback(peer: str | None) -> bool:
    """Whether an address is one of this machine's own."""
    try:
        address = ipaddress.ip_address((peer or "").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _rule_json(rule: FaultRule) -> dict[str, Any]:
    return attrs.asdict(rule, filter=lambda attribute, _: not attribute.name.startswith("_"))


def _answer(body: Any, status: int = 200) -> SimResponse:
    return SimResponse(status, {"content-type": "application/json"}, encode(body))


def _error(status: int, identifier: str, message: str) -> SimResponse:
    return _answer({"id": identifier, "message": message}, status)
