"""Everything about the simulated world that can be chosen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from ..._limits import DEFAULT_LIMITS
from .._errors import is_error
from ..ratelimit import MinuteModel
from .contents import Contents

__all__ = ["WorldOptions"]


def _known_errors(_: object, __: object, messages: Mapping[str, str]) -> None:
    for name in messages:
        if not is_error(name):
            raise ValueError(f"no such error: {name!r}; simulator/_errors.py names them")


@attrs.frozen(kw_only=True)
class WorldOptions:
    """How a world begins. Everything has a working default.

    Args:
        seed: the same seed makes the same fleet, ids and durations.
        now: when the world begins, in seconds since the epoch (default: 2026-01-01).
        volumes: how many volumes there are, spread over the regions with storage. Some of them
            are attached, some have old snapshots.
        snapshots: how many old snapshots there are in all; None gives every third volume one to
            four.
        snapshot_name: a template for their names, with `volume` and `date`.
        snapshot_tags: their tags.
        droplets: a number of Droplets; or their ids, as numbers or as `ID:REGION` (one without a
            region takes volumes of any region); or a mapping of ids to regions. None makes one
            for each region.
        token: the accepted token; by default one derived from the seed.
        limits: `250/60,5000/3600` (requests/seconds, shortest first), or pairs, or `none`: then
            there are no budget headers either.
        minute_model: how the shorter window is counted: `sliding`, `fixed` or `bucket`.
        other_clients_per_s: requests per second that other clients make with the same token.
        action_s: how long actions take: drawn evenly between these two.
        action_lag_s: for so long after the POST an action's GET is a 404.
        action_failure_rate: the share of actions that end `errored`.
        max_snapshots: of one volume; None for any number.
        snapshot_cooldown_s: between two snapshots of a volume; 0 for none.
        cooldown_retry_after: whether that refusal carries a `retry-after` (GUESS: it does not).
        capacity_gigabytes: of all volumes together; None for any.
        max_volumes: in the account, also its `volume_limit`; None for any number, shown as 0.
        max_volumes_of_droplet: how many one Droplet holds: 15; it was 7 once.
        capacity_status: with which status capacity is refused: 403, or 429.
        contents: Droplets, volumes, snapshots and tags by name, added to what the numbers make;
            a scenario has them.
        messages: other texts of errors, by the error's name in `simulator/_errors.py`, such as
            `{"rate": "Too many requests"}`, which has been seen too.
        nulls: whether empty `droplet_ids` and `tags` are null, which the API documents.
        link_base: what page links begin with.
    """

    seed: int = 0
    now: float = 1_767_225_600.0
    volumes: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    snapshots: int | None = None
    snapshot_name: str = "{volume}-{date}"
    snapshot_tags: tuple[str, ...] = attrs.field(default=("bulk-job:nightly",), converter=tuple)
    droplets: int | Iterable[int | str] | Mapping[int, str] | None = None
    token: str | None = attrs.field(default=None, repr=False)
    limits: str | Iterable[tuple[int, float]] | None = DEFAULT_LIMITS
    minute_model: MinuteModel = "sliding"
    other_clients_per_s: float = 0.0
    action_s: tuple[float, float] = (3.0, 5.0)
    action_lag_s: float = 0.0
    action_failure_rate: float = 0.0
    max_snapshots: int | None = 25
    snapshot_cooldown_s: float = 600.0
    cooldown_retry_after: bool = False
    capacity_gigabytes: int | None = None
    max_volumes: int | None = None
    max_volumes_of_droplet: int = attrs.field(default=15, validator=attrs.validators.ge(1))
    capacity_status: int = attrs.field(default=403, validator=attrs.validators.in_((403, 429)))
    contents: Contents | None = None
    messages: Mapping[str, str] = attrs.field(factory=dict, validator=_known_errors)
    nulls: bool = False
    link_base: str = "https://api.digitalocean.com"
