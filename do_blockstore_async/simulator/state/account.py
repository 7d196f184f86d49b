"""The account behind the simulated API: its settings and state, and what tests arrange in it.

Theory: everything that a request can depend on is here, and time only comes in through `tick`.
`world.World` adds the one way in. `reset` builds everything anew from the options, so nothing can
be forgotten by it.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from ..._clock import seeded
from ..._limits import parse_limits
from .._errors import api_error
from .._messages import RequestRecord, iso, uuid_text
from ..ratelimit import RequestBudget, Window
from .checks import check_name
from .contents import Contents
from .entities import SimAction, SimDroplet, SimSnapshot, SimVolume
from .fleet import build_fleet
from .options import WorldOptions
from .regions import REGIONS
from .store import State

__all__ = ["Account", "Grant"]


@attrs.define(eq=False)
class Grant:
    """A token of the account.

    Args:
        name: what the request log calls it; the token itself is never shown.
        scopes: what it may do; None for everything. Besides the scopes of the API reference the
            two old ones are known: `api:write` may do everything and `api:read` may read it.
        budget: its own; None without limits.
    """

    name: str
    scopes: frozenset[str] | None = None
    budget: RequestBudget | None = None

    def allows(self, method: str, scopes: tuple[str, ...]) -> bool:
        """Whether the token has one of the scopes."""
        mine = self.scopes
        if mine is None or "api:write" in mine or (method == "GET" and "api:read" in mine):
            return True
        return not mine.isdisjoint(scopes)


@attrs.define
class RouteLimit:
    """A 429 that a test has asked for."""

    method: str
    path: re.Pattern[str]
    times: int
    retry_after_s: int | None


class Account:
    """One account: see `World`, which is what users make, for its arguments and attributes."""

    def __init__(self, options: WorldOptions | None = None, **changes: Any) -> None:
        self.options = attrs.evolve(options or WorldOptions(), **changes)
        # An iterator could be read once only; a reset reads it again.
        asked = self.options.droplets
        if asked is not None and not isinstance(asked, int | Mapping):
            self.options = attrs.evolve(self.options, droplets=tuple(asked))
        self.windows = tuple(Window(*pair) for pair in parse_limits(self.options.limits))
        self.token = self.options.token or _token(f"{self.options.seed}")
        self.link_base = self.options.link_base
        self.now = self.options.now
        self.reset(self.options.now)

    def __repr__(self) -> str:
        held = len(self.state.volumes)
        return f"<{type(self).__name__} of {held} volumes, {self.handled} requests handled>"

    def reset(self, now: float | None = None) -> None:
        """Return to the seeded state: fleet, budgets, log, counters, scripts, settings, tokens.

        Args:
            now: when the world begins again; by default the latest time it knows.
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
        self.max_volumes_of_droplet = options.max_volumes_of_droplet
        self.messages = dict(options.messages)
        self.capacity_status = options.capacity_status
        self.request_ids = seeded(f"request ids {options.seed}").getrandbits(128)
        self.restarts = 0
        self.last_action_id = 700_000_000 + options.seed % 1000 * 1000
        self._due: list[tuple[float, int]] = []
        self.route_limits: list[RouteLimit] = []
        self.grants: dict[str, Grant] = {}
        self.add_token(self.token, name="default", other_clients_per_s=options.other_clients_per_s)
        build_fleet(self.state, options, self.random, self.now)
        if options.contents is not None:
            self._fill(options.contents)

    def _fill(self, contents: Contents) -> None:
        for tag in contents.tags:
            self.state.create_tag(tag)
        for droplet in contents.droplets:
            if droplet.region not in (None, *REGIONS):
                raise ValueError(f"no such region for a droplet: {droplet.region!r}")
            self.add_droplet(
                droplet.id, region=droplet.region, name=droplet.name, tags=droplet.tags
            )
        for given in contents.volumes:
            check_name(given.name)
            volume = self.add_volume(
                given.name,
                region=given.region,
                size_gigabytes=given.size_gigabytes,
                age_s=given.age_s,
                droplet_id=given.droplet,
                description=given.description,
                filesystem_type=given.filesystem_type,
                filesystem_label=given.filesystem_label,
                used_gigabytes=given.used_gigabytes,
                tags=given.tags,
            )
            # Oldest first, as they would have been taken.
            for taken in sorted(given.snapshots, key=lambda snapshot: -snapshot.age_s):
                self.add_snapshot(
                    volume,
                    taken.name,
                    age_s=taken.age_s,
                    size_gigabytes=taken.size_gigabytes,
                    tags=taken.tags,
                )

    # What tests arrange and inspect.

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
    def budget(self) -> RequestBudget | None:
        """The budget of the default token; None without limits."""
        return self.grants[self.token].budget

    def add_token(
        self,
        token: str | None = None,
        *,
        name: str | None = None,
        scopes: Iterable[str] | None = None,
        other_clients_per_s: float = 0.0,
    ) -> str:
        """Accept one more token, with its own budget and scopes (None: all), and return it."""
        if token is None:
            token = _token(f"{self.options.seed} {len(self.grants)}")
        budget = None
        if self.windows:
            budget = RequestBudget(self.windows, self.options.minute_model, other_clients_per_s)
        self.grants[token] = Grant(
            name=name or f"token-{len(self.grants) + 1}",
            scopes=None if scopes is None else frozenset(scopes),
            budget=budget,
        )
        return token

    def revoke_token(self, token: str) -> None:
        """Accept a token no longer."""
        del self.grants[token]

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
        """Take a volume out of the world without any check, as another client might."""
        if isinstance(volume, str):
            volume = self.state.volumes[volume]
        for droplet_id in volume.droplet_ids:
            self.state.unlink(volume, self.state.droplets[droplet_id])
        self.state.remove_volume(volume)

    def remove_droplet(self, droplet: SimDroplet | int) -> None:
        """Take a Droplet out of the world, which detaches its volumes, as the API does."""
        if isinstance(droplet, int):
            droplet = self.state.droplets[droplet]
        for volume_id in list(droplet.volume_ids):
            self.state.unlink(self.state.volumes[volume_id], droplet)
        self.state.remove_droplet(droplet)

    def remove_snapshot(self, snapshot: SimSnapshot | str) -> None:
        """Take a snapshot out of the world."""
        if isinstance(snapshot, str):
            snapshot = self.state.snapshots[snapshot]
        self.state.remove_snapshot(snapshot)

    def add_droplet(
        self,
        droplet_id: int | None = None,
        *,
        region: str | None = None,
        name: str | None = None,
        tags: Iterable[str] = (),
    ) -> SimDroplet:
        """Put a Droplet into the world; without a region it takes volumes of any region."""
        if droplet_id is None:
            droplet_id = max(self.state.droplets, default=3_164_399) + 1
        droplet = SimDroplet(
            id=droplet_id,
            name=name or f"droplet-{droplet_id}",
            region=region,
            created_s=self.now + self.skew_s,
            tags=tuple(tags),
        )
        self.state.add_droplet(droplet)
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
        self.route_limits.append(RouteLimit(method, pattern, times, retry_after_s))

    def finish_actions(self) -> None:
        """Finish every action that is in progress, now."""
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
        self.last_action_id += 1
        return self.last_action_id

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

    def adopt_state(self, state: State) -> None:
        """Hold that state instead; its actions in progress end when they are due."""
        self.state = state
        pending = [action for action in state.actions.values() if action.status == "in-progress"]
        self._due = sorted((action.due_s, action.id) for action in pending)

    def check_capacity(self, gigabytes: int, volumes: int = 1, error: str = "capacity") -> None:
        """Raise that error of the API when so much more exceeds the account's capacity."""
        state = self.state
        full = self.max_volumes is not None and len(state.volumes) + volumes > self.max_volumes
        if not full and self.capacity_gigabytes is not None:
            used = sum(volume.size_gigabytes for volume in state.volumes.values())
            full = used + gigabytes > self.capacity_gigabytes
        if full:
            raise api_error(error, status=self.capacity_status)


def _token(seed: str) -> str:
    return f"dop_v1_{seeded(f'token {seed}').getrandbits(256):064x}"
