"""The simulated account: state and `handle(request, now) -> response`, nothing else.

Theory: everything that affects a transition lives behind `World.handle`. Time comes in with each
request, ids and durations come from the seed, so the same requests at the same times get the same
responses, in process, over HTTP and in virtual time. What the API documents or was seen to do is
built; what nobody could confirm is marked GUESS, and the wording of errors is in
`_errors.py` with how sure each is.

A request passes, in this order: bearer check (401), budget (429), scripted route limits (429),
route (404, 405, 501), scope (403), body (415, 400), operation. An operation checks first and
changes last, so a refused request changed nothing.

Invariants:
1. A request that was answered with an error changed nothing but the budget and the log.
2. The state's indexes agree (see `state/store.py`); a volume's name is unique in its region.
3. A volume is attached to at most one Droplet, a Droplet holds at most 15 volumes, and each has at
   most one action in progress.
4. Every request that carries a known token is judged once and logged once.
5. No token of eight or more characters is ever in the log, a response or a repr: where a
   client put it into a target or a body, its name stands.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ._errors import api_error
from ._messages import (
    ApiError,
    RequestRecord,
    SimRequest,
    SimResponse,
    encode,
    http_date,
    uuid_text,
)
from .api.request import Call, read_body, read_query
from .api.routes import find_route
from .ratelimit import Decision
from .state.account import Account, Grant
from .state.options import WorldOptions

__all__ = ["Call", "SimRequest", "SimResponse", "World", "WorldOptions"]

_LOG_SIZE = 200_000
# Shorter ones are a test's words: to replace them would garble what it wants to read.
_SECRET_LENGTH = 8


class World(Account):
    """One account of the simulated API.

    Args:
        options: how it begins; see `WorldOptions` for every keyword.
        **changes: keywords of `WorldOptions`, over `options`.

    Attributes:
        token: the token that is accepted from the start.
        state: everything the account holds. `volumes`, `snapshots`, `actions` and `droplets` are
            read-only views of it; the objects inside may be changed by tests.
        requests: the log, newest last: the last 200,000 requests at most.
        refused: how many 429s were given, by kind.
        handled: how many requests were handled.
        now: the latest time the world knows.
        skew_s: how far the clock that the server shows is off; budgets count by the steady time.
        fail_actions: so many of the next actions end `errored`.
        nulls, max_snapshots, snapshot_cooldown_s, cooldown_retry_after, action_s, action_lag_s,
        action_failure_rate, capacity_gigabytes, max_volumes, max_volumes_of_droplet,
        capacity_status, messages, link_base: as in `WorldOptions`; may be changed at any time,
            until `reset()`.

    Raises:
        ValueError: an option is not usable.
    """

    def handle(self, request: SimRequest, now: float) -> SimResponse:
        """Answer one request that arrives at `now`, in seconds since the epoch."""
        self.tick(now)
        self.handled += 1
        grant = self._grant(request)
        verdict: Decision | None = None
        refused: ApiError | None = None
        status, body = 500, b""
        try:
            if grant is None:
                raise api_error("unauthorized")
            if grant.budget is not None:
                verdict = grant.budget.check(now)
                if verdict.refused is not None:
                    raise _over(verdict)
            if self.route_limits:
                self._check_route_limits(request)
            status, body = self._operate(request, grant, now)
        except ApiError as refusal:
            refused, status = refusal, refusal.status
        # An odd factor goes through every 128-bit number once: ids never repeat.
        number = self.request_ids + self.handled * 0x9E3779B97F4A7C15F39CC0605CEDC835
        request_id = uuid_text(number)
        if refused is not None:
            message = self.messages.get(refused.name, refused.message)
            body = encode({"id": refused.id, "message": message, "request_id": request_id})
            if refused.kind is not None:
                self.refused[refused.kind] += 1
        self._log(request, now, status, grant, refused)
        return SimResponse(status, self._headers(now, request_id, status, verdict, refused), body)

    def _grant(self, request: SimRequest) -> Grant | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self.grants.get(token.strip()) if scheme.lower() == "bearer" else None

    def _operate(self, request: SimRequest, grant: Grant, now: float) -> tuple[int, bytes]:
        path = request.path
        route, values = find_route(request.method, path)
        if not grant.allows(request.method, route.scopes):
            raise api_error("scope")
        has_body = request.method == "POST" or (request.method == "DELETE" and bool(request.body))
        call = Call(
            method=request.method,
            path=path,
            values=values,
            query=read_query(request.target),
            body=read_body(request) if has_body else {},
            now=now,
            shown_s=now + self.skew_s,
            grant=grant,
        )
        return route.operation(self, call)

    def _check_route_limits(self, request: SimRequest) -> None:
        for limit in self.route_limits:
            if limit.method in ("*", request.method) and limit.path.fullmatch(request.path):
                limit.times -= 1
                if limit.times <= 0:
                    self.route_limits.remove(limit)
                raise api_error("route", retry_after_s=limit.retry_after_s)

    def without_tokens(self, target: str) -> str:
        """A target, with the name of each known token in the token's place."""
        raw = self._without_tokens(target.encode("utf-8", "surrogateescape"))
        return raw.decode("utf-8", "surrogateescape")

    def _without_tokens(self, sent: bytes) -> bytes:
        for token, grant in self.grants.items():
            if len(token) >= _SECRET_LENGTH:
                name = grant.name.encode()
                sent = _written(token).sub(name.replace(b"\\", rb"\\"), sent)
        return sent

    def _headers(
        self,
        now: float,
        request_id: str,
        status: int,
        verdict: Decision | None,
        refused: ApiError | None,
    ) -> dict[str, str]:
        headers = {"date": http_date(now + self.skew_s), "x-request-id": request_id}
        if status != 204:
            headers["content-type"] = "application/json; charset=utf-8"
        if verdict is not None:
            headers["ratelimit-limit"] = str(verdict.limit)
            headers["ratelimit-remaining"] = str(verdict.remaining)
            headers["ratelimit-reset"] = str(int(verdict.reset_s + self.skew_s))
        return headers if refused is None else {**headers, **refused.headers}

    def _log(
        self,
        request: SimRequest,
        now: float,
        status: int,
        grant: Grant | None,
        refused: ApiError | None,
    ) -> None:
        if len(self.requests) >= _LOG_SIZE:
            del self.requests[: _LOG_SIZE // 2]
        self.requests.append(
            RequestRecord(
                now,
                request.method,
                self.without_tokens(request.target),
                status,
                "" if grant is None else grant.name,
                None if refused is None else refused.kind,
                self._without_tokens(request.body),
            )
        )


def _over(verdict: Decision) -> ApiError:
    refusal = api_error("rate", retry_after_s=verdict.retry_after_s)
    refusal.kind = verdict.refused
    return refusal


@lru_cache(maxsize=64)
def _written(token: str) -> re.Pattern[bytes]:
    """Every way to write a token: as it is, or any character as queries or JSON escape it."""
    ways = []
    for character in token:
        escaped = "".join(f"%{byte:02x}" for byte in character.encode())
        forms = {character, escaped, f"\\u{ord(character):04x}", encode(character)[1:-1].decode()}
        forms.discard(character)
        if character == " ":
            forms.add("+")
        known = "|".join(re.escape(form) for form in sorted(forms))
        ways.append(f"(?:{re.escape(character)}|(?i:{known}))")
    return re.compile("".join(ways).encode())
