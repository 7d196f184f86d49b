"""The simulated account: state and `handle(request, now) -> response`, nothing else.

Theory: everything that affects a transition lives behind `World.handle`. Time comes in with each
request, ids and durations come from the seed, so the same requests at the same times get the same
answers, in process, over HTTP and in virtual time. What the API documents or was seen to do is
built; what nobody could confirm is marked GUESS, and the wording of refusals stands in
`refusals.py` with how sure each is.

A request passes, in this order: bearer check (401), budget (429), scripted route limits (429),
route (404, 405), scope (403), body (415, 400), operation. An operation checks first and changes
last, so a refused request changed nothing.

Invariants:
1. A request that was answered with an error changed nothing but the budget and the log.
2. The state's indexes agree (see `state.py`); a volume's name is unique in its region.
3. A volume is attached to at most one Droplet, a Droplet holds at most 15 volumes, and each has at
   most one action under way.
4. Every request that carries a known token is judged once and logged once.
5. No token is ever in the log, an answer or a repr.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from ..clock import seeded
from .access import Call, Grant, read_body, read_query
from .fleet import build_fleet
from .limits import Budget, Verdict, parse_limits
from .messages import (
    Refused,
    RequestRecord,
    SimRequest,
    SimResponse,
    encode,
    http_date,
    iso,
    uuid_text,
)
from .options import WorldOptions
from .refusals import refuse
from .regions import REGIONS
from .routes import find_route
from .state import SimAction, SimDroplet, SimSnapshot, SimVolume, State

__all__ = ["Call", "Grant", "SimRequest", "SimResponse", "World", "WorldOptions"]

_LOG_SIZE = 200_000


@attrs.define
class _RouteLimit:
    method: str
    path: re.Pattern[str]
    times: int
    retry_after_s: int | None


class World:
    """One account of the simulated API.

    Args:
        options: how it begins; see `WorldOptions` for every keyword.
        **changes: keywords of `WorldOptions`, over `options`.

    Attributes:
        token: the token that is let in from the beginning.
        state: everything the account holds. `volumes`, `snapshots`, `actions` and `droplets` are
            read-only views of it; the objects inside may be changed by tests.
        requests: the log, newest last: the last 200,000 requests at most.
        refused: how many 429s were given, by kind.
        handled: how many requests were handled.
        now: the latest time the world was told.
        skew_s: how far the clock that the server shows is off; budgets count by the steady time.
        fail_actions: so many of the next actions end `errored`.
        nulls, max_snapshots, snapshot_cooldown_s, cooldown_retry_after, action_s, action_lag_s,
        action_failure_rate, capacity_gigabytes, max_volumes, capacity_status, link_base: as in
            `WorldOptions`; may be changed at any time, until `reset()`.

    Raises:
        ValueError: an option is not usable.
    """

    def __init__(self, options: WorldOptions | None = None, **changes: Any) -> None:
        self.options = attrs.evolve(options or WorldOptions(), **changes)
        # An iterator could be read once only; a reset reads it again.
        asked = self.options.droplets
        if asked is not None and not isinstance(asked, int | Mapping):
            self.options = attrs.evolve(self.options, droplets=tuple(asked))
        self.windows = parse_limits(self.options.limits)
        self.token = (
            self.options.token or f"dop_v1_{seeded(self.options.seed).getrandbits(256):064x}"
        )
        self.link_base = self.options.link_base
        self.now = self.options.now
        self.reset(self.options.now)

    def __repr__(self) -> str:
        return f"<World of {len(self.state.volumes)} volumes, {self.handled} requests handled>"

    def reset(self, now: float | None = None) -> None:
        """Back to the seeded state: fleet, budgets, log, counters, scripts, settings, tokens.

        Args:
            now: when the world begins again; by default the latest time it was told.
        """
        options = self.options
        self.now = self.now if now is None else now
        self.random = seeded(options.seed)
        self.state = State()
        self.requests: list[RequestRecord] = []
        self.refused: Counter[str] = Counter()
        self.handled = 0
        self.skew_s = 0.0
        self.fail_actions = 0
        self.nulls = options.nulls
        self.max_snapshots = options.max_snapshots
        self.snapshot_cooldown_s = options.snapshot_cooldown_s
        self.cooldown_retry_after = options.cooldown_retry_after
        self.action_s = options.action_s
        self.action_lag_s = options.action_lag_s
        self.action_failure_rate = options.action_failure_rate
        self.capacity_gigabytes = options.capacity_gigabytes
        self.max_volumes = options.max_volumes
        self.capacity_status = options.capacity_status
        self._request_ids = seeded(f"request ids {options.seed}").getrandbits(128)
        self._next_action = 700_000_000 + options.seed % 1000 * 1000
        self._due: list[tuple[float, int]] = []
        self._route_limits: list[_RouteLimit] = []
        self._grants: dict[str, Grant] = {}
        self.add_token(self.token, name="default", stranger_per_s=options.stranger_per_s)
        build_fleet(self.state, options, self.random, self.now)

    # What tests arrange and look at.

    @property
    def volumes(self) -> Mapping[str, SimVolume]:
        """The volumes by id, oldest first."""
        return MappingProxyType(self.state.volumes)

    @property
    def snapshots(self) -> Mapping[str, SimSnapshot]:
        """The snapshots by id, oldest first."""
        return MappingProxyType(self.state.snapshots)

    @property
    def actions(self) -> Mapping[int, SimAction]:
        """The actions by id, oldest first."""
        return MappingProxyType(self.state.actions)

    @property
    def droplets(self) -> Mapping[int, SimDroplet]:
        """The Droplets by id."""
        return MappingProxyType(self.state.droplets)

    @property
    def budget(self) -> Budget | None:
        """The budget of the default token; None without limits."""
        return self._grants[self.token].budget

    def add_token(
        self,
        token: str | None = None,
        *,
        name: str | None = None,
        scopes: Iterable[str] | None = None,
        stranger_per_s: float = 0.0,
    ) -> str:
        """Let one more token in, with its own budget and scopes (None: all), and return it."""
        if token is None:
            token = (
                f"dop_v1_{seeded(f'{self.options.seed} {len(self._grants)}').getrandbits(256):064x}"
            )
        budget = None
        if self.windows:
            budget = Budget(self.windows, self.options.minute_model, stranger_per_s)
        self._grants[token] = Grant(
            name=name or f"token-{len(self._grants) + 1}",
            scopes=None if scopes is None else frozenset(scopes),
            budget=budget,
        )
        return token

    def revoke_token(self, token: str) -> None:
        """Let a token in no longer."""
        del self._grants[token]

    def add_volume(
        self,
        name: str | None = None,
        *,
        region: str = "nyc3",
        size_gigabytes: int = 10,
        age_s: float = 0.0,
        droplet_id: int | None = None,
        **fields: Any,
    ) -> SimVolume:
        """Put a volume into the world, whatever its name looks like.

        Args:
            name: by default one that is free.
            region: its slug.
            size_gigabytes: in GiB.
            age_s: how long ago it was created.
            droplet_id: attaches it to that Droplet.
            **fields: other attributes of `SimVolume`, such as `tags` or `used_gigabytes`.

        Raises:
            ValueError: the name is taken, or there is no such region or Droplet.
        """
        if region not in REGIONS:
            raise ValueError(f"no such region: {region!r}")
        if droplet_id is not None and droplet_id not in self.state.droplets:
            raise ValueError(f"no such droplet: {droplet_id!r}")
        seq = self.state.next_seq()
        volume = SimVolume(
            id=uuid_text(self.random.getrandbits(128)),
            name=name or f"volume-{seq}",
            region=region,
            size_gigabytes=size_gigabytes,
            created_s=self.now + self.skew_s - age_s,
            seq=seq,
            **{**fields, "tags": tuple(fields.get("tags", ()))},
        )
        self.state.add_volume(volume)
        if droplet_id is not None:
            self.state.link(volume, self.state.droplets[droplet_id])
        return volume

    def add_snapshot(
        self,
        volume: SimVolume | str,
        name: str | None = None,
        *,
        age_s: float = 0.0,
        size_gigabytes: float | None = None,
        tags: Iterable[str] = (),
    ) -> SimSnapshot:
        """Put a snapshot of a volume (or of the volume with that id) into the world.

        Args:
            volume: whose snapshot it is.
            name: by default `<volume>-<date>-<number>`.
            age_s: how long ago it was taken; one younger than the cooldown starts it.
            size_gigabytes: what it is billed for; by default what is used of the volume.
            tags: its tags.
        """
        if isinstance(volume, str):
            volume = self.state.volumes[volume]
        seq = self.state.next_seq()
        at_s = self.now - age_s
        snapshot = SimSnapshot(
            id=uuid_text(self.random.getrandbits(128)),
            name=name or f"{volume.name}-{iso(at_s)[:10]}-{seq}",
            volume_id=volume.id,
            region=volume.region,
            min_disk_size=volume.size_gigabytes,
            size_gigabytes=volume.used_gigabytes if size_gigabytes is None else size_gigabytes,
            created_s=at_s + self.skew_s,
            seq=seq,
            tags=tuple(tags),
        )
        self.state.add_snapshot(snapshot)
        if volume.snapshot_s is None or volume.snapshot_s < at_s:
            volume.snapshot_s = at_s
        return snapshot

    def remove_volume(self, volume: SimVolume | str) -> None:
        """Take a volume out of the world without asking anything, as another user might."""
        if isinstance(volume, str):
            volume = self.state.volumes[volume]
        for droplet_id in volume.droplet_ids:
            self.state.unlink(volume, self.state.droplets[droplet_id])
        self.state.remove_volume(volume)

    def remove_snapshot(self, snapshot: SimSnapshot | str) -> None:
        """Take a snapshot out of the world."""
        if isinstance(snapshot, str):
            snapshot = self.state.snapshots[snapshot]
        self.state.remove_snapshot(snapshot)

    def add_droplet(
        self, droplet_id: int | None = None, *, region: str | None = None
    ) -> SimDroplet:
        """Put a Droplet into the world; without a region it takes volumes of any region."""
        if droplet_id is None:
            droplet_id = max(self.state.droplets, default=3_164_399) + 1
        droplet = SimDroplet(id=droplet_id, name=f"droplet-{droplet_id}", region=region)
        self.state.droplets[droplet_id] = droplet
        return droplet

    def limit_route(
        self, method: str, path: str, *, times: int = 1, retry_after_s: int | None = None
    ) -> None:
        """Answer the next `times` such requests with a 429 of that route's own.

        Args:
            method: such as `POST`, or `*`.
            path: where `*` stands for anything, such as `/v2/volumes/*`.
            times: how many.
            retry_after_s: for a `retry-after` header. The budget headers stay as they are.
        """
        pattern = re.compile(".*".join(re.escape(part) for part in path.split("*")))
        self._route_limits.append(_RouteLimit(method, pattern, times, retry_after_s))

    def finish_actions(self) -> None:
        """End every action that is under way, now."""
        while self._due:
            _, action_id = heapq.heappop(self._due)
            self.state.finish_action(self.state.actions[action_id], self.now + self.skew_s)

    def tick(self, now: float) -> None:
        """Tell the world the time: actions that are due end."""
        self.now = max(self.now, now)
        while self._due and self._due[0][0] <= now:
            due_s, action_id = heapq.heappop(self._due)
            self.state.finish_action(self.state.actions[action_id], due_s + self.skew_s)

    # What operations need.

    def next_action_id(self) -> int:
        """A number for an action."""
        self._next_action += 1
        return self._next_action

    def draw_action_failure(self) -> bool:
        """Whether the action that begins now shall fail."""
        if self.fail_actions > 0:
            self.fail_actions -= 1
            return True
        return self.random.random() < self.action_failure_rate

    def start_action(self, action: SimAction) -> None:
        """Begin an action; `tick` ends it."""
        self.state.add_action(action)
        heapq.heappush(self._due, (action.due_s, action.id))

    def check_capacity(self, gigabytes: int, volumes: int = 1) -> None:
        """Refuse when so much more would not fit into the account."""
        state = self.state
        full = self.max_volumes is not None and len(state.volumes) + volumes > self.max_volumes
        if not full and self.capacity_gigabytes is not None:
            used = sum(volume.size_gigabytes for volume in state.volumes.values())
            full = used + gigabytes > self.capacity_gigabytes
        if full:
            raise refuse("capacity", status=self.capacity_status)

    # The one way in.

    def handle(self, request: SimRequest, now: float) -> SimResponse:
        """Answer one request that arrives at `now`, in seconds since the epoch."""
        self.tick(now)
        self.handled += 1
        grant = self._grant(request)
        verdict: Verdict | None = None
        refused: Refused | None = None
        status, body = 500, b""
        try:
            if grant is None:
                raise refuse("unauthorized")
            if grant.budget is not None:
                verdict = grant.budget.judge(now)
                if verdict.refused is not None:
                    raise _over(verdict)
            if self._route_limits:
                self._check_route_limits(request)
            status, body = self._operate(request, grant, now)
        except Refused as refusal:
            refused, status = refusal, refusal.status
        # An odd factor goes through every 128-bit number once: ids never repeat.
        number = self._request_ids + self.handled * 0x9E3779B97F4A7C15F39CC0605CEDC835
        request_id = uuid_text(number)
        if refused is not None:
            body = encode({"id": refused.id, "message": refused.message, "request_id": request_id})
            if refused.kind is not None:
                self.refused[refused.kind] += 1
        self._log(request, now, status, grant, refused)
        return SimResponse(status, self._headers(now, request_id, status, verdict, refused), body)

    def _grant(self, request: SimRequest) -> Grant | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self._grants.get(token.strip()) if scheme.lower() == "bearer" else None

    def _operate(self, request: SimRequest, grant: Grant, now: float) -> tuple[int, bytes]:
        path = request.path
        route, values = find_route(request.method, path)
        if not grant.allows(request.method, route.scopes):
            raise refuse("scope")
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
        for limit in self._route_limits:
            if limit.method in ("*", request.method) and limit.path.fullmatch(request.path):
                limit.times -= 1
                if limit.times <= 0:
                    self._route_limits.remove(limit)
                raise refuse("route", retry_after_s=limit.retry_after_s)

    def _headers(
        self,
        now: float,
        request_id: str,
        status: int,
        verdict: Verdict | None,
        refused: Refused | None,
    ) -> dict[str, str]:
        headers = {"date": http_date(now + self.skew_s), "x-request-id": request_id}
        if status != 204:
            headers["content-type"] = "application/json; charset=utf-8"
        if verdict is not None:
            headers["ratelimit-limit"] = str(verdict.limit)
            headers["ratelimit-remaining"] = str(verdict.remaining)
            headers["ratelimit-reset"] = str(int(verdict.reset_s + self.skew_s))
        if refused is not None and refused.retry_after_s is not None:
            headers["retry-after"] = str(refused.retry_after_s)
        return headers

    def _log(
        self,
        request: SimRequest,
        now: float,
        status: int,
        grant: Grant | None,
        refused: Refused | None,
    ) -> None:
        if len(self.requests) >= _LOG_SIZE:
            del self.requests[: _LOG_SIZE // 2]
        self.requests.append(
            RequestRecord(
                now,
                request.method,
                request.target,
                status,
                "" if grant is None else grant.name,
                None if refused is None else refused.kind,
            )
        )


def _over(verdict: Verdict) -> Refused:
    refusal = refuse("rate", retry_after_s=verdict.retry_after_s)
    refusal.kind = verdict.refused
    return refusal
